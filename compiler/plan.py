"""A plan: one architecture as a flat list of torch calls over registers, its weights bound as aliases of the store.

Live operations and a store in, something that runs out. What one live operation lowers to is cached, so a plan is the
concatenation of cached pieces. Plans are what training and search execute; `module` makes the public torch.fx forms.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .graph import Graph
from .instruction import Instruction, Normalised, Program, Register, function, instruction, last_uses, run
from .kernels import depthwise
from .merge import merged
from .operator import Call, In, Norm, Out, Par
from .specialise import Genes, Live, Specialiser
from .store import Cat, Store, View, leaves

Mode = Literal["batch", "calibrate", "stored"]
"""Statistics of batch normalisation: those of the batch; those of the batch, also gathered; those gathered."""


class Piece(NamedTuple):
    """One live operation, lowered."""

    node: int
    instructions: tuple[Instruction, ...]
    parameters: tuple[nn.Parameter, ...]


Statistics = dict[str, tuple[Tensor, Tensor]]


class Plan:
    """One architecture over the store."""

    def __init__(self, store: Store, pieces: tuple[Piece, ...], last: bool = False) -> None:
        """`last`: maps have their channels last."""
        self.pieces = pieces
        self.channels_last = last
        self._store = store
        self._generation = store.generation
        self._instructions = [i for piece in pieces for i in piece.instructions]
        self._programs: dict[tuple[Mode, bool], Program] = {}
        self._dead: list[tuple[int, ...]] | None = None
        self._parameters: tuple[nn.Parameter, ...] | None = None
        self._statistics: Statistics | None = None
        self.batches = 0
        """How many batches the statistics were gathered from."""

    def __call__(self, x: Tensor, mode: Mode = "batch", training: bool | None = None) -> Tensor:
        """The network's output. `training` is for dropout; unless given, it is on with statistics of the batch."""
        if self._generation != self._store.generation:
            raise RuntimeError("the store was moved after this plan was made")
        program = self.program(mode, mode == "batch" if training is None else training)
        return run(program, {0: laid_out(x) if self.channels_last else x}) if program else x

    def program(self, mode: Mode, training: bool) -> Program:
        if mode == "calibrate":
            self.batches += 1
            return self._bind(mode, training)
        found = self._programs.get((mode, training))
        if found is None:
            found = self._programs[mode, training] = self._bind(mode, training)
        return found

    def _bind(self, mode: Mode, training: bool) -> Program:
        bound = [self.rebound(i, mode, training) for i in self._instructions]
        if mode == "batch" and self._store.flat.is_cpu:
            bound = merged(bound)
            return list(zip(bound, last_uses(bound), strict=True))
        if self._dead is None:
            self._dead = last_uses(bound)
        return list(zip(bound, self._dead, strict=True))

    def rebound(self, i: Instruction, mode: Mode, training: bool) -> Instruction:
        """An instruction as it is in this mode."""
        if i.norm is not None and mode != "batch":
            mean, var = self.statistics[i.norm.node]
            gather = mode == "calibrate"
            momentum = 1 / self.batches if gather else 0.0
            return i._replace(consts=(*i.consts[:-6], mean, var, gather, momentum, *i.consts[-2:]))
        if i.flags and not training:
            return i._replace(consts=tuple(False if k in i.flags else c for k, c in enumerate(i.consts)))
        return i

    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The distinct aliases that the architecture reads."""
        if self._parameters is None:
            self._parameters = tuple({id(p): p for piece in self.pieces for p in piece.parameters}.values())
        return self._parameters

    def zero_grad(self) -> None:
        """Clear the gradients of what the architecture reads."""
        self._store.zero(self.parameters())

    @property
    def statistics(self) -> Statistics:
        """Mean and variance of each batch normalisation, by node: 0 and 1 until gathered."""
        if self._statistics is None:
            like = self._store.flat
            self._statistics = {
                i.norm.node: (like.new_zeros(i.norm.channels), like.new_ones(i.norm.channels))
                for i in self._instructions
                if i.norm is not None
            }
        return self._statistics

    def reset_statistics(self) -> None:
        """Forget what was gathered."""
        self.batches = 0
        for mean, var in (self._statistics or {}).values():
            mean.zero_()
            var.fill_(1)


class Planner:
    """Plans of one graph over one store; the last `most` are kept."""

    def __init__(self, graph: Graph, store: Store, most: int = 256) -> None:
        self.graph = graph
        self.store = store
        self.specialiser = Specialiser(graph)
        self._most = most
        self._plans: OrderedDict[tuple[int, ...], Plan] = OrderedDict()
        self._pieces: dict[Live, Piece] = {}
        self._registers = len(graph.nodes)
        self._generation = store.generation

    def __call__(self, genes: Genes) -> Plan:
        """The plan of an architecture."""
        if self._generation != self.store.generation:
            self._generation = self.store.generation
            self._plans.clear()
            self._pieces.clear()
        key = tuple(genes)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self.make(self.specialiser(key))
            if len(self._plans) > self._most:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return found

    def make(self, lives: Iterable[Live]) -> Plan:
        """A plan of these operations, not kept."""
        known, piece = self._pieces.get, self.piece
        lives = tuple(lives)
        pieces = tuple([known(live) or piece(live) for live in lives])
        return Plan(self.store, pieces, channels_last(self.graph, lives))

    def piece(self, live: Live) -> Piece:
        """One operation, lowered."""
        if len(self._pieces) > 1 << 17:
            self._pieces.clear()
        found = self._pieces.get(live)
        if found is None:
            found = self._pieces[live] = self._lower(live)
        return found

    def _lower(self, live: Live) -> Piece:
        node = self.graph.nodes[live.node]
        views = {name: self.store.view(f"{node.name}.{name}", runs) for name, runs in live.entry.weights}
        out: list[Instruction] = []
        bound = {name: self._bind(view, out) for name, view in views.items()}
        results: list[Register] = []
        known: dict[Any, Register] = {}
        steps = live.entry.steps
        for k, step in enumerate(steps):
            into = live.node if k == len(steps) - 1 else self._fresh()
            if isinstance(step, Norm):
                source = results[-1] if results else Register(live.inputs[0])
                out.append(_norm(step, node.name, source, bound, into))
                results.append(Register(into))
                continue
            call = _placed(step, live, results)
            if call not in known:
                out.append(_call(call, bound, into))
            results.append(known.setdefault(call, Register(into)))
        return Piece(live.node, tuple(out), tuple(p for view in views.values() for p in leaves(view)))

    def _bind(self, view: View, out: list[Instruction]) -> "Tensor | Register":
        """A weight as a constant, or the register that its joined parts are put into."""
        if not isinstance(view, Cat):
            return view
        parts = [self._bind(p, out) for p in view.parts]
        into = self._fresh()
        out.append(instruction(torch.cat, (parts, view.axis), {}, into))
        return Register(into)

    def _fresh(self) -> int:
        self._registers += 1
        return self._registers


class _Several(tuple[Any, ...]):
    """A list among the arguments of a call, hashable."""


Bound = dict[str, Tensor | Register]
"""The weights of a node: constants, or registers that parts are joined in."""


def channels_last(graph: Graph, lives: Iterable[Live]) -> bool:
    """Whether an architecture has its channels last: where one of its operators is slow otherwise. Elsewhere the layout of
    torch stays, and with it, bit for bit, what networks compute that were written in torch. It depends on the architecture
    alone, so a found network computes what its space did."""
    return graph.input.form == "map" and any(graph.nodes[live.node].op.channels_last for live in lives)


def laid_out(x: Tensor) -> Tensor:
    """Maps with their channels last; every operator keeps that."""
    return x.contiguous(memory_format=torch.channels_last)


def _norm(step: Norm, node: str, source: Register, bound: Bound, into: int) -> Instruction:
    args = (source, bound["weight"], bound["bias"], None, None, True, step.momentum, step.eps, True)
    return instruction(torch.batch_norm, args, {}, into)._replace(norm=Normalised(node, step.channels))


def _placed(call: Call, live: Live, results: list[Register]) -> Call:
    """A call whose inputs and earlier results are registers, so that equal calls are made once."""

    def value(a: Any) -> Any:
        match a:
            case In(index):
                return Register(live.inputs[index])
            case Out(index):
                return results[index]
            case list():
                return _Several(map(value, a))
        return a

    return Call(call.function, tuple(map(value, call.args)), tuple((k, value(v)) for k, v in call.kwargs))


def _call(call: Call, bound: Bound, into: int) -> Instruction:
    def value(a: Any) -> Any:
        match a:
            case Par(name):
                return bound[name]
            case _Several():
                return [value(b) for b in a]
        return a

    fn = function(call.function)
    if fn is torch.conv2d and call.args[-1] > 1:
        fn = depthwise
    return instruction(fn, [value(a) for a in call.args], {k: value(v) for k, v in call.kwargs}, into)
