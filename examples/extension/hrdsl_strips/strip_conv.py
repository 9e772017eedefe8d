"""The operator `strip_conv`."""

from dataclasses import dataclass
from typing import ClassVar

from hrdsl.compiler.axis import Centre, fixed, largest
from hrdsl.compiler.operator import Ask, Call, In, Operator, Out, Par, Site, Step, Weight
from hrdsl.compiler.ops.common import odd, positive, want
from hrdsl.compiler.shape import Shape
from hrdsl.compiler.sym import Value


@dataclass(frozen=True, slots=True)
class StripConv(Operator):
    """A k x 1 filter, then a 1 x k filter, for each channel. [C, H, W] -> the same.

    Kernels are odd; a smaller one reads the centre of the largest. Source: SegNeXt, Guo et al. 2022 (arXiv 2209.08575),
    Section 3.1.
    """

    name: ClassVar[str] = "strip_conv"
    summary: ClassVar[str] = "a k x 1 and a 1 x k filter for each channel"

    kernel: Value = 7

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        positive(site, self.name, "kernel", self.kernel)
        odd(site, self.name, "kernel", self.kernel)
        return x[0]

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        long, one = Centre(self.kernel, largest(self.kernel)), fixed(1)
        return (
            Weight("rows", (y.channels, one, long, one), "conv", (long.limit,)),
            Weight("columns", (y.channels, one, one, long), "conv", (long.limit,)),
        )

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        return ((2, y.width, self.kernel, *y.extent),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        half, width = ask(self.kernel) // 2, ask(y.width)
        return (
            Call("torch.conv2d", (In(0), Par("rows"), None, 1, (half, 0), 1, width)),
            Call("torch.conv2d", (Out(0), Par("columns"), None, 1, (0, half), 1, width)),
        )
