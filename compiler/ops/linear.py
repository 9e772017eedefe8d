"""Linear maps of the channel axis."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..axis import prefix
from ..operator import Ask, Call, In, Operator, Par, Site, Step, Weight
from ..shape import Shape
from ..sym import Value
from .common import positive, want


@dataclass(frozen=True, slots=True)
class Linear(Operator):
    """Linear map of channels. [N, C] -> [N, width] or [C] -> [width]. Channels are a prefix; inputs follow their producer."""

    name: ClassVar[str] = "linear"
    mixes: ClassVar[bool] = True
    summary: ClassVar[str] = "linear map of the channels of tokens or of a vector"

    width: Value
    bias: Value = field(default=True, metadata={"kind": "flag"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "linear", x[0], "tokens", "vector")
        positive(site, "linear", "width", self.width)
        return x[0].wide(prefix(self.width))

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        kernel = Weight("weight", (y.channels, x[0].channels), "linear", (x[0].channels.limit,))
        return (kernel, Weight("bias", (y.channels,), "zeros")) if self.bias else (kernel,)

    def level(self) -> bool:
        return True

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        return ((y.width, x[0].width, *y.extent),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        bias: Any = Par("bias") if self.bias else None
        return (Call("torch.nn.functional.linear", (In(0), Par("weight"), bias)),)
