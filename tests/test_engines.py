"""Strategies against restatements, enumeration and chance; each interrupted anywhere; splits, warm starts, limits in order."""

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.found import found_text
from hrdsl.compiler.linked import owners
from hrdsl.dsl.diagnostic import ArchError
from hrdsl.dsl.model import Run
from hrdsl.runtime import starting
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.objectives import linkage_of, objectives_of, problem_of
from hrdsl.runtime.search import nsga2, nsga3
from hrdsl.runtime.search.front import Floats, Front, Genome
from hrdsl.runtime.search.linkage import Linkage, Unit
from hrdsl.runtime.search.problem import Config, Genes, Objective, Pool, Problem, Progress, one_by_one
from hrdsl.runtime.search.study import Study, StudyError, identify, read
from hrdsl.runtime.search.variation import Variation
from hrdsl.runtime.strategy import config_of, explore

from .spaces import compile_text
from .test_search import LARGE, MEDIUM, OBJECTIVES, RUNS, Gated, accuracy, asked, beats, genomes, macs, table, toy

RESUMED = Config(seed=5, population=10, generations=5, evaluations=44, reference=(0.0, 180.0))
WAYS: dict[str, tuple[Callable[..., Front], Config]] = {
    "nsga2": (RUNS["nsga2"], RESUMED),
    "weighted": (RUNS["nsga2"], dataclasses.replace(RESUMED, weights=(2.0, 1.0), ceiling=True, pairing="uniform")),
    "nsga3": (RUNS["nsga3"], RESUMED),
    "aging": (RUNS["aging"], dataclasses.replace(RESUMED, generations=20, children=4, tournament=3, keep=0.2)),
    "local": (RUNS["local"], RESUMED),
    "random": (RUNS["random"], RESUMED),
    "exhaustive": (RUNS["exhaustive"], RESUMED),
}


class Stop(BaseException):
    """An interrupt that no engine may swallow."""


def stopping(at: int, score: Callable[[Genome], Sequence[float]] = accuracy) -> Callable[[Genome], Sequence[float]]:
    count = itertools.count()

    def measure(genome: Genome) -> Sequence[float]:
        if next(count) == at:
            raise Stop
        return score(genome)

    return measure


@pytest.mark.parametrize("name", WAYS)
def test_interrupted_anywhere_is_uninterrupted(name: str, tmp_path: Path) -> None:
    """Stopped within and between generations, twice each, and gone on with."""
    run, config = WAYS[name]
    identity = identify("space", OBJECTIVES, config, name)

    space = Gated(MEDIUM if name == "exhaustive" else LARGE)

    def searched(path: Path, measure: Callable[[Genome], Sequence[float]]) -> Front:
        with Study(path, identity) as study:
            return run(toy(space, measure), config, study)

    whole = searched(tmp_path / "whole", accuracy)
    for at in (0, 9, 10, 25, 43):
        path = tmp_path / str(at)
        for again in (at, 5):
            try:
                searched(path, stopping(again))
            except Stop:
                continue
        assert searched(path, accuracy) == whole
        assert table(path) == table(tmp_path / "whole")


# NSGA-II


def brute_crowding(losses: Floats, weights: Sequence[float]) -> list[float]:
    """HyCTAS, Algorithm 1: cd_w(x) = sum over goals of w (f(next) - f(previous)) / (f max - f min), the ends infinite."""
    found = []
    for row in range(len(losses)):
        total = 0.0
        for column, weight in zip(losses.T.tolist(), weights, strict=True):
            below = [v for v in column if v < column[row]]
            above = [v for v in column if v > column[row]]
            if not below or not above:
                total = math.inf
            else:
                total += weight * (min(above) - max(below)) / (max(column) - min(column))
        found.append(total)
    return found


@pytest.mark.parametrize("goals", [2, 3])
def test_weighted_crowding_is_the_formula(goals: int) -> None:
    rng = np.random.default_rng(goals)
    for _ in range(20):
        losses, weights = rng.random((12, goals)), rng.random(goals) + 0.1
        assert nsga2.crowding(losses, weights.tolist()) == pytest.approx(brute_crowding(losses, weights.tolist()))


def test_crowding_without_weights_is_pymoos() -> None:
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    for seed in range(10):
        losses = np.random.default_rng(seed).integers(0, 9, (15, 2)).astype(float)
        assert nsga2.crowding(losses) / 2 == pytest.approx(calc_crowding_distance(losses))


def test_a_goal_that_says_nothing_adds_nothing() -> None:
    losses = np.random.default_rng(0).random((9, 3))
    expected = nsga2.crowding(losses[:, :2])
    assert nsga2.crowding(losses, [1, 1, 0]) == pytest.approx(expected)
    losses[:, 2] = 7
    assert nsga2.crowding(losses) == pytest.approx(expected)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 0.5)])
def test_survivors_are_those_of_the_definition(weights: tuple[float, float]) -> None:
    """Whole fronts, each of what the ones before leave; of the last one the least crowded."""
    for seed in range(20):
        losses = np.random.default_rng(seed).random((30, 2))
        left, expected, rank = list(range(30)), list[int](), 0
        while len(expected) < 12:
            front = [i for i in left if not any(beats(losses[j], losses[i]) for j in left)]
            left = [i for i in left if i not in front]
            distance = dict(zip(front, brute_crowding(losses[front], weights), strict=True))
            expected += sorted(front, key=lambda i: -distance[i])[: 12 - len(expected)]
            rank += 1
        found = nsga2.survivors(losses, 12, weights)
        assert set(found.rows.tolist()) == set(expected)
        assert found.rank.max() == rank - 1


def test_weights_change_who_survives() -> None:
    run, config = WAYS["nsga2"]
    first, second = (
        asked(toy(Gated(LARGE)), run, dataclasses.replace(config, weights=weights, evaluations=None))[0]
        for weights in ((1.0, 1.0), (9.0, 1.0))
    )
    assert first != second


def test_ceiling() -> None:
    """No child costs more than the costliest of the survivors before it: restated from what was evaluated."""
    problem, config = toy(Gated(LARGE)), Config(seed=1, population=12, generations=8, ceiling=True)
    seen, _ = asked(problem, RUNS["nsga2"], config)
    costs = macs(np.array(seen))[:, 0]
    losses = np.array([[-accuracy(g)[0], c] for g, c in zip(seen, costs, strict=True)])
    kept = np.arange(12)
    for generation in range(1, len(seen) // 12):
        kept = kept[nsga2.survivors(losses[kept], 12).rows]
        children = np.arange(12 * generation, 12 * generation + 12)
        assert costs[children].max() <= costs[kept].max()
        kept = np.concatenate([kept, children])
    free, _ = asked(problem, RUNS["nsga2"], dataclasses.replace(config, ceiling=False))
    assert seen != free


# NSGA-III


def three(space: Gated) -> Problem:
    """Three goals: accuracy, cost, and the number of a gene."""
    goals = (*OBJECTIVES, Objective("depth", exact=True))
    return Problem(space, goals, one_by_one(accuracy), lambda genes: np.hstack([macs(genes), genes[:, 2:3] * 1.0]))


@pytest.mark.parametrize("run", [RUNS["nsga2"], RUNS["nsga3"]])
def test_three_goals(run: Callable[..., Front]) -> None:
    """With half of the space as budget, the Pareto set of all."""
    space = Gated(MEDIUM)
    everything = space.everything()
    rows = [(-accuracy(g)[0], macs(np.array([g]))[0, 0], g[2]) for g in everything]
    pareto = {g for g, one in zip(everything, rows, strict=True) if not any(beats(other, one) for other in rows)}
    config = Config(seed=2, population=60, generations=1000, evaluations=len(everything) // 2)
    found = genomes(run(three(space), config))
    assert len(found & pareto) >= 0.98 * len(pareto)


def test_survivors_of_nsga3_are_pymoos() -> None:
    """Within pymoo's own algorithm, with the same generator."""
    from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
    from pymoo.core.population import Population
    from pymoo.util.ref_dirs import get_reference_directions

    ours = nsga3.Niches(3, 20)
    theirs = ReferenceDirectionSurvival(get_reference_directions("das-dennis", 3, n_partitions=4))
    for seed in range(5):
        losses = np.random.default_rng(seed).random((40, 3))
        rows = ours(losses, 20, np.random.default_rng(9)).rows
        expected = theirs.do(
            SimpleNamespace(has_constraints=lambda: False),
            Population.new(F=losses),
            n_survive=20,
            random_state=np.random.default_rng(9),
        )
        assert losses[rows].tolist() == expected.get("F").tolist()


@pytest.mark.parametrize(("goals", "population"), [(2, 40), (3, 40), (4, 100), (2, 2), (5, 3)])
def test_as_many_directions_as_the_population_serves(goals: int, population: int) -> None:
    parts = nsga3.partitions(goals, population)
    directions = [c for c in itertools.product(range(parts + 1), repeat=goals) if sum(c) == parts]
    more = [c for c in itertools.product(range(parts + 2), repeat=goals) if sum(c) == parts + 1]
    assert (len(directions) <= population or parts == 1) and (len(more) > population or parts == nsga3.MOST_PARTITIONS)


# aging


def one_goal(space: Gated) -> Problem:
    return Problem(space, OBJECTIVES[:1], one_by_one(accuracy))


@pytest.mark.parametrize("keep", [0.0, 0.25])
def test_aging_is_the_algorithm(keep: float) -> None:
    """Real et al. 2019, Algorithm 1, as a queue, with the same draws; the best share of the queue does not leave it."""
    config = Config(
        seed=3, population=8, generations=60, children=1, tournament=3, mutation_rate=0.3, crossover_rate=0, keep=keep
    )
    problem = one_goal(Gated(LARGE))
    seen, _ = asked(problem, RUNS["aging"], config)
    rng, pool, variation = np.random.default_rng(3), Pool(problem), Variation(problem, config)
    history = [tuple(row) for row in pool.draw(rng, 8).tolist()]
    queue = [(accuracy(genome)[0], genome) for genome in history]
    while len(history) < 8 + 59:
        child: Genes = np.empty((0, len(LARGE)), np.int16)
        while not len(child):
            sample = [queue[i] for i in rng.integers(0, len(queue), (1, 3))[0]]
            parent = max(sample, key=lambda member: member[0])
            child = pool.admit(variation.mutants(rng, np.array([parent[1]], np.int16)), 1, rng)
        history.append(tuple(child[0].tolist()))
        queue.append((accuracy(history[-1])[0], history[-1]))
        spared = sorted(queue, key=lambda member: -member[0])[: int(keep * 8)]
        queue.remove(next(member for member in queue if member not in spared))
    assert seen == history


def test_aging_under_a_budget_finds_the_best() -> None:
    space = Gated(LARGE, budget=60)
    best = max(accuracy(genome)[0] for genome in space.everything())
    config = Config(
        seed=0, population=20, generations=1000, evaluations=600, children=5, tournament=5, mutation_rate=0.15
    )
    front = RUNS["aging"](one_goal(space), config)
    assert front.members[0].values[0] == pytest.approx(best)
    assert front.evaluated == 600


def test_aging_with_two_parents() -> None:
    """Its children mix two members; the generation has the size that was asked for."""
    config = Config(seed=0, population=20, generations=4, children=7, tournament=2, crossover_rate=1.0)
    seen, front = asked(one_goal(Gated(LARGE)), RUNS["aging"], config)
    assert front.evaluated == len(seen) == 20 + 3 * 7 == config.total()


# exhaustive and local search


def test_exhaustive_is_the_enumeration() -> None:
    space = Gated(MEDIUM, budget=40)
    everything = space.everything()
    seen, front = asked(toy(space), RUNS["exhaustive"], Config(population=64, generations=10_000))
    assert seen == everything
    rows = [(-accuracy(g)[0], macs(np.array([g]))[0, 0]) for g in everything]
    assert genomes(front) == {g for g, r in zip(everything, rows, strict=True) if not any(beats(o, r) for o in rows)}


def test_local_search_reaches_the_optimum_of_a_separable_space() -> None:
    """One goal, the sum of one term a gene: every genome that is not the best has a better neighbour."""
    space = Gated((6,) * 8)
    problem = one_goal(space)
    best = tuple(max(range(6), key=lambda v: math.sin(1.7 * column + v) + v * 0.3) for column in range(2, 8))
    for seed in range(3):
        front = RUNS["local"](problem, Config(seed=seed, population=10, generations=10_000, evaluations=1200))
        assert front.evaluated < 1200, "it must stop by itself"
        assert {genome[2:] for genome in genomes(front)} == {best}


def test_local_search_ends_where_no_neighbour_is_better() -> None:
    space = Gated(MEDIUM)
    seen, front = asked(toy(space), RUNS["local"], Config(seed=1, population=16, generations=10_000))
    for genome in genomes(front):
        for column, count in enumerate(space.cardinalities):
            rows = [(*genome[:column], value, *genome[column + 1 :]) for value in range(count)]
            assert set(map(tuple, space.canonical(np.array(rows, np.int16)).tolist())) <= set(seen)
    assert len(seen) < len(space.everything())


# against chance


@pytest.mark.parametrize("run", [RUNS["nsga2"], RUNS["nsga3"], RUNS["local"]])
def test_more_hypervolume_than_random(run: Callable[..., Front]) -> None:
    """In each of five seeds, with the same budget."""
    for seed in range(5):
        config = Config(seed=seed, population=20, generations=15, evaluations=300, reference=(0.0, 180.0))
        found, drawn = (each(toy(Gated(LARGE)), config).hypervolume for each in (run, RUNS["random"]))
        assert found is not None and drawn is not None
        assert found > drawn


# operators and their options

TRIO = """
hrdsl 1
use std.blocks

cell plain(width, kernel = 3) { out = x -> conv(kernel, width) }
cell wide(width, expand = 1) { out = x -> conv(1, width * expand) -> relu -> conv(1, width) }
cell block(width) {
  body in {plain(kernel in {1, 3, 5}), wide(expand in {1, 2, 3, 4}), identity}
  out = x -> body -> relu
}

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 4)
  branch b at 1/1 { width = 4 }
  stage one on b {
    depth in 1..3
    cell = block
    times = depth
  }
  head = conv(1, width in {2, 4, 6, 8})
}

search front for s {
  maximize miou
  minimize macs
  strategy = nsga2(population = 8, generations = 4)
  split = one.depth
}
"""
LINKED = Linkage(lambda genes: np.stack([genes[:, 0] >= 0, genes[:, 0] == 0, genes[:, 0] == 1], axis=1), (0, 0, 0))
"""Gene 0 is an operator; gene 1 is an option of its value 0, gene 2 of its value 1."""


@dataclasses.dataclass(frozen=True)
class Operators(Gated):
    """A space with that operator, and as many free genes behind it as there are further cardinalities."""

    cardinalities: tuple[int, ...] = (3, 4, 5)

    def canonical(self, genes: Genes) -> Genes:
        genes = genes.copy()
        genes[genes[:, 0] != 0, 1] = 0
        genes[genes[:, 0] != 1, 2] = 0
        return genes


def linked(**more: Any) -> Problem:
    return Problem(Operators(), OBJECTIVES[:1], one_by_one(accuracy), linkage=dataclasses.replace(LINKED, **more))


def test_options_are_found_by_what_exists_together() -> None:
    """The depth adds blocks and owns none; a block's operator owns what only some of its values have."""
    space = compile_text(TRIO)
    paths = [d.path for d in space.graph.decisions]
    found = {paths[k]: paths[o] for k, o in enumerate(owners(space.graph.decisions, space.decisions.active)) if o != k}
    assert found == {
        f"one.b[{k}].block.{option}": f"one.b[{k}].block.body"
        for k in (1, 2, 3)
        for option in ("plain.kernel", "wide.expand")
    }


def test_mutation_draws_the_operator_then_its_options() -> None:
    """Every operator is equally likely, and with it every value of its options, whatever the parent was."""
    problem = linked()
    variation = Variation(problem, Config(mutation_rate=1.0))
    parents = np.tile(np.array([[0, 3, 0]], np.int16), (6000, 1))
    children = problem.space.canonical(variation.mutants(np.random.default_rng(0), parents))
    counts = Counter(map(tuple, children.tolist()))
    expected = (
        {(0, k, 0): 6000 / 12 for k in range(4)} | {(1, 0, k): 6000 / 15 for k in range(5)} | {(2, 0, 0): 6000 / 3}
    )
    assert set(counts) == set(expected)
    assert chisquare([counts[g] for g in expected], list(expected.values())).pvalue > 0.001


def test_mutation_of_an_operator_alone_redraws_its_options() -> None:
    """At a low rate, of the children with another operator none has all its options at the first value."""
    problem = linked()
    variation = Variation(problem, Config(mutation_rate=0.05))
    parents = np.tile(np.array([[0, 3, 0]], np.int16), (40_000, 1))
    children = problem.space.canonical(variation.mutants(np.random.default_rng(1), parents))
    moved = children[children[:, 0] == 1]
    counts = np.bincount(moved[:, 2], minlength=5)
    assert chisquare(counts).pvalue > 0.001
    same = children[(children[:, 0] == 0) & (children[:, 1] != 3)]
    expected = 40_000 * 3 / 4 * (0.05 / 3 + 0.95 * 0.05)
    assert len(same) == pytest.approx(expected, rel=0.1)


def test_mutation_follows_priors() -> None:
    """Decisions that a prior weighs are drawn as one, with its odds; every listed value stays reachable."""
    unit = Unit(np.array([0, 1]), np.array([[0, 2], [1, 0], [2, 1]], np.int16), np.array([0.2, 0.3, 0.5]))
    problem = Problem(
        Gated((3, 3, 4)), OBJECTIVES[:1], linkage=Linkage(lambda g: np.ones(g.shape, bool), range(3), (unit,))
    )
    variation = Variation(problem, Config(mutation_rate=0.5))
    children = variation.mutants(np.random.default_rng(0), np.tile(np.array([[0, 0, 0]], np.int16), (8000, 1)))
    changed = children[(children[:, :2] != 0).any(axis=1)][:, :2]
    counts = Counter(map(tuple, changed.tolist()))
    assert set(counts) == {(0, 2), (1, 0), (2, 1)}
    total = sum(counts.values())
    assert chisquare([counts[r] for r in ((0, 2), (1, 0), (2, 1))], [total * p for p in (0.2, 0.3, 0.5)]).pvalue > 0.001
    assert total == pytest.approx(8000 * 0.75, rel=0.05)


@pytest.mark.parametrize("pairing", ["two_point", "uniform"])
def test_crossover_keeps_operator_and_options_together(pairing: Any) -> None:
    """Parents with other operators: each child is one of them, options and all; with the same one, options mix."""
    variation = Variation(linked(), Config(pairing=pairing, crossover_rate=1.0, mutation_rate=0.0))
    rng, space = np.random.default_rng(0), Operators()
    mothers, fathers = (np.tile(np.array([g], np.int16), (500, 1)) for g in ((0, 3, 0), (1, 0, 4)))
    children = space.canonical(variation.children(rng, mothers, fathers))
    assert set(map(tuple, children.tolist())) == {(0, 3, 0), (1, 0, 4)}
    wide = dataclasses.replace(LINKED, exists=lambda g: np.stack([g[:, 0] >= 0] * 2 + [g[:, 0] == 1], axis=1))
    variation = Variation(linked(exists=wide.exists), Config(pairing=pairing, crossover_rate=1.0, mutation_rate=0.0))
    mothers, fathers = (np.tile(np.array([g], np.int16), (500, 1)) for g in ((0, 3, 0), (2, 1, 0)))
    both = variation.children(rng, mothers, fathers)[:, :2]
    assert set(map(tuple, both.tolist())) == {(0, 3), (2, 1)}, "an option that both operators have goes with its own"


def test_crossover_fills_what_one_parent_lacks_from_the_other() -> None:
    """A gate that only the father has open brings what the father has behind it, not the first value."""
    gate = Linkage(lambda g: np.stack([g[:, 0] >= 0, g[:, 0] > 0, g[:, 0] > 0], axis=1), range(3))
    problem = Problem(Gated((2, 5, 5)), OBJECTIVES[:1], linkage=gate)
    variation = Variation(problem, Config(pairing="uniform", crossover_rate=1.0, mutation_rate=0.0))
    mothers, fathers = (np.tile(np.array([g], np.int16), (300, 1)) for g in ((0, 0, 0), (1, 3, 2)))
    children = variation.children(np.random.default_rng(0), mothers, fathers)
    assert {tuple(c) for c in children.tolist() if c[0]} == {(1, 3, 2)}
    closed = variation.children(np.random.default_rng(0), mothers, mothers)
    assert len({tuple(c[1:]) for c in closed.tolist()}) == 25, "what neither has is drawn"


def test_the_number_of_routes_stays_reachable() -> None:
    """By mutation alone, from one route: two and three, as often as the prior says."""
    text = (Path(__file__).parents[1] / "examples/hyctas/space.arch").read_text()
    space = reduced(text)
    opens = [k for k, d in enumerate(space.graph.decisions) if d.path.endswith(".open")]
    units = linkage_of(space.decisions).units
    assert [sorted(u.columns.tolist()) for u in units] == [opens]
    problem = Problem(space.decisions, OBJECTIVES[:1], linkage=linkage_of(space.decisions))
    variation = Variation(problem, Config(mutation_rate=1.0))
    children = variation.mutants(
        np.random.default_rng(0), np.tile(space.decisions.smallest(), (3000, 1)).astype(np.int16)
    )
    yes = [space.graph.decisions[k].values.index(True) for k in opens]
    routes = np.bincount((children[:, opens] == yes).sum(axis=1), minlength=4)
    assert routes[0] == 0
    assert chisquare(routes[1:], 3000 * np.array([0.2, 0.3, 0.5])).pvalue > 0.001


# limits, cheapest first


def test_costs_before_limits_before_measurements() -> None:
    """What breaks a cost is never asked about latency; what breaks latency is never measured; nothing is asked twice."""
    space, slow, measured = Gated(LARGE, budget=45), list[Genome](), list[Genome]()

    def latency(genes: Genes) -> Floats:
        slow.extend(map(tuple, genes.tolist()))
        return genes[:, 4].astype(np.float64) - 1

    def measure(genome: Genome) -> Sequence[float]:
        measured.append(genome)
        return accuracy(genome)

    problem = dataclasses.replace(toy(space, measure), limits=latency)
    RUNS["nsga2"](problem, Config(population=20, generations=6))
    assert space.feasible(np.array(slow, np.int16)).all()
    assert set(measured) <= set(slow) and all(genome[4] <= 1 for genome in measured)
    accepted = [genome for genome in slow if genome[4] <= 1]
    assert len(accepted) == len(set(accepted)) == len(measured)


# searches in parts


def reduced(text: str) -> Compiled:
    from hrdsl.compiler.api import compile_module
    from hrdsl.dsl.diagnostic import Source
    from hrdsl.dsl.modules import load_source

    small = {"height": 64, "columns": 64, "layers": 6, "filters": 4}
    return compile_module(load_source(Source("space.arch", text)), settings=small)


def run_of(space: Compiled, name: str | None = None) -> Run:
    run = space.run("search", name)
    assert run is not None
    return run


def explored(space: Compiled, study: Study | None = None, measure: Any = None, heard: Any = None, **more: Any) -> Any:
    run = run_of(space)
    bound = space.restricted(run.name)
    config = dataclasses.replace(config_of(run, bound, 1), **more)
    problem = problem_of(bound, run, one_by_one(measure or scored))
    return explore(bound.parts(run.name), run, problem, config, study, heard)


def scored(genome: Genome) -> Sequence[float]:
    return (accuracy(genome)[0] / 100,)


def test_a_search_for_each_value() -> None:
    space = compile_text(TRIO)
    heard: list[Progress] = []
    found = explored(space, heard=heard.append)
    depth = next(d for d in space.graph.decisions if d.path == "one.depth")
    assert list(found.parts) == ["1", "2", "3"]
    for value, front in found.parts.items():
        assert front.members and front.evaluated == 32
        assert {depth.values[m.genome[depth.index]] for m in front.members} == {int(value)}
    together = [m for front in found.parts.values() for m in front.members]
    rows = [(-m.values[0], m.values[1]) for m in together]
    best = {m.genome for m, row in zip(together, rows, strict=True) if not any(beats(other, row) for other in rows)}
    assert genomes(found.front) == best
    assert found.front.evaluated == 96
    assert [(s.part, s.generation, s.evaluated, s.total) for s in heard][3:6] == [
        ("1", 4, 32, 96),
        ("2", 5, 40, 96),
        ("2", 6, 48, 96),
    ]
    volumes = [s.hypervolume for s in heard]
    assert volumes == sorted(volumes) and volumes[-1] == found.front.hypervolume


def test_each_part_is_the_search_of_that_value() -> None:
    """As if the text required the value."""
    whole = explored(compile_text(TRIO))
    alone = compile_text(TRIO.replace("split = one.depth", "require one.depth == 2"))
    part = explored(alone, reference=config_of(run_of(compile_text(TRIO)), compile_text(TRIO), 1).reference)
    assert part.front == whole.parts["2"] == part.parts[""]


def test_a_split_search_goes_on_anywhere(tmp_path: Path) -> None:
    space = compile_text(TRIO)
    config = config_of(run_of(space), space, 1)
    identity = identify("space", objectives_of(run_of(space)), config, "nsga2")

    def searched(path: Path, measure: Any) -> Any:
        with Study(path, identity) as study:
            return explored(space, study, measure)

    whole = searched(tmp_path / "whole", scored)
    for at in (0, 7, 31, 32, 33, 70):
        path = tmp_path / str(at)
        with pytest.raises(Stop):
            searched(path, stopping(at, scored))
        assert searched(path, scored) == whole
        assert table(path) == table(tmp_path / "whole")
    rows = read(tmp_path / "whole")[1]
    assert [row.position for row in rows] == list(range(96))
    assert max(row.generation for row in rows) == 12


def test_the_parts_of_hyctas() -> None:
    """One, two and three routes, each of them: 3 x 20 x 40 evaluations in all."""
    text = (Path(__file__).parents[1] / "examples/hyctas/space.arch").read_text()
    space = reduced(text)
    run = run_of(space, "published")
    bound = space.restricted(run.name)
    parts = bound.parts(run.name)
    assert list(parts) == ["1", "2", "3"]
    counts = [part.decisions.count() for part in parts.values()]
    assert all(c.exact for c in counts)
    assert sum(c.value for c in counts) == space.decisions.count().value
    config = config_of(run, bound, None)
    assert len(parts) * config.total() == 2400
    assert (config.ceiling, config.crossover_rate, config.mutation_rate) == (True, 0.9, 0.02)


def test_a_part_that_costs_too_much_is_left_out() -> None:
    text = TRIO.replace("minimize macs", "minimize macs\n  require macs <= 40k")
    found = explored(compile_text(text))
    assert found.parts["1"].members
    assert all(m.values[1] <= 40_000 for front in found.parts.values() for m in front.members)


def test_a_part_without_architectures_is_empty() -> None:
    text = TRIO.replace("identity}", "plain(kernel = 7)}").replace(
        "minimize macs", "minimize macs\n  require macs <= 37k"
    )
    found = explored(compile_text(text))
    assert [bool(front.evaluated) for front in found.parts.values()][-1] is False


# starting from what is there


def studied(space: Compiled, folder: Path) -> Front:
    found: Front = explored(space, generations=2).front
    starting.write_choices(space, objectives_of(run_of(space)), found, folder)
    return found


def test_a_search_starts_from_a_study(tmp_path: Path) -> None:
    """The front of the same space, in its order, after the ends of the space."""
    space = compile_text(TRIO.replace("split = one.depth", ""))
    front = studied(space, tmp_path)
    begun = starting.starts(space, [tmp_path], seed=0)
    assert begun == tuple(m.genome for m in front.members)
    run, seen = run_of(space), list[Genome]()

    def measure(genome: Genome) -> Sequence[float]:
        seen.append(genome)
        return scored(genome)

    explore({"": space}, run, problem_of(space, run, one_by_one(measure)), config_of(run, space, 0), starts=begun)
    ends = (space.decisions.smallest(), space.decisions.largest())
    first = list(dict.fromkeys((*ends, *begun)))[:8]
    assert len(first) > 3 and seen[: len(first)] == first


def test_a_search_starts_from_another_version_of_its_space(tmp_path: Path) -> None:
    """What has the same name and label is taken over; what is new is drawn; what is gone does not matter."""
    old = compile_text(TRIO)
    front = studied(old, tmp_path)
    new = compile_text(
        TRIO.replace("depth in 1..3", "depth in 2..4").replace("width in {2, 4, 6, 8}", "width in {4, 6, 8, 10}")
    )
    begun = starting.starts(new, [tmp_path], seed=0)
    assert new.decisions.feasible(np.array(begun, np.int16)).all()
    assert begun == starting.starts(new, [tmp_path], seed=0)
    drawn = set()
    for member, genome in zip(front.members, begun, strict=False):
        before, after = old.decisions.labels(member.genome), new.decisions.labels(genome)
        if before["one.depth"] in ("2", "3"):
            assert after["one.depth"] == before["one.depth"]
            kept = {path: label for path, label in before.items() if "block" in path and path in after}
            assert all(after[path] == label for path, label in kept.items())
        drawn.add(after["one.depth"])
    assert drawn


def test_a_search_starts_from_a_found_network(tmp_path: Path) -> None:
    space = compile_text(TRIO)
    genome = space.decisions.sample(np.random.default_rng(4), 1)[0]
    path = tmp_path / "net.arch"
    path.write_text(found_text(space, tuple(genome.tolist()), ["found"]))
    assert starting.starts(space, [path], seed=0) == (tuple(genome.tolist()),)


def test_a_start_that_breaks_a_constraint_is_mended(tmp_path: Path) -> None:
    space = compile_text(TRIO)
    studied(space, tmp_path)
    bound = compile_text(TRIO.replace("minimize macs", "minimize macs\n  require one.depth == 1 and macs <= 60k"))
    begun = starting.starts(bound.restricted("front"), [tmp_path], seed=0)
    assert begun and bound.restricted("front").decisions.feasible(np.array(begun, np.int16)).all()


def test_a_study_remembers_what_it_started_from(tmp_path: Path) -> None:
    config = Config(population=4, generations=2)
    Study(tmp_path / "s", identify("space", OBJECTIVES, config, "nsga2", [(1, 2)])).close()
    with pytest.raises(StudyError, match=r'from was ".*" and is null'):
        Study(tmp_path / "s", identify("space", OBJECTIVES, config, "nsga2"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{}", "is not the front of a search"),
        ("[", "is not the front of a search"),
        ('{"networks": [{"choices": 3}]}', "is not the front of a search"),
        ('{"networks": []}', "the front is empty"),
        ('{"networks": [{"choices": {"other.kernel": "3"}}]}', "its decisions have other names"),
    ],
)
def test_what_is_no_start(content: str, why: str, tmp_path: Path) -> None:
    (tmp_path / starting.FRONT).write_text(content)
    for source in (tmp_path, tmp_path / starting.FRONT):
        with pytest.raises(RunError, match=why):
            starting.starts(compile_text(TRIO), [source], seed=0)


def test_where_no_start_is(tmp_path: Path) -> None:
    space = compile_text(TRIO)
    with pytest.raises(RunError, match="is it a study"):
        starting.starts(space, [tmp_path], seed=0)
    with pytest.raises(RunError, match="there is no such file"):
        starting.starts(space, [tmp_path / "none.json"], seed=0)
    several = tmp_path / "several.arch"
    several.write_text(TRIO)
    with pytest.raises(RunError, match="more than one architecture"):
        starting.starts(space, [several], seed=0)
    other = tmp_path / "other.arch"
    other.write_text("hrdsl 1\nspace t {\n  input = [3, 8, 8]\n  head = conv(3, width = 2)\n}\n")
    with pytest.raises(RunError, match="is no architecture of space `s` as it is now"):
        starting.starts(space, [other], seed=0)


def test_the_front_on_disk_is_what_was_found(tmp_path: Path) -> None:
    space = compile_text(TRIO)
    front = studied(space, tmp_path)
    rows = json.loads((tmp_path / starting.FRONT).read_text())["networks"]
    assert [space.decisions.read(row["choices"]) for row in rows] == [m.genome for m in front.members]
    assert [tuple(row["values"].values()) for row in rows] == [m.values for m in front.members]


# what cannot be


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("nsga2(population = 8, generations = 4)", "aging", "aging evolution has one goal, not 2"),
        ("nsga2(population = 8, generations = 4)", "nsga2(weights = [1, 2, 3])", "3 weights for 2 goals"),
        ("nsga2(population = 8, generations = 4)", "nsga2(weights = [0, 0])", "all weights are zero"),
        ("nsga2(population = 8, generations = 4)", "nsga2(weights = [-1, 1])", "at least 0 is needed"),
        ("nsga2(population = 8, generations = 4)", "nsga2(weights = 2)", "a list of numbers is needed"),
        (
            "nsga2(population = 8, generations = 4)",
            "nsga2(pairing = one_point)",
            "one of `two_point`, `uniform` is needed",
        ),
        (
            "minimize macs\n  strategy = nsga2(population = 8, generations = 4)",
            "strategy = nsga2(ceiling = true)",
            "a ceiling needs a cost that is minimised",
        ),
        (
            "minimize macs\n  strategy = nsga2(population = 8, generations = 4)",
            "strategy = nsga3",
            "at least two goals",
        ),
    ],
)
def test_strategies_that_cannot_be(old: str, new: str, why: str) -> None:
    assert old in TRIO
    with pytest.raises(ArchError) as fault:
        compile_text(TRIO.replace(old, new))
    (found,) = fault.value.found
    assert found.code == "E501" and why in found.title


@pytest.mark.parametrize(
    ("split", "code", "why"),
    [
        ("macs", "E", ""),
        ("3", "E", ""),
        ("missing.name", "E", ""),
    ],
)
def test_splits_that_cannot_be(split: str, code: str, why: str) -> None:
    with pytest.raises(ArchError) as fault:
        compile_text(TRIO.replace("split = one.depth", f"split = {split}"))
    assert all(d.code.startswith(code) and why in d.title for d in fault.value.found)


def test_splits_whose_values_are_not_everywhere() -> None:
    text = TRIO.replace("split = one.depth", "split = one.b[2].block.plain.kernel")
    try:
        space = compile_text(text)
    except ArchError:
        return
    with pytest.raises(ArchError, match="some architectures lack what it reads"):
        space.restricted("front").parts("front")


def test_too_many_to_ask_them_all() -> None:
    text = TRIO.replace("nsga2(population = 8, generations = 4)", "exhaustive(most = 100)")
    space = compile_text(text)
    with pytest.raises(ArchError) as fault:
        config_of(run_of(space), space, None)
    assert "architectures; at most 100 are evaluated one and all" in fault.value.found[0].title


def test_all_of_a_small_space() -> None:
    text = TRIO.replace("nsga2(population = 8, generations = 4)", "exhaustive").replace("1..3", "1..2")
    space = compile_text(text)
    seen = list[Genome]()

    def measure(genome: Genome) -> Sequence[float]:
        seen.append(genome)
        return scored(genome)

    found = explored(space, measure=measure)
    assert found.front.evaluated == len(seen) == space.decisions.count().value
    assert set(seen) == set(space.decisions.enumerate())
