"""How far a search can be trusted: coefficients against their definitions, samples, reports, the commands. A script: one killed run."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.problem import Config, Evaluation, Objective, Problem, one_by_one
from hrdsl.runtime.search.study import Identity, Row, Study
from hrdsl.runtime.trust import agreement as trust
from hrdsl.runtime.trust import comparison, sampling
from hrdsl.runtime.trust.summary import summary

TINY = Path(__file__).parent / "tiny" / "two.arch"
ROOT = Path(__file__).resolve().parent.parent
Command = tuple[int, dict[str, Any]]


def command(capsys: pytest.CaptureFixture[str], *words: object) -> Command:
    """One command with --json: its status and its object."""
    capsys.readouterr()
    status = main([*map(str, words), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def space() -> Compiled:
    return compile_file(TINY)


# coefficients ------------------------------------------------------------------------------------------------------


def plain_regret(x: Sequence[float], y: Sequence[float], top: int) -> float:
    """The worst over all orders in which `x` falls."""
    orders = [o for o in itertools.permutations(range(len(x))) if all(x[a] >= x[b] for a, b in itertools.pairwise(o))]
    return max(max(y) - max(y[k] for k in order[:top]) for order in orders)


@pytest.mark.parametrize("seed", range(20))
def test_coefficients_are_their_definitions_in_every_draw(seed: int) -> None:
    """Ties and all, over the networks that a draw repeats or leaves out; scipy is the truth."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 16))
    x, y = rng.integers(0, 6, (2, count)) / 7
    weights = rng.multinomial(count, np.full(count, 1 / count), 8).astype(float)
    weights[0] = 1
    found = {name: of(x, y, weights) for name, of in trust.statistics(count).items()}
    for row, counts in enumerate(weights):
        a, b = (np.repeat(values, counts.astype(int)) for values in (x, y))
        for name, of in (("tau", stats.kendalltau), ("rho", stats.pearsonr), ("spearman", stats.spearmanr)):
            want = of(a, b).statistic if len(set(a)) > 1 < len(set(b)) else math.nan
            assert found[name][row] == pytest.approx(want, nan_ok=True)
        if count <= 6:
            assert found["regret_1"][row] == pytest.approx(plain_regret(a.tolist(), b.tolist(), 1))
            assert found["regret_3"][row] == pytest.approx(plain_regret(a.tolist(), b.tolist(), 3))


def test_regret_of_a_perfect_and_of_a_reversed_ranking() -> None:
    true, once = np.array([0.1, 0.2, 0.3, 0.4]), np.ones((1, 4))
    assert trust.regret(true, true, once, 1) == 0
    assert trust.regret(-true, true, once, 1) == pytest.approx(0.3)
    assert trust.regret(-true, true, once, 3) == pytest.approx(0.1)


def test_lists_that_are_all_the_same_correlate_with_nothing() -> None:
    found = trust.agreement([0.1] * 7, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    for name in ("tau", "rho", "spearman"):
        assert math.isnan(found[name].value) and math.isnan(found[name].low)
    assert found["regret_1"].value == pytest.approx(0.6)


def test_intervals_hold_the_value_and_shrink_with_more_networks() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for count in (10, 200):
        x = rng.normal(size=count)
        y = x + rng.normal(size=count)
        found = trust.agreement(x.tolist(), y.tolist(), seed=1)
        assert all(e.low <= e.value <= e.high for name, e in found.items() if name in ("tau", "rho", "spearman"))
        assert found == trust.agreement(x.tolist(), y.tolist(), seed=1)
        widths.append(found["rho"].high - found["rho"].low)
    assert widths[1] < widths[0] / 2


def test_the_bootstrap_interval_of_rho_is_near_fishers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)
    found = trust.agreement(x.tolist(), y.tolist())["rho"]
    low, high = (math.tanh(math.atanh(found.value) + side * 1.96 / math.sqrt(397)) for side in (-1, 1))
    assert found.low == pytest.approx(low, abs=0.02) and found.high == pytest.approx(high, abs=0.02)


def test_students_interval() -> None:
    found = trust.mean([1.0, 2.0, 3.0])
    assert found.value == 2 and found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert math.isnan(trust.mean([1.0]).low)


# samples -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", sampling.SAMPLES)
def test_samples_are_different_feasible_and_a_function_of_the_seed(space: Compiled, sample: str) -> None:
    found = sampling.chosen(space, 8, 3, sample)
    assert len(set(found)) == 8 and space.decisions.feasible(np.array(found, np.int16)).all()
    assert found == sampling.chosen(space, 8, 3, sample) != sampling.chosen(space, 8, 4, sample)


def test_a_larger_sample_begins_with_the_smaller(space: Compiled) -> None:
    assert sampling.chosen(space, 9, 0, "prior")[:4] == sampling.chosen(space, 4, 0, "prior")


def test_shares_of_macs_spread_over_the_space(space: Compiled) -> None:
    macs = [space.costs.one(g)["macs"] for g in sampling.chosen(space, 6, 0, "macs")]
    every = sorted(space.costs.one(g)["macs"] for g in space.decisions.enumerate())
    assert macs == sorted(macs)
    assert macs[0] <= every[len(every) // 3] and macs[-1] >= every[2 * len(every) // 3]


def test_a_space_with_too_few_networks_says_how_many(space: Compiled) -> None:
    count = int(space.decisions.count().value)
    with pytest.raises(RunError, match=f"hold {count} different"):
        sampling.chosen(space, count + 1, 0, "prior")


# comparison --------------------------------------------------------------------------------------------------------


class Grid:
    """Two genes of 0..19."""

    cardinalities = (20, 20)

    def sample(self, rng: np.random.Generator, count: int) -> Any:
        return rng.integers(0, 20, (count, 2)).astype(np.int16)

    def canonical(self, genes: Any) -> Any:
        return genes

    def feasible(self, genes: Any) -> Any:
        return np.ones(len(genes), bool)

    def repair(self, genes: Any, rng: np.random.Generator) -> Any:
        return genes


GOALS = (Objective("miou", maximize=True), Objective("macs", exact=True))


def grid(calls: list[tuple[int, ...]]) -> Problem:
    """Accuracy falls with the distance of the genes from each other; the first costs."""

    def measure(genome: tuple[int, ...]) -> list[float]:
        calls.append(genome)
        return [genome[0] / 20 - abs(genome[0] - genome[1]) / 40]

    return Problem(Grid(), GOALS, one_by_one(measure), lambda genes: genes[:, :1].astype(float))


def test_a_comparison_measures_each_genome_once_and_resumes(tmp_path: Path) -> None:
    configs = {s: Config(seed=s, population=10, generations=4, reference=(0.0, 20.0)) for s in (0, 1)}
    calls: list[tuple[int, ...]] = []
    problem = grid(calls)
    found = comparison.compare(problem, "nsga2", nsga2.engine, configs, 2, tmp_path, "x")
    assert len(calls) == len(set(calls))
    ours, other = found.races
    assert (ours.evaluations, other.evaluations) == (40, 80)
    assert {len(rows) for rows in ours.rows.values()} == {40} and {len(r) for r in other.rows.values()} == {80}
    before = len(calls)
    again = comparison.compare(problem, "nsga2", nsga2.engine, configs, 2, tmp_path, "x")
    assert len(calls) == before and again == found
    for seed, rows in ours.rows.items():
        assert found.finals["nsga2"][seed] == pytest.approx(area([r.evaluation.values for r in rows]) / 20)
        assert found.needed[seed] == first(rows, found.finals["random"][seed])
    gains = [found.finals["nsga2"][s] - found.finals["random"][s] for s in (0, 1)]
    assert found.difference.value == pytest.approx(sum(gains) / 2)
    assert found.curves["nsga2"][-1][1].value == pytest.approx(sum(found.finals["nsga2"].values()) / 2)
    assert all(a[1].value <= b[1].value + 1e-12 for a, b in itertools.pairwise(found.curves["random"]))


def area(values: Sequence[tuple[float, ...]]) -> float:
    """What accuracies and costs dominate up to (0, 20), cost by cost."""
    return sum(max([0.0, *(a for a, c in values if c <= at)]) for at in range(20))


def first(rows: Sequence[Row], goal: float) -> int | None:
    return next((k for k in range(1, len(rows) + 1) if area([r.evaluation.values for r in rows[:k]]) / 20 > goal), None)


# what is in a study ------------------------------------------------------------------------------------------------


def test_a_summary_counts_failures_and_follows_the_front(tmp_path: Path) -> None:
    answers = [
        ((0, 1), Evaluation((0.5, 10.0), None, 1.0), 1),
        ((1, 1), Evaluation((), "miou is nan", 0.5), 1),
        ((2, 1), Evaluation((0.7, 20.0), None, 1.0), 2),
        ((3, 1), Evaluation((0.6, 30.0), None, 1.0), 2),
        ((4, 1), Evaluation((), "miou is nan", 0.5), 2),
        ((5, 1), Evaluation((0.9, 5.0), None, 1.0, 100), 2),
    ]
    with Study(tmp_path / "study.sqlite", Identity("space", 7, ("max miou", "min macs"), {"engine": "nsga2"})) as study:
        for position, (genome, answer, generation) in enumerate(answers):
            study.add(position, genome, answer, generation)
        found = summary(tmp_path)  # The search still holds its lock.
    assert [found[k] for k in ("evaluated", "failed", "estimated", "seconds")] == [6, 2, 1, 5.0]
    assert found["failures"] == [{"reason": "miou is nan", "count": 2}]
    assert [m["genome"] for m in found["front"]] == [[2, 1], [0, 1]]
    one, two = found["generations"]
    assert (one["evaluated"], one["failed"], one["front"], one["hypervolume"]) == (2, 1, 1, 0.0)
    assert (two["evaluated"], two["failed"], two["front"], two["best"]) == (4, 1, 2, [0.7, 20.0])
    assert two["hypervolume"] == pytest.approx(0.5)


# commands ----------------------------------------------------------------------------------------------------------


def test_correlate_trains_keeps_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study"
    words = ("study", "correlate", TINY, "--study", study, "--cache", tmp_path, "--device", "cpu", "--steps", 3)
    status, few = command(capsys, *words, "--networks", 4)
    assert status == 0 and few["compared"] == 4 and few["steps"] == 3
    kept = {path: path.stat().st_mtime_ns for path in (study / "correlation" / "networks").glob("*.json")}
    kept.pop(study / "correlation" / "networks" / "manifest.json", None)
    status, more = command(capsys, *words, "--networks", 5)
    assert status == 0 and [n["alone"] for n in more["networks"][:4]] == [n["alone"] for n in few["networks"]]
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items()) and len(kept) == 4
    pairs = [(n["supernet"], n["alone"]) for n in more["networks"]]
    assert more["agreement"]["tau"]["value"] == pytest.approx(stats.kendalltau(*zip(*pairs, strict=True)).statistic)
    assert Path(more["picture"]).read_text().count("<svg") == 1
    stored = json.loads(Path(more["report"]).read_text())
    assert {k: more[k] for k in stored} == stored


def test_trainings_are_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first seed is the one of a run without repeats; the mean counts, and seeds are compared with each other."""
    study = tmp_path / "study"
    words = ("study", "correlate", TINY, "--study", study, "--cache", tmp_path, "--device", "cpu", "--steps", 3)
    _, once = command(capsys, *words, "--networks", 4)
    status, data = command(capsys, *words, "--networks", 4, "--repeats", 3)
    assert status == 0 and once["repeated"] == {} and data["repeats"] == 3
    runs = [n["trainings"] for n in data["networks"]]
    assert [[first] for first, _, _ in runs] == [n["trainings"] for n in once["networks"]]
    assert all(n["alone"] == pytest.approx(sum(n["trainings"]) / 3) for n in data["networks"])
    assert len({round(a, 12) for run in runs for a in run}) > 4
    one, two, three = zip(*runs, strict=True)
    taus = [stats.kendalltau(a, b).statistic for a, b in ((one, two), (one, three), (two, three))]
    assert data["repeated"]["tau"] == pytest.approx(sum(taus) / 3)


def test_show_compare_and_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study"
    status, data = command(capsys, "study", "show", study)
    assert status == 2 and "there is no study" in data["error"]
    status, data = command(capsys, "study", "compare", TINY)
    assert status == 2 and "--study DIR" in data["error"]
    status, data = command(
        capsys,
        "study",
        "compare",
        TINY,
        "--study",
        study,
        "--cache",
        tmp_path,
        "--device",
        "cpu",
        "--seeds",
        2,
        "--times",
        2,
    )
    assert status == 0
    assert {name: race["evaluations"] for name, race in data["searches"].items()} == {"nsga2": 15, "random": 30}
    assert set(data["needed"]) == {"0", "1"}
    common = ("search", TINY, "--study", study, "--cache", tmp_path, "--device", "cpu")
    status, searched = command(capsys, *common)
    status, data = command(capsys, "study", "show", study)
    assert status == 0 and data["evaluated"] == searched["evaluated"]
    assert len(data["front"]) == len(searched["front"])


def test_a_killed_correlation_goes_on(tmp_path: Path) -> None:
    """Killed after its second network: the next run trains the others only and reports what one run would have."""
    folders = tmp_path / "killed", tmp_path / "whole"
    networks = folders[0] / "correlation" / "networks"
    child = subprocess.Popen([sys.executable, __file__, str(folders[0]), str(tmp_path)], cwd=ROOT)
    until = time.monotonic() + 120
    while len(list(networks.glob("[0-9a-f]*.json"))) < 2 and child.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = {path: path.stat().st_mtime_ns for path in networks.glob("[0-9a-f]*.json")}
    assert kept
    for folder in folders:
        subprocess.run([sys.executable, __file__, str(folder), str(tmp_path)], cwd=ROOT, check=True, timeout=200)
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    first, second = (json.loads((f / "correlation" / "correlation.json").read_text()) for f in folders)
    for each in (first, second):
        del each["seconds"], each["path"]
    assert first == second


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    base = ["study", "correlate", str(TINY), "--study", sys.argv[1], "--cache", sys.argv[2], "--device", "cpu"]
    sys.exit(main([*base, "--networks", "6", "--steps", "20", "--quiet", "--json"]))
