"""Constraints hold wherever architectures are made; lists leave out what an architecture does not have; conflicts are minimal."""

from collections.abc import Callable
from functools import cache
from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np
import pytest
import torch

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.conflicts import possible
from hrdsl.compiler.constraints import at_a_glance
from hrdsl.dsl.diagnostic import ArchError
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime.objectives import linkage_of
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.problem import Config, Objective, Pool, Problem
from hrdsl.runtime.task import Examples
from hrdsl.runtime.train import SupernetTrainer

from .spaces import SPACES, compile_text

SETS = """hrdsl 1

space sets {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch b at 1/2 { width = 8 }
  stage p on b {
    size in {1, 3, 5}
    cell = layer
  }
  stage q on b {
    size in {1, 3, 5}
    cell = layer
  }
  stage r on b {
    size in {1, 3, 5}
    cell = layer
    times in 0..1
  }
  stage t on b {
    size in {1, 3, 5}
    cell = layer
  }
  head = conv(1, width = 11)
  require distinct([p.size, q.size, r.size])
  require disjoint([p.size], [t.size])
  require count([k == 3 for k in [p.size, q.size, r.size, t.size]]) <= 1
  require sum([p.size, q.size, r.size, t.size]) <= 12
  require any([r.size == 5, q.size == 1, t.size == 5])
}

cell layer(width, size) { out = x -> conv(size, width) -> relu }
"""

CELLS = """hrdsl 1

use std.blocks
use std.fusion

space cells {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch fine at 1/2 { width = 8 }
  branch coarse at 1/4 { width in {8, 16} }
  stage a on fine { cell in {blocks.residual, thin, mix} }
  stage c on fine, coarse {
    cell in {blocks.residual, thin, mix} per branch
    times in 1..2
    fuse = fusion.gated_exchange
  }
  head = fusion.concat_up -> conv(1, width = 11)
  require not (a.cell == "residual") or c.times == 2
  require a.cell != "mix" or c.fine.cell == "mix" and coarse.width == 16
}

cell thin(width) { out = x -> conv(1, width) }
cell mix(width) {
  kernel in {1, 3}
  out = x -> depthwise(kernel) -> conv(1, width)
}
"""

CONSTRAINED = {"sets": SETS, "cells": CELLS, **{name: SPACES[name] for name in ("relational", "inactive", "priced")}}

Labels = dict[str, str]


def relational(one: Labels, _: dict[str, int]) -> bool:
    fine, coarse, low = (int(one[f"{b}.width"]) for b in ("fine", "coarse", "low"))
    return 2 * coarse >= 3 * fine and low >= coarse and low % 3 != 1 and fine + coarse + low <= 120


def sets(one: Labels, _: dict[str, int]) -> bool:
    p, q, r, t = (int(one[f"{s}.size"]) if f"{s}.size" in one else None for s in "pqrt")
    there = [k for k in (p, q, r, t) if k is not None]
    return len({p, q, r}) == 3 and p != t and there.count(3) <= 1 and sum(there) <= 12 and (r == 5 or q == 1 or t == 5)


def cells(one: Labels, _: dict[str, int]) -> bool:
    if one["a.cell"] == "residual" and one["c.times"] != "2":
        return False
    return one["a.cell"] != "mix" or (one["c.fine.cell"] == "mix" and one["coarse.width"] == "16")


def inactive(one: Labels, _: dict[str, int]) -> bool:
    size, kernel = one.get("a.size"), one.get("kernel")
    if size and kernel and int(size) > int(kernel):
        return False
    return not size or one["c.times"] == "1" or int(size) > 3


def priced(_: Labels, costs: dict[str, int]) -> bool:
    return costs["macs"] <= 4_000_000 and costs["parameters"] >= 2000 and costs["peak_activation_bytes"] <= 60 * 1024


TRUTH: dict[str, Callable[[Labels, dict[str, int]], bool]] = {
    "relational": relational,
    "sets": sets,
    "cells": cells,
    "inactive": inactive,
    "priced": priced,
}
every = pytest.mark.parametrize("name", CONSTRAINED)


@cache
def compiled(name: str) -> Compiled:
    return compile_text(CONSTRAINED[name], f"{name}.arch")


def assert_met(name: str, rows: Any) -> None:
    """Every row is canonical and meets the constraints as they are said again above."""
    space, rows = compiled(name), np.asarray(rows)
    assert (space.decisions.canonical(rows) == rows).all()
    rows = np.unique(rows, axis=0)
    costs = space.costs(rows)
    for i, genes in enumerate(map(tuple, rows.tolist())):
        assert TRUTH[name](space.decisions.labels(genes), {n: int(v[i]) for n, v in costs.items()}), genes


@every
def test_the_count_is_that_of_all_canonical_genomes(name: str) -> None:
    space = compiled(name)
    raw = np.array(list(product(*map(range, space.decisions.cardinalities))), dtype=np.int16)
    rows = np.unique(space.decisions.canonical(raw), axis=0)
    costs = space.costs(rows)
    good = [
        TRUTH[name](space.decisions.labels(g), {n: int(v[i]) for n, v in costs.items()})
        for i, g in enumerate(map(tuple, rows.tolist()))
    ]
    assert 0 < sum(good) < len(good)
    assert space.decisions.count().value == sum(good)
    assert set(space.decisions.enumerate()) == {tuple(g) for g in rows[good].tolist()}


@every
def test_samples(name: str) -> None:
    assert_met(name, compiled(name).decisions.sample(np.random.default_rng(1), 10_000))


class Reusing(Pool):
    """A pool that admits a genome again: a small space would be exhausted long before 10,000 children."""

    def _new(self, genes: Any, rows: Any) -> list[int]:
        return list(map(int, rows))

    def _exhausted(self) -> bool:
        return False


@every
@pytest.mark.parametrize("pairing", ["two_point", "uniform"])
def test_children(name: str, pairing: Any) -> None:
    space, rng = compiled(name).decisions, np.random.default_rng(2)
    problem = Problem(space, (Objective("macs"),), linkage=linkage_of(space))
    engine = nsga2.engine(problem, Config(population=200, pairing=pairing, mutation_rate=0.2))
    engine.pool, made = Reusing(problem), 0
    while made < 5_000:
        children = engine.ask()
        assert_met(name, children)
        engine.tell(rng.random((len(children), 1)))
        made += len(children)


@every
def test_training(name: str) -> None:
    pictures = Examples(
        torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.zeros(2, 16, 16, dtype=torch.uint8), 11, 255
    )
    sandwich = Chosen("sandwich", {"random": 2, "distill": False})
    options = {"optimizer": Chosen("sgd", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0})}
    trainer = SupernetTrainer(
        compiled(name),
        {**options, "sample": sandwich, "steps": 200, "batch": 2, "seed": 1},
        pictures,
        torch.device("cpu"),
    )
    assert_met(name, [genes for step in range(200) for genes in trainer.architectures(step)])


# lists -------------------------------------------------------------------------------------------------------------


def flags(count: int, *requires: str) -> Compiled:
    """A space with as many independent gates as asked for."""
    stages = "\n".join(
        f"  stage s{i} on b {{\n    side in {{false, true}}\n    cell = flag\n  }}" for i in range(count)
    )
    every = ", ".join(f"s{i}.side" for i in range(count))
    lines = "\n".join(f"  require {r.replace('EVERY', every)}" for r in requires)
    return compile_text(
        "hrdsl 1\n\nspace s {\n  input = [3, 8, 8]\n  stem = conv(3, width = 4)\n  branch b at 1/1 { width = 4 }\n"
        f"{stages}\n  head = conv(1, width = 2)\n{lines}\n}}\n\n"
        "cell flag(width, side) { out = x + (if side then x -> conv(3, width) else none) }\n"
    )


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("count([EVERY]) == 3", comb(20, 3)),
        ("count([EVERY]) >= 1 and count([EVERY]) < 3", 20 + comb(20, 2)),
        ("any([EVERY])", 2**20 - 1),
        ("all([EVERY])", 1),
        ("sum([if f then 2 else 1 for f in [EVERY]]) == 30", comb(20, 10)),
        ("count([not f for f in [EVERY]]) % 2 == 0", 2**19),
    ],
)
def test_counts_over_20_flags(condition: str, wanted: int) -> None:
    decisions = flags(20, condition).decisions
    assert decisions.count().value == wanted
    assert decisions.count().exact
    rows = decisions.sample(np.random.default_rng(0), 50)
    assert decisions.feasible(rows).all()
    assert [decisions.unrank(decisions.rank(row)) for row in rows.tolist()] == [tuple(row) for row in rows.tolist()]


def test_two_lists_over_the_same_flags() -> None:
    decisions = flags(16, "count([EVERY]) == 8", "count([s0.side, s1.side, s2.side]) >= 2").decisions
    wanted = sum(sum(c) == 8 and sum(c[:3]) >= 2 for c in product((0, 1), repeat=16))
    assert decisions.count().value == wanted


PARTS = """hrdsl 1

space s {{
  input = [3, 8, 8]
  stem = conv(3, width = 4)
  branch b at 1/1 {{ width in {{4, 8, 12}} }}
  stage a on b {{
    size in {{1, 3, 5}}
    cell = conv(size, width)
    times in 0..1
  }}
  stage c on b {{ cell = conv(1, width) }}
  head = conv(1, width = 2)
  require {condition}
}}
"""


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        # without the cell 3 widths, with it 3 widths and 3 sizes
        ("a.size > 1", 3 + 6),
        ("all([b.width > 4, a.size > 1])", 2 + 4),
        ("any([b.width > 4, a.size > 1])", 2 + 8),
        ("b.width > 4 or a.size > 1", 3 + 8),
        ("count([b.width > 4, a.size > 1]) == 1", 2 + 4),
        ("sum([b.width, a.size]) > 8", 1 + 7),
        ("sum([b.width, a.size]) > b.width", 9),
        ("not all([b.width > 4, a.size > 1])", 1 + 5),
        ("contains([a.size, 3], b.width - 1)", 1 + 3),
    ],
)
def test_what_is_not_there(condition: str, wanted: int) -> None:
    decisions = compile_text(PARTS.format(condition=condition)).decisions
    assert decisions.count().value == wanted == len(list(decisions.enumerate()))


# conflicts ---------------------------------------------------------------------------------------------------------

BASE = """hrdsl 1

use std.fusion

space s {{
  input = [3, 32, 32]
  stem = conv(3, width = 8, stride = 2)
  branch a at 1/2 {{ width in 8..32 step 8 }}
  branch b at 1/4 {{ width in 8..32 step 8 }}
  branch c at 1/8 {{ width in 8..32 step 8 }}
  stage one on a, b, c {{
    cell in {{conv(1, width), conv(3, width)}} per branch
    times in 1..2
  }}
  head = fusion.concat_up -> conv(1, width = 4)
{requires}
}}
"""


def fault(*requires: str) -> Any:
    space = compile_text(BASE.format(requires="\n".join(f"  require {r}" for r in requires)))
    with pytest.raises(ArchError) as raised:
        space.decisions.check()
    [diagnostic] = raised.value.found
    return diagnostic


def places(diagnostic: Any) -> list[str]:
    return sorted(label.span.text for label in (*diagnostic.there, diagnostic.here))


@pytest.mark.parametrize(
    ("requires", "needed"),
    [
        (("a.width > 8", "b.width > 16", "a.width + b.width < 24"), (1, 2)),
        (("one.times == 1", "a.width < b.width", "c.width > 8", "b.width < c.width", "c.width < a.width"), (1, 3, 4)),
        (("distinct([a.width, b.width])", "a.width == b.width", "a.width >= 16"), (0, 1)),
        (("a.width == 32", "macs <= 500k", "b.width == 8", "one.times == 2"), (0, 1, 3)),
    ],
)
def test_a_conflict_is_minimal(requires: tuple[str, ...], needed: tuple[int, ...]) -> None:
    diagnostic = fault(*requires)
    assert diagnostic.code == "E405"
    assert "without any one of them there are some" in str(diagnostic)
    assert places(diagnostic) == sorted(requires[i] for i in needed)
    space = compile_text(BASE.format(requires="\n".join(f"  require {r}" for r in requires))).decisions
    kept = [space.constraints[i] for i in needed]
    assert possible(space, kept) == (False, True)
    for few in combinations(kept, len(kept) - 1):
        assert possible(space, few) == (True, True)


def test_a_constraint_that_cannot_be_met_shows_its_parts() -> None:
    diagnostic = fault("b.width >= 8", "a.width + b.width > 64")
    assert diagnostic.code == "E403"
    assert diagnostic.here.text == "b.width lies between 8 and 32, a.width lies between 8 and 32"
    diagnostic = fault("macs <= 10 and one.times == 1")
    assert "one.times lies between 1 and 2, macs lies between" in diagnostic.here.text


@pytest.mark.parametrize("requires", [("macs <= 10",), ("macs <= 10", "parameters >= 10"), ("a.width > 9",)])
def test_a_network_without_decisions_has_conflicts_too(requires: tuple[str, ...]) -> None:
    text = BASE.format(requires="\n".join(f"  require {r}" for r in requires))
    text = (
        text.replace("in 8..32 step 8", "= 8").replace("in 1..2", "= 1").replace("cell in {conv(1, width), ", "cell = ")
    )
    with pytest.raises(ArchError) as raised:
        compile_text(text.replace("conv(3, width)} per branch", "conv(3, width)")).decisions.check()
    assert [d.code for d in raised.value.found] == ["E403"]
    if requires[0].startswith("macs"):
        assert "macs is " in raised.value.found[0].here.text


def test_a_conflict_that_is_only_searched_for_says_so() -> None:
    many = flags(20, "macs <= 60k", "parameters >= 2000").decisions
    with pytest.raises(ArchError, match="too many to look at all") as raised:
        many.sample(np.random.default_rng(0), 1)
    assert raised.value.found[0].code == "E405"


@pytest.mark.parametrize(("condition", "codes"), [("n >= 2", []), ("n >= 9", ["E403"]), ("3 >= 2", ["W603"])])
def test_a_condition_on_parameters_says_what_may_be_set(condition: str, codes: list[str]) -> None:
    text = f"hrdsl 1\nspace s(n = 4) {{\ninput = [3, 8, 8]\nhead = conv(kernel in {{1, 3}}, width = n)\nrequire {condition}\n}}\n"
    try:
        found = at_a_glance(compile_text(text).graph)
    except ArchError as fault:
        found = list(fault.found)
    assert [d.code for d in found or []] == codes


@pytest.mark.parametrize(("weights", "code"), [("{8: 1}", "E410"), ("{8: 1, 16: 1}", None)])
def test_check_sees_a_prior_that_cannot_be_followed(weights: str, code: str | None) -> None:
    text = f"""hrdsl 1
space s {{
  input = [3, 8, 8]
  branch a at 1/1 {{ width in {{8, 16}} }}
  stage s1 on a {{ cell = conv(3) }}
  head = concat
  require a.width > 8
  prior a.width {weights}
}}
"""
    made = compile_text(text)
    if code is None:
        assert at_a_glance(made.graph) == []
        return
    assert at_a_glance(made.graph) is None
    with pytest.raises(ArchError) as raised:
        made.decisions.check()
    assert [d.code for d in raised.value.found] == [code]
