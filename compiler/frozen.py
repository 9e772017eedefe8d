"""Calls of a union as they run when nothing trains any more: statistics folded into weights, convolutions of single pixels
in front of enlargements, one precision.

Calls with their statistics in, fewer calls and constants out. What a result becomes depends on its key alone, never on what
else is in the union: results do not change with the company of an architecture.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .instruction import Instruction, Placed
from .merge import CONVOLUTIONS
from .union import Moments, evaluating, needed, normalised

ACTIVATIONS: dict[Callable[..., Any], tuple[str, list[float]]] = {
    torch.relu: ("relu", []),
    F.relu6: ("hardtanh", [0.0, 6.0]),
}
"""Activations that a convolution may end with: they commute with rounding, so results stay the same to the last bit."""
MODES = "nearest", "bilinear"
"""Enlargements whose weights sum to 1."""
OWNED = torch.add, torch.mul, torch.batch_norm
"""What fills memory of its own."""


class Frozen(NamedTuple):
    """Calls, and the values of registers that no call fills."""

    calls: list[Instruction]
    constants: dict[int, Any]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with the normalisation and the activation behind it. `how`: stride, padding, dilation, groups."""

    weight: Tensor
    bias: Tensor | None
    how: tuple[int, int, int, int]
    activation: Callable[..., Any] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return self.packed(self.weight.dtype)(x)

    def normalised(self, norm: Sequence[Any], moments: Moments) -> "Convolution":
        """With a normalisation folded into weight and bias: w' = w g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + o
        (Jacob et al. 2018, arXiv 1712.05877, Section 3.2). `norm`: its arguments but the input."""
        gain, offset, eps = norm[0], norm[1], norm[-2]
        mean, var = moments
        factor = gain.double() / (var.double() + eps).sqrt()
        bias = -mean.double() if self.bias is None else self.bias.double() - mean.double()
        weight = self.weight.double() * factor.view(-1, 1, 1, 1)
        return replace(self, weight=weight, bias=bias * factor + offset.double())

    def packed(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """As one call of its input."""
        weight = self.weight.to(dtype).contiguous(memory_format=torch.channels_last)
        bias = None if self.bias is None else self.bias.to(dtype)
        if weight.is_cpu and torch._C._has_mkldnn:
            return _fused(weight, bias, self.how, self.activation)
        return _plain(weight, bias, self.how, self.activation)


def _fused(weight: Tensor, bias: Tensor | None, how: tuple[int, ...], activation: Any) -> Callable[[Tensor], Tensor]:
    """Through oneDNN, which lays out the weight as the size of a map wants it."""
    stride, padding, dilation = ([n, n] for n in how[:3])
    name, scalars = ACTIVATIONS[activation] if activation is not None else ("none", [])
    call = torch.ops.mkldnn._convolution_pointwise

    def convolve(x: Tensor) -> Tensor:
        out: Tensor = call(x, weight, bias, padding, stride, dilation, how[3], name, scalars, "")
        return out

    return convolve


def _plain(weight: Tensor, bias: Tensor | None, how: tuple[int, ...], activation: Any) -> Callable[[Tensor], Tensor]:
    def convolve(x: Tensor) -> Tensor:
        y = torch.conv2d(x, weight, bias, *how)
        return y if activation is None else activation(y)

    return convolve


def frozen(
    calls: Sequence[Instruction],
    moments: Mapping[int, Moments],
    results: Iterable[int],
    dtype: torch.dtype,
    fold: bool = True,
) -> Frozen:
    """The calls that these results need, with stored statistics and weights of this type; inputs are of it as well.

    `moments`: of each normalisation, by its register. `fold`: otherwise only the type changes.
    """
    constants = dict[int, Any]()
    made = _without_constants(map(evaluating, calls), constants)
    if fold:
        made = _pushed(_folded(made, moments, constants))
        made = _activated(needed(made, results), set(results))
    return Frozen([_bound(i, moments, dtype) for i in made], _typed(constants, made, dtype))


def gathering(calls: Sequence[Instruction], dtype: torch.dtype) -> Frozen:
    """The calls as they run while statistics of the batch are gathered: weights of this type, and so are inputs. What
    normalisations read, and what they gather, stays in float32."""
    constants = dict[int, Any]()
    made = _without_constants(map(evaluating, calls), constants)
    out = [i if i.norm is not None else _bound(i, {}, dtype) for i in made]
    return Frozen(out, _typed(constants, made, dtype))


def _typed(constants: Mapping[int, Any], calls: Iterable[Instruction], dtype: torch.dtype) -> dict[int, Any]:
    """Weights of this type, but for those of normalisations."""
    norms = {s for i in calls if i.norm is not None for s in i.slots}
    return {k: v if k in norms else _cast(v, dtype) for k, v in constants.items()}


def _without_constants(calls: Iterable[Instruction], constants: dict[int, Any]) -> list[Instruction]:
    """Without the calls that read weights alone, which are done here: parts joined."""
    left = []
    for i in calls:
        if i.norm is None and all(s in constants for s in i.slots):
            constants[i.out] = i.fn(*[constants[s] for s in i.slots], *i.consts, **i.kwargs)
        else:
            left.append(i)
    return left


def _folded(
    calls: Sequence[Instruction], moments: Mapping[int, Moments], constants: Mapping[int, Any]
) -> list[Instruction]:
    """Convolutions with the normalisation behind them as one; a convolution that others read as well also stays alone."""
    out, convolutions = list[Instruction](), dict[int, tuple[Convolution, int]]()
    for i in calls:
        fixed = [constants[s] for s in i.slots[1:] if s in constants]
        found = None
        if len(fixed) == len(i.slots) - 1:
            if i.fn in CONVOLUTIONS:
                weight, bias, *how = (*fixed, *i.consts)
                found = Convolution(weight, bias, _how(*how)), i.slots[0]
            elif i.norm is not None and i.slots[0] in convolutions:
                before, source = convolutions[i.slots[0]]
                found = before.normalised((*fixed, *i.consts), moments[i.out]), source
        if found is not None:
            convolutions[i.out] = found
            i = Instruction(found[0], (found[1],), (), {}, i.out)
        out.append(i)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A map that a convolution reads: the place of its register among what is given, and, where it is enlarged before, the
    place of its size and how it is enlarged."""

    place: int
    size: int | None = None
    how: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """A convolution of single pixels over maps side by side, some of them enlarged before: W [a; up b] = W_a a + up(W_b b),
    since both are linear and the weights of an enlargement sum to 1. So fewer channels are enlarged, and none are copied.
    What is enlarged is so in float32, which is faster, and added in it."""

    convolution: Convolution
    parts: tuple[Part, ...]

    def __call__(self, *given: Any) -> Tensor:
        return self.packed(self.convolution.weight.dtype)(*given)

    def packed(self, dtype: torch.dtype) -> Callable[..., Tensor]:
        """As one call of its registers."""
        weight, bias = self.convolution.weight, self.convolution.bias
        pieces = list[Callable[[Tensor], Tensor]]()

        def convolve(*given: Any) -> Tensor:
            if not pieces:
                cut = torch.split(weight, [given[p.place].shape[1] for p in self.parts], 1)
                biases = [bias, *[None] * len(cut)]
                pieces.extend(
                    replace(self.convolution, weight=w, bias=b).packed(dtype) for w, b in zip(cut, biases, strict=False)
                )
            out: Tensor | None = None
            for part, piece in zip(self.parts, pieces, strict=True):
                y = piece(given[part.place]).float()
                y = y if part.size is None else F.interpolate(y, given[part.size], **part.how or {})
                out = y if out is None else out.add_(y)
            assert out is not None
            return out.to(dtype)

        return convolve


def _pushed(calls: Sequence[Instruction]) -> list[Instruction]:
    """Convolutions of single pixels moved in front of what joins and enlarges their maps, where they have fewer channels."""
    makers, out = {i.out: i for i in calls}, list[Instruction]()
    for i in calls:
        if isinstance(i.fn, Convolution) and i.fn.weight.shape[2:] == (1, 1) and i.fn.how == (1, 0, 1, 1):
            registers, parts = _parts(i.slots[0], makers)
            if len(registers) > 1 and len(parts) * i.fn.weight.shape[0] <= i.fn.weight.shape[1]:
                i = Instruction(Pushed(i.fn, parts), registers, (), {}, i.out)
        out.append(i)
    return out


def _parts(register: int, makers: Mapping[int, Instruction]) -> tuple[tuple[int, ...], tuple[Part, ...]]:
    """What a map is joined of and enlarged from: registers, and the parts that name them by place."""
    joined = makers.get(register)
    several = joined.slots if joined is not None and _joins(joined) else (register,)
    registers, parts = list[int](), list[Part]()
    for each in several:
        i = makers.get(each)
        enlarged = i is not None and i.fn is F.interpolate and len(i.slots) == 2 and i.kwargs.get("mode") in MODES
        if i is not None and enlarged:
            parts.append(Part(len(registers), len(registers) + 1, i.kwargs))
            registers += i.slots
        else:
            parts.append(Part(len(registers)))
            registers.append(each)
    return tuple(registers), tuple(parts)


def _joins(i: Instruction) -> bool:
    """Whether a call puts maps side by side, each of them once."""
    return isinstance(i.fn, Placed) and i.fn.fn is torch.cat and i.consts == (1,) and len({*i.slots}) == len(i.slots)


def _how(stride: int, padding: int, dilation: int, groups: int) -> tuple[int, int, int, int]:
    return stride, padding, dilation, groups


def _activated(calls: Sequence[Instruction], results: set[int]) -> list[Instruction]:
    """Activations that alone read a convolution become part of it; those that alone read a sum work in place."""
    makers, readers = {i.out: i for i in calls}, dict.fromkeys(results, 2)
    for i in calls:
        for s in i.slots:
            readers[s] = readers.get(s, 0) + 1
    out, gone = list[Instruction](), set[int]()
    for i in calls:
        before = makers.get(i.slots[0]) if i.fn in ACTIVATIONS and readers[i.slots[0]] == 1 else None
        if before is not None and isinstance(before.fn, Convolution):
            gone.add(before.out)
            i = before._replace(fn=replace(before.fn, activation=i.fn), out=i.out)
        elif before is not None and before.fn in OWNED and i.fn is torch.relu:
            i = i._replace(fn=torch.relu_)
        out.append(i)
    return [i for i in out if i.out not in gone]


def _bound(i: Instruction, moments: Mapping[int, Moments], dtype: torch.dtype) -> Instruction:
    """With its weights: those of normalisations stay as they are, whatever the type of what flows."""
    if isinstance(i.fn, Convolution | Pushed):
        return i._replace(fn=i.fn.packed(dtype))
    if i.norm is not None:
        return normalised(i, moments[i.out])
    return i._replace(consts=tuple(_cast(c, dtype) for c in i.consts))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return [_cast(v, dtype) for v in value] if isinstance(value, list) else value
