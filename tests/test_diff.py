"""`hrdsl diff`: golden texts over pairs of files, and what it says of architectures against enumeration."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.compare import compare
from hrdsl.compiler.found import compile_text, found_text
from hrdsl.compiler.sym import at
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source

from .spaces import SPACES, Reference, compile_space

HERE = Path(__file__).parent / "golden" / "diff"
BASE = (HERE / "base.arch").read_text(encoding="utf-8")
TINY = HERE.parent / "cli" / "tiny.arch"
Golden = Callable[[Path, str], None]


@cache
def compiled(text: str) -> Compiled:
    return compile_module(load_source(Source("s.arch", text)))


def edited(*edits: tuple[str, str]) -> str:
    """The base with texts replaced."""
    text = BASE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def found(width: int, times: int, cell: str) -> str:
    """A network of the base."""
    space = compiled(BASE)
    labels = {"coarse.width": str(width), "s2.times": str(times), "s2.coarse.cell": cell}
    return found_text(space, space.decisions.read(labels))


REQUIRE = "require coarse.width >= 2 * fine.width or s2.times == 1"
PAIRS: dict[str, Callable[[], tuple[str, str]]] = {
    "reformatted": lambda: (BASE, edited(("space base", "space same"), ("{8, 16, 24} }", "{ 8,  16, 24 } } # widths"))),
    "reordered": lambda: (BASE, edited(("  times in 1..2\n", ""), ("per branch\n", "per branch\n    times in 1..2\n"))),
    "said_otherwise": lambda: (BASE, edited((REQUIRE, "require s2.times < 2 or fine.width <= 1/2 * coarse.width"))),
    "narrowed": lambda: (BASE, edited(("{8, 16, 24}", "{16, 24}"))),
    "widened": lambda: (BASE, edited(("1..2", "1..3"))),
    "fixed": lambda: (BASE, edited(("times in 1..2", "times = 2"), ("fusion.gated_exchange", "fusion.exchange"))),
    "opened": lambda: (edited(("kernel in {3, 5}", "kernel = 5")), edited(("{8, 16, 24}", "{8, 16}"))),
    "found": lambda: (BASE, found(24, 1, "residual")),
    "two_found": lambda: (found(24, 1, "residual"), found(16, 2, "separable")),
    "branch_added": lambda: (
        BASE,
        edited(
            ("  stage s1", "  branch low at 1/8 { width in {16, 32} }\n\n  stage s1"),
            ("  head", "  stage s3 on fine, coarse, low { cell = blocks.residual }\n\n  head"),
        ),
    ),
    "width_changed": lambda: (BASE, edited(("fine at 1/2 { width = 8 }", "fine at 1/2 { width = 12 }"))),
    "constraint_changed": lambda: (BASE, edited((REQUIRE, "require coarse.width >= 2 * fine.width"))),
    "constraint_on_cost": lambda: (BASE, edited((REQUIRE, f"{REQUIRE}\n  require macs <= 2M"))),
    "unrelated": lambda: (BASE, SPACES["nested"]),
}


def diff(capsys: pytest.CaptureFixture[str], folder: Path, pair: str, *options: str) -> tuple[int, str]:
    """Status and output of `hrdsl diff` on a pair."""
    paths = [folder / "first.arch", folder / "second.arch"]
    for path, text in zip(paths, PAIRS[pair](), strict=True):
        path.write_text(text, encoding="utf-8")
    status = main(["diff", *map(str, paths), *options])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("pair", PAIRS)
def test_text(pair: str, golden: Golden, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out = diff(capsys, tmp_path, pair)
    golden(HERE / f"{pair}.txt", out)
    assert status == (0 if out.startswith("equal: ") else 1)
    assert len(out.splitlines()) <= 40
    assert (status == 0) == (pair in ("reformatted", "reordered", "said_otherwise"))


def test_json_and_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data: dict[str, Any] = json.loads(diff(capsys, tmp_path, "branch_added", "--json")[1])
    assert (data["first"]["space"], data["second"]["count"]) == (
        "base",
        str(compiled(PAIRS["branch_added"]()[1]).decisions.count().value),
    )
    out = diff(capsys, tmp_path, "branch_added", "--all")[1]
    assert all(node["name"] in out for node in data["nodes"])
    assert "more (--all" not in out


# the truth by enumeration ------------------------------------------------------------------------------------------


def networks(space: Compiled) -> set[str]:
    """Every architecture of a space as its live operations."""
    rows = [tuple(map(int, row)) for row in space.decisions.enumerate()]
    return {operations(space, row) for row in rows}


def operations(space: Compiled, genes: tuple[int, ...]) -> str:
    """The live operators in order, with settings, widths and what they read."""
    live, _ = Reference(space.graph).resolve(genes)
    out = []
    for i, read in live.items():
        node = space.graph.nodes[i]
        settings = {k: at(v, genes) for k, v in node.op.settings().items()}
        sources = [space.graph.nodes[k].name for k in read]
        out.append((node.name, settings, at(node.shape.width, genes), sources))
    return repr(sorted(out, key=lambda row: row[0]))


EDITS = {
    "relational": [
        ("8..32 step 8", "{16, 24}"),
        ("8..32 step 8", "{16, 24, 40}"),
        ("8..32 step 8", "{4, 12}"),
        ("<= 120", "<= 90"),
        ("<= 120", "<= 200"),
        (" and low.width % 3 != 1", ""),
    ],
    "depth": [("1..3", "1..2"), ("1..3", "2..4"), ("1..3", "3..3"), ("{1, 3, 5}", "{3, 5}"), ("{1, 3, 5}", "{7, 9}")],
    "priced": [("<= 4M", "<= 3M"), ("<= 60Ki", "<= 40Ki"), ("8..24 step 8", "{8, 16}")],
}


@pytest.mark.parametrize(
    ("name", "old", "new"), [(name, old, new) for name, edits in EDITS.items() for old, new in edits]
)
def test_relation(name: str, old: str, new: str) -> None:
    text = SPACES[name]
    assert old in text
    first, second = compiled(text), compiled(text.replace(old, new))
    before, after = networks(first), networks(second)
    common = len(before & after)
    for one, other, mine, theirs in ((first, second, before, after), (second, first, after, before)):
        relation = compare(one, other).relation
        assert relation.common == common
        assert relation.kind == truth(mine, theirs)


def truth(first: set[str], second: set[str]) -> str:
    if first == second:
        return "equal"
    if not first & second:
        return "disjoint"
    return "subset" if second < first else "superset" if first < second else "overlap"


@pytest.mark.parametrize("name", SPACES)
def test_a_space_equals_itself(name: str) -> None:
    space = compile_space(name)
    same = compare(space, compile_space(name))
    assert same.equal
    assert same.relation.kind == "equal"
    assert same.relation.common == space.decisions.count().value


@pytest.mark.parametrize("name", SPACES)
def test_a_found_network_is_one_of_the_space(name: str) -> None:
    """Each decision took the value that the architecture has (another architecture may be the same network)."""
    space = compile_space(name)
    for genes in map(tuple, space.decisions.sample(np.random.default_rng(3), 4).tolist()):
        change = compare(space, compile_text(found_text(space, genes), space))
        taken = {d.path: d.value for d in change.decisions if d.value is not None}
        assert (change.relation.kind, change.relation.common, change.nodes) == ("subset", 1, ())
        assert {d.change for d in change.decisions} == {"fixed"}
        if taken != space.decisions.labels(genes):
            again = space.decisions.read(taken)
            assert space.costs.one(again) == space.costs.one(genes)


def test_weights_that_carry_over() -> None:
    """Numbers of a narrowed space: those of each parameter that both have, in their common size."""
    first, second = (compiled(text) for text in PAIRS["narrowed"]())
    by = {w.name: w for w in compare(first, second).weights}
    sizes = [
        {f"{n.name}.{w.name}": [a.limit for a in w.axes] for n in s.graph.nodes for w in n.weights}
        for s in (first, second)
    ]
    assert by.keys() == sizes[0].keys() | sizes[1].keys()
    for name, change in by.items():
        one, other = (side.get(name) for side in sizes)
        copied = int(np.prod(np.minimum(one, other))) if one and other else 0
        assert change.copied == copied
