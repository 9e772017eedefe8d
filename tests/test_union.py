"""The union of plans: each architecture's results to the last bit, less work, memory as foretold."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdsl.compiler import union as unions
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.union import INPUT, Program, Sizes, Trace, Tracer, evaluating, grouped, needed, normalised, union

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


def images(case: str, count: int = 2, side: int = 32) -> torch.Tensor:
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
    moments = {
        i.out: (torch.zeros(i.norm.channels), torch.ones(i.norm.channels)) for i in calls if i.norm is not None
    }
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
def test_what_is_alike_runs_once(case: str) -> None:
    """As many calls as there are distinct ones by a key of our own: the function, its constants, and what it reads."""
    genomes = architectures(case, 3, 6)
    tracer = Tracer(planner(case))
    calls = union(tracer(genome) for genome in genomes)
    assert len({i.out for i in calls}) == len(calls)
    assert [i.out for i in union(map(tracer, genomes))] == [i.out for i in calls]
    heads = {tracer(genome).ops[0].key for genome in genomes}
    assert len(heads) <= 2


@every
def test_a_part_runs_alone(case: str) -> None:
    """Every group of a union is a program of its own: nothing that it reads was left to another."""
    genomes, x = architectures(case, 4, 4), images(case)
    tracer = Tracer(planner(case))
    traces = [tracer(genome) for genome in genomes]
    with torch.no_grad():
        for genome, trace in zip(genomes, traces, strict=True):
            found = run(Program(union([trace]), [trace.result]), x)
            assert torch.equal(found[trace.result], planner(case)(genome)(x, "batch")) or "dropout" in str(genome)


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


class Watch:
    """The most bytes that the registers of a program held: measured on the storages themselves, call by call."""

    def __init__(self, program: Program, x: torch.Tensor) -> None:
        self.most = 0
        self.held: dict[int, torch.Tensor] = {}
        self.fixed = {t.untyped_storage()._cdata for i in program.calls for t in i.consts if isinstance(t, torch.Tensor)}
        registers: dict[int, Any] = {}
        for made, dead in program.uses():
            for r in made:
                if r <= unions.INPUT_LAST:
                    registers[r] = x if r == INPUT else unions.laid_out(x)
                else:
                    i = next(i for i in program.calls if i.out == r)
                    registers[r] = i.fn(*[registers[s] for s in i.slots], *i.consts, **i.kwargs)
            alive = {0: x, **registers}
            storages = {
                t.untyped_storage()._cdata: t.untyped_storage().nbytes()
                for t in alive.values()
                if isinstance(t, torch.Tensor) and t.untyped_storage()._cdata not in self.fixed
            }
            self.most = max(self.most, sum(storages.values()))
            for r in dead:
                del registers[r]


@every
@torch.no_grad()
def test_memory_is_as_foretold(case: str) -> None:
    x = images(case, 3)
    tracer = Tracer(planner(case))
    traces = sorted((tracer(genome) for genome in architectures(case, 6, 4)), key=lambda t: t.order)
    sizes = Sizes(x)
    sizes.add(map(evaluating, union(traces)))
    whole = Program(list(map(evaluating, union(traces))), [t.result for t in traces])
    assert sizes.peak(whole) == Watch(whole, x).most
    alone = max(sizes.peak(Program(union([t]), [t.result])) for t in traces)
    for bound in (alone, 2 * alone, 1 << 40):
        groups = list(grouped(traces, (sizes,), bound))
        assert [t for group in groups for t in group] == traces
        for group in groups:
            program = Program(list(map(evaluating, union(group))), [t.result for t in group])
            assert Watch(program, x).most <= bound
    assert len(list(grouped(traces, (sizes,), 0))) == len(traces)
    assert len(list(grouped(traces, (sizes,), 1 << 40))) == 1
