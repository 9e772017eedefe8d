"""The distinct works of a space: what its operations compute at which sizes, whatever their place, their name or the space.

A graph in; out the works that its architectures can use, those of one architecture, and for each node the work as a
value over decisions. A batch normalisation whose statistics go into the convolution before it is no work. No torch.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, NamedTuple

from .conditions import both, either
from .cost import Term, _alias, shapes
from .graph import Graph, Switch
from .liveness import liveness
from .operator import Call, Norm, Step
from .ops.elementwise import TRAINING
from .shape import Shape
from .specialise import Entry, Live, Specialiser
from .sym import Decision, Table, Value, apply, at, conjuncts, deps, is_sym, merge, projected, size

FOLDS = ("torch.conv2d", "torch.conv_transpose2d")
"""Calls that take the statistics of a batch normalisation behind them into their weights."""
JOINT = 512
"""A node is listed work by work where its sizes depend on so many combinations of choices, else by its amounts."""

Sizes = tuple[str, int, tuple[int, ...], int]
"""A flow: its form, width, extent and copies."""


@dataclass(frozen=True, slots=True)
class Work:
    """One operation at fixed sizes. Two are equal if they compute the same; `live` is an example of where.

    `kind` is the operator's name, `group` adds the size of its kernel. `macs` and `numbers` (inputs, weights and result) are
    of one sample. `biased`: a convolution that takes a normalisation in, and so adds a bias.
    """

    key: str
    kind: str = field(compare=False)
    group: str = field(compare=False)
    inputs: tuple[Sizes, ...] = field(compare=False)
    output: Sizes = field(compare=False)
    macs: int = field(compare=False)
    numbers: int = field(compare=False)
    biased: bool = field(compare=False)
    live: Live = field(compare=False, repr=False)

    @property
    def laid_out(self) -> bool:
        """Whether it reads or makes maps, so that it matters where their channels are."""
        return any(form == "map" for form, *_ in (*self.inputs, self.output))

    def __str__(self) -> str:
        sizes = ", ".join(_text(s) for s in self.inputs)
        return f"{self.group} {sizes} -> {_text(self.output)}"


def _text(sizes: Sizes) -> str:
    form, width, extent, copies = sizes
    inner = (*extent, width) if form == "tokens" else (width, *extent)
    return "x".join(map(str, inner)) + (f" ({copies} copies)" if copies != 1 else "")


class Amounts(NamedTuple):
    """A node that is not listed: when it is a work, and the products whose sums are its MACs and its numbers."""

    condition: Value
    group: str
    macs: tuple[tuple[Value, ...], ...]
    numbers: tuple[tuple[Value, tuple[Value, ...]], ...]
    """Each with the condition under which it counts."""


class Works:
    """The works of one graph."""

    def __init__(self, graph: Graph, within: Sequence[Value] = ()) -> None:
        """`within`: conditions that every architecture meets, which leave out works that none uses."""
        self.graph = graph
        self.within = tuple(part for condition in within for part in conjuncts(condition) if isinstance(part, Table))
        self.specialiser = Specialiser(graph)
        self.folding = Folding(graph)
        known: dict[Any, Work | None] = {}
        self._places = tuple(_Place(graph, i, i in self.folding.biased, known) for i in range(len(graph.nodes)))

    def of(self, genes: Sequence[int]) -> tuple[tuple[int, Work], ...]:
        """The works of one architecture in the order of its plan, each with its node."""
        lives = self.specialiser(genes)
        readers = Counter(i for live in lives for i in live.inputs)
        readers[lives[-1].node if lives else 0] += 1
        found = []
        for live in lives:
            before = live.inputs[0] if live.inputs else 0
            if self.folding.normalises(live.node) and before in self.folding.takers and readers[before] == 1:
                continue
            work = self._places[live.node].work(genes)
            if work is not None:
                found.append((live.node, work))
        return tuple(found)

    def channels_last(self, genes: Sequence[int]) -> bool:
        """Whether the maps of an architecture have their channels last, as plans say."""
        return bool(at(self.last, genes))

    @cached_property
    def last(self) -> Value:
        """The same as a condition over decisions."""
        if self.graph.input.form != "map":
            return False
        live = zip(self.graph.nodes, liveness(self.graph).nodes, strict=True)
        return either(*(condition for node, condition in live if node.op.channels_last))

    @cached_property
    def values(self) -> dict[int, tuple[Value, Value]]:
        """For each node of few sizes: when it is a work, and which, as a value over decisions (None: nothing to do)."""
        out: dict[int, tuple[Value, Value]] = {}
        for i, place in enumerate(self._places):
            condition = self._condition(i)
            if condition is not False and place.few:
                value = self._tabulated(place, condition)
                if value is not None:
                    out[i] = condition, value
        return out

    @cached_property
    def many(self) -> dict[int, "Amounts"]:
        """What each other node does."""
        return {
            i: Amounts(both(condition, place.runs), place.group, place.macs, place.numbers)
            for i, place in enumerate(self._places)
            if not place.few and not place.idle and (condition := self._condition(i)) is not False
        }

    def few(self, node: int) -> bool:
        """Whether a node is listed work by work."""
        return self._places[node].few

    def all(self) -> tuple[Work, ...]:
        """Every distinct work of nodes of few sizes."""
        found: dict[str, Work] = {}
        for _, value in self.values.values():
            for work in value.values if isinstance(value, Table) else (value,):
                if work is not None:
                    found.setdefault(work.key, work)
        return tuple(found.values())

    def _condition(self, i: int) -> Value:
        """When a node is computed, and not folded into another."""
        live = liveness(self.graph).nodes[i]
        if i == 0 or isinstance(self.graph.nodes[i].op, Switch):
            return False
        folded = self.folding.folded.get(i, False)
        return live if folded is False else both(live, apply("not", folded))

    def _tabulated(self, place: "_Place", condition: Value) -> Value:
        over = place.over
        known = (*(c for c in conjuncts(condition) if isinstance(c, Table)), *self.within)
        reach = [projected(c, over) for c in known if not set(over).isdisjoint(c.deps)]
        genes = [0] * len(self.graph.decisions)
        values: list[Work | None] = []
        for row in product(*(range(len(d)) for d in over)):
            for d, code in zip(over, row, strict=True):
                genes[d.index] = code
            if not all(at(c, genes) for c in reach):
                values.append(None)
                continue
            values.append(place.work(genes))
        if not any(values):
            return None
        return Table(over, tuple(values)) if over else values[0]


class _Place:
    """A node, and what it works at any sizes."""

    def __init__(self, graph: Graph, number: int, biased: bool, known: "dict[Any, Work | None]") -> None:
        """`known`: works by all sizes that decide them, shared by the nodes."""
        self.number, self.biased, self.known = number, biased, known
        self.node = node = graph.nodes[number]
        self.inputs = tuple(i for i in node.inputs if i is not None)
        self.shapes = {i: graph.nodes[i].shape for i in self.inputs}
        self.list = node.op.inputs is None
        present = tuple(deps(s.present) for s in self.shapes.values()) if self.list else ()
        axes = (axis.deps for weight in node.weights for axis in weight.axes)
        own = () if isinstance(node.op, Switch) else node.op.deps()
        self.over: tuple[Decision, ...] = merge(
            (own, node.shape.deps, *axes, *(s.deps for s in self.shapes.values()), *present)
        )
        self.few = size(self.over) <= JOINT
        self._zeros = [0] * len(graph.decisions)
        flows = (*self.shapes.values(), node.shape)
        forms = tuple(s.form for s in flows)
        self._kind = (type(node.op), biased, self.list, forms)
        values = [*(() if isinstance(node.op, Switch) else node.op.settings().values())]
        values += [part for s in flows for part in (s.width, *s.extent, s.copies, s.stride)]
        values += [axis.size for weight in node.weights for axis in weight.axes]
        values += [s.present for s in self.shapes.values()] if self.list else []
        self._open = [(i, v) for i, v in enumerate(values) if is_sym(v)]
        self._plain: list[Any] = [None if is_sym(v) else v for v in values]

    def work(self, genes: Sequence[int]) -> Work | None:
        """What the node does with the inputs that are there; None where that is nothing."""
        sizes = self._plain.copy()
        for place, value in self._open:
            sizes[place] = value.at(genes)
        key = self._kind, tuple(sizes)
        if key not in self.known:
            self.known[key] = self._make(genes)
        return self.known[key]

    def _make(self, genes: Sequence[int]) -> Work | None:
        present = tuple(i for i in self.inputs if at(self.shapes[i].present, genes)) if self.list else self.inputs
        if self.list and len(present) == 1:
            return None
        inner = tuple(self.shapes[i] for i in present)
        steps = self.node.op.lower(lambda value: at(value, genes), inner, self.node.shape)
        if all(isinstance(s, Call) and TRAINING in s.args for s in steps):
            return None
        weights = tuple((w.name, tuple(axis.runs(genes) for axis in w.axes)) for w in self.node.weights)
        lengths = tuple((name, tuple(sum(n for _, n in runs) for runs in axes)) for name, axes in weights)
        inputs = tuple(_sizes(s, genes) for s in inner)
        output = _sizes(self.node.shape, genes)
        text = repr((steps, lengths, inputs, self.biased))
        return Work(
            hashlib.sha256(text.encode()).hexdigest()[:24],
            self.node.op.name,
            _group(self.node.op.name, lengths),
            inputs,
            output,
            sum(prod(at(f, genes) for f in factors) for factors in self.node.op.work(inner, self.node.shape)),
            sum(map(_numbers, (*inputs, output))) + sum(prod(n) for _, n in lengths),
            self.biased,
            Live(self.number, tuple(range(1, len(inner) + 1)), Entry(steps, weights)),
        )

    # a node of many sizes, by its amounts

    @property
    def idle(self) -> bool:
        """Whether nothing runs, whatever the sizes."""
        return not self.list and self.work(self._zeros) is None

    @property
    def group(self) -> str:
        """The operator with its kernel, unless that varies."""
        axes = next((w.axes for w in self.node.weights if len(w.axes) > 2), ())
        if any(deps(axis.size) for axis in axes[2:]):
            return self.node.op.name
        return _group(self.node.op.name, (("", tuple(at(axis.size, self._zeros) for axis in axes)),))

    @property
    def runs(self) -> Value:
        """When more than one flow of a list is there."""
        if not self.list:
            return True
        return apply(">=", apply("count", *(s.present for s in self.shapes.values())), 2)

    @property
    def macs(self) -> tuple[tuple[Value, ...], ...]:
        return self.node.op.work(tuple(self.shapes.values()), self.node.shape)

    @property
    def numbers(self) -> tuple[tuple[Value, tuple[Value, ...]], ...]:
        """Products, each with the condition under which it counts."""
        flows = [(s.present, (s.width, *s.extent, s.copies)) for s in (*self.shapes.values(), self.node.shape)]
        return *flows, *((True, tuple(a.size for a in w.axes)) for w in self.node.weights)


def _sizes(shape: Shape, genes: Sequence[int]) -> Sizes:
    return shape.form, at(shape.width, genes), tuple(at(e, genes) for e in shape.extent), at(shape.copies, genes)


def _numbers(sizes: Sizes) -> int:
    _, width, extent, copies = sizes
    return width * prod(extent) * copies


def _group(kind: str, weights: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """`conv 3x3`: the operator, with its kernel where it has one."""
    kernel = next((lengths[2:] for _, lengths in weights if len(lengths) > 2), ())
    return f"{kind} {'x'.join(map(str, kernel))}" if kernel else kind


class Folding:
    """Which batch normalisations go into the convolution before them: those that alone read one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.live = liveness(graph)
        self._direct: list[list[tuple[int, int]]] = [[] for _ in graph.nodes]
        for i, node in enumerate(graph.nodes):
            for k, source in enumerate(node.inputs):
                if source is not None and self.live.inputs[i][k] is not False:
                    self._direct[source].append((i, k))
        self._steps = [self._lowered(i) for i in range(len(graph.nodes))]
        self.takers = frozenset(i for i in range(len(graph.nodes)) if self._takes(i))
        self._sources: dict[int, list[tuple[int, Value]]] = {}
        self._readers: dict[int, list[tuple[int, Value]]] = {}
        self.folded: dict[int, Value] = {}
        """Batch normalisations that can be folded, with the condition."""
        self.biased: set[int] = set()
        """Convolutions that can take one in."""
        for i in range(len(graph.nodes)):
            if self.normalises(i) and self.live.nodes[i] is not False:
                self._judge(i)

    def normalises(self, i: int) -> bool:
        """Whether a node is a batch normalisation and nothing else."""
        steps = self._steps[i]
        return len(steps) == 1 and isinstance(steps[0], Norm)

    def _takes(self, i: int) -> bool:
        steps = self._steps[i]
        return len(steps) == 1 and isinstance(steps[0], Call) and steps[0].function in FOLDS

    def _lowered(self, i: int) -> tuple[Step, ...]:
        """The calls of a node of one input, at any sizes."""
        node = self.graph.nodes[i]
        if i == 0 or isinstance(node.op, Switch) or len(node.inputs) != 1 or node.op.inputs is None:
            return ()
        zeros = [0] * len(self.graph.decisions)
        return node.op.lower(lambda value: at(value, zeros), shapes(self.graph, node), node.shape)

    def _judge(self, i: int) -> None:
        found: list[Value] = []
        for source, condition in self.sources(int(self.graph.nodes[i].inputs[0] or 0)):
            if source not in self.takers or condition is False:
                continue
            others = [c for reader, c in self.readers(source) if reader != i]
            alone = both(condition, *(apply("not", c) for c in others))
            if alone is not False:
                found.append(alone)
                self.biased.add(source)
        if found:
            self.folded[i] = either(*found)

    def sources(self, i: int) -> list[tuple[int, Value]]:
        """The nodes that can make what node i hands on, with the conditions."""
        if i not in self._sources:
            aliases = _alias(self.graph, i, self.live.inputs[i])
            handed = [(n, both(c, d)) for source, c in aliases for n, d in self.sources(source)]
            self._sources[i] = handed or [(i, True)]
        return self._sources[i]

    def readers(self, i: int) -> list[tuple[int, Value]]:
        """The nodes that read what node i makes, directly or handed on, with the conditions; -1 reads the output."""
        if i not in self._readers:
            found: list[tuple[int, Value]] = [(-1, True)] if i == self.graph.output else []
            for reader, k in self._direct[i]:
                aliases = _alias(self.graph, reader, self.live.inputs[reader])
                handed = either(*(c for source, c in aliases if source == i))
                reads = both(self.live.inputs[reader][k], apply("not", handed))
                found += [(reader, reads)] if reads is not False else []
                if handed is not False:
                    found += [(n, both(handed, c)) for n, c in self.readers(reader)]
            self._readers[i] = [(n, c) for n, c in found if c is not False]
        return self._readers[i]


def timed(works: Works, costs: Sequence[Mapping[str, int]]) -> Iterator[Term]:
    """The terms of what each work costs: metric k by `costs[k]`, for nodes of few sizes."""
    for condition, value in works.values.values():
        for metric, known in enumerate(costs):
            yield Term(metric, condition, (_mapped(value, known),))


def _mapped(value: Value, known: Mapping[str, int]) -> Value:
    if not isinstance(value, Table):
        return known[value.key]
    return Table(value.deps, tuple(known[w.key] if w is not None else 0 for w in value.values))


def amounts(works: Works, groups: Sequence[str]) -> Iterator[Term]:
    """The terms of what nodes of many sizes do: for group g metrics 3g, 3g + 1 and 3g + 2 are calls, MACs and numbers."""
    for node in works.many.values():
        first = 3 * groups.index(node.group)
        yield Term(first, node.condition, ())
        for factors in node.macs:
            yield Term(first + 1, node.condition, factors)
        for present, factors in node.numbers:
            yield Term(first + 2, both(node.condition, present), factors)
