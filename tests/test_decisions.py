"""Activity, canonical form, constraints, count and sampling against an independent enumeration of small spaces."""

import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.specialise import Specialiser

from .spaces import EXAMPLES, SPACES, Reference, compile_example, compile_space, compile_text

every = pytest.mark.parametrize("name", SPACES)


@cache
def compiled(name: str) -> Compiled:
    return compile_space(name)


@cache
def brute(name: str) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """The canonical genome of each feasible or infeasible network -> every raw combination that means it."""
    classes = Reference(compiled(name).graph).classes()
    return {min(raw): raw for raw in classes.values()}


@cache
def wanted(name: str) -> frozenset[tuple[int, ...]]:
    """The architectures: canonical genomes that meet every constraint."""
    reference = Reference(compiled(name).graph)
    return frozenset(g for g in brute(name) if reference.feasible(compiled(name), g))


@every
def test_small(name: str) -> None:
    assert np.prod(compiled(name).decisions.cardinalities) <= 10_000


@every
def test_count_is_that_of_brute_force(name: str) -> None:
    count = compiled(name).decisions.count()
    assert count.exact
    assert count.value == len(wanted(name))


@every
def test_enumerate_gives_each_once(name: str) -> None:
    found = list(compiled(name).decisions.enumerate())
    assert len(found) == len(set(found))
    assert set(found) == wanted(name)


@every
def test_canonical_form_is_one_for_each_network(name: str) -> None:
    decisions = compiled(name).decisions
    for canonical, raw in brute(name).items():
        assert {tuple(row) for row in decisions.canonical(np.array(raw)).tolist()} == {canonical}


@every
def test_active_decisions_are_those_that_matter(name: str) -> None:
    reference, decisions = Reference(compiled(name).graph), compiled(name).decisions
    for genes in sorted(wanted(name))[:: max(1, len(wanted(name)) // 50)]:
        paths = {d.path for d in decisions.decisions if reference.active(genes, d.index)}
        assert set(decisions.labels(genes)) == paths
        assert decisions.read(decisions.labels(genes)) == genes


@every
def test_feasible_is_that_of_brute_force(name: str) -> None:
    genes = sorted(brute(name))
    good = compiled(name).decisions.feasible(np.array(genes))
    assert {g for g, ok in zip(genes, good, strict=True) if ok} == wanted(name)


@every
def test_sampling_is_uniform(name: str) -> None:
    decisions = compiled(name).decisions
    index = {g: i for i, g in enumerate(sorted(wanted(name)))}
    rows = decisions.sample(np.random.default_rng(20), 30 * len(index))
    seen = np.bincount([index[tuple(r)] for r in rows.tolist()], minlength=len(index))
    assert chisquare(seen).pvalue > 1e-3


@every
def test_what_is_made_is_feasible(name: str) -> None:
    decisions, rng = compiled(name).decisions, np.random.default_rng(3)
    random = rng.integers(0, decisions.cardinalities, (50, len(decisions.cardinalities)))
    ends = np.array([decisions.largest(), decisions.smallest()])
    for rows in (decisions.sample(rng, 50), decisions.repair(random, rng), ends):
        assert decisions.feasible(rows).all()
        assert (decisions.canonical(rows) == rows).all()
        assert {tuple(r) for r in rows.tolist()} <= wanted(name)


@every
def test_ends_are_the_ends(name: str) -> None:
    """On spaces as small as these the climb finds the true ends."""
    decisions = compiled(name).decisions
    macs = compiled(name).costs(np.array(sorted(wanted(name))))["macs"]
    assert compiled(name).costs.one(decisions.largest())["macs"] == macs.max()
    assert compiled(name).costs.one(decisions.smallest())["macs"] == macs.min()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples(path) -> None:  # type: ignore[no-untyped-def]
    decisions, rng = compile_example(path).decisions, np.random.default_rng(5)
    random = rng.integers(0, decisions.cardinalities, (50, len(decisions.cardinalities)))
    for rows in (
        decisions.sample(rng, 50),
        decisions.repair(random, rng),
        np.array([decisions.largest(), decisions.smallest()]),
    ):
        assert decisions.feasible(rows).all()
        assert (decisions.canonical(rows) == rows).all()


# known counts ------------------------------------------------------------------------------------------------------

ONE_STAGE = """hrdsl 1

space s {{
  input = [3, 32, 32]
  stem = conv(3, width = 64, stride = 2)
  branch main at 1/2 {{ width = 64 }}
{stages}
  head = conv(1, width = 4)
}}

{cells}
"""

OPTIONS_576 = """
cell options(width) {
  kernel in {1, 3, 5, 7}
  expand in {1/4, 1/2, 3/4, 1}
  first in 8..48 step 8
  second in 8..48 step 8
  out = x -> conv(kernel, width * expand) -> conv(1, first) -> conv(1, second) -> conv(1, width)
}
"""

TRIO = """
cell trio(width) {
  cell in {
    plain(expand in {1/8, 1/4}, kernel in {3, 5, 7}),
    local(expand in {1/4, 1/2}, window in {3, 5, 7}, key in {1/2, 1}, value in {1/2, 1}, heads in {4, 8}),
    axial(expand in {1/4, 1/2}, key in {1/2, 1}, value in {1/2, 1}, heads in {4, 8}),
  }
}
cell plain(width, expand, kernel) { out = x -> conv(kernel, width * expand) -> conv(1, width) }
cell local(width, expand, window, key, value, heads) {
  out = x -> conv(window, width * expand) -> conv(1, width * key) -> conv(1, width * value) -> conv(1, width, groups = heads)
}
cell axial(width, expand, key, value, heads) {
  out = x -> conv(1, width * expand) -> conv(1, width * key) -> conv(1, width * value) -> conv(1, width, groups = heads)
}
"""


def stages(cell: str, *depths: str) -> str:
    rows = [f"  stage s{i} on main {{\n    cell = {cell}\n    times in {d}\n  }}" for i, d in enumerate(depths)]
    return "\n".join(rows)


def test_39_architectures_of_conditional_depth() -> None:
    assert compiled("depth").decisions.count().value == 39


def test_repeated_stage_of_576_options() -> None:
    space = compile_text(ONE_STAGE.format(stages=stages("options", "1..2"), cells=OPTIONS_576))
    assert space.decisions.count().value == 576 + 576**2 == 332_352


def test_relational_widths() -> None:
    fine, coarse, low = range(8, 33, 8), (8, 12, 24, 32, 48, 64), range(16, 65, 16)
    widths = sum(
        2 * c >= 3 * f and w >= c and w % 3 != 1 and f + c + w <= 120 for f in fine for c in coarse for w in low
    )
    assert compiled("relational").decisions.count().value == 8 * widths


def test_trionet() -> None:
    """14 blocks in four stages of searched depth, each block with 6 + 48 + 16 candidates (TrioNet, Table 1)."""
    space = compile_text(ONE_STAGE.format(stages=stages("trio", "1..2", "2..3", "3..6", "1..3"), cells=TRIO))
    start = time.perf_counter()
    count = space.decisions.count()
    assert time.perf_counter() - start < 1
    assert count.exact
    assert count.value == 71_810_804_455_625_701_830_000_000


# flows that can be `none` ------------------------------------------------------------------------------------------

GATES = """
cell gate(width) {
  open in {true, false}
  out = if open then x -> conv(3, width) else none
}
cell opened(width) {
  open in {false, true}
  out = if open then x -> conv(5, width) else none
}
cell tied(width, open) { out = if open then x -> conv(3, width) else none }
cell some(width) {
  size in {0, 1, 2, 3}
  out = if size % 2 == 1 then none else x -> conv(1 + size, width)
}
cell kernel(width) { cell in {conv(3, width), conv(5, width)} }
"""
GATED = {
    "one after the other": "out = x + (x -> gate -> gate)",
    "codes the other way round": "out = x + (x -> opened -> gate -> opened)",
    "side by side": "out = [x, x -> gate, x -> opened, x -> gate -> gate] -> sum",
    "before *": "out = x + multiply(x -> gate, x -> opened)",
    "before * and read again": "g = x -> gate\n out = [x, g, multiply(x -> opened, g -> gate)] -> sum",
    "one within the other": "out = x + (x -> outer)",
    "one within another within a chain": "out = x + (x -> gate -> outer -> gate)",
    "several alternatives": "out = x + (x -> some -> some)",
    "alternatives without none between": "out = x + (x -> gate -> kernel -> gate -> kernel)",
    "alternatives with gates in them": "out = x + (x -> picked -> gate)",
    "depth of gates": "out = x + (x -> gate -> repeat(gate, times in 1..3))",
    "tied in a row": "open in {true, false}\n out = x + (x -> tied(open = open) -> tied(open = open))",
    "tied side by side": "open in {true, false}\n"
    "out = [x, x -> gate -> tied(open = open), x -> conv(1) -> tied(open = open) -> gate] -> sum",
    "tied to what is computed": "k in {1, 3}\n out = [x, x -> conv(k), x -> tied(open = k == 3) -> gate] -> sum",
    "two conditions": "a in {true, false}\n b in {false, true}\n"
    "out = [x, x -> gate -> tied(open = a and b), x -> tied(open = b)] -> sum",
    "concatenated": "out = concat([x -> gate -> gate, x -> opened, x]) -> conv(1)",
    "between cells": "out = x + ([x -> gate -> gate, x -> gate] -> sum -> relu -> gate)",
}
OUTER = """
cell outer(width) {
  open in {true, false}
  out = if open then (x -> gate) + (x -> gate) else none
}
cell picked(width) { cell in {gate, opened, kernel} }
"""


@cache
def gated(name: str) -> tuple[Compiled, dict[tuple[Any, ...], list[tuple[int, ...]]]]:
    """A space with gates, and every raw combination by the operations that run for it."""
    cell = f"cell wired(width) {{\n {GATED[name]}\n}}\n"
    space = compile_text(ONE_STAGE.format(stages=stages("wired", "1..1"), cells=cell + GATES + OUTER))
    run, found = Specialiser(space.graph), {}
    for raw in Reference(space.graph).raw():
        found.setdefault(run(raw), []).append(raw)
    return space, found


gates = pytest.mark.parametrize("name", GATED)


@gates
def test_one_genome_for_each_network(name: str) -> None:
    space, networks = gated(name)
    wanted = set()
    for same in networks.values():
        canonical = {tuple(row) for row in space.decisions.canonical(np.array(same)).tolist()}
        assert len(canonical) == 1
        assert canonical <= set(same)
        wanted |= canonical
    assert set(space.decisions.enumerate()) == wanted
    assert space.decisions.count().value == len(networks)


@gates
def test_labels_of_gates_read_back(name: str) -> None:
    decisions = gated(name)[0].decisions
    for genes in decisions.enumerate():
        assert decisions.read(decisions.labels(genes)) == genes


def test_two_gates_in_a_row_make_two_networks() -> None:
    decisions = gated("one after the other")[0].decisions
    assert [list(decisions.labels(g).values()) for g in decisions.enumerate()] == [["true", "true"], ["false"]]
