"""Attention that knows how far a key is from its query."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..axis import Centre, largest, prefix
from ..conditions import negate
from ..operator import Ask, Call, Out, Par, Site, Step, Weight
from ..shape import Shape, text
from ..sym import Value, apply
from .attention import Attention

TABLES = ("rows", "columns")


@dataclass(frozen=True, slots=True)
class RelativeAttention(Attention):
    """Attention with a learned vector r for each offset between query and key: its logits are q.k + q.r.

    q, k, v as of `attention`; all heads have the same vectors. Along an axis, N queries and M keys have N + M - 1 offsets, each
    a row of a table; the row in the middle is that of a key in the place of its query. With two axes, the first half of r
    depends on the row and the second half on the column; an axis with one offset has no table. A smaller table is the centre
    of the largest. Sizes are those of the space. Source: SASA, Ramachandran et al. 2019 (arXiv 1906.05909), Eq. 3; along one
    axis, Axial-DeepLab, Wang et al. 2020 (arXiv 2003.07853), Eq. 2.
    """

    name: ClassVar[str] = "relative_attention"
    summary: ClassVar[str] = "multi-head attention of q, k, v with relative positions"

    def shape(self, site: Site, *x: Shape) -> Shape:
        shape, width = Attention.shape(self, site, *x), self._width(x)
        even = apply("==", apply("%", width, 2), 0)
        site.check(
            apply("or", negate(_both(x)), even),
            lambda e: ArchError(
                errors.not_divisible(
                    self.name, "the width of a head of q", text(width), "2", site.at("heads"), e, site.span
                )
            ),
        )
        return shape

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        width, out = self._width(x), []
        own = apply("select", _both(x), width, apply("//", width, 2))
        for name, offsets in zip(TABLES, _offsets(x), strict=False):
            if offsets == 1:
                continue
            there = apply(">", offsets, 1)
            rows, columns = (apply("select", there, 0, size) for size in (offsets, own))
            table = Centre(rows, largest(rows)), prefix(columns)
            out.append(Weight(name, table, "normal", value=largest(width) ** -0.5))
        return tuple(out)

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        q, k = x[:2]
        positions = apply("or", *(apply(">", offsets, 1) for offsets in _offsets(x)), False)
        relative = (q.points, k.points, q.width, apply("select", positions, 0, 1))
        return (*Attention.macs(self, x, y), relative)

    def added(self, ask: Ask, x: tuple[Shape, ...], before: tuple[Step, ...]) -> tuple[Step, ...]:
        """q.r, a product over the channels for each query."""
        table = self._table(ask, x, len(before))
        if not table:
            return ()
        logits = len(before) - 1
        n = len(before) + len(table)
        return (
            *table,
            Call("torch.permute", (_queries(before), (2, 0, 1, 3))),
            Call("torch.flatten", (Out(n), 1, 2)),
            Call("torch.bmm", (Out(n + 1), Out(n - 1))),
            Call("torch.unflatten", (Out(n + 2), 1, (-1, ask(self.heads)))),
            Call("torch.permute", (Out(n + 3), (1, 2, 0, 3))),
            Call("torch.add", (Out(logits), Out(n + 4))),
        )

    def _table(self, ask: Ask, x: tuple[Shape, ...], n: int) -> tuple[Step, ...]:
        """The vector of each query and key, [queries, width, keys], from call n on; none where there is one offset."""
        q, k = ([ask(e) for e in s.extent] for s in x[:2])
        there = [i for i, (a, b) in enumerate(zip(q, k, strict=True)) if a + b > 2]
        steps: list[Step] = []
        for i in there:
            steps.append(Call("torch.Tensor.unfold", (Par(TABLES[i]), 0, k[i], 1)))
            steps.append(Call("torch.flip", (Out(n + len(steps) - 1), (0,))))
        if len(there) < 2:
            return tuple(steps)
        half = ask(self._width(x)) // 2
        whole = (q[0], q[1], half, k[0], k[1])
        return (
            *steps,
            Call("torch.reshape", (Out(n + 1), (q[0], 1, half, k[0], 1))),
            Call("torch.Tensor.expand", (Out(n + 4), whole)),
            Call("torch.unsqueeze", (Out(n + 3), 2)),
            Call("torch.Tensor.expand", (Out(n + 6), whole)),
            Call("torch.cat", ([Out(n + 5), Out(n + 7)], 2)),
            Call("torch.flatten", (Out(n + 8), 3)),
            Call("torch.flatten", (Out(n + 9), 0, 1)),
        )

    def _width(self, x: tuple[Shape, ...]) -> Value:
        """The width of a head of queries and keys."""
        return apply("//", x[0].width, self.heads)


def _offsets(x: tuple[Shape, ...]) -> tuple[Value, ...]:
    """How many offsets there are between queries and keys along each axis."""
    return tuple(apply("-", apply("+", one, other), 1) for one, other in zip(x[0].extent, x[1].extent, strict=True))


def _both(x: tuple[Shape, ...]) -> Value:
    """Whether there are several offsets along two axes."""
    offsets = _offsets(x)
    return apply("and", *(apply(">", o, 1) for o in offsets)) if len(offsets) == 2 else False


def _queries(before: tuple[Step, ...]) -> Any:
    """The queries of the last product before: [batch, heads, queries, channels]."""
    product = before[-1]
    assert isinstance(product, Call)
    return product.args[0]
