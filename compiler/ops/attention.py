"""Attention."""

from dataclasses import dataclass, field
from typing import ClassVar

from ..operator import Ask, Call, In, Operator, Out, Site, Step
from ..shape import Shape
from ..sym import Value
from .common import divides, positive, same_extent, same_width, want


@dataclass(frozen=True, slots=True)
class Attention(Operator):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, Eq. 1) of three flows q, k, v.

    Maps: q [C, H, W], k [C, H', W'], v [C', H', W'] -> [C', H, W]; tokens: q [N, C], k [M, C], v [M, C'] -> [N, C'].
    Head h takes the h-th equal share of the channels; scale = (C / heads) ** -1/2.
    """

    name: ClassVar[str] = "attention"
    summary: ClassVar[str] = "multi-head attention of q, k, v"
    inputs: ClassVar[int | None] = 3

    heads: Value = field(default=1)

    def shape(self, site: Site, *x: Shape) -> Shape:
        q, k, v = x
        want(site, "attention", q, "map", "tokens")
        same_extent(site, "used as key and value", (k, v))
        if k.form != q.form:
            want(site, "attention", k, q.form)
        positive(site, "attention", "heads", self.heads)
        same_width(site, q, k)
        divides(site, "attention", "the width of q", q.width, "heads", self.heads)
        divides(site, "attention", "the width of v", v.width, "heads", self.heads)
        return q.wide(v.channels)

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        q, k, v = x
        return (q.points, k.points, q.width), (q.points, k.points, v.width)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        heads = ask(self.heads)
        scale = (ask(x[0].width) // heads) ** -0.5
        return _maps(heads, scale) if y.form == "map" else _tokens(heads, scale)


def _maps(heads: int, scale: float) -> tuple[Step, ...]:
    """Written out, not fused, so that torch counts its operations on every device."""
    return (
        Call("hrdsl.size", (In(0),)),
        *_heads(heads),
        Call("torch.mul", (Out(2), scale)),
        Call("torch.transpose", (Out(7), 2, 3)),
        Call("torch.matmul", (Out(8), Out(4))),
        Call("torch.softmax", (Out(9), -1)),
        Call("torch.transpose", (Out(10), 2, 3)),
        Call("torch.matmul", (Out(6), Out(11))),
        Call("torch.flatten", (Out(12), 1, 2)),
        Call("torch.unflatten", (Out(13), 2, Out(0))),
    )


def _heads(heads: int) -> tuple[Step, ...]:
    """q, k, v as [batch, heads, channels, pixels]: the results of calls 2, 4 and 6."""
    out: list[Step] = []
    for i in range(3):
        out.append(Call("torch.flatten", (In(i), 2)))
        out.append(Call("torch.unflatten", (Out(1 + 2 * i), 1, (heads, -1))))
    return tuple(out)


def _tokens(heads: int, scale: float) -> tuple[Step, ...]:
    steps: list[Step] = []
    for i in range(3):
        steps.append(Call("torch.unflatten", (In(i), 2, (heads, -1))))
        steps.append(Call("torch.transpose", (Out(2 * i), 1, 2)))
    return (
        *steps,
        Call("torch.mul", (Out(1), scale)),
        Call("torch.transpose", (Out(3), 2, 3)),
        Call("torch.matmul", (Out(6), Out(7))),
        Call("torch.softmax", (Out(8), -1)),
        Call("torch.matmul", (Out(9), Out(5))),
        Call("torch.transpose", (Out(10), 1, 2)),
        Call("torch.flatten", (Out(11), 2)),
    )
