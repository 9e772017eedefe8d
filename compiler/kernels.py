"""Operations of a plan with a backward pass of their own: the results of torch's, in less time or less memory.

Tensors in, tensors out. `merge` decides where a plan uses them; extracted networks hold torch's own functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

aten = torch.ops.aten


class Activation(NamedTuple):
    """An activation, and the gradient of its input from that of its output, its input and its output. One that works in
    place has no use for its input."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


ACTIVATIONS: dict[Callable[..., Any], Activation] = {
    torch.relu: Activation(torch.relu_, lambda g, _, y: aten.threshold_backward(g, y, 0)),
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
        """One filter for each channel, wider than 3: torch has no fast gradient of such a weight."""
        return self.groups == weight.shape[0] > 1 == weight.shape[1] and weight.shape[3] > COLUMNS and self.dilation == 1


COLUMNS = 3
"""How many columns of a kernel oneDNN takes at once."""


def depthwise(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int, groups: int
) -> Tensor:
    """`torch.conv2d` of one wide filter for each channel."""
    how = Convolution(stride, padding, dilation, groups)
    if not own(x, weight) or not how.wide(weight):
        return torch.conv2d(x, weight, bias, *how)
    out: Tensor = _Depthwise.apply(x, weight, bias, how)  # type: ignore[no-untyped-call]
    return out


def normal_convolution(
    x: Tensor,
    factor: Tensor,
    offset: Tensor,
    eps: float,
    activation: Callable[..., Tensor] | None,
    weight: Tensor,
    bias: Tensor | None,
    how: Convolution,
) -> Tensor:
    """A convolution of the activated batch normalisation of `x`, of which only `x` is kept for the backward pass.

    What is between is made again there. Source: Rota Bulo et al. 2018 (arXiv 1712.02616), the variant with checkpoints.
    """
    if own(x, weight, factor):
        out: Tensor = _NormalConvolution.apply(x, factor, offset, eps, activation, weight, bias, how)  # type: ignore[no-untyped-call]
        return out
    y = torch.batch_norm(x, factor, offset, None, None, True, 0.0, eps, True)
    return depthwise(y if activation is None else activation(y), weight, bias, *how)


def own(x: Tensor, *weights: Tensor) -> bool:
    """Whether gradients are wanted of plain tensors of one type: what traces, exports or casts sees torch's functions."""
    return (
        torch.is_grad_enabled()
        and type(x) is Tensor
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
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        return *gradients(g, x, weight, ctx.biased, ctx.how, ctx.needs_input_grad[0]), None


class _NormalConvolution(torch.autograd.Function):
    """Saves the input and the statistics of the batch."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        factor: Tensor,
        offset: Tensor,
        eps: float,
        activation: Callable[..., Tensor] | None,
        weight: Tensor,
        bias: Tensor | None,
        how: Convolution,
    ) -> Tensor:
        y, mean, scale = torch.native_batch_norm(x, factor, offset, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, factor, offset, mean, scale, weight)
        ctx.rest = eps, activation, how, bias is not None
        return torch.conv2d(y if activation is None else ACTIVATIONS[activation].forward(y), weight, bias, *how)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, factor, offset, mean, scale, weight = ctx.saved_tensors
        eps, activation, how, biased = ctx.rest
        before = torch.batch_norm(x, factor, offset, mean, scale.pow(-2), False, 0.0, 0.0, True)
        y = before if activation is None else ACTIVATIONS[activation].forward(before)
        g, of_weight, of_bias = gradients(g, y, weight, biased, how)
        if activation is not None:
            g = ACTIVATIONS[activation].backward(g, before, y)
        del before, y
        needed = [ctx.needs_input_grad[0], True, True]
        of_x, of_factor, of_offset = aten.native_batch_norm_backward(
            g, x, factor, None, None, mean, scale, True, eps, needed
        )
        return of_x, of_factor, of_offset, None, None, of_weight, of_bias, None


def gradients(
    g: Tensor, x: Tensor, weight: Tensor, biased: bool, how: Convolution, inner: bool = True
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Of the input, unless not wanted (`inner`), the weight and the bias of a convolution, from that of its result."""
    split = how.wide(weight) and x.shape[2] > weight.shape[2]
    stride, padding, dilation = ([n, n] for n in how[:3])
    sizes = [weight.shape[0]] if biased else None
    wanted = [inner, not split, biased]
    of_weight = depthwise_gradient(g, x, weight.shape[2], how) if split else None
    of_x, found, of_bias = aten.convolution_backward(
        g, x, weight, sizes, stride, padding, dilation, False, [0, 0], how.groups, wanted
    )
    return of_x, found if of_weight is None else of_weight, of_bias


def depthwise_gradient(g: Tensor, x: Tensor, kernel: int, how: Convolution) -> Tensor:
    """The gradient of a k x k weight, a few of its columns at a time.

    oneDNN has fast kernels for weights of up to three columns, without padding beside them. So `x` is laid out once, channels
    last, with its padding; what column j of the weight meets is the same memory from j pixels on. The gradient is filled up
    with zeros to as many columns as three columns of a weight would give.
    """
    (n, c, h, w), rows = x.shape, g.shape[2]
    wide = w + 2 * how.padding
    columns = (wide - COLUMNS) // how.stride + 1
    laid = x.new_empty(n * h * wide + kernel, c)
    laid[n * h * wide :] = 0
    framed = laid[: n * h * wide].view(n, h, wide, c)
    framed[:, :, : how.padding] = 0
    framed[:, :, how.padding + w :] = 0
    framed[:, :, how.padding : how.padding + w] = x.permute(0, 2, 3, 1)
    filled = g.new_empty(n, rows, columns, c)
    filled[:, :, g.shape[3] :] = 0
    filled[:, :, : g.shape[3]] = g.permute(0, 2, 3, 1)
    filled = filled.permute(0, 3, 1, 2)
    out = x.new_empty(c, 1, kernel, kernel)
    for j in (*range(0, kernel - COLUMNS, COLUMNS), kernel - COLUMNS):
        seen = torch.as_strided(laid, (n, c, h, wide), (h * wide * c, 1, wide * c, c), j * c)
        part = out[..., j : j + COLUMNS]
        stride, padding = [how.stride] * 2, [how.padding, 0]
        wanted = [False, True, False]
        part.copy_(
            aten.convolution_backward(
                filled, seen, part, None, stride, padding, [1, 1], False, [0, 0], c, wanted
            )[1]
        )
    return out
