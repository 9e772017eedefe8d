"""The order of a decision's values by cost, and the ends of a space where some of its decisions are held.

Decisions in, genes out. Imports numpy.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .vector import Array, Evaluation, Genes

if TYPE_CHECKING:
    from .decisions import Decisions

CONTEXTS = 8
"""Values of a decision are compared within so many architectures in which it is active."""
DRAWN = 256
"""Architectures among which those are looked for."""
CODES = 64
"""A climb tries so many values of a decision, evenly along their order."""
ROUNDS = 64
"""A climb ends after so many changes."""


def active(decisions: "Decisions", rows: Genes) -> Array:
    """Which decisions matter. [P, G] -> bool [P, G]."""
    ask = Evaluation(rows)
    columns = [np.broadcast_to(np.asarray(ask(a), dtype=bool), len(rows)) for a in decisions.active]
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0), dtype=bool)


def by_cost(decisions: "Decisions") -> list[Array]:
    """For each decision its codes, the cheapest first: by MACs, then parameters, in the mean over some architectures in which
    it is active. Codes that cost the same keep their order. Constraints do not matter."""
    drawn = decisions.free(np.random.default_rng(0), DRAWN)
    there = active(decisions, drawn)
    blocks = []
    for d, count in enumerate(decisions.cardinalities):
        found = np.flatnonzero(there[:, d])[:CONTEXTS]
        rows = np.repeat(drawn[found], count, axis=0)
        rows[:, d] = np.tile(np.arange(count), len(found))
        blocks.append(rows)
    weights = decisions.weights(np.concatenate(blocks)) if blocks else np.zeros(0)
    out, start = [], 0
    for rows, count in zip(blocks, decisions.cardinalities, strict=True):
        mean = weights[start : start + len(rows)].reshape(-1, count).sum(axis=0)
        out.append(np.argsort(mean, kind="stable"))
        start += len(rows)
    return out


class Ends:
    """The smallest and the largest architecture with the values that some decisions have been given.

    A climb by single changes, and by all single changes that help at once, from the cheapest and from the dearest value of
    each decision; an answer depends on what is given alone.
    """

    def __init__(self, decisions: "Decisions", held: Sequence[int], order: Sequence[Array]) -> None:
        """`order`: of each decision the codes that are open, as `by_cost` gives them."""
        self.decisions = decisions
        self.held = np.asarray(held, dtype=np.int64)
        self._order = order

    @cached_property
    def _corners(self) -> Genes:
        """[2, G]: the cheapest value of each decision, and the dearest."""
        return np.array([[o[0] for o in self._order], [o[-1] for o in self._order]], dtype=np.int16)

    @cached_property
    def _changes(self) -> tuple[Array, Array]:
        """Every single change: decisions and codes."""
        free = np.setdiff1d(np.arange(len(self._order)), self.held)
        codes = [self._some(self._order[d]) for d in free]
        return np.repeat(free, [len(c) for c in codes]), np.concatenate([*codes, np.zeros(0, dtype=np.int64)])

    @staticmethod
    def _some(order: Array) -> Array:
        if len(order) <= CODES:
            return order
        return order[np.unique(np.linspace(0, len(order) - 1, CODES).astype(np.int64))]

    def __call__(self, given: Sequence[int], starts: Genes) -> tuple[Array, Array]:
        """Canonical rows [G] each; `given` has a code for each held decision, `starts` are rows with them that are
        architectures, from which the climb goes where the corners are none. At least one is needed there."""
        rows = self._corners.copy()
        rows[:, self.held] = given
        good = self.decisions.feasible(rows)
        if not good.all():
            weights = self.decisions.weights(starts)
            for k, start in enumerate((starts[weights.argmin()], starts[weights.argmax()])):
                rows[k] = rows[k] if good[k] else start
        small, large = self.decisions.canonical(self._climbed(rows, np.array([-1.0, 1.0])))
        return small, large

    def _climbed(self, rows: Genes, signs: Array) -> Genes:
        """From each row, an architecture, to where no change leads any further. All changes that help are tried at once; where
        that does not help, the best one is made."""
        rows, trials, singles = rows.copy(), rows.copy(), rows.copy()
        best, moving = np.full(len(rows), -np.inf), np.arange(len(rows))
        for _ in range(ROUNDS):
            around, ranks = self._around(trials[moving], signs[moving])
            still = []
            for k, near, rank in zip(moving, around, ranks, strict=True):
                if rank[0] <= best[k]:
                    trials[k] = singles[k]
                    still.append(k)
                    continue
                rows[k], best[k] = near[0], rank[0]
                if rank.max() > best[k]:
                    trials[k], singles[k] = self._leap(near[0], rank), near[rank.argmax()]
                    still.append(k)
            moving = np.array(still, dtype=np.int64)
            if not still:
                break
        return rows

    def _around(self, rows: Genes, signs: Array) -> tuple[Array, Array]:
        """Rows, each with all its single changes behind it, and how far each is in the direction of its sign."""
        which, codes = self._changes
        around = np.repeat(rows[:, None], len(which) + 1, axis=1)
        around[:, np.arange(1, len(which) + 1), which] = codes
        flat = around.reshape(rows.shape[0] * (len(which) + 1), rows.shape[1])
        rank = np.where(
            self.decisions.feasible(flat), np.repeat(signs, len(which) + 1) * self.decisions.weights(flat), -np.inf
        )
        return around, rank.reshape(len(rows), -1)

    def _leap(self, row: Array, rank: Array) -> Array:
        """The best change of each decision that helps, all at once."""
        which, codes = self._changes
        order = np.argsort(rank[1:], kind="stable")
        order = order[rank[1:][order] > rank[0]]
        out = row.copy()
        out[which[order]] = codes[order]
        return out
