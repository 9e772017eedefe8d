"""What each stage of the compiler prints for three small spaces: graph, decisions, cost, found. A file is a case."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.found import found_text
from hrdsl.compiler.graph import show

from .spaces import compile_space

HERE = Path(__file__).parent / "golden" / "stages"
CASES = ("depth", "dead", "relational")

every = pytest.mark.parametrize("name", CASES)
Golden = Callable[[Path, str], None]


@every
def test_graph(name: str, golden: Golden) -> None:
    golden(HERE / f"{name}.graph", str(compile_space(name).graph))


@every
def test_decisions(name: str, golden: Golden) -> None:
    golden(HERE / f"{name}.decisions", decisions_text(compile_space(name)))


@every
def test_cost(name: str, golden: Golden) -> None:
    golden(HERE / f"{name}.cost", cost_text(compile_space(name)))


@every
@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_found(name: str, end: str, golden: Golden) -> None:
    space = compile_space(name)
    golden(HERE / f"{name}.{end}.arch", found_text(space, getattr(space.decisions, end)(), (f"the {end} of {name}",)))


def decisions_text(space: Compiled) -> str:
    """One decision a line with its domain and its activity; then the constraints and the count."""
    rows = []
    for d, active in zip(space.decisions.decisions, space.decisions.active, strict=True):
        when = "" if active is True else f" when {show(active)}"
        rows.append(f"{d.path} in {{{', '.join(d.labels)}}}{when}")
    rows += [f"require {c.syntax.condition.span.text}" for c in space.decisions.constraints]
    return "\n".join([*rows, f"count {space.decisions.count().value}", ""])


def cost_text(space: Compiled) -> str:
    ends = {end: getattr(space.decisions, end)() for end in ("largest", "smallest")}
    found = {end: {"architecture": space.decisions.labels(g), **space.costs.one(g)} for end, g in ends.items()}
    return json.dumps(found, indent=2) + "\n"
