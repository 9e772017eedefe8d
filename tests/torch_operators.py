"""The operators in plain torch, one sample at a time: what the tests hold against the compiler's shapes and costs.

Each function takes its settings by name and its inputs as flows, and gives a tensor, its stride, parameters and MACs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Wrong(Exception):
    """This architecture cannot be built."""


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A tensor of one sample, how it came about, and what that cost."""

    tensor: Tensor
    stride: Fraction
    lane: str = ""
    what: tuple[Any, ...] = ("input",)
    inputs: tuple["Flow", ...] = field(default=(), repr=False)
    parameters: int = 0
    macs: int = 0
    mark: object = field(default_factory=object, repr=False)
    """The same for a flow under another lane."""

    @property
    def width(self) -> int:
        return self.tensor.shape[channels(self.tensor)]

    @property
    def extent(self) -> tuple[int, ...]:
        shape = tuple(self.tensor.shape[1:])
        return shape[1:] if self.tensor.dim() != 3 else shape[:1]


def channels(tensor: Tensor) -> int:
    """The axis of the channels: last for tokens."""
    return 2 if tensor.dim() == 3 else 1


SIGNATURES: dict[str, str] = {
    "conv": "kernel width stride=1 groups=1 dilation=1 bias=False padding='same' heads=1",
    "up_conv": "kernel width stride=2 bias=False",
    "depthwise": "kernel=3 stride=1 dilation=1 bias=False padding='same'",
    "linear": "width bias=True",
    "bn": "eps=1 momentum=1 init=1",
    "ln": "eps=1",
    "dropout": "p=0.5",
    "drop_path": "rate=0.1",
    "scale": "init=1 each=False learned=True",
    "split": "parts index",
    "resize": "mode='bilinear'",
    "rescale": "ratio mode='bilinear'",
    "resize_to": "height columns mode='bilinear'",
    "coordinates": "kind='standard'",
    "max_pool": "kernel=3 stride=2 padding='same'",
    "average_pool": "stride=2",
    "attention": "heads=1 divisor=0",
    "learned": "count width deviation=1",
}
PLAIN = ("relu", "relu6", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softmax", "identity")
LISTS = ("sum", "concat")
INPUTS = {"multiply": 2, "resize": 2, "to_map": 2, "attention": 3}
NAMES = (*SIGNATURES, *PLAIN, *LISTS, *INPUTS, "to_tokens", "transpose", "global_pool")
REQUIRED = object()


def signature(name: str) -> dict[str, Any]:
    """Settings and their defaults, in order."""
    parts = (p.partition("=") for p in SIGNATURES.get(name, "").split())
    return {n: eval(default) if equals else REQUIRED for n, equals, default in parts}


def whole(value: Any, least: int = 1) -> int:
    if value != int(value) or value < least:
        raise Wrong(f"{value} is no whole number of at least {least}")
    return int(value)


def maps(x: Flow) -> Tensor:
    if x.tensor.dim() != 4:
        raise Wrong("no map")
    return x.tensor


Result = tuple[Tensor, Fraction, int, int]


def weight(*shape: int) -> Tensor:
    return torch.zeros(shape)


def window(kernel: Any, padding: str, dilation: int) -> tuple[int, int]:
    """The side of a window, and how far it is padded."""
    k = whole(kernel)
    if padding == "same" and k % 2 == 0:
        raise Wrong("an even window has no middle")
    return k, k // 2 * dilation if padding == "same" else 0


def convolve(x: Flow, k: int, n: int, stride: int, groups: int, dilation: int, bias: bool, pad: int) -> Result:
    if groups > x.width:
        raise Wrong("more groups than channels")
    w = weight(n, x.width // groups, k, k)
    out = F.conv2d(maps(x), w, weight(n) if bias else None, stride, pad, dilation, groups)
    points = out.shape[2] * out.shape[3]
    return out, x.stride * stride, w.numel() + bias * n, w.numel() * points


def conv(x: Flow, heads: Any, width: Any, groups: Any, **rest: Any) -> Result:
    n = whole(width)
    if n % whole(heads):
        raise Wrong("no equal shares")
    return convolution(x, n, whole(groups), **rest)


def convolution(
    x: Flow, n: int, groups: int, kernel: Any, stride: Any, dilation: Any, bias: bool, padding: str
) -> Result:
    k, pad = window(kernel, padding, whole(dilation))
    return convolve(x, k, n, whole(stride), groups, whole(dilation), bias, pad)


def depthwise(x: Flow, kernel: Any, stride: Any, dilation: Any, bias: bool, padding: str) -> Result:
    k, pad = window(kernel, padding, whole(dilation))
    return convolve(x, k, x.width, whole(stride), x.width, whole(dilation), bias, pad)


def up_conv(x: Flow, kernel: Any, width: Any, stride: Any, bias: bool) -> Result:
    k, n, s = whole(kernel), whole(width), whole(stride, 2)
    w = weight(x.width, n, k, k)
    full = F.conv_transpose2d(maps(x), w, stride=s)
    h, v = (s * side for side in x.extent)
    out = F.pad(full, (0, v - full.shape[3], 0, h - full.shape[2]))
    return out, x.stride / s, w.numel() + bias * n, w.numel() * x.extent[0] * x.extent[1]


def linear(x: Flow, width: Any, bias: bool) -> Result:
    if x.tensor.dim() == 4:
        raise Wrong("a map")
    w = weight(whole(width), x.width)
    out = F.linear(x.tensor, w)
    return out, x.stride, w.numel() + bias * len(w), w.numel() * (x.extent[0] if x.extent else 1)


def bn(x: Flow, **_: Any) -> Result:
    return x.tensor, x.stride, 2 * x.width, 0


def scale(x: Flow, init: Any, each: bool, learned: bool) -> Result:
    return x.tensor, x.stride, (x.width if each else 1) * learned, 0


def split(x: Flow, parts: Any, index: Any) -> Result:
    n = whole(parts)
    axis = channels(x.tensor)
    return x.tensor.unflatten(axis, (n, -1)).select(axis, whole(index, 0)), x.stride, 0, 0


def same(x: Flow, **_: Any) -> Result:
    return x.tensor, x.stride, 0, 0


def added(*x: Flow) -> Result:
    return torch.stack([f.tensor for f in x]).sum(0), x[0].stride, 0, 0


def concat(*x: Flow) -> Result:
    return torch.cat([f.tensor for f in x], channels(x[0].tensor)), x[0].stride, 0, 0


def multiply(x: Flow, y: Flow) -> Result:
    if y.tensor.dim() != 2 and (y.tensor.dim() != x.tensor.dim() or x.extent != y.extent):
        raise Wrong("not of one size")
    if y.width not in (1, x.width):
        raise Wrong("not of one width")
    return x.tensor, x.stride, 0, 0


def to_tokens(x: Flow) -> Result:
    return maps(x).flatten(2).transpose(1, 2), x.stride, 0, 0


def transpose(x: Flow) -> Result:
    if x.tensor.dim() != 3:
        raise Wrong("no tokens")
    return x.tensor.transpose(1, 2), x.stride, 0, 0


def to_map(x: Flow, like: Flow) -> Result:
    if x.tensor.dim() != 3:
        raise Wrong("no tokens")
    return x.tensor.transpose(1, 2).unflatten(2, maps(like).shape[2:]), like.stride, 0, 0


def resize(x: Flow, like: Flow, mode: str) -> Result:
    return F.interpolate(maps(x), maps(like).shape[2:], mode=mode), like.stride, 0, 0


def rescale(x: Flow, ratio: Any, mode: str) -> Result:
    if ratio <= 0:
        raise Wrong("no ratio")
    sides = [int(side * ratio) for side in maps(x).shape[2:]]
    return F.interpolate(maps(x), sides, mode=mode), x.stride / Fraction(ratio), 0, 0


def resize_to(x: Flow, height: Any, columns: Any, mode: str) -> Result:
    size = whole(height), whole(columns)
    return F.interpolate(maps(x), size, mode=mode), x.stride * x.extent[0] / size[0], 0, 0


def coordinates(x: Flow, kind: str) -> Result:
    return maps(x)[:, :1].expand(-1, 2, -1, -1), x.stride, 0, 0


def max_pool(x: Flow, kernel: Any, stride: Any, padding: str) -> Result:
    k, pad = window(kernel, padding, 1)
    return F.max_pool2d(maps(x), k, whole(stride), pad), x.stride * stride, 0, 0


def average_pool(x: Flow, stride: Any) -> Result:
    return F.avg_pool2d(maps(x), whole(stride), ceil_mode=True), x.stride * stride, 0, 0


def global_pool(x: Flow) -> Result:
    if x.tensor.dim() == 2:
        raise Wrong("a vector")
    return x.tensor.mean((2, 3) if x.tensor.dim() == 4 else 1), x.stride, 0, 0


def attention(q: Flow, k: Flow, v: Flow, heads: Any, divisor: Any) -> Result:
    h, _ = whole(heads), whole(divisor, 0)
    if not q.tensor.dim() == k.tensor.dim() == v.tensor.dim() != 2 or k.extent != v.extent:
        raise Wrong("not of one form")
    tokens = [f.tensor if f.tensor.dim() == 3 else f.tensor.flatten(2).transpose(1, 2) for f in (q, k, v)]
    parts = [t.unflatten(2, (h, -1)).transpose(1, 2) for t in tokens]
    out = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
    pairs = tokens[0].shape[1] * tokens[1].shape[1]
    made = out.transpose(1, 2).unflatten(2, q.tensor.shape[2:]) if q.tensor.dim() == 4 else out
    return made, q.stride, 0, pairs * (q.width + v.width)


def learned(x: Flow, count: Any, width: Any, deviation: Any) -> Result:
    made = weight(1, whole(count), whole(width))
    return made, x.stride, made.numel(), 0


FUNCTIONS: dict[str, Callable[..., Result]] = {
    **dict.fromkeys((*PLAIN, "dropout", "drop_path"), same),
    **dict.fromkeys(("bn", "ln"), bn),
    "conv": conv,
    "up_conv": up_conv,
    "depthwise": depthwise,
    "linear": linear,
    "scale": scale,
    "split": split,
    "sum": added,
    "concat": concat,
    "multiply": multiply,
    "to_tokens": to_tokens,
    "to_map": to_map,
    "transpose": transpose,
    "resize": resize,
    "rescale": rescale,
    "resize_to": resize_to,
    "coordinates": coordinates,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_pool": global_pool,
    "attention": attention,
    "learned": learned,
}


def operate(name: str, settings: dict[str, Any], inputs: tuple[Flow, ...]) -> Flow:
    """One operator applied. Raises Wrong where it cannot be."""
    if name in ("identity", "dropout", "drop_path") or (name in LISTS and len(inputs) == 1):
        return inputs[0]
    try:
        tensor, stride, parameters, macs = FUNCTIONS[name](*inputs, **settings)
    except (RuntimeError, IndexError) as fault:
        raise Wrong(f"{name}: {fault}") from None
    what = (name, *settings.values())
    return Flow(tensor, stride, inputs[0].lane, what, inputs, parameters, macs)
