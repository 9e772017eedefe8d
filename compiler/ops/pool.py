"""Pooling."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from ..operator import Ask, Call, In, Operator, Site, Step
from ..shape import Shape
from ..sym import Value, apply
from .common import further, half, positive, want, windows


@dataclass(frozen=True, slots=True)
class MaxPool(Operator):
    """Largest value in each k x k window. [C, H, W] -> [C, h, w], sizes and `padding` as of `conv`."""

    name: ClassVar[str] = "max_pool"
    summary: ClassVar[str] = "largest value in each window"

    kernel: Value = 3
    stride: Value = 2
    padding: Value = field(default="same", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        positive(site, self.name, "kernel", self.kernel)
        positive(site, self.name, "stride", self.stride)
        extent = windows(site, self.name, x[0], self.kernel, self.stride, self.padding)
        return replace(x[0], extent=extent, stride=further(x[0].stride, self.stride))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        kernel = ask(self.kernel)
        return (Call("torch.max_pool2d", (In(0), kernel, ask(self.stride), half(kernel, self.padding))),)


@dataclass(frozen=True, slots=True)
class AveragePool(Operator):
    """Mean of each s x s block; a block at the border is the mean of what it covers.

    [C, H, W] -> [C, ceil(H/stride), ceil(W/stride)].
    """

    name: ClassVar[str] = "average_pool"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "mean of each block"

    stride: Value = 2

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        positive(site, self.name, "stride", self.stride)
        extent = tuple(apply("ceil", e, self.stride) for e in x[0].extent)
        return replace(x[0], extent=extent, stride=further(x[0].stride, self.stride))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        stride = ask(self.stride)
        return (Call("torch.nn.functional.avg_pool2d", (In(0), stride, stride, 0, True, False)),)


@dataclass(frozen=True, slots=True)
class GlobalPool(Operator):
    """Mean over all pixels or tokens. [C, H, W] or [N, C] -> [C]."""

    name: ClassVar[str] = "global_pool"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "mean over all pixels or tokens"

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map", "tokens")
        return replace(x[0], form="vector", extent=(), rows=None)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return (Call("torch.mean", (In(0), (2, 3) if x[0].form == "map" else (1,))),)
