"""The channels of each point as tokens, and back. Points lie on the batch axis, as windows do, so every other operator
treats each of them as a sample."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..axis import prefix
from ..operator import Ask, Call, In, Operator, Out, Site, Step
from ..shape import Shape, text
from ..sym import Value, apply
from .common import divides, positive, want


@dataclass(frozen=True, slots=True)
class FoldChannels(Operator):
    """The channels of each pixel or token as a matrix of `rows` rows, row by row. [C, H, W], [N, C] -> H W, N copies of
    tokens [rows, C / rows].

    Linear maps of its rows and, transposed, of its columns are a Kronecker-factored map of the channels. Source: the
    matrix view of Gu et al. 2022 (arXiv 2111.01236), Eq. 3.
    """

    name: ClassVar[str] = "fold_channels"
    summary: ClassVar[str] = "the channels of each point as tokens"

    rows: Value

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map", "tokens")
        positive(site, self.name, "rows", self.rows)
        divides(site, self.name, "width", x[0].width, "rows", self.rows)
        columns = prefix(apply("//", x[0].width, self.rows))
        copies = apply("*", x[0].copies, x[0].points)
        return replace(x[0], form="tokens", channels=columns, extent=(self.rows,), copies=copies, rows=None)

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return ("channels", "tokens")

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        shares = (ask(self.rows), -1)
        if x[0].form == "tokens":
            return Call("torch.flatten", (In(0), 0, 1)), Call("torch.unflatten", (Out(0), 1, shares))
        return (
            Call("torch.permute", (In(0), (0, 2, 3, 1))),
            Call("torch.flatten", (Out(0), 0, 2)),
            Call("torch.unflatten", (Out(1), 1, shares)),
        )


@dataclass(frozen=True, slots=True)
class UnfoldChannels(Operator):
    """Folded channels as a flow of the form of a second one. Copies of tokens [r, c], like [., H, W] or [N, .] -> [r c, H, W]
    or [N, r c]; as many as that one has points, whose number is read when the network runs.
    """

    name: ClassVar[str] = "unfold_channels"
    summary: ClassVar[str] = "folded channels as a map or as tokens"
    inputs: ClassVar[int | None] = 2
    like: ClassVar[tuple[int, ...]] = (1,)

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "tokens")
        want(site, self.name, x[1], "map", "tokens")
        needed = apply("*", x[1].copies, x[1].points)
        copies = text(x[0].copies), text(needed)
        fault = partial(errors.size_mismatch, "unfolded", *copies, site.span, windows=True)
        site.check(apply("==", x[0].copies, needed), lambda example: ArchError(fault(example)))
        return x[1].wide(prefix(apply("*", x[0].points, x[0].width)))

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return ("channels", "tokens")

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        sides = len(x[1].extent)
        batch = Call("hrdsl.length", (In(1), 0))
        points = [Call("hrdsl.length", (In(1), (2 if y.form == "map" else 1) + k)) for k in range(sides)]
        flat = Call("torch.flatten", (In(0), 1, 2))
        size = [Out(k) for k in range(sides + 1)]
        last = Call("torch.unflatten", (Out(sides + 1), 0, size))
        back = [Call("torch.permute", (Out(sides + 2), (0, 3, 1, 2)))] if y.form == "map" else []
        return (batch, *points, flat, last, *back)
