"""Conditions of one graph over many genomes at once: what a picture asks of them. Needs numpy.

With genes, the one architecture is all there is; without, 2,000 fixed pseudo-random genomes stand for all.
"""

from collections.abc import Sequence

import numpy as np

from .conditions import implied, scatter
from .sym import LIMIT, Decision, Value, deps, is_sym, merge, size
from .vector import Array, Evaluation

TRIALS = 2000


class Trials:
    """Whether conditions hold, and what they imply. Parts that conditions share are computed once."""

    def __init__(self, decisions: Sequence[Decision], genes: Sequence[int] | None) -> None:
        self.one = genes is not None
        rows = [tuple(genes)] if genes is not None else list(scatter(tuple(decisions), TRIALS))
        self.values = Evaluation(np.array(rows, dtype=np.int16).reshape(len(rows), len(decisions)))

    def column(self, condition: Value) -> Array:
        return self.values(condition).astype(bool)

    def holds(self, condition: Value) -> bool:
        """Whether a condition can hold: in some architecture, or in the one chosen."""
        if not is_sym(condition):
            return bool(condition)
        return bool(self.column(condition)[0]) if self.one else True

    def implied(self, condition: Value, fact: Value) -> bool:
        """Whether a fact holds wherever a condition does: exact where both fit into a table together."""
        if fact is True or condition is False:
            return True
        if size(merge((deps(condition), deps(fact)))) <= 4 * LIMIT:
            return implied(condition, fact) is None
        return bool((~self.column(condition) | self.column(fact)).all())
