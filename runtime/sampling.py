"""Which architectures a training step trains: a function of the space, the settings, the seed and the step alone.

Decisions in, genomes out. Imports `compiler`, neither torch nor the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..compiler.api import Compiled
from ..compiler.decisions import Decisions
from ..compiler.ends import Ends, active, by_cost
from ..compiler.graph import Constraint
from ..compiler.sym import Decision, Table
from ..compiler.vector import Array, Genes
from ..dsl.diagnostic import ArchError
from ..dsl.syntax import Constant, Require

Genome = tuple[int, ...]
POOL = 64
"""Architectures that a step with the same cells for all is put together from."""
PLAIN = (bool, int, Fraction, str, tuple, list, type(None))
"""Values that are no cells."""


@dataclass(frozen=True)
class Phase:
    """A space as far as it is open. `order`: the open codes of each decision, the cheapest first."""

    decisions: Decisions
    order: tuple[Array, ...]
    begin: int

    @cached_property
    def ends(self) -> Ends:
        return Ends(self.decisions, operators(self.decisions.decisions), self.order)


def operators(decisions: Sequence[Decision]) -> tuple[int, ...]:
    """The decisions among cells."""
    return tuple(d.index for d in decisions if not all(isinstance(v, PLAIN) for v in d.values))


class Sampler:
    """Architectures by the setting `sample`, from the phases of `widen`."""

    def __init__(self, compiled: Compiled, settings: Mapping[str, Any]) -> None:
        """Complete settings of a `train` block."""
        self.compiled = compiled
        self.sample = settings["sample"]
        self.seed: int = settings["seed"]
        self.steps: int = settings["steps"]
        self.widen: int = settings["widen"]
        self._phase = lru_cache(None)(self._opened)

    def __call__(self, step: int) -> list[Genome]:
        """What a step trains; of a sandwich, the largest comes first. Raises ArchError where nothing meets the constraints."""
        rng = np.random.default_rng((self.seed, step, 2))
        phase = self._phase(min(self.widen - 1, step * self.widen // self.steps))
        if self.sample.name == "fair":
            return _genomes(self._fair(phase, step, rng))
        if self.sample.name == "single":
            return _genomes(phase.decisions.sample(rng, 1))
        count = self.sample.options["random"]
        if self.sample.options["operators"] == "same":
            return _genomes(_alike(phase, count, rng))
        inner = _genomes(phase.decisions.sample(rng, count))
        return [phase.decisions.largest(), *inner, phase.decisions.smallest()]

    # phases

    @cached_property
    def _order(self) -> tuple[Array, ...]:
        return tuple(by_cost(self.compiled.decisions))

    def _opened(self, number: int) -> Phase:
        """A phase; where the constraints leave nothing of it, the next one."""
        begin = -(-number * self.steps // self.widen)
        decisions = self._decisions()
        if number == self.widen - 1:
            return Phase(decisions, self._order, begin)
        cells = operators(decisions.decisions)
        order = tuple(
            codes if d in cells else codes[-max(1, -(-len(codes) * (number + 1) // self.widen)) :]
            for d, codes in enumerate(self._order)
        )
        narrow = self._decisions(order)
        return Phase(narrow, order, begin) if _any(narrow) else replace(self._phase(number + 1), begin=begin)

    def _decisions(self, order: Sequence[Array] = ()) -> Decisions:
        """The space under the priors that are wanted, with these codes alone."""
        compiled, graph = self.compiled, self.compiled.graph
        wanted = graph.priors if self.sample.options.get("priors", False) else ()
        if not order and wanted == graph.priors:
            return compiled.decisions
        more = tuple(
            _among(d, codes) for d, codes in zip(graph.decisions, order, strict=bool(order)) if len(codes) < len(d)
        )
        graph = replace(graph, priors=wanted, constraints=(*graph.constraints, *more))
        return Decisions(graph, lambda: compiled.costs)

    # strict fairness

    def _fair(self, phase: Phase, step: int, rng: np.random.Generator) -> Genes:
        """As many architectures as a decision has open values, at most; each decision runs through permutations of its
        values, one after the other and on from step to step (FairNAS, Chu et al. 2021, arXiv 1907.01845, Algorithm 1)."""
        counts = np.array([len(codes) for codes in phase.order], dtype=np.int64)
        most = int(counts.max(initial=1))
        rows = np.zeros((most, len(counts)), dtype=np.int16)
        first = (step - phase.begin) * most
        for count in np.unique(counts).tolist():
            which = np.flatnonzero(counts == count)
            turns = range(first // count, (first + most - 1) // count + 1)
            codes = np.array([phase.order[d] for d in which])
            runs = [self._permuted(codes, turn, phase.begin) for turn in turns]
            skip = first - turns[0] * count
            rows[:, which] = np.concatenate(runs, axis=1)[:, skip : skip + most].T
        rows = phase.decisions.canonical(rows)
        if not phase.decisions.feasible(rows).all():
            rows = phase.decisions.repair(rows, rng)
            left = np.flatnonzero(~phase.decisions.feasible(rows))
            rows[left] = phase.decisions.sample(rng, len(left))
        return rows

    def _permuted(self, codes: Array, turn: int, begin: int) -> Array:
        """Each row in an order of its own. [decisions, values] -> the same."""
        rng = np.random.default_rng((self.seed, begin, codes.shape[1], turn, 4))
        return rng.permuted(codes, axis=1)


def _any(decisions: Decisions) -> bool:
    """Whether an architecture is found."""
    if decisions.ranking is not None and not decisions.ranking.total:
        return False
    try:
        decisions.sample(np.random.default_rng(0), 1)
    except ArchError:
        return False
    return True


def _alike(phase: Phase, count: int, rng: np.random.Generator) -> Genes:
    """The largest, `count` drawn ones and the smallest, all with the same cells (Sun et al. 2021, Section 3.4): the cells are
    those of one drawn architecture and, where it has none, of others. What else is drawn keeps its values; choices that the
    cells bring with them are taken from architectures that have them. Where constraints leave fewer, some come twice."""
    decisions = phase.decisions
    pool = decisions.sample(rng, POOL)
    there = active(decisions, pool)
    full = np.where(there, pool, _lent(phase, pool, there, rng))
    held = phase.ends.held
    full[:, held] = full[0, held]
    rows = decisions.canonical(full)
    rows = rows[decisions.feasible(rows)]
    small, large = phase.ends(full[0, held], full[decisions.feasible(full)])
    return np.stack([large, *(rows[i % len(rows)] for i in range(count)), small])


def _lent(phase: Phase, pool: Genes, there: Array, rng: np.random.Generator) -> Genes:
    """For each row and decision the code that it has in some architecture in which it matters. [P, G] -> the same."""
    keys, out = rng.random(there.shape), pool.copy()
    for d in np.flatnonzero(~there.all(axis=0)):
        owners = np.flatnonzero(there[:, d])
        codes = pool[owners, d] if len(owners) else phase.order[d]
        out[:, d] = codes[(keys[:, d] * len(codes)).astype(np.int64)]
    return out


def _among(decision: Decision, codes: Array) -> Constraint:
    """That a decision has one of these codes."""
    condition = Table((decision,), tuple(code in codes for code in range(len(decision))))
    return Constraint(condition, Require(Constant(True, span=decision.span), span=decision.span), declared=False)


def _genomes(rows: Genes) -> list[Genome]:
    return [tuple(row) for row in rows.tolist()]
