"""Latency: works of a space, networks as they are deployed, tables, corrections, limits of searches. No time is asserted."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hrdsl.cli.main import main
from hrdsl.compiler import works as compiler_works
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.cost import Sums
from hrdsl.compiler.module import extract
from hrdsl.compiler.store import Store
from hrdsl.compiler.vector import Evaluation
from hrdsl.compiler.works import Work, Works, timed
from hrdsl.dsl.diagnostic import ArchError, render
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.latency import clock, goal, table
from hrdsl.runtime.latency.cache import Timings
from hrdsl.runtime.latency.clock import Conditions, Timing, conditions, measure
from hrdsl.runtime.latency.deploy import deployed, single
from hrdsl.runtime.latency.fit import Models, correction, errors, model_errors, models
from hrdsl.runtime.latency.latency import Latency
from hrdsl.runtime.latency.table import Wish, build, by_kind, key, read, works_of, write
from hrdsl.runtime.search.problem import Evaluation as Answer

from .spaces import EXAMPLES, SPACES, compile_space, compile_text

torch.set_num_threads(1)

CPU = torch.device("cpu")
HERE = Conditions("a processor", "2", 1, 1, "float32")

READERS = """hrdsl 1

## A convolution that another reads too, alternatives before a normalisation, a list that may hold one flow.
cell maybe(width) {
  keep in {true, false}
  out = if keep then x -> conv(1, width) else none
}

space readers {
  input = [3, 8, 8]
  stem = conv(3, width = 4)
  branch main at 1/1 { width in {4, 6} }
  stage a on main { cell = tapped }
  stage b on main { cell = chosen }
  head = conv(1, width = 2)
}

cell tapped(width) {
  inner = x -> conv(3, width = width)
  normal = inner -> bn
  tap in {true, false}
  side = if tap then inner else none
  extra = x -> maybe(width)
  out = sum(normal, side, extra) -> relu
}

cell chosen(width) {
  inner = x -> pick(width)
  out = inner -> bn -> dropout(1/4) -> relu
}

cell pick(width) {
  cell in {conv(1, width = width, bias = true), depthwise(3), max_pool(3, stride = 1), identity}
}
"""
NAMES = [*SPACES, "readers"]


def space(name: str) -> Compiled:
    return compile_text(READERS) if name == "readers" else compile_space(name)


def genomes(compiled: Compiled, most: int = 400) -> list[tuple[int, ...]]:
    """Architectures: all of a small space."""
    found = list(islice(compiled.decisions.enumerate(), most + 1))
    if len(found) > most:
        found = [tuple(g) for g in compiled.decisions.sample(np.random.default_rng(0), most).tolist()]
    return [tuple(map(int, g)) for g in found]


def nanoseconds(work: Work, last: bool = False) -> float:
    """A time that is made up: exact, and different for different works."""
    return 1000 + work.macs / 8 + work.numbers / 4 + int(key(work, last)[:4], 16) / 16


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Works take what `nanoseconds` says, networks twice their sum and 5 microseconds. What was measured."""
    asked: list[Any] = []

    def whole(graph: Any, store: Any, genes: Sequence[int], on: Any, device: Any) -> Any:
        works = Works(graph)
        last = works.channels_last(genes)
        return "network", 5000 + 2 * sum(nanoseconds(w, last) for _, w in works.of(genes))

    def timing(call: Any, device: torch.device, seconds: float) -> Timing:
        asked.append(call)
        return Timing(call[1], call[1], call[1], 5, 0)

    monkeypatch.setattr(
        table, "single", lambda graph, work, on, device, last: (key(work, last), nanoseconds(work, last))
    )
    monkeypatch.setattr(table, "network", whole)
    monkeypatch.setattr(table, "measure", timing)
    return asked


def made(
    compiled: Compiled, folder: Path, wish: Wish | None = None, on: Conditions = HERE
) -> tuple[Works, table.Table]:
    works = works_of(compiled)
    return works, build(compiled, works, on, CPU, wish or Wish(), folder)


# works -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_works_are_what_costs_count(name: str) -> None:
    """The MACs of the works of an architecture are its MACs; every work is among those of the space."""
    compiled = space(name)
    works = Works(compiled.graph)
    every = {w.key for w in works.all()}
    rows = genomes(compiled)
    macs = compiled.costs(np.array(rows, np.int16).reshape(len(rows), -1), peak=False)["macs"].tolist()
    assert [sum(w.macs for _, w in works.of(g)) for g in rows] == macs
    assert {w.key for g in rows for n, w in works.of(g) if works.few(n)} <= every


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_work_can_be_used(name: str) -> None:
    """Exactly, unless constraints act together, or on costs: each is looked at by itself."""
    compiled = space(name)
    works = works_of(compiled)
    listed = {w.key for w in works.all()}
    used = {w.key for g in genomes(compiled, 10_000) for n, w in works.of(g) if works.few(n)}
    assert used <= listed
    assert used == listed or name in ("relational", "priced")


@pytest.mark.parametrize("name", NAMES)
def test_sums_are_sums(name: str) -> None:
    """The vectorised sum over works is the sum, one work after the other; what is folded does not count."""
    compiled = space(name)
    works = Works(compiled.graph)
    costs = {w.key: int(w.key[:6], 16) for w in works.all()}
    rows = genomes(compiled)
    sums = Sums(timed(works, [costs]), 1)(Evaluation(np.array(rows, np.int16).reshape(len(rows), -1)))
    expected = [sum(costs[w.key] for n, w in works.of(g) if works.few(n)) for g in rows]
    assert sums[:, 0].tolist() == expected


@pytest.mark.parametrize("name", NAMES)
def test_deployed_networks(name: str) -> None:
    """The same numbers as the extracted network; the normalisations that are left are those among the works."""
    compiled = space(name)
    graph, store, works = compiled.graph, Store(compiled.graph, 0), Works(compiled.graph)
    torch.manual_seed(0)
    x = torch.randn(2, graph.input.width, *graph.input.extent)
    for genes in genomes(compiled, 40)[:40]:
        statistics = {
            n.name: (torch.randn(w), torch.rand(w) + 0.5)
            for n in graph.nodes
            if n.op.name == "bn" and (w := evaluated(n.shape.width, genes))
        }
        plain = extract(graph, store, genes, statistics).eval()
        net = deployed(graph, store, genes, statistics)
        with torch.no_grad():
            torch.testing.assert_close(net(x), plain(x), rtol=1e-4, atol=1e-4)
        kinds = [type(m) for m in net.modules()]
        left = kinds.count(nn.BatchNorm2d) + kinds.count(nn.BatchNorm1d)
        assert left == sum(w.kind == "bn" for _, w in works.of(genes))
        assert nn.Dropout not in kinds


def evaluated(value: Any, genes: Sequence[int]) -> Any:
    from hrdsl.compiler.sym import at

    return at(value, genes)


@pytest.mark.parametrize("name", NAMES)
def test_works_run_alone(name: str) -> None:
    """Each work gives what its sizes say, in either layout; a biased one has a bias."""
    compiled = space(name)
    on = conditions(CPU, batch=2)
    for work in Works(compiled.graph).all()[:60]:
        for last in (False, True):
            call = single(compiled.graph, work, on, CPU, last)
            with torch.inference_mode():
                y = call()
            form, width, extent, copies = work.output
            inner = (*extent, width) if form == "tokens" else (width, *extent)
            assert tuple(y.shape) == (2 * copies, *inner)


def test_equal_works_of_other_spaces_have_equal_keys() -> None:
    one, other = compile_text(READERS), compile_text(READERS.replace("width in {4, 6}", "width in {4, 6, 8}"))
    assert {w.key for w in Works(one.graph).all()} < {w.key for w in Works(other.graph).all()}


def test_numbers_are_those_of_inputs_weights_and_result() -> None:
    work = next(w for w in Works(compile_text(READERS).graph).all() if w.group == "conv 3x3" and w.output[1] == 6)
    assert work.numbers == prod((4, 8, 8)) + prod((6, 8, 8)) + 6 * 4 * 9
    assert work.macs == 6 * 4 * 9 * 64


# measuring ---------------------------------------------------------------------------------------------------------


def test_disturbed_samples_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([1.0] * 12 + [0.3, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0] + [1.0] * 10**6)
    monkeypatch.setattr(clock, "_on_cpu", lambda call, repeats: (share := next(shares)) and (1e6 / share, share))
    found = measure(lambda: None, CPU, 0)
    assert found.median == found.low == found.high == 1e6
    assert found.samples >= clock.LEAST


def test_a_busy_machine_counts_by_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_on_cpu", lambda call, repeats: (4e6, 0.25))
    found = measure(lambda: None, CPU, 0)
    assert (found.median, found.samples) == (1e6, clock.LEAST)


def test_a_call_is_repeated() -> None:
    calls: list[int] = []
    found = measure(lambda: calls.append(1), CPU, 0.01)
    assert found.samples >= clock.LEAST and len(calls) > found.samples
    assert 0 < found.low <= found.median <= found.high


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()
    with clock.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


# fits --------------------------------------------------------------------------------------------------------------


def test_a_correction_is_recovered() -> None:
    """Factors and constant of made-up networks, up to the prior; none is negative, whatever the networks."""
    rng = np.random.default_rng(0)
    true = {"conv": 1.3, "bn": 0.8, "resize": 2.0, "sum": 0.0}
    sums = [{kind: float(rng.uniform(1e4, 1e6)) for kind in true} for _ in range(60)]
    times = [7e4 + sum(true[k] * v for k, v in s.items()) for s in sums]
    found = correction(sums, times, trust=1e-4)
    assert found.constant == pytest.approx(7e4, rel=0.02)
    assert {k: found.factor(k) for k in true} == pytest.approx(true, rel=0.02, abs=0.01)
    noisy = correction(sums[:4], [t * rng.uniform(0.5, 2) for t in times[:4]])
    assert noisy.constant >= 0 and all(f >= 0 for f in noisy.factors.values())


def test_without_networks_nothing_is_corrected() -> None:
    found = correction([], [])
    assert (found.constant, found.factor("conv")) == (0.0, 1.0)


def test_what_networks_do_not_say_stays_common() -> None:
    """One network, three kinds: all get the common factor; so does a kind that it lacks."""
    found = correction([{"conv": 1e5, "bn": 2e4, "sum": 1e3}], [1.5 * 121e3])
    assert {k: found.factor(k) for k in ("conv", "bn", "sum", "pool")} == pytest.approx(
        dict.fromkeys(("conv", "bn", "sum", "pool"), 1.5), rel=0.02
    )


def listed(name: str = "readers") -> list[Work]:
    return list(Works(space(name).graph).all())


def test_models_are_recovered_and_monotone() -> None:
    works = [w for n in ("readers", "nested", "depth") for w in listed(n)]
    found = models(works, [500 + 0.25 * w.macs + 2 * w.numbers for w in works])
    assert [found(w) for w in works] == pytest.approx([500 + 0.25 * w.macs + 2 * w.numbers for w in works], rel=1e-6)
    rng = np.random.default_rng(1)
    wild = models(works, rng.uniform(1e2, 1e5, len(works)).tolist())
    assert all(c >= 0 for three in wild.known.values() for c in three)
    off = model_errors(works, [float(500 + w.numbers) for w in works])
    assert np.median(off) < 1e-6


def test_a_group_without_a_model_takes_that_of_its_kind() -> None:
    found = Models({"": (1.0, 0.0, 0.0), "conv": (2.0, 0.0, 0.0), "conv 3x3": (3.0, 0.0, 0.0)})
    assert [found.of(g)[0] for g in ("conv 3x3", "conv 1x1", "bn")] == [3.0, 2.0, 1.0]
    assert Models({}).of("conv") == (0.0, 0.0, 0.0)


def test_errors() -> None:
    found = errors([1.1, 2.0, 2.7], [1.0, 2.0, 3.0])
    assert found is not None
    assert (found.count, found.median, found.tau) == (3, pytest.approx(0.1), 1.0)
    assert errors([], []) is None
    alone = errors([1.0], [2.0])
    assert alone is not None and alone.tau is None


# tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["readers", "nested", "depth"])
def test_a_table_predicts_what_adds_up(name: str, made_up: list[Any], tmp_path: Path) -> None:
    """Networks that are twice the sum of their works and a constant are predicted; rows do not depend on each other."""
    compiled = space(name)
    works, found = made(compiled, tmp_path, Wish(correct=12))
    latency = Latency(works, found)
    rows = genomes(compiled, 200)
    matrix = np.array(rows, np.int16).reshape(len(rows), -1)
    at_once = latency(matrix)
    assert at_once.tolist() == [latency.one(g) for g in rows]
    assert latency(matrix[::-1]).tolist() == at_once[::-1].tolist()
    by_hand = [
        found.correction.constant + sum(found.correction.factor(k) * ns for k, ns in by_kind(works, found, g).items())
        for g in rows
    ]
    assert at_once.tolist() == pytest.approx([ns / 1e6 for ns in by_hand], rel=1e-6)
    last = {g: works.channels_last(g) for g in rows}
    true = [(5000 + 2 * sum(nanoseconds(w, last[g]) for _, w in works.of(g))) / 1e6 for g in rows]
    assert at_once.tolist() == pytest.approx(true, rel=0.05)
    assert found.held is None or found.held.median < 0.02


def test_layouts_are_told_apart(made_up: list[Any], tmp_path: Path) -> None:
    """Where some architectures have their channels last, works of maps are known in both layouts."""
    compiled = compile_text(READERS)
    works, found = made(compiled, tmp_path)
    assert not isinstance(works.last, bool)
    assert {k.removesuffix("-last") for k in found.works} == {w.key for w in works.all()}
    rows = genomes(compiled, 50)
    assert {works.channels_last(g) for g in rows} == {True, False}


@pytest.mark.parametrize("name", ["readers", "nested"])
def test_nodes_of_many_sizes_count_by_their_amounts(
    name: str, made_up: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room for lists of works, the vectorised models give what models of each work give."""
    compiled = space(name)
    _, full = made(compiled, tmp_path)
    monkeypatch.setattr(compiler_works, "JOINT", 2)
    few = Works(compiled.graph)
    assert few.many
    found = table.Table(**{**{f: getattr(full, f) for f in full.__slots__}, "models": full.models})
    latency = Latency(few, found)
    for genes in genomes(compiled, 60):
        last = few.channels_last(genes)
        total = found.correction.constant
        for node, work in few.of(genes):
            group = few.many[node].group if node in few.many else work.group
            a, b, c = found.models.of(group)
            ns = found.works[key(work, last)] if few.few(node) else a + b * work.macs + c * work.numbers
            total += found.correction.factor(work.kind) * ns
        assert latency.one(genes) == pytest.approx(total / 1e6, rel=1e-6)


def test_only_so_many_works_are_measured(made_up: list[Any], tmp_path: Path) -> None:
    compiled = space("nested")
    works, found = made(compiled, tmp_path, Wish(works=10))
    measured = {call[0] for call in made_up if call[0] != "network"}
    assert len(measured) == 10 and found.interpolated == len(found.works) - 10
    assert found.model_error is not None
    Latency(works, found)


def test_a_table_is_read_as_it_was_written(made_up: list[Any], tmp_path: Path) -> None:
    works, found = made(compile_text(READERS), tmp_path)
    write(found, tmp_path / "latency.json")
    again = read(tmp_path / "latency.json")
    rows = np.array(genomes(compile_text(READERS)), np.int16)
    assert Latency(works, again)(rows).tolist() == Latency(works, found)(rows).tolist()
    assert (again.held, again.conditions, again.models) == (found.held, found.conditions, found.models)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 7}', '{"schema": 1, "works": 3}'])
def test_a_damaged_table(text: str, tmp_path: Path) -> None:
    (tmp_path / "latency.json").write_text(text)
    with pytest.raises(RunError, match="no table of latencies"):
        read(tmp_path / "latency.json")


# what is kept ------------------------------------------------------------------------------------------------------


def test_what_is_known_is_not_measured_again(made_up: list[Any], tmp_path: Path) -> None:
    """A second build measures nothing, another space only what is new, other conditions everything."""
    compiled = compile_text(READERS)
    _, first = made(compiled, tmp_path)
    count = len(made_up)
    _, second = made(compiled, tmp_path)
    assert len(made_up) == count
    assert (second.works, second.correction) == (first.works, first.correction)
    made(compile_text(READERS.replace("width in {4, 6}", "width in {4, 6, 8}")), tmp_path, Wish(correct=0, hold=0))
    more = len(made_up) - count
    assert 0 < more < count
    for on in (
        Conditions("another", "2", 1, 1, "float32"),
        Conditions("a processor", "2", 2, 1, "float32"),
        Conditions("a processor", "3", 1, 1, "float32"),
        Conditions("a processor", "2", 1, 8, "float32"),
        Conditions("a processor", "2", 1, 1, "bfloat16"),
    ):
        before = len(made_up)
        made(compiled, tmp_path, on=on)
        assert len(made_up) - before == count
    before = len(made_up)
    build(compiled, Works(compiled.graph), HERE, CPU, Wish(), tmp_path, again=True)
    assert len(made_up) - before == count


def test_an_interrupted_build_goes_on(made_up: list[Any], tmp_path: Path) -> None:
    compiled = compile_text(READERS)

    def stop(what: str, done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(compiled, Works(compiled.graph), HERE, CPU, Wish(), tmp_path, stop)
    assert len(Timings(HERE, tmp_path).read()) == 5
    before = len(made_up)
    made(compiled, tmp_path)
    assert not {c[0] for c in made_up[:5]} & {c[0] for c in made_up[before:] if c[0] != "network"}


def test_without_a_cache(made_up: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrdsl.runtime.latency.cache.cache_folders", lambda folder: iter(()))
    works, found = made(compile_text(READERS), tmp_path)
    assert {w.key for w in works.all()} <= {*found.works} and not list(tmp_path.iterdir())


def test_a_damaged_cache(made_up: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latency.sqlite").write_bytes(b"no database" * 100)
    monkeypatch.setattr("hrdsl.runtime.latency.cache.cache_folders", lambda folder: iter((tmp_path,)))
    made(compile_text(READERS), tmp_path)


def test_conditions_say_what_holds() -> None:
    found = conditions(CPU, 3, 2, "bfloat16")
    assert (found.threads, found.batch, found.precision, found.torch) == (3, 2, "bfloat16", torch.__version__)
    assert found.device and "3 threads, batch 2" in str(found)


# searches ----------------------------------------------------------------------------------------------------------

SEARCH = """
search fast for readers {
  maximize miou
  minimize latency_ms
  require latency_ms <= LIMIT
  latency = table(seconds = 0, correct = 2, hold = 2)
}
"""


def limited(limit: str, text: str = SEARCH) -> Compiled:
    return compile_text(READERS + text.replace("LIMIT", limit))


def run_of(compiled: Compiled) -> Any:
    found = compiled.run("search")
    assert found is not None
    return found


def test_a_limit_refuses(made_up: list[Any], tmp_path: Path) -> None:
    """Within the limit is what the table says; without a table the limit is left out."""
    free = limited("1000")
    bound = goal.timed(free, run_of(free), tmp_path, CPU, tmp_path)
    assert bound.latency is not None
    rows = np.array(genomes(free), np.int16)
    times = bound.latency(rows)
    limit = float(np.median(times))
    tight = limited(f"{limit:.9f}")
    cut = goal.timed(tight, run_of(tight), tmp_path, CPU, tmp_path).restricted("fast")
    assert cut.decisions.feasible(rows).tolist() == (times <= round(limit, 9)).tolist()
    assert tight.restricted("fast").decisions.feasible(rows).all()
    assert cut.decisions.count().value == (times <= round(limit, 9)).sum()
    prices = cut.prices(rows, ["macs", "latency_ms"])
    assert prices["latency_ms"].tolist() == times.tolist()


def test_an_impossible_limit_says_what_is_possible(made_up: list[Any], tmp_path: Path) -> None:
    tight = limited("1/1000000")
    cut = goal.timed(tight, run_of(tight), tmp_path, CPU, tmp_path).restricted("fast")
    with pytest.raises(ArchError) as fault:
        cut.decisions.check()
    assert "latency_ms lies between" in render(fault.value.found[0])


def test_a_study_keeps_its_table(made_up: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed search measures nothing, whatever the machine now says."""
    compiled = limited("1000")
    first = goal.timed(compiled, run_of(compiled), tmp_path, CPU, tmp_path)
    monkeypatch.setattr(goal, "build", lambda *_: pytest.fail("measured again"))
    again = goal.timed(compiled, run_of(compiled), tmp_path, CPU, tmp_path)
    rows = np.array(genomes(compiled), np.int16)
    assert first.latency is not None and again.latency is not None
    assert first.latency(rows).tolist() == again.latency(rows).tolist()


def test_a_table_of_another_space(made_up: list[Any], tmp_path: Path) -> None:
    compiled = limited("1000")
    goal.timed(compiled, run_of(compiled), tmp_path, CPU, tmp_path)
    other = compile_text(READERS.replace("width in {4, 6}", "width in {4, 6, 8}") + SEARCH.replace("LIMIT", "1000"))
    with pytest.raises(RunError, match="of another space"):
        goal.timed(other, run_of(other), tmp_path, CPU, tmp_path)


def test_a_search_without_latency_makes_no_table(tmp_path: Path) -> None:
    compiled = compile_text(READERS + "\nsearch plain for readers { maximize miou }\n")
    assert goal.timed(compiled, run_of(compiled), tmp_path, CPU) is compiled
    assert not list(tmp_path.iterdir())


def test_measured_latency_stands_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\nsearch m for readers {\n  minimize macs\n  maximize accuracy\n  minimize latency_ms\n  maximize miou\n  latency = measured\n}\n"
    compiled = compile_text(READERS + text)
    monkeypatch.setattr(goal, "network", lambda *_: lambda: None)
    monkeypatch.setattr(goal, "measure", lambda call, device, seconds: Timing(3e6, 0, 0, 5, 0))

    def others(rows: Sequence[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], Answer]]:
        yield rows[0], Answer((0.5, 0.25))
        yield rows[1], Answer((), "failed")

    both = goal.with_latency(others, compiled, run_of(compiled), CPU, Store(compiled.graph, 0))
    found = dict(both([(0,), (1,)]))
    assert found[(0,)].values == (0.5, 3.0, 0.25)
    assert found[(1,)].error == "failed"


def test_no_such_device() -> None:
    compiled = limited("1", SEARCH.replace("seconds = 0", "device = cuda"))
    if not torch.cuda.is_available():
        with pytest.raises(RunError, match="no device `cuda` here"):
            goal.where(run_of(compiled).settings["latency"], CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda(tmp_path: Path) -> None:
    """The same on the device's own clock: works, networks, a table, its correction."""
    compiled, device = compile_text(READERS), torch.device("cuda")
    works, on = works_of(compiled), conditions(device)
    found = build(compiled, works, on, device, Wish(seconds=0), tmp_path)
    assert on.threads == 0 and on.device == torch.cuda.get_device_name(device)
    assert all(ns > 0 for ns in found.works.values())
    rows = np.array(genomes(compiled), np.int16)
    assert (Latency(works, found)(rows) > 0).all()


# the command -------------------------------------------------------------------------------------------------------


def test_the_command_on_a_space(made_up: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = str(next(p for p in EXAMPLES if p.stem == "tiny"))
    assert (
        main(["latency", tiny, "--json", "--quiet", "--device", "cpu", "--cache", str(tmp_path), "--networks", "6"])
        == 0
    )
    data = json.loads(capsys.readouterr().out)
    compiled = compile_file(tiny)
    assert data["works"] >= len(Works(compiled.graph).all())
    assert data["smallest"]["latency_ms"] <= data["largest"]["latency_ms"]
    assert data["held"]["count"] == 3 and data["conditions"]["threads"] == 1
    assert main(["latency", tiny, "--quiet", "--device", "cpu", "--cache", str(tmp_path), "--networks", "6"]) == 0
    assert "error on 3 other networks" in capsys.readouterr().out


def test_the_command_on_a_network(made_up: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(next(p for p in EXAMPLES if p.stem == "single_branch"))
    assert main(["latency", one, "--json", "--quiet", "--device", "cpu", "--cache", str(tmp_path), "--batch", "4"]) == 0
    data = json.loads(capsys.readouterr().out)
    works = Works(compile_file(one).graph)
    assert len(data["operations"]) == len(works.of(()))
    assert data["latency_ms"] * 1e6 == pytest.approx(5000 + 2 * sum(nanoseconds(w) for _, w in works.of(())))
    times = [o["latency_ms"] for o in data["operations"]]
    assert times == sorted(times, reverse=True) and data["conditions"]["batch"] == 4


def test_the_command_knows_its_search_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = str(next(p for p in EXAMPLES if p.stem == "tiny"))
    assert main(["latency", tiny, "--search", "nowhere"]) == 2
    assert "has no `search` block `nowhere`" in capsys.readouterr().err
