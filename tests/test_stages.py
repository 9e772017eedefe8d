"""What each stage of the compiler prints: for three small spaces, and for every construct of the language. A file is a case."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.found import compile_text, found_text
from hrdsl.compiler.graph import show
from hrdsl.compiler.interchange.documents import dumps, model_document
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text
from hrdsl.dsl.modules import load_source

from .spaces import compile_space

HERE = Path(__file__).parent / "golden" / "stages"
CONSTRUCTS = HERE.with_name("constructs")
CASES = ("depth", "dead", "relational")

every = pytest.mark.parametrize("name", CASES)
every_construct = pytest.mark.parametrize("name", sorted(p.stem for p in CONSTRUCTS.glob("*.arch")))
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


@every_construct
def test_construct(name: str, golden: Golden) -> None:
    """Formatted, without faults, and through every stage; its two ends are found again with the same costs."""
    path = CONSTRUCTS / f"{name}.arch"
    source = Source(str(path), path.read_text(encoding="utf-8"))
    space = compile_module(load_source(Source(path.name, source.text), CONSTRUCTS))
    assert format_text(source) == source.text
    golden(CONSTRUCTS / f"{name}.model", dumps(model_document(space.model)))
    golden(CONSTRUCTS / f"{name}.graph", str(space.graph))
    golden(CONSTRUCTS / f"{name}.decisions", decisions_text(space))
    golden(CONSTRUCTS / f"{name}.cost", cost_text(space))
    for end in ("largest", "smallest"):
        genes = getattr(space.decisions, end)()
        text = found_text(space, genes, (f"the {end} of {name}",))
        golden(CONSTRUCTS / f"{name}.{end}.found", text)
        assert compile_text(text, space).costs.one(()) == space.costs.one(genes)


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
