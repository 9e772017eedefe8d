"""The architectures of a space: activity, canonical form, constraints, count, sampling, enumeration.

A genome is one int for each decision, the index of its value; inactive decisions are 0. Implements the search's `Space`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, reduce
from itertools import islice
from math import lcm, prod

import numpy as np

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic
from ..dsl.model import TIMES
from .activity import activity
from .conflicts import ENUMERABLE, conflict
from .constraints import existing, resolved
from .cost import Costs
from .factors import Elimination, Factors, TooWide
from .graph import Constraint, Graph, Prior
from .ranking import Independent, Ranking, Weighted
from .sym import Apply, Decision, Table, Value, apply, at, depends_on_cost
from .vector import Array, Evaluation, Genes

SMALL = 2_000
"""Up to this many, the ends of the space are found by looking at all."""
MANY = 64
"""A climb looks at all other values of a decision that has no more of them."""
AT_ONCE = 4_096
"""So many rows are costed at a time."""
CLIMBS = 6
"""Otherwise by so many climbs."""
PATIENCE = 400
"""Batches that rejection may draw for one sample."""
MOST_JOINT = 1_000
"""Joint values that priors may weigh."""
STEPS, TRIES = 200, 32
"""Repair goes so many steps, each to the best of so many single changes."""
ABSENT = "<absent>"
"""The value of a quantity that reads an inactive decision."""
TIED = "the constraints tie too many decisions together"


@dataclass(frozen=True, slots=True)
class Count:
    """The number of architectures: exact, or an upper bound that `note` explains."""

    value: int
    exact: bool
    note: str = ""


class Decisions:
    """What may vary in a graph, and which combinations are architectures."""

    def __init__(
        self, graph: Graph, costs: Callable[[], Costs], latency: Callable[[Genes], Array] | None = None
    ) -> None:
        """`costs` is called when something first asks for a cost; `latency` gives milliseconds, where constraints read them."""
        self.graph = graph
        self._costs = costs
        self._tables: dict[Table, Array] = {}
        self.latency = latency
        self.decisions = graph.decisions
        self.cardinalities = tuple(len(d) for d in graph.decisions)
        self.activity = activity(graph)
        self.active = tuple(a.active for a in self.activity)
        self.constraints = tuple(replace(c, condition=resolved(c.condition, self.active)) for c in graph.constraints)
        self.structural = tuple(c for c in self.constraints if not depends_on_cost(c.condition))
        self.priced = tuple(c for c in self.constraints if depends_on_cost(c.condition))

    @cached_property
    def costs(self) -> Costs:
        return self._costs()

    # matrices of genes

    def _ask(self, genes: Genes) -> Evaluation:
        found: dict[str, Array] = {}

        def metric(name: str) -> Array:
            if name in TIMES:
                assert self.latency is not None
                return self.latency(genes)
            if name not in found:
                found.update(self.costs.named(genes, (name,)))
            return found[name]

        return Evaluation(genes, metric, self._tables)

    def canonical(self, genes: Genes) -> Genes:
        """The genome that stands for each network: flows that are `none` closed, inactive decisions 0. [P, G] -> [P, G]."""
        out = np.array(genes, dtype=np.int16)
        closed = None
        while closed is None or (closed != out).any():
            closed = self._closed(out)
            out = self._reset(closed)
        return out

    def _closed(self, genes: Genes) -> Genes:
        """Decisions of which all that they decide is `none` at their closing code."""
        ask, out = self._ask(genes), genes.copy()
        for d, one in zip(self.decisions, self.activity, strict=True):
            if one.closing:
                idle = ask(one.asked).astype(bool) & ~ask(one.computed).astype(bool)
                idle &= genes[:, d.index] != one.closing[d.index]
                for index, code in one.closing.items():
                    out[idle, index] = code
        return out

    def _reset(self, genes: Genes) -> Genes:
        ask, out = self._ask(genes), genes.copy()
        for d, active in zip(self.decisions, self.active, strict=True):
            if active is not True:
                out[~ask(active).astype(bool), d.index] = 0
        return out

    def feasible(self, genes: Genes, constraints: Sequence[Constraint] | None = None) -> Array:
        """Which rows meet every `require`. [P, G] -> bool [P]."""
        ask = self._ask(np.asarray(genes))
        good: Array = np.ones(len(genes), dtype=bool)
        for c in self.constraints if constraints is None else constraints:
            good = good & ask(c.condition).astype(bool)
        return good

    def excess(self, genes: Genes, constraints: Sequence[Constraint]) -> Array:
        """How far rows are from meeting constraints: 0 if they do. [P, G] -> float [P]."""
        ask = self._ask(np.asarray(genes))
        return sum((_excess(c.condition, ask) for c in constraints), np.zeros(len(genes)))

    # counting and sampling

    def eliminated(self, constraints: Sequence[Constraint]) -> Elimination:
        """The architectures that meet these constraints on structure, counted. Raises TooWide."""
        return self._factors(constraints).eliminate()

    def _factors(self, constraints: Sequence[Constraint]) -> Factors:
        factors = Factors(self.decisions)
        for d, one in zip(self.decisions, self.activity, strict=True):
            factors.pin(d, one)
        for c in constraints:
            factors.require(c.condition)
        return factors

    @cached_property
    def ranking(self) -> Ranking | None:
        """The architectures as far as structure goes; None where the constraints tie too much together."""
        try:
            return Ranking(self.eliminated(self.structural), len(self.decisions))
        except TooWide:
            return None

    @cached_property
    def _affordable(self) -> Array | None:
        """The places of the architectures among those that meet the structure; None where there are too many to look."""
        if self.ranking is None or self.ranking.total > ENUMERABLE:
            return None
        return np.flatnonzero(self.feasible(self.ranking.all(), self.priced))

    def count(self) -> Count:
        """How many architectures there are."""
        if self.ranking is None:
            return Count(prod(self.cardinalities), False, f"upper bound: {TIED}")
        if not self.priced or self.ranking.total == 0:
            return Count(self.ranking.total, True)
        if self._affordable is not None:
            return Count(len(self._affordable), True)
        share = float(self.feasible(self.ranking.draw(np.random.default_rng(0), 10_000), self.priced).mean())
        note = f"upper bound: about {share:.2%} of them meet the constraints on costs (10,000 drawn)"
        return Count(self.ranking.total, False, note)

    def values(self, quantity: Value) -> tuple[Value, ...]:
        """The values that a quantity takes over the architectures as far as structure goes, sorted. Raises TooWide."""
        factors = self._factors(self.structural)
        found = factors.possible(quantity)
        counts = factors.eliminate((factors.keep(quantity, found),)).joint
        return tuple(
            sorted((v for v, n in zip(found, counts, strict=True) if n), key=lambda v: (isinstance(v, str), v))
        )

    def exists(self, genes: Genes) -> Array:
        """Which decisions each architecture has. [P, G] -> bool [P, G]."""
        ask, out = self._ask(genes), np.ones(np.shape(genes), dtype=bool)
        for d, active in zip(self.decisions, self.active, strict=True):
            if active is not True:
                out[:, d.index] = ask(active)
        return out

    def rank(self, genes: Sequence[int]) -> int:
        """The number of an architecture, from 0, in the order of `enumerate`. Raises ValueError where there is none."""
        ranking, places = self._numbered()
        number = ranking.rank(genes)
        if places is None:
            return number
        found = int(np.searchsorted(places, number))
        if found == len(places) or places[found] != number:
            raise ValueError("this is not an architecture")
        return found

    def unrank(self, number: int) -> tuple[int, ...]:
        """The architecture with a number. Raises ValueError where there is none."""
        ranking, places = self._numbered()
        if places is None:
            return ranking.unrank(number)
        if not 0 <= number < len(places):
            raise ValueError(f"architectures are numbered from 0 to {len(places) - 1:,}")
        return ranking.unrank(int(places[number]))

    def _numbered(self) -> tuple[Ranking, Array | None]:
        """The ranking, and which of its places count where not all do."""
        if self.ranking is None:
            raise ValueError(f"architectures have no numbers: {TIED}")
        if self.priced and self._affordable is None:
            raise ValueError("architectures have no numbers: constraints on costs leave too many to look at")
        return self.ranking, self._affordable if self.priced else None

    def enumerate(self) -> Iterator[tuple[int, ...]]:
        """Every architecture once. Raises ValueError where the constraints tie too many decisions together."""
        if self.ranking is None:
            raise ValueError(TIED)
        rows = self.ranking.walk()
        while chunk := list(islice(rows, 4096)):
            good = self.feasible(np.array(chunk, dtype=np.int16).reshape(len(chunk), len(self.decisions)), self.priced)
            yield from (row for row, ok in zip(chunk, good, strict=True) if ok)

    def sample(self, rng: np.random.Generator, count: int) -> Genes:
        """Architectures drawn uniformly, or by the priors of the space, [count, G]. Raises ArchError where none was found.

        Neither in two cases: constraints that tie too many decisions together, and costs that all but none of too many meets.
        """
        kept: list[Genes] = []
        missing, batch = count, max(64, count)
        for _ in range(PATIENCE):
            if not missing:
                break
            rows = self._draw(rng, batch)
            rows = rows[self.feasible(rows, None if self.ranking is None else self.priced)][:missing]
            kept.append(rows)
            missing -= len(rows)
        if missing:
            kept.append(self._rare(rng, missing))
        return np.concatenate(kept) if kept else np.zeros((0, len(self.decisions)), dtype=np.int16)

    def _draw(self, rng: np.random.Generator, count: int) -> Genes:
        if self._prior is not None:
            return self._prior.draw(rng, count)
        if self.ranking is not None:
            return self.ranking.draw(rng, count)
        return self.free(rng, count)

    @cached_property
    def _prior(self) -> Independent | None:
        """The joint values of the quantities with a prior, and the architectures of each; what is not tied, apart."""
        if not self.graph.priors:
            return None
        try:
            factors = self._factors(self.structural)
            shares = [self._shares(p, factors) for p in self.graph.priors]
            weights = {v: share for v, share, _ in shares}
            priors = {v: prior for v, _, prior in shares}
            free, *tied = factors.independent(tuple(weights))
            parts = [self._joint(factors, among, weights, priors) for among in tied]
            rest = Ranking(factors.eliminate((), free), len(self.decisions))
        except TooWide:
            span = self.graph.priors[-1].syntax.span
            raise ArchError(errors.bad_prior(TIED, span, "choose a simpler quantity")) from None
        return Independent(*parts, rest)

    def _shares(self, prior: Prior, factors: Factors) -> tuple[int, Array, Prior]:
        """A variable for the value of a quantity, and its weights. Where the quantity reads what is not there, the prior does
        not apply: that counts as one more value, with the weight of all together."""
        quantity, exists = existing(prior.quantity, self.active)
        values, weights = tuple(v for v, _ in prior.weights), _whole(prior)
        if exists is not True:
            quantity = apply("select", exists, ABSENT, quantity)
            values, weights = (*values, ABSENT), np.append(weights, weights.sum())
        return factors.keep(quantity, values), weights, prior

    def _joint(
        self, factors: Factors, among: set[int], weights: dict[int, Array], priors: dict[int, Prior]
    ) -> Weighted:
        """The joint values of those quantities that are tied to each other."""
        kept = tuple(v for v in weights if v in among)
        span = priors[kept[-1]].syntax.span
        joint = prod(len(weights[v]) for v in kept)
        if joint > MOST_JOINT:
            why = f"{joint:,} joint values of priors that are tied to each other, at most {MOST_JOINT:,}"
            raise ArchError(errors.bad_prior(why, span, "list fewer values"))
        found = factors.eliminate(kept, among)
        odds = reduce(np.multiply.outer, (weights[v] for v in kept)) * (found.joint > 0)
        if not odds.any():
            why = "no architecture has one of the values with a weight"
            raise ArchError(errors.bad_prior(why, span, "list values that occur"))
        return Weighted(found, odds, len(self.decisions))

    def free(self, rng: np.random.Generator, count: int) -> Genes:
        """Each decision by itself, constraints aside, then canonical."""
        if not self.decisions:
            return np.zeros((count, 0), dtype=np.int16)
        return self.canonical(np.stack([rng.integers(0, n, count) for n in self.cardinalities], axis=1))

    def _rare(self, rng: np.random.Generator, count: int) -> Genes:
        """Where rejection all but never accepts: from all of them, else repaired draws (not uniform)."""
        if self.ranking is not None and self._affordable is not None and len(self._affordable):
            places = rng.choice(self._affordable, count).tolist()
            return np.array([self.ranking.unrank(place) for place in places], dtype=np.int16)
        rows = self._draw(rng, count)
        if self.decisions and self._affordable is None:
            rows = self.repair(rows, rng)
        if not self.feasible(rows).all():
            raise ArchError(conflict(self))
        return rows

    def repair(self, genes: Genes, rng: np.random.Generator, constraints: Sequence[Constraint] | None = None) -> Genes:
        """Canonical rows, made feasible where a walk of single changes finds the way."""
        wanted = self.constraints if constraints is None else constraints
        out = self.canonical(genes)
        best = self.excess(out, wanted)
        for _ in range(STEPS):
            left = np.flatnonzero(best > 0)
            if not len(left):
                break
            tries = self._changed(np.repeat(out[left], TRIES, axis=0), rng)
            excess = self.excess(tries, wanted).reshape(-1, TRIES)
            pick = excess.argmin(axis=1)
            least = excess[np.arange(len(left)), pick]
            better = least <= best[left]
            out[left[better]] = tries.reshape(len(left), TRIES, -1)[np.flatnonzero(better), pick[better]]
            best[left[better]] = least[better]
        return out

    def _changed(self, rows: Genes, rng: np.random.Generator) -> Genes:
        """Canonical rows of which one gene each was drawn afresh."""
        which = rng.integers(0, rows.shape[1], len(rows))
        rows[np.arange(len(rows)), which] = rng.integers(0, np.array(self.cardinalities)[which])
        return self.canonical(rows)

    # the ends of the space

    @cached_property
    def _ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if not self.decisions:
            return (), ()
        rows = self._starts()
        rows = rows[self.feasible(rows)]
        weights = self.weights(rows)
        up, down = (np.argsort(sign * weights, kind="stable") for sign in (1, -1))
        if not self._climbs:
            return _genome(rows[up[0]]), _genome(rows[down[0]])
        many = min(CLIMBS, len(rows))
        starts = np.concatenate([up[:many], down[:many]])
        signs = np.repeat([-1.0, 1.0], many)
        tops = self._summits(rows[starts], signs)
        weights = self.weights(tops)
        return _genome(tops[weights[:many].argmin()]), _genome(tops[many + weights[many:].argmax()])

    def largest(self) -> tuple[int, ...]:
        """The architecture with most MACs, or that climbs by single changes reach; for shared training and reports."""
        return self._ends[1]

    def smallest(self) -> tuple[int, ...]:
        """The architecture with fewest MACs, or that climbs by single changes reach."""
        return self._ends[0]

    def _summits(self, rows: Genes, signs: Array) -> Genes:
        """From each row where single changes do not lead any further; all climbs go on together."""
        rows, moving = rows.copy(), np.arange(len(rows))
        while len(moving):
            around = self._ranked([self._neighbours(rows[i]) for i in moving], signs[moving])
            leaps = self._ranked([_leap(*near) for near in around], signs[moving])
            still = []
            for i, (near, rank), (far, more) in zip(moving, around, leaps, strict=True):
                every, ranks = np.concatenate([near, far]), np.concatenate([rank, more])
                if ranks.max() > ranks[0]:
                    rows[i] = every[ranks.argmax()]
                    still.append(i)
            moving = np.array(still, dtype=np.int64)
        return rows

    def _ranked(self, groups: Sequence[Genes], signs: Array) -> list[tuple[Genes, Array]]:
        """The feasible rows of each group in canonical form, and how far each is in the direction of its sign."""
        owners = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        rows = self.canonical(np.concatenate(groups))
        good = self.feasible(rows)
        rows, owners = rows[good], owners[good]
        rank = signs[owners] * self.weights(rows)
        return [(rows[owners == k], rank[owners == k]) for k in range(len(groups))]

    @property
    def _climbs(self) -> bool:
        """Whether there are too many architectures to look at all."""
        return self.ranking is None or self.ranking.total > SMALL

    def _starts(self) -> Genes:
        """Where the climb starts: every architecture of a small space, else the corners and some drawn ones."""
        if self.ranking is not None and not self._climbs:
            return self.ranking.all()
        corners = np.array([[0] * len(self.decisions), [n - 1 for n in self.cardinalities]], dtype=np.int16)
        rng = np.random.default_rng(0)
        return np.concatenate([self.repair(corners, rng), self.sample(rng, 32)])

    def _neighbours(self, row: Array) -> Genes:
        """A row and all its single changes; what becomes active by one takes its first values, or its last."""
        ask = self._ask(row[None])
        absent = np.array([not (a is True or ask(a).all()) for a in self.active])
        full = np.where(absent, np.array(self.cardinalities) - 1, row).astype(np.int16)
        out = [row.copy()]
        for start in (row, full) if absent.any() else (row,):
            for i, n in enumerate(self.cardinalities):
                for value in _steps(n, int(row[i])):
                    if value != row[i]:
                        out.append(start.copy())
                        out[-1][i] = value
        return np.array(out, dtype=np.int16)

    def weights(self, rows: Genes) -> Array:
        """MACs, then parameters, in one number. [P, G] -> [P]."""
        parts = [self.costs(rows[k : k + AT_ONCE], peak=False) for k in range(0, len(rows), AT_ONCE)]
        return np.concatenate([c["macs"].astype(np.float64) + c["parameters"] * 1e-6 for c in parts] or [np.zeros(0)])

    # faults and warnings

    def check(self) -> list[Diagnostic]:
        """Warnings on constraints. Raises ArchError if no architecture meets them all."""
        if any(c.condition is False for c in self.constraints) or (self.ranking is not None and not self.ranking.total):
            raise ArchError(conflict(self))
        if self.priced or self.graph.priors or self.ranking is None:
            self.sample(np.random.default_rng(0), 1)
        if not self.decisions:
            return []
        return [errors.always_met(c.syntax.span) for c in self.constraints if c.condition is True and not c.given]

    # text

    def labels(self, genes: Sequence[int]) -> dict[str, str]:
        """The active decisions of an architecture by path, with their chosen values as text."""
        return {d.path: d.labels[genes[d.index]] for d in self.decisions if at(self.active[d.index], genes)}

    def read(self, labels: dict[str, str]) -> tuple[int, ...]:
        """The genome of `path = label` pairs; decisions not named take their first value. Raises KeyError, ValueError."""
        by_path: dict[str, Decision] = {d.path: d for d in self.decisions}
        genes = [0] * len(self.decisions)
        for path, label in labels.items():
            genes[by_path[path].index] = by_path[path].labels.index(label)
        return tuple(int(g) for g in self.canonical(np.array([genes], dtype=np.int16))[0])


def _steps(count: int, here: int) -> Iterable[int]:
    """Codes to try instead of one: all, or of many the ends and those at distances 1, 2, 4, ..."""
    if count <= MANY:
        return range(count)
    far = (here + sign * 2**k for k in range(count.bit_length()) for sign in (-1, 1))
    return {0, count - 1, *(code for code in far if 0 <= code < count)}


def _leap(around: Genes, rank: Array) -> Genes:
    """The first row with the best change of each gene, all at once. [P, G] -> [1, G]."""
    out = around[:1].copy()
    order = np.argsort(rank, kind="stable")
    for row in around[order[rank[order] > rank[0]]]:
        out = np.where(row == around[0], out, row)
    return out


def _genome(row: Array) -> tuple[int, ...]:
    return tuple(int(g) for g in row)


def _whole(prior: Prior) -> Array:
    """The weights of a prior as whole numbers in the same proportions."""
    scale = lcm(*(Fraction(w).denominator for _, w in prior.weights))
    return np.array([int(w * scale) for _, w in prior.weights], dtype=object)


LEAST = 1e-9
"""The excess of a constraint that is all but met."""
_SLACK: dict[str, Callable[[Array, Array], Array]] = {
    "<=": lambda a, b: a - b,
    "<": lambda a, b: a - b + 1,
    ">=": lambda a, b: b - a,
    ">": lambda a, b: b - a + 1,
}


def _excess(condition: Value, ask: Evaluation) -> Array:
    """0 where a condition holds, else how far it is from holding, relative to its right side."""
    if isinstance(condition, Apply) and condition.function in ("and", "all"):
        return sum((_excess(a, ask) for a in condition.args), np.zeros(len(ask.genes)))
    if isinstance(condition, Apply) and condition.function in ("or", "any"):
        return np.asarray(np.minimum.reduce([_excess(a, ask) for a in condition.args]))
    gap: Array = np.ones(len(ask.genes))
    if isinstance(condition, Apply) and condition.function in _SLACK:
        left, right = (ask(a).astype(np.float64) for a in condition.args)
        gap = _SLACK[condition.function](left, right) / np.maximum(np.abs(right), 1)
    return np.asarray(np.where(ask(condition).astype(bool), 0.0, np.maximum(gap, LEAST)))
