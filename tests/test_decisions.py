"""Activity, canonical form, constraints, count and sampling against an independent enumeration of small spaces."""

import time
from functools import cache

import numpy as np
import pytest
from scipy.stats import chisquare

from hrdsl.compiler.api import Compiled

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
    for genes in sorted(wanted(name))[:: max(1, len(wanted(name)) // 100)]:
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


# gates after gates -------------------------------------------------------------------------------------------------

GATE = "cell gate(width) {\n  open in {true, false}\n  out = if open then x -> conv(3, width) else none\n}\n"
GATED = {
    "one after the other": "cell pair(width) { out = x + (x -> gate -> gate) }\n",
    "multiplied": "cell pair(width) { out = x + multiply(x -> gate, x -> gate) }\n",
    "one within the other": "cell pair(width) { out = x + (x -> outer) }\n"
    "cell outer(width) {\n  open in {true, false}\n  out = if open then (x -> gate) + (x -> gate) else none\n}\n",
}


@pytest.mark.parametrize("name", GATED)
def test_canonical_form_of_closed_gates_is_the_same_network(name: str) -> None:
    """Gates that hide each other are reset one after the other: both closed must not become both open."""
    space = compile_text(ONE_STAGE.format(stages=stages("pair", "1..1"), cells=GATED[name] + GATE))
    reference = Reference(space.graph)
    for raw in reference.raw():
        [genes] = space.decisions.canonical(np.array([raw])).tolist()
        assert reference.network(genes) == reference.network(raw)
        assert space.decisions.canonical(np.array([genes])).tolist() == [genes]
