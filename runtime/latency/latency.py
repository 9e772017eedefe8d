"""Milliseconds of any architectures of a space from its table: one more sum of terms, as exact costs are."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...compiler.cost import Sums
from ...compiler.vector import Evaluation, Genes
from ...compiler.works import Works, amounts, timed
from .table import Table, key, layouts

PICO = 1000
"""Picoseconds in a nanosecond: works are summed in whole picoseconds, so that any order gives the same."""
AT_ONCE = 8192
"""So many rows are looked up at a time."""

Floats = npt.NDArray[np.float64]


class Latency:
    """`latency(genes)`: milliseconds for a matrix of genes [P, G], float64 [P]. A row depends on its genome alone."""

    def __init__(self, works: Works, table: Table) -> None:
        """Raises KeyError where the table is of another space."""
        self.works = works
        self.table = table
        self.layouts = layouts(works)
        listed = {work.key: work for work in works.all()}
        costs = [
            {k: round(PICO * table.nanoseconds(key(work, last), work.kind)) for k, work in listed.items()}
            for last in self.layouts
        ]
        self._listed = Sums(timed(works, costs), len(costs))
        groups = sorted({node.group for node in works.many.values()})
        self._amounts = Sums(amounts(works, groups), 3 * len(groups))
        self._weights = [
            weight * table.correction.factor(group.partition(" ")[0])
            for group in groups
            for weight in table.models.of(group)
        ]

    def __call__(self, genes: Genes) -> Floats:
        genes = np.asarray(genes)
        parts = [self._part(genes[start : start + AT_ONCE]) for start in range(0, len(genes), AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def one(self, genes: Sequence[int]) -> float:
        """The milliseconds of one architecture."""
        return float(self(np.asarray([genes], dtype=np.int16).reshape(1, len(genes)))[0])

    def _part(self, genes: Genes) -> Floats:
        ask = Evaluation(genes, tables=self._listed.tables)
        sums = self._listed(ask)
        listed = sums[:, 0] if len(self.layouts) == 1 else np.where(ask(self.works.last), sums[:, 1], sums[:, 0])
        total: Floats = listed / PICO + self.table.correction.constant
        if self._weights:
            more = self._amounts(ask)
            for column, weight in enumerate(self._weights):
                total = total + more[:, column] * weight
        return total / 1e6
