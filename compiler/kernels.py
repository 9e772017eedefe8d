"""Operations of a plan with a backward pass of their own: the results of torch's, in less time or less memory.

Tensors in, tensors out. `merge` decides where a plan uses them; extracted networks hold torch's own functions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

aten = torch.ops.aten

COLUMNS = 3
"""How many columns of a depthwise weight oneDNN has a fast gradient for."""
LARGE = 1 << 17
"""From how many numbers on a result may be made again rather than kept."""
ROOM = 3 << 22
"""How many such numbers one run keeps: small networks keep all, and make nothing twice."""
WIDE = 1 << 16
"""From how many numbers on, channels last, the gradient of wide filters is faster in parts. With channels first from a quarter."""
MANY = 1 << 12
"""From how many numbers of the filters on it is faster in any case."""
TILED = 1 << 15
"""From how many numbers on an image is turned around as a matrix."""


class Activation(NamedTuple):
    """An activation, and the gradient of its input from that of its output, its input and its output. One that works in
    place has no use for its input."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


def _relu_backward(g: Tensor, _: Tensor, y: Tensor) -> Tensor:
    made: Tensor = aten.threshold_backward.grad_input(g, y, 0, grad_input=g)
    return made


ACTIVATIONS: dict[Callable[..., Any], Activation] = {
    torch.relu: Activation(torch.relu_, _relu_backward),
    F.relu6: Activation(lambda x: aten.hardtanh_(x, 0.0, 6.0), lambda g, _, y: aten.hardtanh_backward(g, y, 0.0, 6.0)),
    F.silu: Activation(F.silu, lambda g, x, _: aten.silu_backward(g, x)),
    F.hardswish: Activation(F.hardswish, lambda g, x, _: aten.hardswish_backward(g, x)),
}


class Convolution(NamedTuple):
    """How a kernel is applied: what `torch.conv2d` takes behind the bias."""

    stride: int
    padding: int
    dilation: int
    groups: int

    def wide(self, weight: Tensor) -> bool:
        """One filter for each channel, with more columns than oneDNN has a fast gradient for."""
        return (
            self.groups == weight.shape[0] > 1 == weight.shape[1] and weight.shape[3] > COLUMNS and self.dilation == 1
        )

    def split(self, x: Tensor, weight: Tensor) -> bool:
        """Whether the gradient of such a filter is faster a few columns at a time. With a stride, seven columns and more are
        not: each part would read every pixel again."""
        least = WIDE // 4 if x.is_contiguous() else WIDE
        return (
            self.wide(weight)
            and (self.stride == 1 or weight.shape[3] < 2 * COLUMNS)
            and (x.numel() >= least * self.stride**2 or weight.numel() >= MANY * self.stride**2)
        )


class Link(NamedTuple):
    """A batch normalisation with its activation, if there are any, and the convolution behind them."""

    normal: tuple[Tensor, Tensor, float] | None
    """Factor, offset, eps."""
    activation: Callable[..., Tensor] | None
    weight: Tensor
    bias: Tensor | None
    how: Convolution

    def __call__(self, x: Tensor) -> Tensor:
        if self.normal is not None:
            factor, offset, eps = self.normal
            x = torch.batch_norm(x, factor, offset, None, None, True, 0.0, eps, True)
        return depthwise(x if self.activation is None else self.activation(x), self.weight, self.bias, *self.how)

    def activate(self, x: Tensor) -> Tensor:
        """Perhaps in place."""
        return x if self.activation is None else ACTIVATIONS[self.activation].forward(x)

    def tensors(self) -> Iterator[Tensor | None]:
        yield from self.normal[:2] if self.normal else (None, None)
        yield self.weight
        yield self.bias


class Room:
    """What the chains of one run may still keep for its backward pass."""

    def __init__(self) -> None:
        self.left = ROOM

    def keeps(self, x: Tensor, links: Sequence[Link]) -> bool:
        """Whether what lies between these links still has room."""
        pixels = x.numel() // x.shape[1]
        for k, link in enumerate(links):
            if link.normal is not None:
                self.left -= pixels * link.weight.shape[1] * link.how.groups
            pixels //= link.how.stride**2
            if k < len(links) - 1:
                self.left -= pixels * link.weight.shape[0]
        return self.left >= 0


def depthwise(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int, groups: int
) -> Tensor:
    """`torch.conv2d`, with a faster gradient of wide filters for each channel."""
    how = Convolution(stride, padding, dilation, groups)
    if not own(x, weight) or not how.split(x, weight):
        return torch.conv2d(x, weight, bias, *how)
    out: Tensor = _Depthwise.apply(x, weight, bias, how)  # type: ignore[no-untyped-call]
    return out


def chain(x: Tensor, room: Room, *links: Link) -> Tensor:
    """`x` through the links. Where what lies between is large and the run has kept enough, `x` alone is kept, and the rest
    is made again for the backward pass. Source: Rota Bulo et al. 2018 (arXiv 1712.02616), Section 3, the variant with
    checkpoints."""
    large = x.numel() // x.shape[1] * max(x.shape[1], links[0].weight.shape[0]) >= LARGE
    if large and own(x, *(t for link in links for t in link.tensors() if t is not None)) and not room.keeps(x, links):
        out: Tensor = _Chain.apply(x, links, *(t for link in links for t in link.tensors()))  # type: ignore[no-untyped-call]
        return out
    for link in links:
        x = link(x)
    return x


def own(x: Tensor, *weights: Tensor) -> bool:
    """Whether gradients are wanted of plain tensors of one type: what traces, exports or casts sees torch's functions."""
    return (
        type(x) is Tensor
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled(x.device.type)
        and all(w.dtype == x.dtype and w.requires_grad for w in weights)
    )


class _Depthwise(torch.autograd.Function):
    """Saves what torch saves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, how: Convolution) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how, ctx.biased = how, bias is not None
        return torch.conv2d(x, weight, bias, *how)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        return *gradients(g, x, weight, ctx.biased, ctx.how, ctx.needs_input_grad[0]), None


class _Chain(torch.autograd.Function):
    """Saves the input and the statistics of the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, links: tuple[Link, ...], *tensors: Tensor | None) -> Tensor:
        saved = [x]
        for link in links:
            if link.normal is not None:
                factor, offset, eps = link.normal
                x, mean, scale = torch.native_batch_norm(x, factor, offset, None, None, True, 0.0, eps)
                saved += mean, scale
            x = torch.conv2d(link.activate(x), link.weight, link.bias, *link.how)
        ctx.save_for_backward(*saved)
        ctx.links = links
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        links: tuple[Link, ...] = ctx.links
        made = _again(links, *ctx.saved_tensors)
        out: list[Tensor | None] = []
        for k in reversed(range(len(links))):
            link, (x, before, y, statistics) = links[k], made.pop()
            inner = k > 0 or link.normal is not None or ctx.needs_input_grad[0]
            g, of_weight, of_bias = gradients(g, y, link.weight, link.bias is not None, link.how, inner)
            if link.activation is not None:
                g = ACTIVATIONS[link.activation].backward(g, before, y)
            del before, y
            of_factor = of_offset = None
            if link.normal is not None:
                factor, _, eps = link.normal
                g, of_factor, of_offset = aten.native_batch_norm_backward(
                    g, x, factor, None, None, *statistics, True, eps, [True, True, True]
                )
            del x
            out[:0] = of_factor, of_offset, of_weight, of_bias
        return g, None, *out


def _again(links: tuple[Link, ...], x: Tensor, *statistics: Tensor) -> list[tuple[Any, ...]]:
    """For each link what it read, that normalised, that activated, and the statistics of the batch."""
    made: list[tuple[Any, ...]] = []
    rest = iter(statistics)
    for k, link in enumerate(links):
        before, found = x, tuple[Tensor, ...]()
        if link.normal is not None:
            found = mean, scale = next(rest), next(rest)
            factor, offset, _ = link.normal
            before = torch.batch_norm(x, factor, offset, mean, scale.pow(-2), False, 0.0, 0.0, True)
        y = link.activate(before)
        made.append((x, before, y, found))
        if k < len(links) - 1:
            x = torch.conv2d(y, link.weight, link.bias, *link.how)
    return made


def gradients(
    g: Tensor, x: Tensor, weight: Tensor, biased: bool, how: Convolution, inner: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Of the input, unless not wanted (`inner`), the weight and the bias of a convolution, from that of its result."""
    split = how.split(x, weight)
    stride, padding, dilation = ([n, n] for n in how[:3])
    sizes = [weight.shape[0]] if biased else None
    of_weight = depthwise_gradient(g, x, weight.shape[2], how) if split else None
    wanted = [inner, not split, biased]
    of_x, found, of_bias = aten.convolution_backward(
        g, x, weight, sizes, stride, padding, dilation, False, [0, 0], how.groups, wanted
    )
    return of_x, found if of_weight is None else of_weight, of_bias


def depthwise_gradient(g: Tensor, x: Tensor, kernel: int, how: Convolution) -> Tensor:
    """The gradient of a k x k weight, a few of its columns at a time.

    oneDNN has fast gradients of weights of up to three columns, without padding beside them. So `x` is laid out once, channels
    last, with its padding; what column j of the weight meets is the same memory from j pixels on, of which the last ones
    lie in a row more. The gradient is filled up with zeros to as many columns as three columns of a weight would give. An image
    with no more rows than the weight is laid out with its padding above and below, too, as oneDNN has no fast gradient for it.
    """
    (n, c, h, w), rows = x.shape, g.shape[2]
    above = how.padding if h <= kernel else 0
    high, wide = h + 2 * above, w + 2 * how.padding
    columns = (wide - COLUMNS) // how.stride + 1
    laid, filled = x.new_zeros(n, high + 1, wide, c), g.new_zeros(n, rows, columns, c)
    lay(x, laid[:, above : above + h, how.padding : how.padding + w])
    lay(g, filled[:, :, : g.shape[3]])
    filled = filled.permute(0, 3, 1, 2)
    out = x.new_empty(c, 1, kernel, kernel)
    strides, padding = [how.stride] * 2, [how.padding - above, 0]
    for j in (*range(0, kernel - COLUMNS, COLUMNS), kernel - COLUMNS):
        seen = laid.as_strided((n, c, high, wide), ((high + 1) * wide * c, 1, wide * c, c), j * c)
        part = out[..., j : j + COLUMNS]
        found = aten.convolution_backward(
            filled, seen, part, None, strides, padding, [1, 1], False, [0, 0], c, [False, True, False]
        )
        part.copy_(found[1])
    return out


def lay(x: Tensor, into: Tensor) -> None:
    """Copy images, channels last, into (n, h, w, c). Torch turns a large matrix around in tiles, but images number by number."""
    if x.numel() < x.shape[0] * TILED or not x.is_contiguous():
        into.copy_(x.permute(0, 2, 3, 1))
        return
    for image, place in zip(x.flatten(2), into, strict=True):
        place.copy_(image.t().contiguous().view(place.shape))
