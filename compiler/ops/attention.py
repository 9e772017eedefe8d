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
        divides(site, "attention", "the width of q", q.width, self.heads)
        divides(site, "attention", "the width of v", v.width, self.heads)
        return q.wide(v.channels)

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        q, k, v = x
        return (q.points, k.points, q.width), (q.points, k.points, v.width)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        heads = ask(self.heads)
        return _maps(heads) if y.form == "map" else _tokens(heads)


def _maps(heads: int) -> tuple[Step, ...]:
    steps: list[Step] = [Call("hrdsl.size", (In(0),))]
    ends = []
    for i in range(3):
        n = len(steps)
        steps.append(Call("torch.flatten", (In(i), 2)))
        steps.append(Call("torch.unflatten", (Out(n), 1, (heads, -1))))
        steps.append(Call("torch.transpose", (Out(n + 1), 2, 3)))
        ends.append(Out(n + 2))
    steps.append(Call("torch.nn.functional.scaled_dot_product_attention", tuple(ends)))
    steps.append(Call("torch.transpose", (Out(len(steps) - 1), 2, 3)))
    steps.append(Call("torch.flatten", (Out(len(steps) - 1), 1, 2)))
    steps.append(Call("torch.unflatten", (Out(len(steps) - 1), 2, Out(0))))
    return tuple(steps)


def _tokens(heads: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    ends = []
    for i in range(3):
        n = len(steps)
        steps.append(Call("torch.unflatten", (In(i), 2, (heads, -1))))
        steps.append(Call("torch.transpose", (Out(n), 1, 2)))
        ends.append(Out(n + 1))
    steps.append(Call("torch.nn.functional.scaled_dot_product_attention", tuple(ends)))
    steps.append(Call("torch.transpose", (Out(len(steps) - 1), 1, 2)))
    steps.append(Call("torch.flatten", (Out(len(steps) - 1), 2)))
    return tuple(steps)
