"""A map cut into windows, and back. Windows lie on the batch axis, so every other operator treats each as a sample."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..axis import fixed
from ..operator import Ask, Call, Family, In, Operator, Out, Site, Step
from ..shape import Shape, text
from ..sym import Value, apply
from .common import positive, want


@dataclass(frozen=True, slots=True)
class Windows(Operator):
    """A map cut into windows of height x columns. [C, H, W] -> copies of [C, h + 2 margin, w + 2 margin], row by row.

    A side of 0, or one that is larger than the map, is the whole side of the map. The last windows are filled up with zeros
    at the bottom and at the right. Source: Swin, Liu et al. 2021 (arXiv 2103.14030), Section 3.2. With a margin, windows
    overlap: each also has the `margin` pixels around it, zeros beyond the map. `windows(1, 1, margin = 3)` are the 7x7
    neighbourhoods of all pixels (SASA, Ramachandran et al. 2019, arXiv 1906.05909, Section 3.1).
    """

    name: ClassVar[str] = "windows"
    summary: ClassVar[str] = "a map cut into windows"
    family: ClassVar[Family] = "windows"

    height: Value
    columns: Value
    margin: Value = 0

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        for name in ("height", "columns", "margin"):
            positive(site, self.name, name, getattr(self, name), least=0)
        sides = tuple(_side(size, e) for size, e in zip((self.height, self.columns), x[0].extent, strict=True))
        extent = tuple(apply("+", side, apply("*", 2, self.margin)) for side in sides)
        return replace(x[0], extent=extent, copies=_copies(x[0], sides))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        margin, steps = ask(self.margin), list[Step]()
        sizes = [ask(self.height), ask(self.columns)]
        whole = [not 0 < size <= ask(e) for size, e in zip(sizes, x[0].extent, strict=True)]
        more = [margin if all_ else margin + size - 1 for size, all_ in zip(sizes, whole, strict=True)]
        source: Any = In(0)
        if any(more):  # what is too much is left out by `unfold`, whatever the size of the map
            steps.append(Call("torch.nn.functional.pad", (In(0), (margin, more[1], margin, more[0]))))
            source = Out(0)
        cut = list[int]()
        for k, size in enumerate(sizes):
            if whole[k] and not margin:
                continue
            window: tuple[Any, Any] = size + 2 * margin, size
            if whole[k]:
                steps.append(Call("hrdsl.length", (source, 2 + k)))
                window = (Out(len(steps) - 1),) * 2
            steps.append(Call("torch.Tensor.unfold", (source, 2 + k, *window)))
            source = Out(len(steps) - 1)
            cut.append(k)
        if not cut:
            return ()
        # Channels last: what is copied lies together. The places of the windows, their pixels, the channels.
        pixels = [4 + cut.index(k) if k in cut else 2 + k for k in range(2)]
        n = len(steps)
        return (
            *steps,
            Call("torch.permute", (source, (0, *(2 + k for k in cut), *pixels, 1))),
            Call("torch.flatten", (Out(n), 0, len(cut))),
            Call("torch.permute", (Out(n + 1), (0, 3, 1, 2))),
        )


def _side(size: Value, whole: Value) -> Value:
    """The side of a window on a map with this side."""
    return apply("select", apply("==", size, 0), apply("min", size, whole), whole)


def _copies(x: Shape, window: tuple[Value, ...]) -> Value:
    """How many windows of a size cover a map, for one sample."""
    copies = x.copies
    for side, size in zip(x.extent, window, strict=True):
        copies = apply("*", copies, apply("ceil", side, size))
    return copies


@dataclass(frozen=True, slots=True)
class FromWindows(Operator):
    """Windows joined to a map of the size of a second map; what was filled up is cut off. Copies of [C, h, w], like [., H, W]
    -> [C, H, W].

    There are as many windows as cover the second map. Its size is read when the network runs.
    """

    name: ClassVar[str] = "from_windows"
    summary: ClassVar[str] = "windows joined to a map"
    inputs: ClassVar[int | None] = 2
    like: ClassVar[tuple[int, ...]] = (1,)

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        want(site, self.name, x[1], "map")
        needed = _copies(x[1], x[0].extent)
        copies = text(x[0].copies), text(needed)
        fault = partial(errors.size_mismatch, "joined to a map", *copies, site.span, windows=True)
        site.check(apply("==", x[0].copies, needed), lambda example: ArchError(fault(example)))
        return x[1].wide(x[0].channels)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return (
            Call("hrdsl.length", (In(1), 0)),
            Call("hrdsl.length", (In(1), 2)),
            Call("hrdsl.length", (In(1), 3)),
            Call("hrdsl.length", (In(0), 3)),
            Call("torch.Tensor.unfold", (In(1), 3, 1, Out(3))),  # a column of each window: how many there are
            Call("hrdsl.length", (Out(4), 3)),
            Call("torch.unflatten", (In(0), 0, [Out(0), -1, Out(5)])),
            Call("torch.permute", (Out(6), (0, 1, 4, 2, 5, 3))),
            Call("torch.flatten", (Out(7), 3, 4)),
            Call("torch.flatten", (Out(8), 1, 2)),
            Call("torch.Tensor.contiguous", (Out(9),)),
            Call("torch.permute", (Out(10), (0, 3, 1, 2))),
            Call("torch.narrow", (Out(11), 2, 0, Out(1))),
            Call("torch.narrow", (Out(12), 3, 0, Out(2))),
        )


@dataclass(frozen=True, slots=True)
class Ones(Operator):
    """Ones of the size of a flow. [C, H, W] -> [1, H, W], [N, C] -> [N, 1], [C] -> [1].

    Cut into windows, they say which pixels are padding: the mask of `masked_attention`.
    """

    name: ClassVar[str] = "ones"
    summary: ClassVar[str] = "ones of the size of a flow"

    def shape(self, site: Site, *x: Shape) -> Shape:
        return x[0].wide(fixed(1))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        axis = 2 if y.form == "tokens" else 1
        return Call("torch.narrow", (In(0), axis, 0, 1)), Call("torch.ones_like", (Out(0),))
