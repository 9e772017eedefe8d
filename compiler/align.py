"""Two graphs side by side: which choices of one are which choices of the other, and whether values agree under them.

Decisions are matched by path, their values by label, nodes by name. A decision that only one graph has was fixed in the
other where the nodes that both have say at which value. Pure Python.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from .graph import Graph, Node, Switch
from .liveness import liveness
from .sym import Apply, Decision, Metric, Value, at, conjuncts, depends_on_cost, deps, is_sym

LARGEST = 4096
"""Up to so many combinations are compared one by one; more are not decided."""

Pair = tuple[int, int]
"""A choice as a gene of each graph."""


class Undecided(Exception):
    """Too many combinations of decisions to compare one by one."""


@dataclass(frozen=True, slots=True)
class Equation:
    """The two values have to agree if the graphs show the same networks."""

    values: tuple[Value, Value]


class Alignment:
    """`choices[path]`: the choices of a decision that the two graphs may have in common, each as a gene of both.

    A graph without the decision has gene 0. `fixed`: the decisions that only one graph has and the other fixes.
    """

    def __init__(self, first: Graph, second: Graph) -> None:
        self.graphs = (first, second)
        self.decisions = tuple({d.path: d for d in g.decisions} for g in self.graphs)
        self.nodes = tuple({n.name: n for n in g.nodes} for g in self.graphs)
        self.live = tuple(dict(zip((n.name for n in g.nodes), liveness(g).nodes, strict=True)) for g in self.graphs)
        self.choices = {path: tuple(self._pairs(path)) for path in {**self.decisions[0], **self.decisions[1]}}
        self.loose = {path for path in self.choices if any(path not in known for known in self.decisions)}
        self.torn: set[str] = set()
        self._nevers: dict[tuple[Value, int], bool] = {}
        self._settle()
        self.fixed = {p for p in self.loose - self.torn if len(self.choices[p]) == 1}

    def _pairs(self, path: str) -> Iterator[Pair]:
        one, other = (known.get(path) for known in self.decisions)
        if one is not None and other is not None:
            places = {label: k for k, label in enumerate(other.labels)}
            return ((k, places[label]) for k, label in enumerate(one.labels) if label in places)
        if one is not None:
            return ((k, 0) for k in range(len(one)))
        return ((0, k) for k in range(len(other or ())))

    # values under common choices

    def over(self, *values: Value) -> list[str]:
        """The paths that values of either graph depend on."""
        return sorted({d.path for value in values for d in deps(value)})

    def rows(self, paths: Sequence[str]) -> Iterator[tuple[Pair, ...]]:
        """Every common choice of some decisions. Raises Undecided."""
        if prod(len(self.choices[p]) for p in paths) > LARGEST:
            raise Undecided
        return product(*(self.choices[p] for p in paths))

    def genes(self, paths: Sequence[str], row: Sequence[Pair], side: int) -> Any:
        """A row as genes of one graph, by index of their decision."""
        known = self.decisions[side]
        return {known[p].index: pair[side] for p, pair in zip(paths, row, strict=True) if p in known}

    def agree(self, one: Value, other: Value) -> bool:
        """Whether a value of the first graph and one of the second are equal for all common choices. Raises Undecided."""
        if isinstance(one, Apply | Metric) and self._alike(one, other):
            return True
        if depends_on_cost(one) or depends_on_cost(other):
            return False
        paths = self.over(one, other)
        return all(self.equal(one, other, paths, row) for row in self.rows(paths))

    def equal(self, one: Value, other: Value, paths: Sequence[str], row: Sequence[Pair]) -> bool:
        """Whether they are equal for one common choice."""
        values = [at(v, self.genes(paths, row, side)) for side, v in enumerate((one, other))]
        return bool(values[0] == values[1]) and isinstance(values[0], bool) == isinstance(values[1], bool)

    def _alike(self, one: Value, other: Value) -> bool:
        """The same expression over parts that agree."""
        if isinstance(one, Apply) and isinstance(other, Apply):
            same = one.function == other.function and len(one.args) == len(other.args)
            return same and all(map(self.agree, one.args, other.args))
        return bool(one == other)

    def count(self, conditions: Sequence[Value], paths: Sequence[str], row: Sequence[Pair], side: int) -> int:
        """How many conditions of one graph hold for one common choice."""
        genes = self.genes(paths, row, side)
        return sum(bool(at(c, genes)) for c in conditions)

    def never(self, condition: Value, side: int) -> bool:
        """Whether a condition of one graph is false for all common choices (false where that is not decided)."""
        if not is_sym(condition):
            return condition is False
        key = condition, side
        if key not in self._nevers:
            self._nevers[key] = self._is_never(condition, side)
        return self._nevers[key]

    def _is_never(self, condition: Value, side: int) -> bool:
        if isinstance(condition, Apply) and condition.function == "or":
            return all(self.never(c, side) for c in condition.args)
        return any(self._never(c, side) for c in conjuncts(condition))

    def _never(self, condition: Value, side: int) -> bool:
        paths = self.over(condition)
        try:
            return not any(at(condition, self.genes(paths, row, side)) for row in self.rows(paths))
        except Undecided:
            return False

    # what a decision was fixed at

    def _settle(self) -> None:
        """Drop the choices of loose decisions under which the graphs cannot agree: first by nodes of both, then by others."""
        if not self.loose:
            return
        self._narrow(list(self._strong()))
        sure = {p for p in self.loose if len(self.choices[p]) == 1}
        self._narrow(list(self._weak()), sure)
        for path in self.loose - sure - self.torn:
            if len(self.choices[path]) == 1 and not self._stands(path):
                self._tear(path)

    def _strong(self) -> Iterator[Equation]:
        """What nodes of both graphs say."""
        for name, one in self.nodes[0].items():
            other = self.nodes[1].get(name)
            if other is None or type(one.op) is not type(other.op):
                continue
            if not isinstance(one.op, Switch):
                yield from map(Equation, zip(traits(one), traits(other), strict=True))
            yield from self._computed(self.live[0][name], self.live[1][name])

    @staticmethod
    def _computed(one: Value, other: Value) -> Iterator[Equation]:
        """Computed under the same condition; a long one only where the other is true."""
        if other is True:
            yield from (Equation((c, True)) for c in conjuncts(one))
        elif one is True:
            yield from (Equation((True, c)) for c in conjuncts(other))
        elif not isinstance(one, Apply) and not isinstance(other, Apply):
            yield Equation((one, other))

    def _weak(self) -> Iterator[Equation]:
        """Nodes of one graph alone, which the other cannot compute."""
        for side, mine in enumerate(self.nodes):
            for name, node in mine.items():
                if name in self.nodes[1 - side] or may_hand_on(self.graphs[side], node):
                    continue
                live = self.live[side][name]
                if not isinstance(live, Apply):
                    yield Equation((live, False) if side == 0 else (False, live))

    def _narrow(self, equations: Sequence[Equation], sure: set[str] | frozenset[str] = frozenset()) -> None:
        changed = True
        while changed:
            changed = False
            for equation in equations:
                changed |= self._use(equation, sure)

    def _use(self, equation: Equation, sure: set[str] | frozenset[str]) -> bool:
        """Keep the choices that the equation allows; where it allows none, its decisions were not just fixed."""
        paths = self.over(*equation.values)
        mine = [p for p in paths if p in self.loose]
        if not mine or any(p in self.torn for p in mine) or prod(len(self.choices[p]) for p in paths) > LARGEST:
            return False
        rest = [p for p in paths if p not in self.loose]
        allowed = [row for row in self.rows(mine) if self._holds(equation, mine, row, rest)]
        if not allowed:
            for p in mine:
                if p not in sure:
                    self._tear(p)
            return False
        before = [self.choices[p] for p in mine]
        for p, kept in zip(mine, zip(*allowed, strict=True), strict=True):
            self.choices[p] = tuple(dict.fromkeys(kept))
        return before != [self.choices[p] for p in mine]

    def _tear(self, path: str) -> None:
        """A decision that was not just fixed."""
        self.torn.add(path)
        self.choices[path] = tuple(self._pairs(path))

    def _stands(self, path: str) -> bool:
        """Whether the other graph has the place of a loose decision: a node beside it that does not depend on it."""
        side = 0 if path in self.decisions[0] else 1
        decision = self.decisions[side][path]
        beside = [n for n in self.nodes[side] if decision not in deps(self.live[side][n])]
        place = path
        while place:
            place = place.rpartition(".")[0]
            inside = [n for n in beside if not place or n.startswith((f"{place}.", f"{place}["))]
            if inside:
                return any(n in self.nodes[1 - side] for n in inside)
        return False

    def _holds(self, equation: Equation, mine: list[str], row: Sequence[Pair], rest: list[str]) -> bool:
        return all(self.equal(*equation.values, [*mine, *rest], (*row, *others)) for others in self.rows(rest))

    # where a node reads

    def reads(self, side: int, name: str) -> tuple[list[str], "Reader"]:
        """The decisions that say where a node's inputs come from, and a function from a common choice to those places."""
        reader = Reader(self.graphs[side], self.nodes[side][name])
        return sorted({d.path for d in reader.decisions}), reader


class Reader:
    """Where the inputs of one node come from: through switches and lists that hand one flow on; `none` is left out."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node
        self.decisions: set[Decision] = set()
        for i in node.inputs:
            self._collect(i, set())

    def _collect(self, i: int | None, seen: set[int]) -> None:
        if i is None or i in seen:
            return
        seen.add(i)
        node = self.graph.nodes[i]
        self.decisions.update(deps(node.shape.present))
        if isinstance(node.op, Switch):
            self.decisions.update(deps(node.op.select))
        if may_hand_on(self.graph, node):
            for k in node.inputs:
                self._collect(k, seen)

    def __call__(self, genes: Any) -> tuple[str, ...]:
        """The names of the nodes that are read."""
        return tuple(n for i in self.node.inputs for n in [self._source(i, genes)] if n is not None)

    def _source(self, i: int | None, genes: Any) -> str | None:
        if i is None:
            return None
        node = self.graph.nodes[i]
        if not at(node.shape.present, genes):
            return None
        if isinstance(node.op, Switch):
            return self._source(node.inputs[at(node.op.select, genes)], genes)
        if node.op.inputs is None:
            there = [k for k in node.inputs if k is not None and at(self.graph.nodes[k].shape.present, genes)]
            return self._source(there[0], genes) if len(there) == 1 else node.name
        return node.name


def may_hand_on(graph: Graph, node: Node) -> bool:
    """Whether a node may stand for one of its inputs: a switch, or a list that can be left with one flow."""
    certain = sum(k is not None and graph.nodes[k].shape.present is True for k in node.inputs)
    return isinstance(node.op, Switch) or (node.op.inputs is None and certain < 2)


def traits(node: Node) -> tuple[Value, ...]:
    """What a node computes, apart from where it reads: settings and sizes."""
    return (*node.op.settings().values(), node.shape.width, *node.shape.extent, node.shape.stride, node.shape.copies)
