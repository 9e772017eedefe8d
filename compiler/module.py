"""torch.fx forms: an extracted network with its own weights, an architecture over the store, the whole supernet.

Graph, store and genome in, `torch.fx.GraphModule` out: every call a torch function, attributes flat on the root.
"""

import operator as python
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from .axis import Runs
from .graph import Graph, Node
from .instruction import METHOD, Instruction, function, last_uses, run
from .operator import In, Norm, Out, Par
from .ops.elementwise import TRAINING
from .plan import Plan, Planner, Statistics, channels_last, laid_out
from .source import dense
from .specialise import Genes, Live, Specialiser
from .store import Cat, Store, View, leaves
from .works import FOLDS


def extract(
    graph: Graph, store: Store | None, genes: Genes, statistics: Statistics | None = None, seed: int = 0
) -> fx.GraphModule:
    """One architecture with its own contiguous weights: those of the store, or fresh ones.

    Batch normalisations and dropouts are modules. `meta["parameters"]` maps names of the store to those of the state,
    `meta["statistics"]` nodes to their batch normalisation.
    """
    return _Own(graph, store or Store(graph, seed), statistics or {}).build(genes, "Network")


def over_store(graph: Graph, store: Store, genes: Genes) -> fx.GraphModule:
    """One architecture whose parameters are aliases of the store; batch normalisation takes statistics of the batch.

    The store owns gradients: clear them with `store.zero`, never with `set_to_none`, and do not move the module.
    """
    return _Shared(graph, store).build(genes, "Shared")


def supernet(graph: Graph, store: Store, genes: Genes | None = None) -> "Supernet":
    """All architectures: one module for each node, which computes what the current architecture makes of it."""
    return Supernet(graph, store, genes or tuple(0 for _ in graph.decisions))


def operation(graph: Graph, live: Live, last: bool = False, biased: bool = False) -> fx.GraphModule:
    """One operation as a network of its own, weights drawn, normalisations with statistics: its inputs are numbered from 1.

    `last`: its maps have their channels last. `biased`: a convolution adds a bias, as one that took a normalisation in.
    """
    return _Alone(graph, last, biased).alone(live)


LAST = torch.channels_last


def flat_name(name: str) -> str:
    """`s2.fine[1].conv` as an attribute: `s2_fine_1_conv`."""
    return re.sub(r"\W+", "_", name).strip("_")


class _Names:
    """Attribute names that are unique."""

    def __init__(self) -> None:
        self._taken: set[str] = set(dir(fx.GraphModule))

    def __call__(self, name: str) -> str:
        plain = flat_name(name)
        found, count = plain, 1
        while found in self._taken:
            count += 1
            found = f"{plain}_{count}"
        self._taken.add(found)
        return found


class _Builder:
    """Live operations as an fx graph. Subclasses say what weights, batch normalisation and dropout become."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root = nn.Module()
        self.calls = fx.Graph()
        self.names = _Names()
        self.meta: dict[str, dict[str, str]] = {"parameters": {}, "statistics": {}}
        self.shapes: dict[fx.Node, tuple[fx.Node, dict[str, fx.Node]]] = {}
        self.last = False
        """Whether maps have their channels last."""
        self._cell = ""

    def weight(self, name: str, runs: tuple[Runs, ...]) -> fx.Node:
        raise NotImplementedError

    def norm(self, node: Node, live: Live, step: Norm, x: fx.Node) -> fx.Node:
        raise NotImplementedError

    def build(self, genes: Genes, title: str) -> fx.GraphModule:
        lives = Specialiser(self.graph)(tuple(genes))
        self.last = channels_last(self.graph, lives)
        x = self.calls.placeholder("x")
        last = self.calls.call_method("contiguous", (x,), {"memory_format": LAST}) if self.last else x
        values: dict[int, fx.Node] = {0: last}
        out = 0
        for live in lives:
            values[live.node] = self.node(live, [values[i] for i in live.inputs])
            out = live.node
        self.calls.output(values[out])
        self.calls.lint()
        made = fx.GraphModule(self.root, self.calls, title)
        made.meta.update(self.meta)
        return made

    def node(self, live: Live, x: list[fx.Node]) -> fx.Node:
        node = self.graph.nodes[live.node]
        self._cell = node.name.rpartition(".")[0]
        weights = dict(live.entry.weights)
        results: list[fx.Node] = []

        @cache
        def weight(name: str) -> fx.Node:
            return self.weight(f"{node.name}.{name}", weights[name])

        def value(a: Any) -> Any:
            match a:
                case In(index):
                    return x[index]
                case Out(index):
                    return results[index]
                case Par(name):
                    return weight(name)
                case list():
                    return [value(b) for b in a]
            return a

        made: dict[str, fx.Node] = {}  # equal calls are made once
        for step in live.entry.steps:
            if isinstance(step, Norm):
                results.append(self.norm(node, live, step, results[-1] if results else x[0]))
                continue
            call = step.function, [value(a) for a in step.args], {k: value(v) for k, v in step.kwargs}
            if repr(call) not in made:
                made[repr(call)] = self.step(node, *call)
            results.append(made[repr(call)])
        results[-1]._rename(flat_name(node.name))
        return results[-1]

    def step(self, node: Node, path: str, args: list[Any], kwargs: dict[str, Any]) -> fx.Node:
        if TRAINING in args:
            kind = getattr(nn, path.rpartition(".")[2].capitalize())
            return self.module(node, kind(args[1]), args[0])
        return self.call(path, tuple(args), kwargs)

    def call(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        match path:
            case "hrdsl.size":
                return self.shape(args[0], slice(2, None, None))
            case "hrdsl.length":
                return self.shape(*args)
            case "hrdsl.repeat":
                return self.note(self.calls.call_method("expand", (*args, -1, -1)))
        if path.startswith(METHOD):
            return self.note(self.calls.call_method(path.removeprefix(METHOD), args, kwargs))
        return self.note(self.calls.call_function(function(path), args, kwargs), path)

    def shape(self, of: fx.Node, part: int | slice) -> fx.Node:
        """The lengths of some axes of a tensor; asked once."""
        if of not in self.shapes:
            self.shapes[of] = self.note(self.calls.call_function(getattr, (of, "shape"))), {}
        whole, parts = self.shapes[of]
        if str(part) not in parts:
            parts[str(part)] = self.note(self.calls.call_function(python.getitem, (whole, part)))
        return parts[str(part)]

    def module(self, node: Node, module: nn.Module, x: fx.Node) -> fx.Node:
        name = self.names(node.name)
        self.root.add_module(name, module)
        return self.note(self.calls.call_module(name, (x,)))

    def parameter(self, name: str, value: nn.Parameter) -> fx.Node:
        attribute = self.names(name)
        self.root.register_parameter(attribute, value)
        self.meta["parameters"].setdefault(name, attribute)
        return self.note(self.calls.get_attr(attribute))

    def note(self, made: fx.Node, path: str = "") -> fx.Node:
        made.meta["cell"] = self._cell
        made.meta["path"] = path
        return made


class _Own(_Builder):
    """Contiguous copies of the weights."""

    def __init__(self, graph: Graph, store: Store, statistics: Statistics) -> None:
        super().__init__(graph)
        self.store = store
        self.statistics = statistics

    def weight(self, name: str, runs: tuple[Runs, ...]) -> fx.Node:
        value = self.store.read(name, runs)
        last = dense(value) and self.last
        return self.parameter(name, nn.Parameter(value.contiguous(memory_format=LAST) if last else value))

    def norm(self, node: Node, live: Live, step: Norm, x: fx.Node) -> fx.Node:
        kind = nn.BatchNorm2d if node.shape.form == "map" else nn.BatchNorm1d
        like = self.store.flat
        module = kind(step.channels, step.eps, step.momentum, device=like.device, dtype=like.dtype)
        state = {name: self.store.read(f"{node.name}.{name}", runs) for name, runs in live.entry.weights}
        if node.name in self.statistics:
            state["running_mean"], state["running_var"] = self.statistics[node.name]
        module.load_state_dict(state, strict=False)
        made = self.module(node, module, x)
        self.meta["statistics"][node.name] = str(made.target)
        for name, _ in live.entry.weights:
            self.meta["parameters"][f"{node.name}.{name}"] = f"{made.target}.{name}"
        return made


class _Alone(_Builder):
    """Weights of the right sizes, drawn when they are needed."""

    def __init__(self, graph: Graph, last: bool, biased: bool) -> None:
        super().__init__(graph)
        self.last = last
        self.biased = biased

    def alone(self, live: Live) -> fx.GraphModule:
        inputs = [self.calls.placeholder(f"x{i}") for i in live.inputs]
        self.calls.output(self.node(live, inputs))
        return fx.GraphModule(self.root, self.calls, "Operation")

    def drawn(self, *lengths: int) -> nn.Parameter:
        value = torch.randn(lengths) * 0.1
        last = dense(value) and self.last
        return nn.Parameter(value.contiguous(memory_format=LAST) if last else value)

    def weight(self, name: str, runs: tuple[Runs, ...]) -> fx.Node:
        return self.parameter(name, self.drawn(*(sum(n for _, n in axis) for axis in runs)))

    def norm(self, node: Node, live: Live, step: Norm, x: fx.Node) -> fx.Node:
        kind = nn.BatchNorm2d if node.shape.form == "map" else nn.BatchNorm1d
        return self.module(node, kind(step.channels, step.eps, step.momentum), x)

    def call(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        if self.biased and path in FOLDS and args[2] is None:
            width = dict(self.root.named_parameters())[str(args[1].target)].shape[path == "torch.conv_transpose2d"]
            args = (*args[:2], self.parameter("bias", self.drawn(width)), *args[3:])
        return super().call(path, args, kwargs)


class _Shared(_Builder):
    """Aliases of the store."""

    def __init__(self, graph: Graph, store: Store) -> None:
        super().__init__(graph)
        self.store = store

    def weight(self, name: str, runs: tuple[Runs, ...]) -> fx.Node:
        return self.alias(name, self.store.view(name, runs))

    def alias(self, name: str, view: View) -> fx.Node:
        if not isinstance(view, Cat):
            return self.parameter(name, view)
        parts = [self.alias(name, part) for part in view.parts]
        return self.call("torch.cat", (parts, view.axis), {})

    def norm(self, node: Node, live: Live, step: Norm, x: fx.Node) -> fx.Node:
        weight, bias = (self.weight(f"{node.name}.{name}", runs) for name, runs in live.entry.weights)
        args = (x, weight, bias, None, None, True, step.momentum, step.eps, True)
        return self.call("torch.batch_norm", args, {})


# The supernet ------------------------------------------------------------------------------------------------------

Run = Callable[..., Any]


class Elastic(nn.Module):
    """One node of the supernet. `run` is what the current architecture makes of its inputs; None where it is dead."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        for name, value in parameters.items():
            self.register_parameter(name, value)
        self.run: Run | None = None

        self.traced: Run | None = None
        """The same with slices of the parameters, for what traces."""

    def forward(self, *x: Any) -> Any:
        plain = all(v is None or type(v) is Tensor for v in x) and not torch.compiler.is_compiling()
        run = self.run if plain or self.traced is None else self.traced
        return None if run is None else run(*x)


class Supernet(fx.GraphModule):
    """A graph module of the whole space: `set_architecture` chooses, `set_mode` says which statistics are used."""

    _hrdsl: "_Current"

    def __init__(self, graph: Graph, store: Store, genes: Genes) -> None:
        root, calls, modules = _whole(graph, store)
        super().__init__(root, calls, "Supernet")
        object.__setattr__(self, "_hrdsl", _Current(Planner(graph, store), modules))
        self.set_architecture(genes)

    def set_architecture(self, genes: Genes) -> None:
        """Compute this architecture from now on."""
        self._hrdsl.choose(tuple(genes))

    def set_mode(self, mode: Literal["batch", "stored"]) -> None:
        """Statistics of the batch, or those gathered by `plan` (then dropout is off)."""
        self._hrdsl.mode = mode
        self._hrdsl.bind()

    @property
    def plan(self) -> Plan:
        """The plan of the current architecture: gather its statistics with `plan(x, "calibrate")`."""
        return self._hrdsl.plan


def _whole(graph: Graph, store: Store) -> tuple[nn.Module, fx.Graph, list[Elastic]]:
    root, calls, names = nn.Module(), fx.Graph(), _Names()
    modules = [Elastic({})]
    root.add_module(names("layout"), modules[0])
    values = [calls.call_module("layout", (calls.placeholder("x"),))]
    for node in graph.nodes[1:]:
        module = Elastic({w.name: store.full(f"{node.name}.{w.name}") for w in node.weights})
        name = names(node.name)
        root.add_module(name, module)
        inputs = tuple(None if i is None else values[i] for i in node.inputs)
        values.append(calls.call_module(name, inputs))
        modules.append(module)
    calls.output(values[graph.output])
    calls.lint()
    return root, calls, modules


class _Current:
    """What the modules of a supernet compute now."""

    def __init__(self, planner: Planner, modules: list[Elastic]) -> None:
        self.planner = planner
        self.modules = modules
        self.mode: Literal["batch", "stored"] = "batch"
        self.where: dict[int, int] = {}
        self.lives: tuple[Live, ...] = ()
        self.plan: Plan

    def choose(self, genes: tuple[int, ...]) -> None:
        self.lives, self.where = self.planner.specialiser.walk(genes)
        self.plan = self.planner(genes)
        self.bind()

    def bind(self) -> None:
        for module in self.modules:
            module.run = module.traced = None
        self.modules[0].run = laid_out if self.plan.channels_last else _handing_on(0)
        for i, source in self.where.items():
            if i != source:
                self.modules[i].run = _handing_on(self._place(i, source))
        for live, piece in zip(self.lives, self.plan.pieces, strict=True):
            steps = [self.plan.rebound(s, self.mode, self.mode == "batch") for s in piece.instructions]
            module = self.modules[live.node]
            module.run = _running(live, steps)
            module.traced = _running(live, steps, partial(self._sliced, module, live, steps))

    def _sliced(self, module: Elastic, live: Live, steps: list[Instruction]) -> list[Instruction]:
        """The steps with slices of the module's parameters in place of their aliases."""
        node = self.planner.graph.nodes[live.node]
        parts = dict[int, Any]()
        for name, runs in live.entry.weights:
            view = self.planner.store.view(f"{node.name}.{name}", runs)
            for alias, box in zip(leaves(view), product(*runs), strict=True):
                parts[id(alias)] = cut(getattr(module, name), box)
        return [i._replace(consts=tuple(parts.get(id(c), c) for c in i.consts)) for i in steps]

    def _place(self, node: int, source: int) -> int:
        """Which of its inputs a node hands on: any that comes from there, they are the same tensor."""
        inputs = self.planner.graph.nodes[node].inputs
        return next(k for k, i in enumerate(inputs) if i is not None and self.where.get(i) == source)


def _handing_on(place: int) -> Run:
    return lambda *x: x[place]


def cut(weight: Any, box: Iterable[tuple[int, int]]) -> Any:
    """Part of a parameter: start and length on each axis."""
    for axis, (start, length) in enumerate(box):
        weight = weight.narrow(axis, start, length)
    return weight


def _running(live: Live, steps: list[Instruction], again: Callable[[], list[Instruction]] | None = None) -> Run:
    """`steps` as a call; `again` makes them anew, with other constants, whenever they run."""
    kept = {s for i in steps for s in i.slots} & set(live.inputs)
    dead = [tuple(r for r in d if r not in kept) for d in last_uses(steps)]

    def call(*x: Any) -> Any:
        program = list(zip(again() if again else steps, dead, strict=True))
        return run(program, dict(zip(live.inputs, (v for v in x if v is not None), strict=True)))

    return call
