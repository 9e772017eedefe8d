"""Weights are as large as the largest architecture that reads them, by a walk over all of them."""

import pytest

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.axis import Prefix
from hrdsl.compiler.constraints import computed
from hrdsl.compiler.passes import PASSES

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
