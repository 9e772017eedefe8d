"""Exact costs of whole populations: the space is compiled once to a few look-up tables.

`parameters`: numbers learned. `macs`: multiply-accumulates of one sample in convolutions, linear maps and attention (half
of what torch.utils.flop_counter counts). `peak_activation_bytes`: the most memory that activations take at once, float32,
batch 1, nodes in the order of the graph, each value freed after its last use. `operations`: what another counter would say,
by a table of factors (`conventions.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from .conditions import both
from .conventions import Convention
from .graph import Graph, Node, Switch
from .liveness import liveness
from .shape import Shape
from .sym import Apply, Decision, Table, Value, apply, conjuncts, merge, plain, size
from .vector import Array, Evaluation, Genes

TABLE = 4096
"""Look-up tables grow to this size."""
METRICS = ("parameters", "macs")


@dataclass(frozen=True, slots=True)
class Term:
    """`condition` x product of `factors`, added to metric `metric`; `lane` is the branch whose cost it is."""

    metric: int
    condition: Value
    factors: tuple[Value, ...]
    lane: str = ""


def terms(graph: Graph, convention: Convention | None = None) -> list[Term]:
    """Every term of every cost, from what the operators say; `operations` times the unit of the convention."""
    live = liveness(graph).nodes
    out: list[Term] = []
    for node, condition in zip(graph.nodes, live, strict=True):
        if condition is False:
            continue
        out += [Term(0, condition, tuple(a.size for a in w.axes), node.lane) for w in node.weights]
        out += [Term(1, condition, factors, node.lane) for factors in node.op.work(shapes(graph, node), node.shape)]
        if convention is not None:
            out += [Term(2, condition, factors) for factors in convention.products(graph, node)]
    return out


def shapes(graph: Graph, node: Node) -> tuple[Shape, ...]:
    """The shapes of a node's inputs."""
    return tuple(graph.nodes[i].shape for i in node.inputs if i is not None)


@dataclass(slots=True)
class _Bucket:
    deps: tuple[Decision, ...]
    terms: list[tuple[int, list[Table | int]]]


class Sums:
    """Sums of terms for whole populations: those of each metric, from look-up tables. Terms of metric m add to column m."""

    def __init__(self, terms: Iterable[Term], count: int) -> None:
        self.count = count
        self.tables: dict[Table, Array] = {}
        groups: dict[tuple[Value, ...], list[tuple[int, list[Table | int]]]] = {}
        self.products: list[Term] = []
        for term in terms:
            self._place(term, groups)
        self.groups = [(masks, [_tabulate(b, count) for b in _buckets(found)]) for masks, found in groups.items()]

    def _place(self, term: Term, groups: dict[tuple[Value, ...], list[tuple[int, list[Table | int]]]]) -> None:
        """A term into the group of the conditions that are too large; one with large factors is evaluated as a product."""
        values = list(term.factors)
        over = merge(v.deps for v in values if isinstance(v, Table))
        if any(isinstance(v, Apply) for v in values) or size(over) > TABLE:
            self.products.append(term)
            return
        masks: list[Value] = []
        for part in conjuncts(term.condition):
            joint = merge((over, part.deps)) if isinstance(part, Table) else over
            if isinstance(part, Apply) or size(joint) > TABLE:
                masks.append(part)
            elif part is not True:
                values.append(part)
                over = joint
        groups.setdefault(tuple(masks), []).append((term.metric, values))

    def __call__(self, ask: Evaluation) -> Array:
        """The sums for each row: int64 [P, count]."""
        total = np.zeros((len(ask.genes), self.count), dtype=np.int64)
        for masks, tables in self.groups:
            part = np.zeros_like(total)
            for deps, strides, table in tables:
                part += table.take(_index(ask, deps, strides), axis=0)
            for mask in masks:
                part *= ask(mask)[:, None]
            total += part
        for term in self.products:
            value = ask(term.condition).astype(np.int64)
            for factor in term.factors:
                value = value * ask(factor).astype(np.int64)
            total[:, term.metric] += value
        return total


class Costs:
    """`costs(genes)`: exact costs for a matrix of genes [P, G], as int64 arrays [P] by name.

    With a convention also `operations`, as it counts: int64, or exact fractions as objects where some are no whole numbers.
    """

    def __init__(self, graph: Graph, convention: Convention | None = None) -> None:
        self.graph = graph
        self.convention = convention
        self.metrics = METRICS if convention is None else (*METRICS, "operations")
        self.terms = terms(graph, convention)
        self.sums = Sums(self.terms, len(self.metrics))
        self.parts: dict[str, Sums] = {}
        """The sums of branches that were asked for."""

    @cached_property
    def peak(self) -> "_Peak":
        return _Peak(self.graph)

    def __call__(self, genes: Genes, peak: bool = True) -> dict[str, Array]:
        """`parameters`, `macs` and (unless `peak` is false) `peak_activation_bytes`, each [P]."""
        ask = Evaluation(np.asarray(genes), tables=self.sums.tables)
        total = self.sums(ask)
        out = {name: total[:, i] for i, name in enumerate(self.metrics)}
        if self.convention is not None:
            out["operations"] = _divided(out["operations"], self.convention.unit)
        if peak:
            out["peak_activation_bytes"] = self.peak(ask)
        return out

    def named(self, genes: Genes, names: Iterable[str]) -> dict[str, Array]:
        """At least the costs of these names, each [P]: `macs`, or of a branch `fine.macs`. Raises KeyError."""
        wanted = tuple(names)
        whole = any("." not in name for name in wanted)
        out = self(genes, peak="peak_activation_bytes" in wanted) if whole else {}
        return {**out, **{name: self._part(name, genes) for name in wanted if "." in name}}

    def _part(self, name: str, genes: Genes) -> Array:
        """One cost of one branch: the terms of its operations."""
        if name not in self.parts:
            lane, _, metric = name.partition(".")
            if lane not in {x.name for x in self.graph.lanes} or metric not in METRICS:
                raise KeyError(name)
            mine = (t for t in self.terms if (t.lane, self.metrics[t.metric]) == (lane, metric))
            self.parts[name] = Sums((replace(t, metric=0) for t in mine), 1)
        return self.parts[name](Evaluation(np.asarray(genes), tables=self.sums.tables))[:, 0]

    def one(self, genes: Sequence[int]) -> dict[str, Any]:
        """The costs of one architecture: whole numbers, `operations` perhaps a fraction."""
        row = np.asarray([genes], dtype=np.int16).reshape(1, len(genes))
        return {name: values.tolist()[0] for name, values in self(row).items()}


def _divided(total: Array, unit: int) -> Array:
    """Totals in units, exactly."""
    if not (total % unit).any():
        return np.asarray(total // unit)
    exact = np.empty(len(total), dtype=object)
    exact[:] = [plain(Fraction(n, unit)) for n in total.tolist()]
    return exact


def _index(ask: Evaluation, deps: tuple[Decision, ...], strides: tuple[int, ...]) -> Array:
    index: Array = np.zeros(len(ask.genes), dtype=np.int64)
    for d, step in zip(deps, strides, strict=True):
        index = index + ask.columns[d.index] * step
    return index


def _buckets(found: list[tuple[int, list[Table | int]]]) -> Iterable[_Bucket]:
    """Terms with overlapping decisions together, as long as their joint table stays small."""
    buckets: list[_Bucket] = []
    room: list[_Bucket] = []
    holding: dict[Decision, list[_Bucket]] = defaultdict(list)
    keyed = [(merge(v.deps for v in values if isinstance(v, Table)), metric, values) for metric, values in found]
    for deps, metric, values in sorted(keyed, key=lambda k: -len(k[0])):
        around = min((holding[d] for d in deps), key=len, default=buckets)
        home = next((b for b in around if set(deps) <= set(b.deps)), None) or next(
            (b for b in room if size(merge((b.deps, deps))) <= TABLE // 4), None
        )
        if home is None:
            home = _Bucket((), [])
            buckets.append(home)
            room.append(home)
        for d in set(deps).difference(home.deps):
            holding[d].append(home)
        home.deps = merge((home.deps, deps))
        home.terms.append((metric, values))
        room = [b for b in room if b is not home or size(b.deps) <= TABLE // 8]
    return buckets


def _tabulate(bucket: _Bucket, metrics: int) -> tuple[tuple[Decision, ...], tuple[int, ...], Array]:
    lengths = [len(d) for d in bucket.deps]
    table = np.zeros((metrics, *lengths), dtype=np.int64)
    for metric, values in bucket.terms:
        total: Array | int = 1
        for v in values:
            total = total * (_spread(v, bucket.deps) if isinstance(v, Table) else int(v))
        table[metric] += total
    strides = tuple(prod(lengths[i + 1 :]) for i in range(len(lengths)))
    return bucket.deps, strides, np.ascontiguousarray(table.reshape(metrics, -1).T)


def _spread(table: Table, over: tuple[Decision, ...]) -> Array:
    own = set(table.deps)
    return np.array(table.values).astype(np.int64).reshape([len(d) if d in own else 1 for d in over])


class _Peak:
    """Peak activation memory, vectorised over genes: the schedule is walked once, every architecture at the same time."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        live = liveness(graph)
        self.live = live.nodes
        self.reads = live.inputs
        self.sizes = [n.shape.elements for n in graph.nodes]
        self.alias = [_alias(graph, i, live.inputs[i]) for i in range(len(graph.nodes))]

    def __call__(self, ask: Evaluation) -> Array:
        count, rows = len(self.graph.nodes), np.arange(len(ask.genes))
        home = self._homes(ask)
        last = np.zeros((len(rows), count), dtype=np.int32)
        works = [ask(live) & (home[i] == i) for i, live in enumerate(self.live)]
        for i, node in enumerate(self.graph.nodes):
            for k, source in enumerate(node.inputs):
                if source is not None:
                    reads = ask(self.reads[i][k]) & works[i]
                    last[rows[reads], home[source][reads]] = i
        last[rows, home[self.graph.output]] = count
        return self._walk(ask, home, last, works) * 4

    def _homes(self, ask: Evaluation) -> list[Array]:
        """For each node, the node whose memory holds its value (a switch holds none of its own)."""
        home: list[Array] = []
        for i, alias in enumerate(self.alias):
            own: Array = np.full(len(ask.genes), i, dtype=np.int32)
            for source, condition in alias:
                own = np.where(ask(condition), home[source], own)
            home.append(own)
        return home

    def _walk(self, ask: Evaluation, home: list[Array], last: Array, works: list[Array]) -> Array:
        rows = np.arange(len(ask.genes))
        held = np.stack([ask(s) * np.ones(len(rows), dtype=np.int64) for s in self.sizes], axis=1)
        now: Array = np.zeros(len(rows), dtype=np.int64)
        peak = now
        for i, node in enumerate(self.graph.nodes):
            now = now + held[:, i] * works[i]
            peak = np.maximum(peak, now)
            for source in node.inputs:
                if source is not None:
                    done = works[i] & (last[rows, home[source]] == i)
                    now = now - held[rows, home[source]] * done
                    last[rows[done], home[source][done]] = -1
        return peak


def _alias(graph: Graph, i: int, reads: tuple[Value, ...]) -> list[tuple[int, Value]]:
    """When node i has no memory of its own: (the input that holds its value, the condition)."""
    node = graph.nodes[i]
    sources = [(s, r) for s, r in zip(node.inputs, reads, strict=True) if s is not None]
    if isinstance(node.op, Switch) or node.op.name == "identity":
        return sources
    if node.op.inputs is not None or i == 0:
        return []
    present = [graph.nodes[s].shape.present for s, _ in sources]
    out = []
    for k, (source, read) in enumerate(sources):
        others = [apply("not", p) for j, p in enumerate(present) if j != k]
        out.append((source, both(read, *others)))
    return [(s, c) for s, c in out if c is not False]
