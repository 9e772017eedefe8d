"""Values over a whole population at once: a matrix of genes in, one array out. Needs numpy."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from .sym import FUNCTIONS as EXACT
from .sym import Apply, Metric, Table, Value

Genes = npt.NDArray[np.int16]
Array = npt.NDArray[Any]

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.frompyfunc(EXACT["/"], 2, 1),
    "//": np.floor_divide,
    "%": np.mod,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "min": np.minimum,
    "max": np.maximum,
    "not": np.logical_not,
    "and": lambda *a: reduce(np.logical_and, a),
    "or": lambda *a: reduce(np.logical_or, a),
    "all": lambda *a: reduce(np.logical_and, a),
    "any": lambda *a: reduce(np.logical_or, a),
    "count": lambda *a: reduce(np.add, (np.asarray(x).astype(np.int64) for x in a)),
    "sum": lambda *a: reduce(np.add, a),
    "select": lambda i, *a: np.stack(np.broadcast_arrays(*a, i)[:-1])[
        np.asarray(i).astype(np.int64), np.arange(len(i))
    ],
    "ceil": lambda a, b: -(-a // b),
    "whole": lambda a: np.equal(np.mod(a, 1), 0),
    "round": np.frompyfunc(round, 1, 1),
    "log2": np.frompyfunc(EXACT["log2"], 1, 1),
    "gcd": np.gcd,
}


def as_array(values: tuple[Any, ...]) -> Array:
    """The values of a table: int64 or bool where they are whole or truths, objects (exact fractions, texts) otherwise."""
    if all(isinstance(v, bool) for v in values):
        return np.array(values, dtype=bool)
    if all(isinstance(v, int) and abs(v) < 1 << 62 for v in values):
        return np.array(values, dtype=np.int64)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


class Evaluation:
    """Evaluates values for one matrix of genes; shared parts are computed once."""

    def __init__(
        self, genes: Genes, metric: Callable[[str], Array] | None = None, tables: dict[Table, Array] | None = None
    ) -> None:
        self.genes = genes
        self.columns = np.ascontiguousarray(genes.T).astype(np.int64)
        self.metric = metric
        self.tables = {} if tables is None else tables
        self.memo: dict[int, Array] = {}
        self.kept: list[Any] = []

    def __call__(self, value: Value) -> Array:
        """The value for each row, shape [P]."""
        found = self.memo.get(id(value))
        if found is None:
            found = self._compute(value)
            self.memo[id(value)] = found
            self.kept.append(value)
        return found

    def _compute(self, value: Value) -> Array:
        if isinstance(value, Table):
            return self._table(value)
        if isinstance(value, Apply):
            return np.asarray(_FUNCTIONS[value.function](*(self(a) for a in value.args)))
        if isinstance(value, Metric):
            assert self.metric is not None
            return self.metric(value.name)
        return np.full(len(self.genes), value)

    def _table(self, table: Table) -> Array:
        array = self.tables.get(table)
        if array is None:
            array = self.tables[table] = as_array(table.values)
        index: Array = self.columns[table.deps[0].index] * table.strides[0]
        for d, step in zip(table.deps[1:], table.strides[1:], strict=True):
            index = index + self.columns[d.index] * step
        return array.take(index)
