"""Random programs: the compiler's verdict on each against plain torch, and what holds for every space."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.found import compile_text as compile_found
from hrdsl.compiler.found import found_text
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.format import format_text

from .programs import program
from .spaces import SPACES, Reference, compile_text
from .verdict import OTHER, SHAPES, verdict

torch.set_num_threads(1)
PROGRAMS, PARTS = 150, 10
SPACE = """hrdsl 1

space s {{
  input = [3, 16, 16]
  branch fine at 1/1 {{ width in {{4, 8}} }}
  branch coarse at 1/2 {{ width = 8 }}
  {0}
  head = means -> linear(3)
}}

cell means() {{ out = [f -> global_pool for f in x] -> concat }}

cell wide(to) {{
  own = [f for f in x if f.stride == to.stride]
  out = [f -> conv(1, width = 8) -> resize(own[0]) for f in x] -> sum
}}

cell plain(width) {{ out = x -> conv(1, width) -> relu }}

cell never(width) {{
  yes in {{true, false}}
  out = if yes then [x -> conv(1, width), if yes then none else x -> conv(3, width)] -> sum else x -> conv(5, width)
}}
"""
FOUND = {
    "a width that follows a choice of cells": """stage s1 on fine {
    cell in {plain, conv(3)}
    twice = if s1.fine.cell == "plain" then 4 else 8
  }
  stage s2 on fine { cell = conv(1, s1.twice) }""",
    "`none` among fusions": "stage s1 on fine, coarse {\n    cell = plain\n    fuse in {none, wide} per branch\n  }",
    "arguments per branch within cells per cell": """stage s1 on fine, coarse {
    cell in {conv(kernel in {1, 3} per branch), plain} per cell
    times = 2
  }""",
    "arguments per cell within cells per branch": """stage s1 on fine, coarse {
    cell in {conv(kernel in {1, 3} per cell), plain} per branch
    times = 2
  }""",
    "a list that reads what is never there": "stage s1 on fine { cell = never }",
}


@cache
def outcome(seed: int) -> str:
    return verdict(program(seed), seed)


@pytest.mark.parametrize("part", range(PARTS))
def test_verdicts_are_true(part: int) -> None:
    for seed in range(part, PROGRAMS, PARTS):
        assert outcome(seed) in ("valid", *SHAPES, *OTHER)


def test_programs_of_both_kinds() -> None:
    known = [outcome(seed) for seed in range(PROGRAMS)]
    assert 0.5 < known.count("valid") / PROGRAMS < 0.8
    assert len(set(known)) >= 7


@pytest.mark.parametrize("lines", FOUND.values(), ids=FOUND)
def test_what_random_programs_found(lines: str) -> None:
    assert verdict(SPACE.format(lines)) == "valid"


@pytest.mark.parametrize("name", [n for n, text in SPACES.items() if "peak" not in text])
def test_spaces_mean_what_their_text_says(name: str) -> None:
    assert verdict(SPACES[name]) == "valid"


def space(seed: int) -> Compiled:
    """A random program without routes (what they share depends on raw genes) that has architectures."""
    assume("routes" not in program(seed))
    try:
        found = compile_text(format_text(Source("s.arch", program(seed))), "s.arch")
        found.decisions.check()
    except ArchError:
        assume(False)
    return found


SEEDS = st.integers(0, 10_000)
FEW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=12, suppress_health_check=FEW)
@given(seed=SEEDS)
def test_formatting_is_idempotent(seed: int) -> None:
    formatted = format_text(Source("s.arch", program(seed)))
    assert format_text(Source("s.arch", formatted)) == formatted


@settings(max_examples=12, suppress_health_check=FEW)
@given(seed=SEEDS)
def test_what_holds_for_every_space(seed: int) -> None:
    made, rng = space(seed), np.random.default_rng(seed)
    decisions, reference = made.decisions, Reference(made.graph)

    raw = rng.integers(0, decisions.cardinalities or (), (6, len(decisions.cardinalities)))
    canonical = decisions.canonical(raw)
    assert (decisions.canonical(canonical) == canonical).all()
    for before, after in zip(raw.tolist(), canonical.tolist(), strict=True):
        assert reference.network(before) == reference.network(after)
    one, two = made.costs(raw), made.costs(canonical)
    assert all((one[name] == two[name]).all() for name in one)

    drawn = decisions.sample(rng, 4)
    assert decisions.feasible(drawn).all()
    assert (decisions.canonical(drawn) == drawn).all()
    assert len({reference.network(g) for g in drawn.tolist()}) == len({tuple(g) for g in drawn.tolist()})
    assert decisions.count().value >= 1
    assert decisions.feasible(decisions.repair(raw, rng)).all()
    for genes in drawn.tolist()[:1]:
        assert decisions.read(decisions.labels(genes)) == tuple(genes)


@settings(max_examples=8, suppress_health_check=FEW)
@given(seed=SEEDS)
def test_every_found_network_is_a_file(seed: int) -> None:
    assume(".cell ==" not in program(seed))  # a constraint on a cell with arguments `per cell` reads them for the stage
    made = space(seed)
    [genes] = made.decisions.sample(np.random.default_rng(seed), 1).tolist()
    again = compile_found(found_text(made, genes), made)
    assert again.decisions.count().value == 1
    assert again.costs.one(()) == made.costs.one(genes)
