"""Convolutions."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from ..axis import Axis, Centre, fixed, largest, prefix, shares
from ..operator import Ask, Call, In, Operator, Par, Site, Step, Weight
from ..record import record
from ..shape import Shape
from ..sym import Value, apply
from .common import divides, further, half, positive, want, windows


def _kernel(size: Value) -> Axis:
    return Centre(size, largest(size))


@record(frozen=True, slots=True)
class Conv(Operator):
    """k x k convolution. [C, H, W] -> [width, ceil(H/stride), ceil(W/stride)], or one pixel for each window that fits.

    `padding` is `same` (half a window, kernels are odd) or `valid` (none). A smaller kernel reads the centre of the largest
    (OFA, Cai et al. 2020, without transforms); channels are a prefix; inputs follow their producer. `groups` divides both
    widths; within a group, channels are a prefix. With `heads`, output channels are an equal share from each of so many
    blocks of the largest width (multi-head sharing, TrioNet, Sun et al. 2021, arXiv 2111.07547, Algorithm 1).
    """

    name: ClassVar[str] = "conv"
    mixes: ClassVar[bool] = True
    summary: ClassVar[str] = "k x k convolution"

    kernel: Value
    width: Value
    stride: Value = 1
    groups: Value = 1
    dilation: Value = 1
    bias: Value = field(default=False, metadata={"kind": "flag"})
    padding: Value = field(default="same", metadata={"kind": "text"})
    heads: Value = 1

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "conv", x[0], "map")
        for name in ("kernel", "width", "stride", "groups", "dilation", "heads"):
            positive(site, "conv", name, getattr(self, name))
        divides(site, "conv", "input width", x[0].width, "groups", self.groups)
        divides(site, "conv", "width", self.width, "groups", self.groups)
        divides(site, "conv", "width", self.width, "heads", self.heads)
        extent = windows(site, "conv", x[0], self.kernel, self.stride, self.padding, self.dilation)
        stride = further(x[0].stride, self.stride)
        return x[0].sized(shares(self.width, self.heads), extent, stride)

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        inner = x[0].channels if self.groups == 1 else prefix(apply("//", x[0].width, self.groups))
        k = _kernel(self.kernel)
        kernel = Weight("weight", (y.channels, inner, k, k), "conv", (inner.limit, k.limit, k.limit))
        return (kernel, Weight("bias", (y.channels,), "zeros")) if self.bias else (kernel,)

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return () if self.groups == 1 else ("channels",)

    def level(self) -> bool:
        return bool(self.kernel == 1 or self.padding == "valid")

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        inner = x[0].width if self.groups == 1 else apply("//", x[0].width, self.groups)
        return ((y.width, inner, self.kernel, self.kernel, *y.extent),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        stride, dilation, groups = ask(self.stride), ask(self.dilation), ask(self.groups)
        padding = half(ask(self.kernel), self.padding, dilation)
        bias: Any = Par("bias") if self.bias else None
        return (Call("torch.conv2d", (In(0), Par("weight"), bias, stride, padding, dilation, groups)),)


@dataclass(frozen=True, slots=True)
class UpConv(Operator):
    """Transposed k x k convolution. [C, H, W] -> [width, stride H, stride W]. Each pixel is spread over a window.

    What the windows exceed the result by is cut off, as evenly as it can be. The stride is at least 2. A smaller kernel reads
    the centre of the largest; channels are a prefix; inputs follow their producer.
    """

    name: ClassVar[str] = "up_conv"
    mixes: ClassVar[bool] = True
    summary: ClassVar[str] = "transposed k x k convolution: a map enlarged"

    kernel: Value
    width: Value
    stride: Value = 2
    bias: Value = field(default=False, metadata={"kind": "flag"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "up_conv", x[0], "map")
        positive(site, "up_conv", "kernel", self.kernel)
        positive(site, "up_conv", "width", self.width)
        positive(site, "up_conv", "stride", self.stride, least=2)
        extent = tuple(apply("*", e, self.stride) for e in x[0].extent)
        stride = apply("/", x[0].stride, self.stride)
        return x[0].sized(prefix(self.width), extent, stride)

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        k = _kernel(self.kernel)
        reach = largest(apply("ceil", self.kernel, self.stride))
        kernel = Weight("weight", (x[0].channels, y.channels, k, k), "conv", (x[0].channels.limit, reach, reach))
        return (kernel, Weight("bias", (y.channels,), "zeros")) if self.bias else (kernel,)

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        return ((x[0].width, y.width, self.kernel, self.kernel, *x[0].extent),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        kernel, stride = ask(self.kernel), ask(self.stride)
        padding = max(0, (kernel - stride + 1) // 2)
        more = stride - kernel + 2 * padding
        bias: Any = Par("bias") if self.bias else None
        return (Call("torch.conv_transpose2d", (In(0), Par("weight"), bias, stride, padding, more)),)


@dataclass(frozen=True, slots=True)
class Depthwise(Operator):
    """One k x k filter for each channel. [C, H, W] -> [C, h, w], sizes as of `conv`. Channels follow the producer."""

    name: ClassVar[str] = "depthwise"
    channels_last: ClassVar[bool] = True
    summary: ClassVar[str] = "one k x k filter for each channel"

    kernel: Value = 3
    stride: Value = 1
    dilation: Value = 1
    bias: Value = field(default=False, metadata={"kind": "flag"})
    padding: Value = field(default="same", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "depthwise", x[0], "map")
        for name in ("kernel", "stride", "dilation"):
            positive(site, "depthwise", name, getattr(self, name))
        extent = windows(site, "depthwise", x[0], self.kernel, self.stride, self.padding, self.dilation)
        return replace(x[0], extent=extent, stride=further(x[0].stride, self.stride))

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        k = _kernel(self.kernel)
        kernel = Weight("weight", (y.channels, fixed(1), k, k), "conv", (1, k.limit, k.limit))
        return (kernel, Weight("bias", (y.channels,), "zeros")) if self.bias else (kernel,)

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        return ((y.width, self.kernel, self.kernel, *y.extent),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        dilation = ask(self.dilation)
        padding = half(ask(self.kernel), self.padding, dilation)
        bias: Any = Par("bias") if self.bias else None
        return (Call("torch.conv2d", (In(0), Par("weight"), bias, ask(self.stride), padding, dilation, ask(y.width))),)
