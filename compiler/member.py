"""Whether a space holds a given network: every architecture with its costs is compared operation by operation."""

from typing import Any

import numpy as np

from .api import Compiled
from .specialise import Specialiser
from .sym import at

LARGEST = 20_000
"""Spaces up to this many architectures are searched."""


def member(space: Compiled, network: Compiled) -> tuple[int, ...] | None:
    """The first architecture of a space that computes what a network without decisions computes; None: none was found."""
    count = space.decisions.count()
    if network.graph.decisions or not space.graph.decisions or not count.exact or count.value > LARGEST:
        return None
    genes = np.array(list(space.decisions.enumerate()), dtype=np.int16).reshape(-1, len(space.graph.decisions))
    costs, wanted = space.costs(genes), network.costs.one(())
    near = np.all([costs[name] == value for name, value in wanted.items()], axis=0)
    operations = _Operations(network)(())
    of_space = _Operations(space)
    rows = (tuple(map(int, row)) for row in genes[near])
    return next((row for row in rows if of_space(row) == operations), None)


class _Operations:
    """The live operations of architectures of one space, whatever their names."""

    def __init__(self, space: Compiled) -> None:
        self.graph = space.graph
        self.specialiser = Specialiser(space.graph)

    def __call__(self, genes: tuple[int, ...]) -> list[Any]:
        """Operator, settings, sizes of weights and the operations that are read, in order."""
        place, found = {0: 0}, []
        for live in self.specialiser(genes):
            place[live.node] = len(place)
            op = self.graph.nodes[live.node].op
            settings = {name: at(value, genes) for name, value in op.settings().items()}
            sizes = [[sum(n for _, n in axis) for axis in runs] for _, runs in live.entry.weights]
            found.append((op.name, settings, live.entry.steps, sizes, [place[i] for i in live.inputs]))
        return found
