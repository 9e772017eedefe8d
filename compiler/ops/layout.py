"""Operators that move numbers without changing them."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ..axis import Joined, Part
from ..operator import Ask, Call, In, Operator, Out, Site, Step
from ..shape import Shape
from ..sym import apply
from .common import divides, leading, same_extent, want


@dataclass(frozen=True, slots=True)
class Concat(Operator):
    """Flows of one size, channels one after the other. An input that is `none` is left out; its weights stay reserved."""

    name: ClassVar[str] = "concat"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "flows side by side on the channel axis"
    inputs: ClassVar[int | None] = None

    def shape(self, site: Site, *x: Shape) -> Shape:
        same_extent(site, "concatenated", x)
        return leading(x).wide(Joined(tuple((s.channels, s.present) for s in x)))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        inputs = [In(i) for i in range(len(x))]
        return (Call("torch.cat", (inputs, 2 if y.form == "tokens" else 1)),)


@dataclass(frozen=True, slots=True)
class Split(Operator):
    """Part `index` (from 0) of `parts` equal parts of the channels."""

    name: ClassVar[str] = "split"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "one of several equal parts of the channels"

    parts: int
    index: int

    def shape(self, site: Site, *x: Shape) -> Shape:
        divides(site, "split", "width", x[0].width, "parts", self.parts)
        return x[0].wide(Part(x[0].channels, self.index, self.parts))

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return ("channels",)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        share = ask(apply("//", x[0].width, self.parts))
        return (Call("torch.narrow", (In(0), 2 if y.form == "tokens" else 1, self.index * share, share)),)


@dataclass(frozen=True, slots=True)
class ToTokens(Operator):
    """A map as tokens, row by row. [C, H, W] -> [H W, C]."""

    name: ClassVar[str] = "to_tokens"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "a map as tokens"

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "to_tokens", x[0], "map")
        return replace(x[0], form="tokens", extent=(x[0].points,))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return Call("torch.permute", (In(0), (0, 2, 3, 1))), Call("torch.flatten", (Out(0), 1, 2))


@dataclass(frozen=True, slots=True)
class ToMap(Operator):
    """Tokens as a map of the size of a second flow. [H W, C], like [., H, W] -> [C, H, W]."""

    name: ClassVar[str] = "to_map"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "tokens as a map"
    inputs: ClassVar[int | None] = 2
    like: ClassVar[tuple[int, ...]] = (1,)

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "to_map", x[0], "tokens")
        want(site, "to_map", x[1], "map")
        same_extent(site, "laid out", (x[0], replace(x[1], form="tokens", extent=(x[1].points,))))
        return x[1].wide(x[0].channels)

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return ("tokens",)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        size = Call("hrdsl.size", (In(1),))
        return size, Call("torch.unflatten", (In(0), 1, Out(0))), Call("torch.permute", (Out(1), (0, 3, 1, 2)))


@dataclass(frozen=True, slots=True)
class Transpose(Operator):
    """Tokens as channels and channels as tokens. [N, C] -> [C, N]. Each axis keeps its index set.

    `linear` and `ln` behind it treat each channel as a token: the transformer of HR-NAS (Ding et al. 2021, arXiv 2106.06560,
    Section 3), or MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601, Eq. 1).
    """

    name: ClassVar[str] = "transpose"
    summary: ClassVar[str] = "tokens as channels and channels as tokens"

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "tokens")
        return replace(x[0], channels=x[0].tokens, rows=x[0].channels, extent=(x[0].width,))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return (Call("torch.transpose", (In(0), 1, 2)),)
