"""Passes: each takes a graph and returns one of the same kind. `PASSES` is the pipeline."""

from collections.abc import Callable

from ..graph import Graph
from .drop_dead import drop_dead
from .fit import fit

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (drop_dead, fit)
