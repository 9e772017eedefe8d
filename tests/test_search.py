"""Search engines, fronts and studies on spaces small enough to enumerate. Run as a script: one killable search."""

import dataclasses
import itertools
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from hrdsl.runtime.search.front import Floats, Front, Genome, hypervolume, nondominated
from hrdsl.runtime.search.problem import (
    Config,
    Evaluation,
    Genes,
    Measure,
    Objective,
    Problem,
    Progress,
    Record,
    one_by_one,
    search,
)
from hrdsl.runtime.search.study import LEFTOVERS, Identity, Study, StudyError, identify, read
from hrdsl.runtime.strategy import ENGINES

ROOT = Path(__file__).resolve().parent.parent
SMALL = (2, 3, 4, 4, 3)
MEDIUM = (2, 3, 4, 4, 3, 5, 4)
LARGE = (2, 3, 4, 4, 3, 5, 4, 3, 2, 4)
OBJECTIVES = (Objective("accuracy", maximize=True), Objective("macs", exact=True))
KILLED = Config(seed=5, population=10, generations=8, reference=(0.0, 60.0))
Run = Callable[..., Front]


def run_of(strategy: str) -> Run:
    """A whole search by a strategy."""

    def run(
        problem: Problem,
        config: Config,
        study: Record | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Front:
        return search(problem, config, ENGINES[strategy](problem, config), study, progress)

    return run


RUNS = {name: run_of(name) for name in ENGINES}
UNBOUND = [run for name, run in RUNS.items() if name != "exhaustive"]
nsga2 = RUNS["nsga2"]


@dataclasses.dataclass(frozen=True)
class Gated:
    """Gene 0 opens gene 1. The cost of an architecture must stay within `budget`."""

    cardinalities: tuple[int, ...] = SMALL
    budget: float = math.inf

    def sample(self, rng: np.random.Generator, count: int) -> Genes:
        return self.canonical(rng.integers(0, self.cardinalities, (count, len(self.cardinalities))).astype(np.int16))

    def canonical(self, genes: Genes) -> Genes:
        genes = genes.copy()
        genes[genes[:, 0] == 0, 1] = 0
        return genes

    def feasible(self, genes: Genes) -> npt.NDArray[np.bool_]:
        return macs(genes)[:, 0] <= self.budget

    def repair(self, genes: Genes, rng: np.random.Generator) -> Genes:
        genes = self.canonical(genes)
        for column in rng.permutation(genes.shape[1]):
            genes[~self.feasible(genes), column] //= 2
        return self.canonical(genes)

    def enumerate(self) -> Iterator[Genome]:
        return iter(self.everything())

    def everything(self) -> list[Genome]:
        rows = np.array(list(itertools.product(*map(range, self.cardinalities))), np.int16)
        rows = np.unique(self.canonical(rows), axis=0)
        return [tuple(row) for row in rows[self.feasible(rows)].tolist()]


def macs(genes: Genes) -> Floats:
    cost: Floats = genes.astype(np.float64) @ np.arange(1.0, genes.shape[1] + 1)
    return cost[:, None]


def accuracy(genome: Genome) -> tuple[float]:
    return (sum(math.sin(1.7 * column + gene) + gene * 0.3 for column, gene in enumerate(genome)),)


def toy(space: Gated, measure: Callable[[Genome], Sequence[float]] = accuracy) -> Problem:
    return Problem(space, OBJECTIVES, expensive=one_by_one(measure), cheap=macs)


def pareto(space: Gated) -> set[Genome]:
    values = {genome: (-accuracy(genome)[0], macs(np.array([genome]))[0, 0]) for genome in space.everything()}
    return {one for one in values if not any(beats(values[two], values[one]) for two in values)}


def beats(one: Sequence[float], two: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, two, strict=True)) and tuple(one) != tuple(two)


def genomes(front: Front) -> set[Genome]:
    return {member.genome for member in front.members}


def asked(problem: Problem, run: Run, config: Config) -> tuple[list[Genome], Front]:
    """Every genome that the search has measured, in order."""
    seen: list[Genome] = []

    def measure(genome: Genome) -> Sequence[float]:
        seen.append(genome)
        return accuracy(genome)

    return seen, run(dataclasses.replace(problem, expensive=one_by_one(measure)), config)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "toy study ü.db"


def identity(config: Config = KILLED, space: str = "space-1") -> Identity:
    return identify(space, OBJECTIVES, config, "nsga2")


# fronts


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_nondominated_is_brute_force(columns: int) -> None:
    rng = np.random.default_rng(columns)
    for _ in range(20):
        points = rng.integers(0, 6, (30, columns)).astype(float)
        brute = [not any(beats(other, point) for other in points.tolist()) for point in points.tolist()]
        assert nondominated(points).tolist() == brute


def test_nondominated_without_answers() -> None:
    points = np.array([[math.nan, -9.0], [1.0, 1.0], [-math.inf, 0.0], [math.inf, math.inf]])
    assert nondominated(points).tolist() == [False, True, False, False]
    assert nondominated(points[:0]).tolist() == []


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_hypervolume_is_brute_force(columns: int) -> None:
    """Integer points: count the unit cells below the reference that some point dominates."""
    rng = np.random.default_rng(columns)
    reference = (6.0,) * columns
    cells = np.array(list(itertools.product(range(6), repeat=columns)))
    for _ in range(20):
        points = rng.integers(0, 9, (8, columns)).astype(float)
        covered = sum(bool((points <= cell).all(axis=1).any()) for cell in cells)
        assert hypervolume(points, reference) == pytest.approx(covered)


def test_hypervolume_of_nothing() -> None:
    assert hypervolume(np.empty((0, 2)), (1.0, 1.0)) == 0.0
    assert hypervolume(np.array([[2.0, 0.0]]), (1.0, 1.0)) == 0.0


# engines


@pytest.mark.parametrize("pairing", ["two_point", "uniform"])
@pytest.mark.parametrize("space", [Gated(MEDIUM), Gated(MEDIUM, budget=40)])
def test_front_is_the_pareto_set(space: Gated, pairing: Literal["two_point", "uniform"]) -> None:
    """With a quarter of the space as budget."""
    quarter = len(space.everything()) // 4
    config = Config(seed=1, population=12, generations=1000, evaluations=quarter, pairing=pairing)
    front = nsga2(toy(space), config)
    assert genomes(front) == pareto(space)
    assert front.evaluated == quarter


@pytest.mark.parametrize("run", [RUNS[name] for name in RUNS if name != "local"])
def test_exhausted_space(run: Run) -> None:
    """The search ends when everything was asked, each genome once."""
    space = Gated(budget=18)
    seen, front = asked(toy(space), run, Config(population=16, generations=100))
    assert sorted(seen) == space.everything()
    assert genomes(front) == pareto(space)


@pytest.mark.parametrize("run", UNBOUND)
def test_every_candidate_is_admissible(run: Run) -> None:
    """Canonical, within the requirements of the space and the limits of the search, never twice, exactly the budget."""
    space = Gated(LARGE, budget=45)
    problem = dataclasses.replace(toy(space), limits=lambda genes: genes[:, 2].astype(np.float64) - 2)
    seen, front = asked(problem, run, Config(population=20, generations=12, evaluations=230))
    rows = np.array(seen, np.int16)
    assert len(seen) == len(set(seen)) == front.evaluated == 230
    assert (space.canonical(rows) == rows).all()
    assert space.feasible(rows).all()
    assert rows[:, 2].max() == 2


@pytest.mark.parametrize("run", UNBOUND)
def test_tight_budget(run: Run) -> None:
    """Where rejection finds nothing, repair does."""
    space = Gated((9,) * 12, budget=40)
    seen, _ = asked(toy(space), run, Config(population=8, generations=2))
    assert len(seen) == 16
    assert space.feasible(np.array(seen, np.int16)).all()


@pytest.mark.parametrize("run", UNBOUND)
def test_nothing_feasible(run: Run) -> None:
    assert run(toy(Gated(budget=-1)), Config(population=8, generations=2)) == Front()


def test_better_than_random() -> None:
    config = Config(seed=2, population=20, generations=15, reference=(0.0, 180.0))
    evolved, drawn = (run(toy(Gated(LARGE)), config) for run in (nsga2, RUNS["random"]))
    assert evolved.evaluated == drawn.evaluated == 300
    assert evolved.hypervolume is not None and drawn.hypervolume is not None
    assert evolved.hypervolume > drawn.hypervolume


@pytest.mark.parametrize("run", UNBOUND)
def test_same_seed_same_search(run: Run) -> None:
    config = Config(seed=3, population=12, generations=6, reference=(0.0, 180.0))
    first, second = (asked(toy(Gated(LARGE)), run, config) for _ in range(2))
    assert first == second
    assert asked(toy(Gated(LARGE)), run, dataclasses.replace(config, seed=4)) != first


@pytest.mark.parametrize("run", UNBOUND)
@pytest.mark.parametrize("share", [1, 2, 7])
def test_failures_are_never_in_the_front(run: Run, share: int) -> None:
    """One in `share` candidates is NaN, infinitely good, or raises; with 1, all are."""

    def measure(genome: Genome) -> Sequence[float]:
        number = sum(genome) + 3 * genome[3]
        if number % share:
            return accuracy(genome)
        if number % 3 == 0:
            raise MemoryError(f"no room for {genome}\nat all")
        return (math.nan,) if number % 3 == 1 else (math.inf,)

    front = run(toy(Gated(LARGE), measure), Config(population=12, generations=6))
    assert front.evaluated == 72
    assert front.failed > 0
    assert all((sum(genome) + 3 * genome[3]) % share for genome in genomes(front))
    assert all(map(math.isfinite, itertools.chain(*(member.values for member in front.members))))
    assert bool(front.members) == (share > 1)


def test_exact_objectives_alone() -> None:
    objectives = (Objective("macs", exact=True), Objective("depth", maximize=True, exact=True))
    problem = Problem(Gated(), objectives, cheap=lambda genes: np.hstack([macs(genes), genes[:, 4:] * 1.0]))
    front = nsga2(problem, Config(population=20, generations=6))
    assert [member.values for member in front.members] == [(0.0, 0.0), (5.0, 1.0), (10.0, 2.0)]


def test_answers_in_any_order(path: Path) -> None:
    """Parallel workers finish as they like: the search and the table are the same."""

    def backwards(these: Sequence[Genome]) -> list[tuple[Genome, Evaluation]]:
        return [(genome, Evaluation(accuracy(genome))) for genome in reversed(these)]

    def result(name: str, measure: Measure) -> object:
        with Study(path.with_name(name), identity()) as study:
            front = nsga2(dataclasses.replace(toy(Gated(LARGE)), expensive=measure), KILLED, study)
        return front, table(study.path)

    assert result("a", backwards) == result("b", one_by_one(accuracy))


def test_an_evaluator_that_forgets_is_a_defect() -> None:
    problem = dataclasses.replace(toy(Gated()), expensive=lambda these: [])
    with pytest.raises(RuntimeError, match="left 8 of 8 genomes unanswered"):
        nsga2(problem, Config(population=8))


def test_progress() -> None:
    heard: list[Progress] = []
    config = Config(population=10, generations=4, evaluations=35, reference=(0.0, 180.0))
    front = nsga2(toy(Gated(LARGE)), config, None, heard.append)
    assert [(at.generation, at.evaluated, at.total) for at in heard] == [
        (1, 10, 35),
        (2, 20, 35),
        (3, 30, 35),
        (4, 35, 35),
    ]
    volumes = [at.hypervolume or 0.0 for at in heard]
    assert volumes == sorted(volumes) and volumes[0] > 0
    assert (heard[-1].front, heard[-1].hypervolume) == (front.members, front.hypervolume)


def test_overhead_is_free_of_python_per_gene() -> None:
    """Calls, not milliseconds: a generation costs the same calls with 4 times the genes."""

    def calls(genes: int) -> int:
        count = 0

        def tally(*_: object) -> None:
            nonlocal count
            count += 1

        problem = Problem(Gated((4,) * genes), (Objective("macs", exact=True),), cheap=macs)
        nsga2(problem, Config(population=8, generations=1))
        sys.setprofile(tally)
        try:
            nsga2(problem, Config(population=20, generations=5))
        finally:
            sys.setprofile(None)
        return count

    assert calls(80) < 1.3 * calls(20)


# studies


def table(path: Path) -> list[tuple[int, Genome, tuple[float, ...], str | None, int]]:
    """What is stored, without times."""
    rows = read(path)[1]
    return [(row.position, row.genome, row.evaluation.values, row.evaluation.error, row.generation) for row in rows]


def searched(path: Path, config: Config = KILLED, measure: Callable[[Genome], Sequence[float]] = accuracy) -> Front:
    with Study(path, identity(config)) as study:
        return nsga2(toy(Gated(LARGE), measure), config, study)


def test_resumed_from_the_table_alone(path: Path) -> None:
    def never(genome: Genome) -> Sequence[float]:
        pytest.fail(f"{genome} was evaluated again")

    first = searched(path)
    assert searched(path, measure=never) == first
    assert len(table(path)) == first.evaluated == 80


def test_larger_budget_continues(path: Path) -> None:
    """A generation cut short by the budget is completed, as if the budget had been larger from the start."""
    long = dataclasses.replace(KILLED, generations=12)
    searched(path, dataclasses.replace(KILLED, evaluations=33))
    assert len(table(path)) == 33
    whole = path.with_name("whole.db")
    assert searched(path, long) == searched(whole, long)
    assert table(path) == table(whole)


def test_failures_are_stored_and_not_repeated(path: Path) -> None:
    def broken(genome: Genome) -> Sequence[float]:
        raise RuntimeError("out of\nmemory \ud800" + 1000 * "!")

    front = searched(path, measure=broken)
    assert (front.members, front.failed) == ((), 80)
    reasons = {error for *_, error, _ in table(path)}
    assert reasons == {"RuntimeError: out of memory ?".ljust(500, "!")}
    assert searched(path) == front


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (identity(space="space-2"), 'space was "space-1" and is "space-2"'),
        (identity(dataclasses.replace(KILLED, seed=6)), "seed was 5 and is 6"),
        (identity(dataclasses.replace(KILLED, population=12)), "population was 10 and is 12"),
        (dataclasses.replace(identity(), objectives=("min macs",)), 'objectives was ["max accuracy", "min macs"]'),
        (identify("space-1", OBJECTIVES, KILLED, "random"), 'engine was "nsga2" and is "random"'),
    ],
)
def test_another_search_is_refused(path: Path, other: Identity, named: str) -> None:
    before = searched(path)
    with pytest.raises(StudyError) as refused:
        Study(path, other)
    assert named in str(refused.value) and "\n" not in str(refused.value)
    assert searched(path) == before


def test_another_history_is_refused(path: Path) -> None:
    """A library that draws other numbers from the same seed must not mix two searches."""
    with Study(path, identity()) as study:
        study.add(0, (1,) * len(LARGE), Evaluation((1.0, 2.0)), 1)
    with pytest.raises(StudyError, match="its evaluation 0 is another"):
        searched(path)


def test_older_schema_is_refused(path: Path) -> None:
    searched(path)
    edit(path, "UPDATE meta SET value = '0' WHERE name = 'schema'")
    with pytest.raises(StudyError, match="has schema 0; this version of hrdsl reads schema 2"):
        Study(path, identity())


def edit(path: Path, statement: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-100],
        lambda data: b"x" * len(data),
        lambda data: data.replace(b"[", b"{"),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[: len(data) // 2] + bytes(512) + data[len(data) // 2 + 512 :],
    ],
)
def test_damage_is_detected(path: Path, harm: Callable[[bytes], bytes]) -> None:
    searched(path)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(StudyError) as refused:
        Study(path, identity())
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("flipped", ["replace(\"values\", '.', '.1')", 'CAST("values" AS BLOB)'])
def test_flipped_value_is_detected(path: Path, flipped: str) -> None:
    searched(path)
    edit(path, f'UPDATE evaluations SET "values" = {flipped} WHERE position = 7')
    with pytest.raises(StudyError, match="damaged: evaluation 7 does not match its digest"):
        Study(path, identity())


def test_full_disk(path: Path) -> None:
    """What was evaluated before is kept, and the search goes on from there."""
    with Study(path, identity()) as study:
        study.database.execute("PRAGMA max_page_count = 5")
        with pytest.raises(StudyError, match="database or disk is full") as fault:
            nsga2(toy(Gated(LARGE)), KILLED, study)
    assert str(path) in str(fault.value) and "\n" not in str(fault.value)
    assert 0 < len(table(path)) < 80
    assert searched(path) == searched(path.with_name("other.db"))


def test_unusable_paths(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="No such file or directory"):
        Study(tmp_path / "none" / "s.db", identity())
    with pytest.raises(StudyError, match="unable to open database file"):
        Study(tmp_path, identity())
    with pytest.raises(StudyError, match="unable to open database file"):
        read(tmp_path / "none.db")
    edit(tmp_path / "other.db", "CREATE TABLE other (x)")
    with pytest.raises(StudyError, match="is a database, but not a study"):
        Study(tmp_path / "other.db", identity())


def test_one_process_at_a_time(path: Path) -> None:
    with Study(path, identity()):
        with pytest.raises(StudyError, match=f"process {os.getpid()} on .* is using it"):
            Study(path, identity())
        read(path)
    Study(path, identity()).close()


def test_leftovers_of_a_killed_creation(path: Path) -> None:
    """Nor does the log of a study that was deleted creep into a new one."""
    whole = searched(path.with_name("whole.db"))
    for suffix in LEFTOVERS:
        path.with_name(path.name + suffix).write_bytes(b"left over")
    assert searched(path) == whole


def test_stale_lock_is_taken_over(path: Path) -> None:
    path.with_name(f"{path.name}.lock").write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    assert searched(path).evaluated == 80


# kill -9


@dataclasses.dataclass(frozen=True)
class Killable:
    """This file as a process that searches slowly and logs each evaluation that it starts."""

    path: Path
    log: Path

    def start(self) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT / ".path"), "PYTHONHASHSEED": "random"}
        command = [sys.executable, __file__, str(self.path), str(self.log)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def evaluations(self) -> int:
        return len(self.log.read_bytes()) if self.log.exists() else 0

    def wait_for(self, process: "subprocess.Popen[str]", evaluations: int) -> None:
        while self.evaluations() < evaluations and process.poll() is None:
            time.sleep(0.001)


def test_killed_again_and_again(path: Path) -> None:
    rng, kills = random.Random(7), 10
    killable = Killable(path, path.with_name("log"))
    for _ in range(kills):
        with killable.start() as process:
            killable.wait_for(process, killable.evaluations() + rng.randint(1, 6))
            time.sleep(rng.random() * 0.02)
            assert process.poll() is None, "the search ended before it could be killed"
            process.send_signal(signal.SIGKILL)
    stored = len(table(path))
    assert stored >= killable.evaluations() - kills
    with killable.start() as process:
        last = process.communicate()[0]
    whole = path.with_name("whole.db")
    front = searched(whole)
    assert last == f"{front}\n"
    assert table(path) == table(whole)
    assert killable.evaluations() <= front.evaluated + kills


def test_a_running_process_keeps_others_out(path: Path) -> None:
    killable = Killable(path, path.with_name("log"))
    with killable.start() as process:
        killable.wait_for(process, 1)
        with pytest.raises(StudyError, match=f"process {process.pid} on .* is using it"):
            Study(path, identity())
        process.kill()
    assert searched(path) == searched(path.with_name("whole.db"))


def test_forked_child_does_not_keep_the_lock(path: Path) -> None:
    """A worker that outlives a killed search must not lock its study."""
    ready, tell = os.pipe()
    with Study(path, identity()):
        child = os.fork()
        if child == 0:
            os.write(tell, b".")
            time.sleep(30)
            os._exit(0)
        os.read(ready, 1)
    try:
        Study(path, identity()).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def slowly(log: Path) -> Callable[[Genome], Sequence[float]]:
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def measure(genome: Genome) -> Sequence[float]:
        os.write(handle, b".")
        time.sleep(0.01)
        return accuracy(genome)

    return measure


def main(path: Path, log: Path) -> None:
    record: Record
    with Study(path, identity()) as record:
        print(nsga2(toy(Gated(LARGE), slowly(log)), KILLED, record))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
