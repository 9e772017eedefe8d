"""What a training draws: by exact counts, by enumeration of small spaces, and by chi-squared tests of whole runs."""

from collections import Counter, defaultdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.ends import Ends, active, by_cost
from hrdsl.compiler.vector import Evaluation
from hrdsl.dsl.settings import Chosen, completed
from hrdsl.runtime.sampling import Sampler, operators

from .spaces import SPACES, compile_text

ROOT = Path(__file__).parents[1]
UNLIKELY = 1e-3
SMALL = {"dense": True, "classes": 5, "size": 64, "base": 32, "splits": (1, 2)}
PLAIN = """hrdsl 1

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width in {4, 8, 12, 16, 20} }
  stage a on main {
    kernel in {1, 3, 5}
    cell = conv(kernel, width)
    times in 1..2
  }
  stage b on main { cell in {conv(1, width), conv(3, width)} }
  head = conv(1, width = 11)
}
"""


@cache
def space(name: str) -> Compiled:
    return compile_text(PLAIN if name == "plain" else SPACES[name])


@cache
def trionet() -> Compiled:
    return compile_file(ROOT / "examples" / "trionet" / "space.arch", settings=SMALL)


@cache
def hyctas(layers: int) -> Compiled:
    sizes = {"classes": 11, "height": 64, "columns": 64, "layers": layers, "twelfths": (4, 12)}
    return compile_file(ROOT / "examples" / "hyctas" / "space.arch", settings=sizes)


def sampler(compiled: Compiled, sample: str, steps: int = 100, widen: int = 1, **options: Any) -> Sampler:
    chosen = {"sample": Chosen(sample, options), "steps": steps, "widen": widen, "seed": 3}
    return Sampler(compiled, completed("train", chosen))


def weight(compiled: Compiled, genes: Any) -> float:
    costs = compiled.costs.one(genes)
    return float(costs["macs"]) + costs["parameters"] * 1e-6


# priors, as a run draws them


def routes(compiled: Compiled, rows: Any) -> list[int]:
    (prior,) = compiled.graph.priors
    found: list[int] = Evaluation(np.array(rows, np.int16))(prior.quantity).tolist()
    return found


@pytest.mark.parametrize("operators", ["each", "same"])
def test_number_of_routes(operators: str) -> None:
    """0.2, 0.3, 0.5 (HyCTAS, Eq. 2), for the architectures of a training run."""
    name, more = ("single", {}) if operators == "each" else ("sandwich", {"operators": operators, "random": 1})
    draw = sampler(hyctas(4), name, 900, **more)
    middle = [drawn[len(drawn) // 2] for drawn in map(draw, range(900))]
    seen = Counter(routes(hyctas(4), middle))
    assert chisquare([seen[k] for k in (1, 2, 3)], [180, 270, 450]).pvalue > UNLIKELY


def test_without_priors() -> None:
    """Uniform over the architectures, which are counted one by one."""
    small = hyctas(3)
    drawn = [draw[0] for draw in map(sampler(small, "single", priors=False), range(900))]
    every = Counter(routes(small, list(small.decisions.enumerate())))
    seen = Counter(routes(small, drawn))
    counted, wanted = ([found[k] for k in sorted(every)] for found in (seen, every))
    assert len(every) > 1
    assert chisquare(counted, 900 * np.array(wanted) / sum(wanted)).pvalue > UNLIKELY
    assert abs(seen[1] - 900 * 2 / 5) > 100


@pytest.mark.parametrize(("priors", "shares"), [(True, (1, 1, 1)), (False, (6, 48, 16))])
@pytest.mark.parametrize("name", ["single", "sandwich"])
def test_operators_of_trionet(name: str, priors: bool, shares: tuple[int, ...]) -> None:
    """Hierarchical: each operator as often; flat: as often as it has options (Sun et al. 2021, Section 3.3)."""
    more = {"operators": "same", "random": 1} if name == "sandwich" else {}
    draw, steps = sampler(trionet(), name, priors=priors, **more), 150
    rows = np.array([drawn[len(drawn) // 2] for drawn in map(draw, range(steps))])
    there = active(trionet().decisions, rows)
    for block in operators(trionet().graph.decisions):
        seen = np.bincount(rows[there[:, block], block], minlength=3)
        assert chisquare(seen, seen.sum() * np.array(shares) / sum(shares)).pvalue > UNLIKELY / 14


# the sandwich


@pytest.mark.parametrize("compiled", [trionet, lambda: hyctas(6)], ids=["trionet", "hyctas"])
def test_the_same_cells(compiled: Any) -> None:
    """Whatever two architectures of a step compute, they choose the same cell for; the ends are ends."""
    made = compiled()
    cells = operators(made.graph.decisions)
    draw = sampler(made, "sandwich", operators="same", random=3)
    seen = set()
    for step in range(12):
        rows = np.array(draw(step))
        there = active(made.decisions, rows)
        assert made.decisions.feasible(rows).all()
        assert len(rows) == 5
        for d in cells:
            assert len(set(rows[there[:, d], d].tolist())) <= 1
        weights = [weight(made, row) for row in rows]
        assert weights[0] == max(weights)
        assert weights[-1] == min(weights)
        seen |= set(map(tuple, rows.tolist()))
    assert len(seen) > 50


def test_options_are_uniform_given_the_cells() -> None:
    """Depths, and the options of each operator, over a run of sandwiches."""
    draw = sampler(trionet(), "sandwich", operators="same", random=2)
    rows = np.array([genes for step in range(150) for genes in draw(step)[1:3]])
    there = active(trionet().decisions, rows)
    values = []
    for d in trionet().graph.decisions:
        if d.index in operators(trionet().graph.decisions):
            continue
        seen = np.bincount(rows[there[:, d.index], d.index], minlength=len(d))
        assert seen.sum() > 20
        values.append(chisquare(seen).pvalue)
    assert min(values) > UNLIKELY / len(values)


def groups(compiled: Compiled) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """Every architecture, under each choice of cells that agrees with those it computes."""
    decisions = compiled.decisions
    cells = operators(decisions.decisions)
    rows = list(decisions.enumerate())
    there = active(decisions, np.array(rows, np.int16))
    found = defaultdict(list)
    for row, known in zip(rows, there, strict=True):
        for codes in product(*([row[d]] if known[d] else range(decisions.cardinalities[d]) for d in cells)):
            found[codes].append(row)
    return found


@pytest.mark.parametrize("name", [*SPACES, "plain"])
def test_ends_with_given_cells(name: str) -> None:
    """Against all architectures with those cells."""
    made = space(name)
    cells = operators(made.graph.decisions)
    ends = Ends(made.decisions, cells, by_cost(made.decisions))
    every = groups(made)
    rng = np.random.default_rng(1)
    for place in rng.permutation(len(every))[:40]:
        codes = list(every)[place]
        rows = every[codes]
        full = np.array(rows, np.int16)
        full[:, list(cells)] = codes
        weights = [weight(made, row) for row in rows]
        small, large = ends(codes, full)
        assert {tuple(small.tolist()), tuple(large.tolist())} <= set(rows)
        assert weight(made, small) == min(weights)
        assert weight(made, large) == max(weights)


def test_ends_depend_on_the_cells_alone() -> None:
    """Whatever was asked before."""
    draw, again = (sampler(trionet(), "sandwich", operators="same") for _ in range(2))
    for step in range(6):
        draw(step)
    assert [draw(k) for k in (7, 2)] == [again(k) for k in (7, 2)]


@pytest.mark.parametrize(("sample", "count"), [("single", 1), ("sandwich", 4), ("fair", 1)])
def test_nothing_to_draw(sample: str, count: int) -> None:
    made = compile_text("hrdsl 1\n\nspace s {\n  input = [3, 16, 16]\n  head = conv(1, width = 4)\n}\n")
    options = {"operators": "same"} if sample == "sandwich" else {}
    assert sampler(made, sample, widen=2, **options)(60) == [()] * count


@pytest.mark.parametrize("numbers", [True, False])
def test_cells_alone_and_no_cells(numbers: bool) -> None:
    """Without cells the ends are those of the space; with nothing else, all of a step are one."""
    text = PLAIN.replace(
        "b on main { cell in {conv(1, width), conv(3, width)} }", "b on main { cell = conv(1, width) }"
    )
    if not numbers:
        text = PLAIN.replace("{4, 8, 12, 16, 20}", "{4}").replace("{1, 3, 5}", "{3}").replace("1..2", "{2}")
    made = compile_text(text)
    for step in range(5):
        found = sampler(made, "sandwich", operators="same")(step)
        if numbers:
            assert (found[0], found[-1]) == (made.decisions.largest(), made.decisions.smallest())
        else:
            assert len(set(found)) == 1


# strict fairness


@pytest.mark.parametrize(
    "compiled", [trionet, lambda: hyctas(4), lambda: space("plain")], ids=["trionet", "hyctas", "plain"]
)
@pytest.mark.parametrize("widen", [1, 3])
def test_fair(compiled: Any, widen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before inactive decisions are cleared, two values were drawn equally often, or one once more, at any time."""
    made = compiled()
    draw = sampler(made, "fair", 21, widen)
    for phase in range(widen):
        opened = draw._phase(phase)
        monkeypatch.setattr(opened.decisions, "canonical", lambda rows: rows)
        monkeypatch.setattr(opened.decisions, "feasible", lambda rows: np.ones(len(rows), bool))
    most = max(len(d) for d in made.graph.decisions)
    counts = [Counter[int]() for _ in made.graph.decisions]
    for step in range(21 // widen):
        rows = np.array(draw(step))
        assert len(rows) == most if widen == 1 else len(rows) <= most
        for d, column in zip(made.graph.decisions, rows.T.tolist(), strict=True):
            opened = draw._phase(0).order[d.index].tolist()
            counts[d.index].update(column)
            assert set(column) <= set(opened)
            seen = [counts[d.index][code] for code in opened]
            assert max(seen) - min(seen) <= 1
            if widen == 1 and most % len(d) == 0:
                assert set(Counter(column).values()) == {most // len(d)}


@pytest.mark.parametrize("compiled", [trionet, lambda: hyctas(6), *(lambda n=n: space(n) for n in SPACES)])
def test_fair_meets_the_constraints(compiled: Any) -> None:
    made = compiled()
    draw = sampler(made, "fair", 5)
    for step in range(5):
        rows = np.array(draw(step), np.int16)
        assert made.decisions.feasible(rows).all()
        assert (made.decisions.canonical(rows) == rows).all()


# widening


def test_order_of_values() -> None:
    """More width, a larger kernel and more layers cost more; a cheaper cell comes first."""
    order = {
        d.path: [d.labels[c] for c in codes]
        for d, codes in zip(space("plain").graph.decisions, by_cost(space("plain").decisions), strict=True)
    }
    assert order == {
        "main.width": ["4", "8", "12", "16", "20"],
        "a.kernel": ["1", "3", "5"],
        "a.times": ["1", "2"],
        "b.cell": ["conv", "conv2"],
    }


@pytest.mark.parametrize("sample", ["single", "sandwich", "fair"])
def test_phases(sample: str) -> None:
    """Of 3 phases, the first has a third of the values, the dearest; cells are open at all times."""
    made = space("plain")
    decisions = made.graph.decisions
    draw = sampler(made, sample, 300, 3)
    for phase in range(3):
        rows = np.array([genes for step in range(100 * phase, 100 * phase + 60) for genes in draw(step)])
        for d in decisions:
            least = 0 if "cell" in d.path else len(d) - -(-len(d) * (phase + 1) // 3)
            assert set(rows[:, d.index].tolist()) == set(range(least, len(d))), (phase, d.path)


def test_ends_of_a_phase() -> None:
    made = space("plain")
    draw = sampler(made, "sandwich", 300, 3)
    every = np.array(list(made.decisions.enumerate()))
    least = [0 if "cell" in d.path else len(d) - -(-len(d) // 3) for d in made.graph.decisions]
    opened = every[(every >= least).all(axis=1)]
    weights = [weight(made, row) for row in opened]
    first = draw(0)
    assert (weight(made, first[0]), weight(made, first[-1])) == (max(weights), min(weights))


@pytest.mark.parametrize("sample", ["single", "fair"])
def test_a_phase_without_architectures(sample: str) -> None:
    """Gives way to the next one."""
    made = compile_text(PLAIN.replace("head =", "require main.width <= 12\n  head ="))
    draw = sampler(made, sample, 300, 5)
    (width,) = (d.index for d in made.graph.decisions if d.path == "main.width")
    widths = [{g[width] for step in range(60 * k, 60 * k + 30) for g in draw(step)} for k in range(5)]
    assert widths == [{2}, {2}, {2}, {1, 2}, {0, 1, 2}]


def test_phases_keep_priors_and_constraints() -> None:
    made = hyctas(6)
    draw = sampler(made, "single", 60, 3)
    rows = np.array([draw(step)[0] for step in range(60)], np.int16)
    assert made.decisions.feasible(rows).all()
    assert set(routes(made, rows[:20])) == {3}
    assert set(routes(made, rows[40:])) == {1, 2, 3}
