"""Vectorised costs against plain walks over the live nodes of one architecture after the other."""

from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.graph import Graph
from hrdsl.compiler.sym import at

from .spaces import EXAMPLES, SPACES, Reference, compile_example, compile_space

every = pytest.mark.parametrize(
    "case", [*SPACES, *EXAMPLES], ids=lambda c: c if isinstance(c, str) else f"examples/{c.stem}"
)


@cache
def compiled(case: str | Path) -> Compiled:
    return compile_space(case) if isinstance(case, str) else compile_example(case)


def drawn(space: Compiled, count: int = 200) -> np.ndarray:
    """Random genomes, canonical or not, feasible or not."""
    rng = np.random.default_rng(11)
    return rng.integers(0, space.decisions.cardinalities or (), (count, len(space.decisions.cardinalities))).astype(
        np.int16
    )


def walk(graph: Graph, live: dict[int, tuple[int, ...]], genes: Sequence[int]) -> tuple[int, int]:
    """Parameters and MACs, node by node."""
    parameters = macs = 0
    for i in live:
        node = graph.nodes[i]
        inputs = tuple(graph.nodes[k].shape for k in node.inputs if k is not None)
        for weight in node.weights:
            sizes = [sum(length for _, length in axis.runs(genes)) for axis in weight.axes]
            assert sizes == [at(axis.size, genes) for axis in weight.axes]
            parameters += prod(sizes)
        macs += sum(prod(at(f, genes) for f in factors) for factors in node.op.macs(inputs, node.shape))
    return parameters, macs


def simulate(graph: Graph, live: dict[int, tuple[int, ...]], output: int, genes: Sequence[int]) -> int:
    """The most bytes held at once: each node allocates its result, and what nobody reads later is freed.

    An identity, and a sum or concatenation of one flow, hand their input on: they hold no memory.
    """

    def owner(i: int) -> int:
        node = graph.nodes[i]
        hands_on = node.op.name == "identity" or (node.op.inputs is None and len(live[i]) == 1)
        return owner(live[i][0]) if hands_on else i

    held: dict[int, int] = {}
    readers = {i: {j for j in live if owner(j) == j and i in map(owner, live[j])} for i in live}
    most = 0
    done: set[int] = set()
    for i in live:
        if owner(i) != i:
            continue
        shape = graph.nodes[i].shape
        held[i] = 4 * at(shape.width, genes) * prod(at(e, genes) for e in shape.extent)
        most = max(most, sum(held.values()))
        done.add(i)
        for k in {owner(k) for k in live[i]}:
            if k != owner(output) and readers[k] <= done:
                held.pop(k, None)
    return most


@every
def test_costs_are_those_of_a_walk(case: str | Path) -> None:
    space = compiled(case)
    reference, genes = Reference(space.graph), drawn(space)
    found = space.costs(genes)
    for row, one in enumerate(genes.tolist()):
        live, homes = reference.resolve(one)
        output = homes[space.graph.output]
        assert output is not None
        got = [int(found[n][row]) for n in ("parameters", "macs", "peak_activation_bytes")]
        assert got == [*walk(space.graph, live, one), simulate(space.graph, live, output, one)]


@every
def test_costs_are_those_of_the_canonical_genome(case: str | Path) -> None:
    space = compiled(case)
    genes = drawn(space)
    one, two = space.costs(genes), space.costs(space.decisions.canonical(genes))
    assert all((one[n] == two[n]).all() for n in one)


@every
def test_one_is_a_row(case: str | Path) -> None:
    space = compiled(case)
    genes = drawn(space, 5)
    found = space.costs(genes)
    for row in range(5):
        assert space.costs.one(genes[row]) == {name: int(values[row]) for name, values in found.items()}


@every
def test_without_peak(case: str | Path) -> None:
    space = compiled(case)
    found = space.costs(drawn(space, 5), peak=False)
    assert set(found) == {"parameters", "macs"}


def test_known_figures() -> None:
    """`depth` with one 1x1 cell, by hand."""
    found = compiled("depth").costs.one(compiled("depth").decisions.smallest())
    stem, cell, head = 27 * 8, 8 * 8, 8 * 4
    assert found["parameters"] == stem + cell + head
    assert found["macs"] == 64 * (stem + cell + head)
    assert found["peak_activation_bytes"] == 4 * (256 * 3 + 64 * 8)  # the image beside the stem's result
