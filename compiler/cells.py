"""Architectures whose cells run compiled: one function for each form of a cell, whatever its widths and weights.

Live operations and a store in, calls of compiled functions out. A form is what a cell calls and how its calls hang together;
weights and flows are arguments, their sizes are symbols. So the number of graphs that `torch.compile` makes is bounded by
the forms of the space, however many architectures are seen. Statistics of normalisations are those of the batch.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

import torch
import torch._dynamo.config as dynamo
import torch.fx.experimental._config as symbols
from torch import Tensor, fx, nn
from torch._dynamo.exc import BackendCompilerFailed, TorchDynamoException

from .axis import Runs
from .graph import Graph, Node
from .module import _Builder
from .operator import Norm, Step
from .ops.elementwise import TRAINING
from .plan import Planner, channels_last, laid_out
from .specialise import Entry, Genes, Live
from .store import leaves

MOST = 256
"""How many architectures are kept."""
log = logging.getLogger(__name__)


class Form:
    """What cells compute that differ in sizes and weights alone: compiled when it first runs, as one graph for all sizes."""

    def __init__(self, module: fx.GraphModule, backend: Any) -> None:
        self._module = module
        self._run: Callable[..., tuple[Tensor, ...]] = torch.compile(
            module, backend=backend, dynamic=True, fullgraph=True
        )

    @property
    def compiled(self) -> bool:
        """Whether torch could do it, as far as is known."""
        return self._run is not self._module

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """A form that torch cannot trace with open sizes runs as it is. Raises BackendCompilerFailed if its backend fails."""
        try:
            found = self._run(*tensors)
        except BackendCompilerFailed:
            raise
        except TorchDynamoException as fault:
            why = next(filter(None, str(fault).splitlines()), type(fault).__name__)
            log.warning("a cell runs uncompiled: %s", why)
            self._run = self._module
            found = self._module(*tensors)
        return found


class Bound(NamedTuple):
    """A cell of an architecture: its form, a function of the results of `reads` and of these weights; its results are those of
    the nodes `gives`, and those of `dead` are not read any more."""

    form: Form
    reads: tuple[int, ...]
    weights: tuple[nn.Parameter, ...]
    gives: tuple[int, ...]
    dead: tuple[int, ...]


class Program:
    """One architecture, cell by cell. Results are those of its plan with statistics of the batch, up to rounding."""

    def __init__(self, cells: Sequence[Bound], last: bool) -> None:
        self.cells = tuple(cells)
        self.channels_last = last

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output, as for training."""
        values, out = {0: self._laid(x)}, 0
        with _sizes_as_symbols():
            for form, reads, weights, gives, dead in self.cells:
                made = form(*[values[i] for i in reads], *map(_dense, weights))
                values.update(zip(gives, map(self._laid, made), strict=True))
                out = gives[-1]
                for i in dead:
                    del values[i]
        return values[out]

    def _laid(self, x: Tensor) -> Tensor:
        """A flow between cells: laid out alike wherever it comes from; else each layout would be a graph of its own."""
        return laid_out(x) if self.channels_last and x.dim() == 4 else x.contiguous()


class Cells:
    """Compiled architectures of a planner, over its store; the last `MOST` are kept."""

    def __init__(self, planner: Planner, backend: Any = "inductor") -> None:
        """`backend`: of `torch.compile`."""
        self.planner = planner
        self.backend = backend
        self.forms: dict[str, Form] = {}
        """Those seen, by what they compute."""
        self._names = [node.name for node in planner.graph.nodes]
        self._programs: OrderedDict[tuple[int, ...], Program] = OrderedDict()
        self._generation = planner.store.generation

    def __call__(self, genes: Genes) -> Program:
        """The compiled form of an architecture."""
        if self._generation != self.planner.store.generation:
            self._generation = self.planner.store.generation
            self._programs.clear()
        key = tuple(genes)
        found = self._programs.get(key)
        if found is None:
            found = self._programs[key] = self._make(self.planner.specialiser(key))
            if len(self._programs) > MOST:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(key)
        return found

    def _make(self, lives: tuple[Live, ...]) -> Program:
        last = channels_last(self.planner.graph, lives)
        groups = [
            tuple(group) for _, group in groupby(map(_open, lives), lambda live: instance(self._names[live.node]))
        ]
        readers = {i: k for k, group in enumerate(groups) for live in group for i in live.inputs}
        readers |= {live.node: len(groups) for live in lives[-1:]}
        return Program([self._cell(group, k, readers, last) for k, group in enumerate(groups)], last)

    def _cell(self, group: tuple[Live, ...], number: int, readers: dict[int, int], last: bool) -> Bound:
        """`readers`: the last cell that reads a node. `last`: maps have their channels last."""
        own = {live.node for live in group}
        reads = tuple(dict.fromkeys(i for live in group for i in live.inputs if i not in own))
        gives = tuple(live.node for live in group if readers.get(live.node, number) > number)
        key = _form(group, reads, gives) + " last" * last
        form = self.forms.get(key)
        if form is None:
            form = self.forms[key] = Form(_Cell(self.planner.graph).made(group, reads, gives), self.backend)
        store, weights = self.planner.store, list[nn.Parameter]()
        for live in group:
            for name, runs in live.entry.weights:
                weights += leaves(store.view(f"{self._names[live.node]}.{name}", runs))
        dead = tuple(i for i in reads if readers[i] == number)
        return Bound(form, reads, tuple(weights), gives, dead)


def instance(name: str) -> str:
    """The cell that a node belongs to: what stands at one place of a row, else the innermost owner of the node."""
    parts = name.split(".")
    numbered = next((k for k, part in enumerate(parts) if part.endswith("]")), len(parts) - 2)
    return ".".join(parts[: numbered + 1])


def _form(group: Sequence[Live], reads: Sequence[int], gives: Sequence[int]) -> str:
    """What a group computes, whatever it is called and however wide it is."""
    places = {i: k for k, i in enumerate((*reads, *(live.node for live in group)))}
    calls = [
        (
            [places[i] for i in live.inputs],
            live.entry.steps,
            [(name, [len(axis) for axis in runs]) for name, runs in live.entry.weights],
        )
        for live in group
    ]
    return repr((calls, [places[i] for i in gives], [i == 0 for i in reads]))


WIDTH = "width"
"""In place of the number of groups in a convolution of single channels, and of the channels of a normalisation."""


def _open(live: Live) -> Live:
    """An operation without the numbers that follow from the sizes of its weights."""
    steps = tuple(_open_step(step, dict(live.entry.weights)) for step in live.entry.steps)
    return live._replace(entry=Entry(steps, live.entry.weights))


def _open_step(step: Step, weights: dict[str, tuple[Runs, ...]]) -> Step:
    if isinstance(step, Norm):
        return replace(step, channels=0)
    if step.function != "torch.conv2d" or step.args[-1] == 1:
        return step
    filters, channels = (sum(n for _, n in axis) for axis in weights["weight"][:2])
    return replace(step, args=(*step.args[:-1], WIDTH)) if channels == 1 and step.args[-1] == filters else step


class _Cell(_Builder):
    """A cell as a function of flows and weights."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._given: dict[str, Iterator[fx.Node]] = {}

    def made(self, group: Sequence[Live], reads: Sequence[int], gives: Sequence[int]) -> fx.GraphModule:
        values = {i: self.calls.placeholder(f"x{k}") for k, i in enumerate(reads)}
        for live in group:
            for name, runs in live.entry.weights:
                parts = [self.calls.placeholder(self.names("w")) for _ in range(prod(map(len, runs)))]
                self._given[f"{self.graph.nodes[live.node].name}.{name}"] = iter(parts)
        for live in group:
            values[live.node] = self.node(live, [values[i] for i in live.inputs])
        self.calls.output(tuple(values[i] for i in gives))
        self.calls.lint()
        return fx.GraphModule(self.root, self.calls, "Cell")

    def weight(self, name: str, runs: tuple[Runs, ...]) -> fx.Node:
        """In the order of `leaves`."""
        for axis, several in enumerate(runs):
            if len(several) > 1:
                parts = [self.weight(name, (*runs[:axis], (run,), *runs[axis + 1 :])) for run in several]
                return self.call("torch.cat", (parts, axis), {})
        return next(self._given[name])

    def norm(self, node: Node, live: Live, step: Norm, x: fx.Node) -> fx.Node:
        weight, bias = (self.weight(f"{node.name}.{name}", runs) for name, runs in live.entry.weights)
        return self.call("torch.batch_norm", (x, weight, bias, None, None, True, step.momentum, step.eps, True), {})

    def step(self, node: Node, path: str, args: list[Any], kwargs: dict[str, Any]) -> fx.Node:
        width = self.shape(args[1], 0) if WIDTH in args else None
        filled = [width if a is WIDTH else True if a is TRAINING else a for a in args]
        return self.call(path, tuple(filled), kwargs)


def _dense(weight: Tensor) -> Tensor:
    """A weight laid out alike whatever part of the store it is; else each layout would be a graph of its own."""
    return weight if weight.dim() == 1 else weight.clone(memory_format=torch.contiguous_format)


@contextmanager
def _sizes_as_symbols() -> Iterator[None]:
    """Sizes of weights are symbols as well, and two that are equal now may differ later."""
    with dynamo.patch(force_parameter_static_shapes=False), symbols.patch(use_duck_shape=False):  # type: ignore[attr-defined]
        yield
