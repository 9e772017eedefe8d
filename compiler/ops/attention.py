"""Attention."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..operator import Ask, Call, Family, In, Operator, Out, Site, Step
from ..shape import Shape, text
from ..sym import Value, apply, is_sym
from .common import divides, positive, same_copies, same_extent, same_width, want


@dataclass(frozen=True, slots=True)
class Attention(Operator):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, Eq. 1) of three flows q, k, v.

    Maps: q [C, H, W], k [C, H', W'], v [C', H', W'] -> [C', H, W]; tokens: q [N, C], k [M, C], v [M, C'] -> [N, C'].
    Head h takes the h-th equal share of the channels. Products of queries and keys are divided by the square root of
    `divisor`; 0 stands for C / heads, 1 leaves them as they are.
    """

    name: ClassVar[str] = "attention"
    summary: ClassVar[str] = "multi-head attention of q, k, v"
    inputs: ClassVar[int | None] = 3
    family: ClassVar[Family] = "attention"

    heads: Value = field(default=1)
    divisor: Value = field(default=0)

    def shape(self, site: Site, *x: Shape) -> Shape:
        q, k, v = x
        want(site, self.name, q, "map", "tokens")
        same_extent(site, "used as key and value", (k, v))
        if k.form != q.form:
            want(site, self.name, k, q.form)
        same_copies(site, "used as query and key", (q, k))
        positive(site, self.name, "heads", self.heads)
        positive(site, self.name, "divisor", self.divisor, least=0)
        same_width(site, q, k)
        divides(site, self.name, "the width of q", q.width, "heads", self.heads)
        divides(site, self.name, "the width of v", v.width, "heads", self.heads)
        return q.wide(v.channels)

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return () if is_sym(self.heads) else ("channels",)

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        q, k, v = x[:3]
        return (q.points, k.points, q.width), (q.points, k.points, v.width)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        scale = (ask(self.divisor) or ask(x[0].width) // ask(self.heads)) ** -0.5
        logits = _logits(ask(self.heads), scale, y.form)
        steps = (*logits, *self.added(ask, x, logits))
        return (*steps, *_result(len(steps), Out(len(logits) - 4), y.form))

    def added(self, ask: Ask, x: tuple[Shape, ...], before: tuple[Step, ...]) -> tuple[Step, ...]:
        """What is added to the logits. They are the result of the last call before, of [batch, heads, queries, channels]
        and [batch, heads, channels, keys]."""
        return ()


@dataclass(frozen=True, slots=True)
class MaskedAttention(Attention):
    """Attention that weighs its keys: the weights of each query are multiplied by those of `mask`, and sum to 1 again.

    q, k, v as of `attention`, mask [1, H', W'] or [M, 1]. A key of 1 counts, a key of 0 does not; for each query one counts.
    """

    name: ClassVar[str] = "masked_attention"
    summary: ClassVar[str] = "multi-head attention of q, k, v to the keys that a mask leaves"
    inputs: ClassVar[int | None] = 4

    def shape(self, site: Site, *x: Shape) -> Shape:
        same_extent(site, "used as key and mask", (x[1], x[3]))
        single = partial(errors.width_mismatch, text(x[3].width), "1", site.span, x[3].form)
        site.check(apply("==", x[3].width, 1), lambda example: ArchError(single(example)))
        return Attention.shape(self, site, *x[:3])

    def added(self, ask: Ask, x: tuple[Shape, ...], before: tuple[Step, ...]) -> tuple[Step, ...]:
        """The logarithm of the mask, as [batch, 1, 1, keys]."""
        n = len(before)
        row = Call("torch.flatten", (In(3), 2)) if x[3].form == "map" else Call("torch.transpose", (In(3), 1, 2))
        return (
            row,
            Call("torch.log", (Out(n),)),
            Call("torch.unsqueeze", (Out(n + 1), 1)),
            Call("torch.add", (Out(n - 1), Out(n + 2))),
        )


def _logits(heads: int, scale: float, form: str) -> tuple[Step, ...]:
    """Queries times keys. Written out, not fused, so that torch counts its operations on every device."""
    steps: list[Step] = []
    ends: list[Out] = []
    for i in range(3):
        source: Any = In(i)
        if form == "map":
            steps += Call("torch.permute", (source, (0, 2, 3, 1))), Call("torch.flatten", (Out(len(steps)), 1, 2))
            source = Out(len(steps) - 1)
        steps += Call("torch.unflatten", (source, 2, (heads, -1))), Call("torch.transpose", (Out(len(steps)), 1, 2))
        if heads > 1:  # once for both products, where keys are values
            steps.append(Call("torch.Tensor.contiguous", (Out(len(steps) - 1),)))
        ends.append(Out(len(steps) - 1))
    n = len(steps)
    return (
        *steps,
        Call("torch.mul", (ends[0], scale)),
        Call("torch.transpose", (ends[1], 2, 3)),
        Call("torch.matmul", (Out(n), Out(n + 1))),
    )


def _result(n: int, values: Out, form: str) -> tuple[Step, ...]:
    """From the logits, result of call n - 1."""
    steps = (
        Call("torch.softmax", (Out(n - 1), -1)),
        Call("torch.matmul", (Out(n), values)),
        Call("torch.transpose", (Out(n + 1), 1, 2)),
        Call("torch.flatten", (Out(n + 2), 2)),
    )
    if form != "map":
        return steps
    size = Call("hrdsl.size", (In(0),))
    return (
        *steps,
        size,
        Call("torch.unflatten", (Out(n + 3), 1, Out(n + 4))),
        Call("torch.permute", (Out(n + 5), (0, 3, 1, 2))),
    )
