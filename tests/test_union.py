"""The union of plans: each architecture's results to the last bit, less work, memory as foretold."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.frozen import frozen, gathering
from hrdsl.compiler.instruction import Placed
from hrdsl.compiler.plan import Planner, channels_last, laid_out
from hrdsl.compiler.store import Store
from hrdsl.compiler.sym import at
from hrdsl.compiler.union import (
    INPUT,
    Program,
    Sizes,
    Tracer,
    evaluating,
    grouped,
    needed,
    normalised,
    operations,
    union,
)

from .spaces import SPACES, compile_space, compile_text

EXAMPLES = Path(__file__).parent.parent / "examples"
Genome = tuple[int, ...]
OTHERS = {
    "windows": """hrdsl 1

## Windows of two sizes, tokens and their way back, and a flow that is read for its size alone.
space windows {
  input = [3, 12, 12]
  stem = conv(3, width = 8, stride = 2) -> bn
  branch main at 1/2 { width = 8 }
  stage a on main {
    cell in {shifted(side in {2, 4}), mixed}
    times in 1..2
  }
  head = conv(1, width = 4)
}

cell shifted(width, side) {
  inner = x -> windows(side, side) -> conv(3, width) -> bn
  out = from_windows(inner, x) + x
}

cell mixed(width) {
  tokens = x -> to_tokens -> ln -> linear(width) -> bn -> gelu
  small = x -> conv(3, width, stride = 2) -> bn -> relu
  out = to_map(tokens, x) + (small -> resize(x)) + (x -> dropout(p = 1/2))
}
""",
}
CASES = [*SPACES, *OTHERS, "tiny", "demo"]


@cache
def compiled(case: str) -> Compiled:
    if case in OTHERS:
        return compile_text(OTHERS[case])
    return compile_file(EXAMPLES / f"{case}.arch") if case in ("tiny", "demo") else compile_space(case)


@cache
def planner(case: str) -> Planner:
    """Over a store whose statistics and offsets are not the trivial ones."""
    space = compiled(case)
    store = Store(space.graph, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        store.flat.add_(0.05 * torch.randn_like(store.flat))
    return Planner(space.graph, store)


def architectures(case: str, seed: int, count: int) -> list[Genome]:
    """Some drawn, and neighbours of them, as evolution makes them."""
    space, rng = compiled(case), np.random.default_rng(seed)
    drawn = space.decisions.sample(rng, count)
    near = np.where(rng.random(drawn.shape) < 0.8, drawn[:1], drawn)
    rows = space.decisions.canonical(np.concatenate([drawn, near]).astype(np.int16))
    return [*dict.fromkeys(tuple(map(int, row)) for row in rows[space.decisions.feasible(rows)])]


def images(case: str, count: int = 2) -> torch.Tensor:
    given = compiled(case).graph.input
    extent = [int(e) for e in given.extent]
    return torch.randn(count, int(given.width), *extent, generator=torch.Generator().manual_seed(5))


def run(program: Program, x: torch.Tensor) -> dict[int, torch.Tensor]:
    return dict(program(x))


every = pytest.mark.parametrize("case", CASES)


@every
@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 1 << 16))
@torch.no_grad()
def test_union_is_each_plan(case: str, seed: int) -> None:
    """Bit for bit, with statistics of the batch that are gathered, and with those that were."""
    genomes, x = architectures(case, seed, 5), images(case)
    tracer = Tracer(planner(case))
    traces = [tracer(genome) for genome in genomes]
    calls = union(sorted(traces, key=lambda t: t.order))
    results = [trace.result for trace in traces]
    moments = {i.out: (torch.zeros(i.norm.channels), torch.ones(i.norm.channels)) for i in calls if i.norm is not None}
    gathered: dict[int, torch.Tensor] = {}
    for count in (1, 2):
        bound = [evaluating(i) if i.norm is None else normalised(i, moments[i.out], 1 / count) for i in calls]
        gathered = run(Program(bound, results), x * count)
    stored = run(
        Program([evaluating(i) if i.norm is None else normalised(i, moments[i.out]) for i in calls], results), x
    )
    assert set(gathered) == set(results)
    for genome, trace in zip(genomes, traces, strict=True):
        plan = planner(case)(genome)
        plan.reset_statistics()
        wanted = [plan(x * count, "calibrate") for count in (1, 2)][-1]
        assert torch.equal(gathered[trace.result], wanted)
        assert torch.equal(stored[trace.result], plan(x, "stored"))
        mine = [moments[i.out] for op in trace.ops for i in op.calls if i.norm is not None]
        for (mean, var), (m, v) in zip(mine, plan.statistics.values(), strict=True):
            assert torch.equal(mean, m) and torch.equal(var, v)


@every
@torch.no_grad()
def test_frozen_is_near(case: str) -> None:
    """What each plan gives with stored statistics, up to rounding; and no head of `demo` joins its maps."""
    genomes, x = architectures(case, 7, 3), images(case)
    tracer = Tracer(planner(case))
    traces = [tracer(genome) for genome in genomes]
    calls, results = union(traces), [trace.result for trace in traces]
    moments = {i.out: (torch.zeros(i.norm.channels), torch.ones(i.norm.channels)) for i in calls if i.norm is not None}
    made = gathering(calls, torch.float32)
    bound = [normalised(i, moments[i.out], 1.0) if i.norm is not None else i for i in made.calls]
    dict(Program(bound, results, made.constants)(x))
    made = frozen(calls, moments, results, torch.float32)
    found = dict(Program(made.calls, results, made.constants)(x))
    for genome, trace in zip(genomes, traces, strict=True):
        plan = planner(case)(genome)
        plan.reset_statistics()
        plan(x, "calibrate")
        torch.testing.assert_close(found[trace.result], plan(x, "stored"), rtol=1e-3, atol=1e-4)
    if case == "demo":
        joins = [sum(isinstance(i.fn, Placed) and i.fn.fn is torch.cat for i in some) for some in (calls, made.calls)]
        assert joins == [len(set(results)), 0]


def own_key(case: str, genome: Genome) -> set[Any]:
    """What a genome computes, each operation by all that it depends on, written out: no numbers, no look-ups."""
    graph = compiled(case).graph
    known: dict[int, Any] = {0: ("input", channels_last(graph, planner(case).specialiser(genome)))}
    for live in planner(case).specialiser(genome):
        node, name = graph.nodes[live.node], graph.nodes[live.node].name if live.entry.weights else ""
        shapes = [graph.nodes[i].shape for i in live.inputs]
        read = [
            (s.form, *(at(v, genome) for v in (s.width, s.copies, *s.extent))) if k in node.op.like else known[i]
            for k, (i, s) in enumerate(zip(live.inputs, shapes, strict=True))
        ]
        known[live.node] = hash((name, repr((live.entry.steps, live.entry.weights)), *read))
    return {v for k, v in known.items() if k}


@every
def test_what_is_alike_runs_once(case: str) -> None:
    genomes = architectures(case, 3, 6)
    tracer = Tracer(planner(case))
    ops = operations(map(tracer, genomes))
    assert len(ops) == len({key for genome in genomes for key in own_key(case, genome)})
    assert [op.key for op in operations(map(tracer, genomes))] == [op.key for op in ops]
    calls = union(map(tracer, genomes))
    assert len({i.out for i in calls}) == len(calls) == sum(len(op.calls) for op in ops)


@every
def test_a_part_runs_alone(case: str) -> None:
    """Every group of a union is a program of its own: nothing that it reads was left to another."""
    genomes, x = architectures(case, 4, 4), images(case)
    tracer = Tracer(planner(case))
    traces = [tracer(genome) for genome in genomes]
    with torch.no_grad():
        for genome, trace in zip(genomes, traces, strict=True):
            found = run(Program(union([trace]), [trace.result]), x)
            plan = planner(case)(genome)
            assert any(i.flags for i in union([trace])) or torch.equal(found[trace.result], plan(x, "batch"))


def test_needed() -> None:
    tracer = Tracer(planner("demo"))
    trace = tracer(compiled("demo").decisions.largest())
    calls = union([trace])
    first = next(i for i in calls if i.norm is not None)
    some = needed(calls, [first.out])
    assert [i.out for i in some] == [i.out for i in calls][: len(some)]
    assert needed(calls, [trace.result]) == calls
    assert needed(calls, []) == []


# memory


def watched(program: Program, x: torch.Tensor) -> int:
    """The most bytes that a program holds at once: after each call, of the memory of every tensor that is there."""
    weights = {t.untyped_storage()._cdata for i in program.calls for t in i.consts if isinstance(t, torch.Tensor)}
    registers: dict[int, Any] = {r: x if r == INPUT else laid_out(x) for r in program.inputs}
    most = 0
    for i, dead in zip((None, *program.calls), ((), *program.dead), strict=True):
        if i is not None:
            registers[i.out] = i.fn(*[registers[s] for s in i.slots], *i.consts, **i.kwargs)
        held = [v.untyped_storage() for v in (x, *registers.values()) if isinstance(v, torch.Tensor)]
        most = max(most, sum({s._cdata: s.nbytes() for s in held if s._cdata not in weights}.values()))
        for r in dead:
            del registers[r]
    return most


@every
@torch.no_grad()
def test_memory_is_as_foretold(case: str) -> None:
    x = images(case, 3)
    tracer = Tracer(planner(case))
    traces = sorted((tracer(genome) for genome in architectures(case, 6, 4)), key=lambda t: t.order)
    sizes = Sizes(x)
    sizes.add(operations(traces))
    whole = Program(list(map(evaluating, union(traces))), [t.result for t in traces])
    assert sizes.peak(whole) == watched(whole, x)
    alone = max(sizes.peak(Program(union([t]), [t.result])) for t in traces)
    for bound in (alone, 2 * alone, 1 << 40):
        groups = list(grouped(traces, (sizes,), bound))
        assert [t for group in groups for t in group] == traces
        for group in groups:
            program = Program(list(map(evaluating, union(group))), [t.result for t in group])
            assert watched(program, x) <= bound
    assert len(list(grouped(traces, (sizes,), 0))) == len(traces)
    assert len(list(grouped(traces, (sizes,), 1 << 40))) == 1
