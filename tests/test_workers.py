"""Worker processes: the same answers, whatever candidates do and whoever is killed."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdsl.compiler.api import compile_file, read_settings
from hrdsl.runtime import searching
from hrdsl.runtime.evaluation import Evaluator
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.search.front import Genome
from hrdsl.runtime.search.guard import guarded
from hrdsl.runtime.search.problem import Evaluation, Measure, one_by_one
from hrdsl.runtime.search.study import read
from hrdsl.runtime.workers import candidates
from hrdsl.runtime.workers.pool import FIRST, LEAST, TIMES, Limits, cut
from hrdsl.runtime.workers.process import Group, Process
from hrdsl.runtime.workers.protocol import Inbox, packed

from . import misbehaving
from .misbehaving import accuracy, crew, failing_device, key, searched

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "tiny" / "two.arch"
ALL = [(a, b) for a in range(5) for b in range(4)]
REASONS = {
    "raises": "ValueError: no good",
    "hangs": "took longer than 1 s",
    "hoards": "out of memory: Unable to allocate 8.00 MiB",
    "killed": "died by signal 9 (SIGKILL)",
    "crashes": "died by signal 11 (SIGSEGV)",
    "aborts": "died by signal 6 (SIGABRT): terminate called: no reason",
    "exits": "ended with status 3",
}
"""What a misbehaving candidate is recorded with; one that is NaN is the search's own to notice."""


@pytest.fixture(autouse=True)
def within_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find the measures of the tests where this process would."""
    monkeypatch.syspath_prepend(Path(__file__).parent)


def table(path: Path) -> list[tuple[int, Genome, tuple[float, ...], str | None, int]]:
    """What is stored, without times."""
    rows = read(path)[1]
    return [(row.position, row.genome, row.evaluation.values, row.evaluation.error, row.generation) for row in rows]


def begun(log: Path) -> list[tuple[int, str]]:
    """The process and the genome of every measurement that was begun."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(pid), genome) for pid, _, genome in (line.partition(" ") for line in lines)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.add(int(entry.parent.name))
    return found


def wait_for(happened: Callable[[], object]) -> None:
    """Patience for what is certain to happen."""
    end = time.monotonic() + 60
    while not happened() and time.monotonic() < end:
        time.sleep(0.005)
    assert happened()


# messages


@given(
    st.lists(
        st.dictionaries(st.text(), st.floats() | st.integers() | st.text(st.characters(codec="utf-8")), max_size=3)
    ),
    st.integers(1, 20),
)
def test_messages(messages: list[dict[str, Any]], size: int) -> None:
    """Whole messages come out in order, however the bytes arrive; floats bit for bit."""
    data = b"".join(map(packed, messages))
    inbox = Inbox()
    found = [m for start in range(0, len(data), size) for m in inbox.messages(data[start : start + size])]
    assert list(map(repr, found)) == list(map(repr, messages))
    assert not inbox.bytes


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True), st.integers(1, 12))
def test_groups(genomes: list[Genome], parts: int) -> None:
    groups = list(cut(genomes, parts))
    assert [g for group in groups for g in group] == genomes
    assert len(groups) == min(parts, len(genomes))
    lengths = set(map(len, groups))
    assert not lengths or (min(lengths) > 0 and max(lengths) - min(lengths) <= 1)


# answers


@pytest.mark.parametrize("count", [1, 2, 4])
def test_same_answers(count: int) -> None:
    with crew(count) as workers:
        assert workers.processes == []
        assert {g: a.values for g, a in workers(ALL)} == {g: (accuracy(g),) for g in ALL}
        again = {process.popen.pid for process in workers.processes}
        assert len(again) <= count
        assert len(list(workers(ALL[:3]))) == 3
        assert {process.popen.pid for process in workers.processes} <= again
    assert workers.processes == []
    assert not any(map(alive, again))


def test_the_same_search(tmp_path: Path) -> None:
    """Tables and fronts, bit for bit; a finished one starts no process."""
    fronts = [searched(tmp_path / "here", None)]
    for count in (1, 4):
        with crew(count) as workers:
            fronts.append(searched(tmp_path / str(count), workers))
    with crew(2) as workers:
        fronts.append(searched(tmp_path / "4", workers))
        assert workers.processes == []
    assert all(front == fronts[0] for front in fronts)
    assert table(tmp_path / "here") == table(tmp_path / "1") == table(tmp_path / "4")


def test_one_thread() -> None:
    """Sums depend on the number of threads, so that it is the same in every worker."""
    with crew(2, measure="misbehaving:surroundings") as workers:
        assert {answer.values for _, answer in workers(ALL[:4])} == {(1.0,)}


# what workers of a search load


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def loaded(folder: Path, cache: Path, text: str) -> tuple[Measure, dict[str, Any]]:
    """The measure of a search of a file, and what its workers are told, as it comes out of their pipe."""
    file = folder / "two.arch"
    file.write_text(text)
    compiled, cpu = compile_file(file, settings={"classes": 11}), torch.device("cpu")
    runs = searching.runs_of(compiled)
    trainer = searching.supernet(compiled, runs[0], cpu, folder, searching.Listener(), cache)
    told = candidates.arguments(compiled, runs, folder, cpu, cache)
    return searching.measure_of(trainer, runs[1], cache), json.loads(json.dumps(told))


def test_candidates(tmp_path: Path, cache: Path) -> None:
    """File, parameters, supernet and data as in the coordinator: the same values, whatever the group."""
    here, told = loaded(tmp_path, cache, TINY.read_text())
    space = compile_file(TINY).decisions
    genomes = [space.smallest(), space.largest(), *map(tuple, space.sample(np.random.default_rng(0), 3).tolist())]
    genomes = list(dict.fromkeys(genomes))
    wanted = {g: a.values for g, a in here(genomes)}
    assert all(len(values) == 1 and values[0] > 0 for values in wanted.values())
    assert {g: a.values for g, a in candidates.candidates(**told)(genomes[::-1])} == wanted
    assert {g: a.values for h in genomes for g, a in candidates.candidates(**told)([h])} == wanted


def test_a_file_that_was_changed(tmp_path: Path, cache: Path) -> None:
    _, told = loaded(tmp_path, cache, TINY.read_text())
    (tmp_path / "two.arch").write_text(TINY.read_text() + "# another\n")
    with pytest.raises(RunError, match="was changed while the search runs"):
        candidates.candidates(**told)


def test_parameters_of_the_space(tmp_path: Path) -> None:
    """Every kind of value that `--set` can give."""
    texts = ["a = -1/3", "b = [1, [2, 3]]", "c = true", "d = word", "e = none", "f = -4", "g = 1e30", "h = 0.5"]
    values = read_settings(texts)
    assert len(set(map(repr, values.values()))) == 8
    compiled = dataclasses.replace(compile_file(TINY), settings=values)
    told = candidates.arguments(compiled, searching.runs_of(compiled), tmp_path, torch.device("cpu"), None)
    assert read_settings(told["settings"]) == values


def test_candidates_have_one_thread_here_too(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()

    def measured(_: Genome) -> Sequence[float]:
        threads.add(torch.get_num_threads())
        return [1.0]

    monkeypatch.setattr(Evaluator, "__call__", lambda _, genomes: one_by_one(measured)(genomes))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        searching.search(compile_file(TINY), tmp_path, torch.device("cpu"), searching.Listener(), cache=cache)
        assert (threads, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


# candidates that misbehave


@pytest.mark.parametrize("kind", REASONS)
@pytest.mark.parametrize("alone", [True, False])
def test_the_guilty_one_is_recorded(kind: str, alone: bool) -> None:
    """And nobody else, though it spoils its group."""
    asked = ALL[5:6] if alone else ALL[4:8]
    with crew(1, kinds={key(ALL[5]): kind}) as workers:
        answers = dict(workers(asked))
    assert set(answers) == set(asked)
    for genome, answer in answers.items():
        if genome == ALL[5]:
            assert answer.values == ()
            assert answer.error is not None and answer.error.startswith(REASONS[kind])
        else:
            assert (answer.values, answer.error) == ((accuracy(genome),), None)


def test_a_search_with_all_of_them(tmp_path: Path) -> None:
    """It completes, and only they are missing from what it would have found."""
    searched(tmp_path / "tame", None)
    rows = [genome for _, genome, *_ in table(tmp_path / "tame")]
    kinds = dict(zip(map(key, rows[1:9]), [*REASONS, "nan"], strict=True))
    with crew(3, kinds=kinds) as workers:
        front = searched(tmp_path / "wild", workers, kinds)
    found = {genome: error for _, genome, _, error, _ in table(tmp_path / "wild")}
    assert (front.evaluated, front.failed) == (60, 8)
    for genome, error in found.items():
        reason = {**REASONS, "nan": "accuracy is nan"}.get(kinds.get(key(genome), ""), "")
        assert (error or "").startswith(reason) and bool(error) == bool(reason)


def test_who_is_killed_from_outside_is_asked_again(tmp_path: Path) -> None:
    """One death is no proof."""
    for asked in ([(1, 1)], ALL):
        with crew(2, kinds={"1,1": f"once {tmp_path / str(len(asked))}"}) as workers:
            assert {g: a.values for g, a in workers(asked)} == {g: (accuracy(g),) for g in asked}
        assert (tmp_path / str(len(asked))).exists()


def test_waiting_workers_may_die() -> None:
    """Idle, or before they could begin."""
    with crew(2) as workers:
        list(workers(ALL))
        for process in workers.processes:
            process.popen.kill()
            process.popen.wait()
        assert {g: a.values for g, a in workers(ALL)} == {g: (accuracy(g),) for g in ALL}


def test_what_is_printed_is_no_message() -> None:
    with crew(1, kinds={"1,1": "prints"}) as workers:
        assert dict(workers([(1, 1)]))[1, 1].values == (accuracy((1, 1)),)


def test_a_lost_device() -> None:
    """Its worker ends, so that no other candidate fails for it."""
    with crew(1, measure="misbehaving:failing_device") as workers:
        answers = dict(workers(ALL))
    assert {g for g, a in answers.items() if a.error} == {(1, 1)}
    assert (answers[1, 1].error or "").startswith("ended with status 1: RunError: the device failed: AcceleratorError")


def test_a_lost_device_here() -> None:
    with pytest.raises(RunError, match=r"the device failed.*--workers"):
        list(guarded(failing_device())(ALL))


def test_guarded() -> None:
    """A group that raises is asked one by one; answers that came before are kept."""
    asked: list[Sequence[Genome]] = []

    def measure(genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        asked.append(genomes)
        for genome in genomes:
            if genome == (0, 2):
                raise MemoryError
            yield genome, Evaluation((accuracy(genome),))

    answers = dict(guarded(measure)(ALL[:4]))
    assert asked == [ALL[:4], [(0, 2)], [(0, 3)]]
    assert {g: a.values for g, a in answers.items() if not a.error} == {
        g: (accuracy(g),) for g in ALL[:4] if g != (0, 2)
    }
    assert answers[0, 2].error == "out of memory"


# limits


def test_limits_without_processes() -> None:
    workers, process = crew(1, Limits()), Process.__new__(Process)
    process.group = Group(ALL[:4])
    assert (workers.limit(), workers.patience(process)) == (FIRST, FIRST)
    workers.slowest = 1.0
    assert (workers.limit(), workers.patience(process)) == (LEAST, 4 * LEAST)
    workers.slowest = 100.0
    assert (workers.limit(), workers.patience(process)) == (100 * TIMES, 400 * TIMES)
    assert crew(1, Limits(7.0)).limit() == 7.0


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ("misbehaving:cannot_begin", "a worker cannot begin: OSError: the disk is gone"),
        ("misbehaving:dies_at_once", "a worker cannot begin: it ended with status 4"),
        ("misbehaving:nothing", "a worker cannot begin: AttributeError"),
    ],
)
def test_a_worker_that_cannot_begin(measure: str, words: str) -> None:
    with crew(2, Limits(), measure) as workers, pytest.raises(RunError, match=words):
        list(workers(ALL))


def test_too_little_memory_to_begin() -> None:
    with crew(1, Limits(memory=1 << 29), "misbehaving:large") as workers, pytest.raises(RunError) as fault:
        list(workers(ALL))
    assert str(fault.value).startswith("a worker cannot begin: out of memory: ")
    assert str(fault.value).endswith("; it may need a larger --memory-limit")


# interruptions


def test_a_reader_that_stops() -> None:
    """Groups that nobody waits for any more are dropped, with their processes."""
    with crew(2, kinds={"4,3": "hangs"}, seconds=0.01) as workers:
        with closing(workers(ALL)) as answers:
            next(answers)
        assert not workers.busy()
        assert {g for g, _ in workers(ALL[:4])} == set(ALL[:4])


@dataclasses.dataclass(frozen=True)
class Killable:
    """A process that searches the grid with workers."""

    path: Path
    log: Path
    kinds: dict[str, str] = dataclasses.field(default_factory=dict)

    def start(self) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT / ".path")}
        words = [sys.executable, misbehaving.__file__, str(self.path), str(self.log), json.dumps(self.kinds)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_killed_again_and_again(tmp_path: Path) -> None:
    """`kill -9` at ten random moments: the same table and front, and no worker is left."""
    rng, killable, kills = random.Random(3), Killable(tmp_path / "study", tmp_path / "log"), 10
    workers: set[int] = set()
    for _ in range(kills):
        with killable.start() as process:
            enough = len(begun(killable.log)) + rng.randint(0, 5)
            wait_for(lambda enough=enough, process=process: len(begun(killable.log)) >= enough or children(process.pid))
            wait_for(lambda enough=enough: len(begun(killable.log)) >= enough)
            time.sleep(rng.random() * 0.03)
            workers |= children(process.pid)
            assert process.poll() is None, "the search ended before it could be killed"
            process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, workers)))
    assert len(workers) >= kills
    with killable.start() as process:
        last = process.communicate()[0]
    assert process.returncode == 0
    assert last == f"{searched(tmp_path / 'whole', None)}\n"
    assert table(tmp_path / "study") == table(tmp_path / "whole")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_orphans(tmp_path: Path, number: int) -> None:
    """Not even of workers that hang. What was measured is kept, the search goes on."""
    searched(tmp_path / "whole", None)
    hanging = [key(genome) for _, genome, *_ in table(tmp_path / "whole")[20:23]]
    killable = Killable(tmp_path / "study", tmp_path / "log", dict.fromkeys(hanging, "hangs"))
    with killable.start() as process:
        wait_for(lambda: {genome for _, genome in begun(killable.log)} & set(hanging))
        workers = children(process.pid)
        process.send_signal(number)
    assert process.returncode != 0 and workers
    wait_for(lambda: not any(map(alive, workers)))
    stored = table(tmp_path / "study")
    assert len(stored) >= 20
    with crew(2) as tame:
        searched(tmp_path / "study", tame)
    assert table(tmp_path / "study") == table(tmp_path / "whole")
    assert set(stored) <= set(table(tmp_path / "whole"))
