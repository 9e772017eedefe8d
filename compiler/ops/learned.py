"""Learned values that depend on no input."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import ClassVar

from ..axis import prefix
from ..operator import Ask, Call, In, Operator, Out, Par, Site, Step, Weight
from ..shape import Shape
from ..sym import Value
from .common import positive, real


@dataclass(frozen=True, slots=True)
class Learned(Operator):
    """Learned tokens [count, width], normal with deviation `deviation`, the same for every sample and window.

    The flow it is applied to gives the batch size: `x -> learned(8, 64)`. Both axes are prefixes.
    """

    name: ClassVar[str] = "learned"
    summary: ClassVar[str] = "learned tokens"

    count: Value
    width: Value
    deviation: Value = field(default=Fraction(1, 50), metadata={"kind": "number"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        positive(site, "learned", "count", self.count)
        positive(site, "learned", "width", self.width)
        return replace(x[0], form="tokens", channels=prefix(self.width), extent=(self.count,), rows=None)

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        return (Weight("weight", (prefix(self.count), y.channels), "normal", value=real(self.deviation)),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        batch = Call("hrdsl.length", (In(0), 0))
        return batch, Call("torch.unsqueeze", (Par("weight"), 0)), Call("hrdsl.repeat", (Out(1), Out(0)))
