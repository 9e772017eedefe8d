"""Architectures as integers: exact draws, numbers and lists against enumeration; priors against their weights."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import prod

import numpy as np
import pytest
from scipy.stats import chisquare

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.decisions import Decisions
from hrdsl.compiler.graph import Prior
from hrdsl.compiler.ranking import Die, below
from hrdsl.compiler.sym import aggregate, apply, at, variable
from hrdsl.dsl.diagnostic import ArchError

from .spaces import SPACES, compile_space, compile_text
from .test_decisions import ONE_STAGE, TRIO, stages

every = pytest.mark.parametrize("name", SPACES)


@cache
def compiled(name: str) -> Compiled:
    return compile_space(name)


@cache
def trio() -> Decisions:
    text = ONE_STAGE.format(stages=stages("trio", "1..2", "2..3", "3..6", "1..3"), cells=TRIO)
    return compile_text(text).decisions


@every
def test_numbers_are_the_places_in_the_enumeration(name: str) -> None:
    decisions = compiled(name).decisions
    for number, genes in enumerate(decisions.enumerate()):
        assert decisions.rank(genes) == number
        assert decisions.unrank(number) == genes
    assert number + 1 == decisions.count().value


@every
def test_nothing_else_has_a_number(name: str) -> None:
    decisions = compiled(name).decisions
    known = set(decisions.enumerate())
    rng = np.random.default_rng(4)
    for genes in map(tuple, rng.integers(0, decisions.cardinalities, (200, len(decisions.cardinalities))).tolist()):
        if genes not in known:
            with pytest.raises(ValueError, match="not an architecture"):
                decisions.rank(genes)
    for number in (-1, len(known)):
        with pytest.raises(ValueError, match="numbered from 0"):
            decisions.unrank(number)


def test_numbers_of_a_space_as_large_as_trionet() -> None:
    decisions = trio()
    total = decisions.count().value
    rng = np.random.default_rng(6)
    for number in [0, total - 1, *(below(rng, total) for _ in range(300))]:
        genes = decisions.unrank(number)
        assert decisions.feasible(np.array([genes])).all()
        assert (decisions.canonical(np.array([genes])) == genes).all()
        assert decisions.rank(genes) == number
    drawn = [decisions.rank(row) for row in decisions.sample(rng, 2000).tolist()]
    assert chisquare(np.bincount([number * 20 // total for number in drawn], minlength=20)).pvalue > 1e-3


def test_the_list_is_in_order() -> None:
    decisions = trio()
    first = [genes for genes, _ in zip(decisions.enumerate(), range(50), strict=False)]
    assert [decisions.rank(genes) for genes in first] == list(range(50))


def test_prices_that_leave_too_many_have_no_numbers() -> None:
    text = ONE_STAGE.format(
        stages=stages("trio", "1..2", "2..3", "3..6", "1..3") + "\n  require macs <= 1T", cells=TRIO
    )
    with pytest.raises(ValueError, match="constraints on costs"):
        compile_text(text).decisions.unrank(3)


# dice --------------------------------------------------------------------------------------------------------------


class Loaded:
    """A generator whose first draw of each die is on an edge; what follows is random."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.bytes = np.random.default_rng(5).bytes

    def integers(self, low: int, high: int, count: int, dtype: type) -> np.ndarray:
        return np.full(count, self.first, dtype=dtype)


def test_what_64_bits_leave_open_is_decided_exactly() -> None:
    """The first bits land where the odds of two codes meet: 2^64 / 3 leaves a remainder of 1/3."""
    die = Die(np.array([[1, 2]], dtype=object))
    codes = die.roll(Loaded(2**64 // 3), (np.zeros(9000, dtype=int),), 9000)  # type: ignore[arg-type]
    assert chisquare(np.bincount(codes, minlength=2), [3000, 6000]).pvalue > 1e-3


def test_dice_with_empty_and_huge_sides() -> None:
    die = Die(np.array([[0, 10**40, 0, 3 * 10**40, 0]], dtype=object))
    seen = np.bincount(die.roll(np.random.default_rng(1), (np.zeros(8000, dtype=int),), 8000), minlength=5)
    assert seen[[0, 2, 4]].sum() == 0
    assert chisquare(seen[[1, 3]], [2000, 6000]).pvalue > 1e-3
    for edge in (0, 2**64 - 1):
        codes = die.roll(Loaded(edge), (np.zeros(4, dtype=int),), 4)  # type: ignore[arg-type]
        assert set(codes.tolist()) == {1 if edge == 0 else 3}


def test_whole_numbers_below_a_limit() -> None:
    rng = np.random.default_rng(2)
    assert chisquare(np.bincount([below(rng, 10) for _ in range(5000)], minlength=10)).pvalue > 1e-3
    assert below(rng, 1) == 0


# priors ------------------------------------------------------------------------------------------------------------

WEIGHTED = """hrdsl 1

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 8)
  branch b at 1/1 { width in {8, 16, 24} }
  stage a on b {
    cell in {conv(3, width), conv(5, width), side}
    times in 1..3
  }
  head = conv(1, width = 4)
}
cell side(width) {
  open in {true, false}
  out = (x -> conv(1, width)) + (if open then x -> conv(3, width) else none)
}
"""


def weighted(*priors: tuple[str | None, dict[int, Fraction]]) -> Decisions:
    """The space above with priors on decisions by path; None: on the number of open gates."""
    space = compile_text(WEIGHTED)
    by_path = {d.path: d for d in space.graph.decisions}
    opens = aggregate("count", tuple(apply("==", variable(d), True) for p, d in by_path.items() if p.endswith("open")))
    made = tuple(
        Prior(opens if path is None else variable(by_path[path]), tuple(weights.items()), space.space)
        for path, weights in priors
    )
    return Decisions(replace(space.graph, priors=made), lambda: space.costs)


def opened(decisions: Decisions, genes: tuple[int, ...]) -> int:
    return sum(path.endswith("open") and label == "true" for path, label in decisions.labels(genes).items())


def expected(decisions: Decisions, key, weights) -> dict[tuple[int, ...], float]:  # type: ignore[no-untyped-def]
    """The probability of each architecture: by its joint value, then even among those that share it."""
    groups = {genes: key(genes) for genes in decisions.enumerate()}
    sizes = Counter(groups.values())
    whole = sum(weights(value) for value in sizes)
    return {g: float(weights(v) / whole / sizes[v]) for g, v in groups.items() if weights(v)}


def assert_follows(decisions: Decisions, wanted: dict[tuple[int, ...], float]) -> None:
    rows = decisions.sample(np.random.default_rng(11), 12 * len(wanted))
    seen = Counter(map(tuple, rows.tolist()))
    assert set(seen) <= set(wanted)
    odds = np.array(list(wanted.values()))
    assert chisquare([seen[g] for g in wanted], odds / odds.sum() * len(rows)).pvalue > 1e-3


def test_a_prior_on_a_decision() -> None:
    weights = {1: Fraction(1, 2), 3: Fraction(3, 10)}
    decisions = weighted(("a.times", weights))
    times = next(d for d in decisions.decisions if d.path == "a.times")
    assert_follows(
        decisions, expected(decisions, lambda g: times.values[g[times.index]], lambda v: weights.get(v, Fraction(0)))
    )


def test_a_prior_on_a_quantity_over_what_exists() -> None:
    weights = {0: Fraction(1), 1: Fraction(1), 2: Fraction(3), 7: Fraction(5)}
    decisions = weighted((None, weights))
    assert_follows(
        decisions, expected(decisions, lambda g: opened(decisions, g), lambda v: weights.get(v, Fraction(0)))
    )


def test_two_priors_multiply() -> None:
    one, two = {1: Fraction(1, 4), 2: Fraction(3, 4)}, {8: Fraction(1), 16: Fraction(2), 24: Fraction(0)}
    decisions = weighted(("a.times", one), ("b.width", two))
    times, width = (next(d for d in decisions.decisions if d.path == p) for p in ("a.times", "b.width"))
    assert_follows(
        decisions,
        expected(
            decisions,
            lambda g: (times.values[g[times.index]], width.values[g[width.index]]),
            lambda v: one.get(v[0], Fraction(0)) * two.get(v[1], Fraction(0)),
        ),
    )


def test_a_prior_on_what_is_not_always_there() -> None:
    """It applies where the decision is; elsewhere all its weights together do, so that it changes no odds of being there."""
    weights = {True: Fraction(1), False: Fraction(3)}
    space = compile_text(WEIGHTED.replace("times in 1..3", "times = 1"))
    (gate,) = (d for d in space.graph.decisions if d.path.endswith("open"))
    made = Prior(variable(gate), tuple(weights.items()), space.space)
    decisions = Decisions(replace(space.graph, priors=(made,)), lambda: space.costs)
    active = decisions.active[gate.index]
    assert_follows(
        decisions,
        expected(
            decisions,
            lambda g: gate.values[g[gate.index]] if at(active, g) else None,
            lambda v: weights.get(v, Fraction(4)),
        ),
    )


CHAIN = """hrdsl 1

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 8)
  branch b at 1/1 { width = 8 }
  stage a on b {
    cell = either
    times in 1..3
  }
  stage z on b {
    cell = either
    times = 2
  }
  head = conv(1, width = 4)
}
cell either(width) {
  operator in {conv(kernel in {1, 3, 5}, width = width), depthwise(3), relu}
  prior operator {conv: 1, depthwise: 1, relu: 2}
  out = x -> operator
}
"""


def test_priors_of_cells_draw_from_above() -> None:
    """Depth evenly, then the operators of the cells that are there, then their options: each prior by itself."""
    decisions = compile_text(CHAIN).decisions
    assert decisions.count().value == (5 + 5**2 + 5**3) * 5**2
    odds = {0: Fraction(1, 12), 1: Fraction(1, 4), 2: Fraction(1, 2)}
    cells = [d for d in decisions.decisions if d.path.endswith("operator")]
    wanted = {}
    for genes in decisions.enumerate():
        there = [d for d in cells if at(decisions.active[d.index], genes)]
        wanted[genes] = float(prod((odds[genes[d.index]] for d in there), start=Fraction(1, 3)))
    assert sum(wanted.values()) == pytest.approx(1)
    assert_follows(decisions, wanted)


def test_priors_that_are_not_tied_are_drawn_apart() -> None:
    """Ten priors of three values each: 59,049 combinations, of which no more than 27 are tied."""
    text = CHAIN.replace("times = 2", "times = 7")
    decisions = compile_text(text).decisions
    rows = decisions.sample(np.random.default_rng(0), 500)
    assert (decisions.canonical(rows) == rows).all()
    assert decisions.feasible(rows).all()


def test_priors_change_neither_count_nor_numbers() -> None:
    plain, prior = weighted(), weighted(("a.times", {1: Fraction(1)}))
    assert plain.count() == prior.count()
    assert list(plain.enumerate()) == list(prior.enumerate())
    assert prior.rank(prior.unrank(17)) == 17


def test_priors_that_cannot_be_followed() -> None:
    with pytest.raises(ArchError, match="E410"):
        weighted(("a.times", {9: Fraction(1)})).sample(np.random.default_rng(0), 1)
    many = {i: Fraction(1) for i in range(40)}
    with pytest.raises(ArchError, match="E410"):
        weighted(("a.times", many), (None, many)).sample(np.random.default_rng(0), 1)
