"""Weights are as large as the largest architecture that reads them, by a walk over all of them."""

from pathlib import Path

import pytest

from hrdsl.compiler.api import Compiled, compile_model
from hrdsl.compiler.axis import Prefix
from hrdsl.compiler.constraints import computed
from hrdsl.compiler.passes import PASSES
from hrdsl.compiler.passes.drop_dead import drop_dead_apart
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.model import Model, build_model
from hrdsl.dsl.modules import load, load_source

from .spaces import compile_text

EITHER = """hrdsl 1

space s {
  input = [3, 8, 8]
  stem = conv(1, width in {4, 8, 16})
  head = %s
}
cell either() {
  cell in {small, conv(3, width = x.width)}
  narrow in {1/4, 1/2}
  ratio = if cell == "small" then narrow else 1
  reduced = x -> conv(1, 16 * ratio)
  out = reduced -> cell -> conv(1, width = 4)
}
cell small() { out = x -> conv(1, x.width) -> bn }
cell gated() {
  open in {true, false}
  width in {4, 8}
  side = if open then x -> conv(1, width) -> conv(3, 2 * width) -> conv(1, 4) else none
  out = [x -> conv(1, 4), side] -> sum
}
"""


def space(head: str) -> Compiled:
    return compile_text(EITHER % head)


@pytest.mark.parametrize("head", ["either", "gated", "either -> gated"])
def test_prefixes_end_where_the_largest_does(head: str) -> None:
    made = space(head)
    most: dict[tuple[str, str, int], int] = {}
    for genes in made.decisions.enumerate():
        for node in computed(made.graph, genes):
            for w in node.weights:
                for k, axis in enumerate(w.axes):
                    end = sum(axis.runs(genes)[-1])
                    most[node.name, w.name, k] = max(end, most.get((node.name, w.name, k), 0))
    for node in made.graph.nodes:
        for w in node.weights:
            for k, axis in enumerate(w.axes):
                assert not isinstance(axis, Prefix) or axis.limit == most[node.name, w.name, k]


def test_an_alternative_is_as_narrow_as_it_is_read() -> None:
    limits = {n.name: [a.limit for a in n.weights[0].axes[:2]] for n in space("either").graph.nodes if n.weights}
    assert limits["head.either.cell.small.conv"] == [8, 8]
    assert limits["head.either.cell.conv"] == [16, 16]
    assert limits["head.either.reduced.conv"] == [16, 16]


def test_passes_change_nothing_the_second_time() -> None:
    graph = space("either").graph
    for step in PASSES:
        assert step(graph) is graph


ROOT = Path(__file__).parent
ROUTES = [*(ROOT / "routes").glob("*.arch"), *(ROOT.parent / "examples/hyctas").glob("*.arch")]


@pytest.mark.parametrize("path", sorted(ROUTES), ids=lambda path: path.stem)
def test_a_check_finds_the_same_nodes(path: Path) -> None:
    """Without asking which cells routes share."""
    same_nodes(build_model(load(path)))


def test_cells_that_are_always_equal_are_shared_at_once() -> None:
    text = (ROOT / "routes/trellis.arch").read_text().replace(" per cell", "").replace("= 20", "= 4")
    same_nodes(build_model(load_source(Source("same.arch", text), ROOT)))


def same_nodes(model: Model) -> None:
    for space in model.spaces:
        every, apart = (compile_model(model, space.name, None, passes).graph for passes in (PASSES, (drop_dead_apart,)))
        assert [n.name for n in every.nodes] == [n.name for n in apart.nodes]
