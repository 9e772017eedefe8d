"""When a decision matters, and what stands for it where all it decides is `none`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from math import prod
from typing import Any

from .conditions import both, either
from .graph import Graph, Switch, unshared
from .liveness import Liveness, liveness
from .sym import Apply, Decision, Table, Value, apply, deps, is_sym, tabulate


@dataclass(frozen=True, slots=True)
class Activity:
    """When one decision is part of an architecture.

    `computed`: a computed node changes with it. `asked`: a switch that is asked for reads it. Where it is asked but not
    computed, all that it decides is `none`; `closing` is then the code that stands for every other, with the codes of
    further decisions that go with it, by index. Empty: there is no such code, each stands for itself.
    """

    active: Value
    computed: Value
    asked: Value
    closing: dict[int, int] = field(default_factory=dict)


_LATEST: list[tuple[Graph, "_Activities"]] = []
"""The graph that was asked about last: its check and its count ask about the same one."""


def activity(graph: Graph) -> tuple[Activity, ...]:
    """The activity of each decision. Inactive ones are absent from an architecture (gene 0): one genome for each network."""
    return _known(graph).all


class Active(Sequence[Value]):
    """When each decision of a graph is active, by its index; each is found when it is asked for."""

    def __init__(self, graph: Graph) -> None:
        self.known = _known(graph)

    def __len__(self) -> int:
        return len(self.known.graph.decisions)

    def __getitem__(self, index: Any) -> Any:
        return self.known.active(self.known.graph.decisions[index])


def apart(graph: Graph) -> Liveness:
    """When each node is computed were no cells shared between routes."""
    return _known(graph).live


def _known(graph: Graph) -> "_Activities":
    known = next((found for one, found in _LATEST if one is graph), None)
    if known is None:
        known = _Activities(unshared(graph))
        _LATEST[:] = [(graph, known)]
    return known


def carry(old: Graph, new: Graph) -> None:
    """What is known of a graph, for the same without nodes that nothing asks for."""
    _LATEST[:] = [(new, found) for one, found in _LATEST if one is old]


class _Activities:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.live = liveness(graph)
        self.closing: dict[int, dict[int, int]] = {}
        self.matters: dict[int, dict[Apply, Value]] = {d.index: {} for d in graph.decisions}
        self.active = cache(self._active)
        self.computed = cache(self._computed)
        self.asked = cache(self._asked)

    @cached_property
    def all(self) -> tuple[Activity, ...]:
        decisions = self.graph.decisions
        for d in sorted(decisions, key=lambda d: self.switches[d.index][:1]):
            if self.asked(d) is not False:
                self.closing[d.index] = self._closing(d)
        return tuple(
            Activity(self.active(d), self.computed(d), self.asked(d), self.closing.get(d.index, {})) for d in decisions
        )

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """The nodes whose settings depend on each decision."""
        found: dict[int, list[int]] = {d.index: [] for d in self.graph.decisions}
        known: dict[int, tuple[Decision, ...]] = {}  # many nodes share one operator
        for i, node in enumerate(self.graph.nodes):
            if id(node.op) not in known:
                known[id(node.op)] = node.op.deps()
            for d in known[id(node.op)]:
                found[d.index].append(i)
        return found

    @cached_property
    def switches(self) -> dict[int, list[int]]:
        """The switches among them that something asks for."""
        nodes, demand = self.graph.nodes, self.live.demand
        return {
            index: [i for i in found if isinstance(nodes[i].op, Switch) and demand[i] is not False]
            for index, found in self.readers.items()
        }

    def _active(self, decision: Decision) -> Value:
        return _without(either(self.computed(decision), self.asked(decision)), decision)

    def _computed(self, decision: Decision) -> Value:
        """Where a computed node changes with the decision."""
        found = []
        for i in self.readers[decision.index]:
            if self.live.nodes[i] is False:
                continue
            for value in self.graph.nodes[i].op.settings().values():
                if decision in deps(value):
                    found.append(both(self.live.nodes[i], _matters(value, decision, self.matters[decision.index])))
        return either(*found)

    def _asked(self, decision: Decision) -> Value:
        """Where a switch that is asked for, and can be `none` for its choice of input, looks at the decision."""
        return either(*self._asking(decision))

    def _asking(self, decision: Decision) -> Iterator[Value]:
        for i in self.switches[decision.index]:
            op = self.graph.nodes[i].op
            assert isinstance(op, Switch)
            if len(set(self._options(i))) > 1:
                matters = _matters(op.select, decision, self.matters[decision.index])
                yield both(self.live.demand[i], matters)

    def _options(self, i: int) -> list[Value]:
        """For each input of a switch, when it is there."""
        node = self.graph.nodes[i]
        present = node.shape.present
        if isinstance(present, Apply) and present.function == "select":
            return list(present.args[1:])
        return [
            both(chosen, present) is not False if source is None else self.graph.nodes[source].shape.present
            for source, chosen in ((s, apply("==", node.op.settings()["select"], k)) for k, s in enumerate(node.inputs))
        ]

    # closing

    def _closing(self, decision: Decision) -> dict[int, int]:
        """The code at which every switch that reads the decision is `none`, or can be made so; with as little else as can be."""
        found: list[dict[int, int]] = []
        switches = self.switches[decision.index]
        first: dict[tuple[frozenset[int], ...], int] = {}
        for code, picked in enumerate(zip(*(self._picked(i, decision) for i in switches), strict=True)):
            first.setdefault(picked, code)
        for picked, code in first.items():
            further = [self._closes(i, sides) for i, sides in zip(switches, picked, strict=True)]
            if None not in further:
                found.append({decision.index: code, **_joined(further)})
        return min(found, key=len, default={})

    def _picked(self, i: int, decision: Decision) -> list[frozenset[int]]:
        """For each code, the sides that switch i can pick; none where no table says it."""
        select = self.graph.nodes[i].op.settings()["select"]
        sides: list[set[int]] = [set() for _ in decision.values]
        if isinstance(select, Table):
            step = select.strides[select.deps.index(decision)]
            for row, k in enumerate(select.values):
                sides[row // step % len(decision)].add(k)
        return [frozenset(s) for s in sides]

    def _closes(self, i: int, picked: frozenset[int]) -> dict[int, int] | None:
        """What else must be chosen for switch i to be `none` at these sides; None: nothing makes it so."""
        options = self._options(i)
        parts = [self._absent(i, self.graph.nodes[i].inputs[k], options[k]) for k in sorted(picked)]
        return None if not picked or None in parts else _joined(parts)

    def _absent(self, owner: int, source: int | None, present: Value) -> dict[int, int] | None:
        """The codes that make a flow `none`, of decisions that matter only while switch `owner` is computed."""
        if present is False or source is None or present is True:
            return {} if present is False else None
        node = self.graph.nodes[source]
        if not self._within(source, owner):
            return None
        if isinstance(node.op, Switch):
            for d in deps(node.op.select):
                if self.closing.get(d.index) and all(self._within(i, owner) for i in self.readers[d.index]):
                    return self.closing[d.index]
            return None
        parts = [
            self._absent(owner, k, self.graph.nodes[k].shape.present if k is not None else False) for k in node.inputs
        ]
        if node.op.inputs is not None:
            return next((p for p in parts if p is not None), None)
        return None if None in parts else _joined(parts)

    @cached_property
    def _dominators(self) -> list[int]:
        """For each node the next one that every way from it to the output passes."""
        readers: list[list[int]] = [[] for _ in self.graph.nodes]
        for i, node in enumerate(self.graph.nodes):
            for source in node.inputs:
                if source is not None:
                    readers[source].append(i)
        found = list(range(len(self.graph.nodes)))
        for i in range(self.graph.output - 1, -1, -1):
            common = -1
            for reader in readers[i]:
                if reader == self.graph.output or found[reader] != reader:
                    common = reader if common < 0 else _meet(found, common, reader)
            found[i] = common if common >= 0 else i
        return found

    def _within(self, i: int, owner: int) -> bool:
        """Whether every way from node i to the output passes the switch `owner`."""
        while i < owner and self._dominators[i] != i:
            i = self._dominators[i]
        return i == owner


def _joined(parts: list[dict[int, int] | None]) -> dict[int, int]:
    return {index: code for part in parts for index, code in (part or {}).items()}


def _meet(dominators: list[int], a: int, b: int) -> int:
    while a != b:
        a, b = (dominators[a], b) if a < b else (a, dominators[b])
    return a


def _matters(value: Value, decision: Decision, known: dict[Apply, Value]) -> Value:
    """Where a value changes with a decision; of one that no table holds, where the parts that are looked at do."""
    if decision not in deps(value):
        return False
    if isinstance(value, Table):
        return _changes(value, decision)
    if value not in known:
        known[value] = either(*_parts_matter(value, decision, known))
    return known[value]


def _parts_matter(value: Apply, decision: Decision, known: dict[Apply, Value]) -> Iterator[Value]:
    if value.function != "select":
        yield from (_matters(a, decision, known) for a in value.args)
        return
    index, *options = value.args
    yield _matters(index, decision, known)
    for k, option in enumerate(options):
        yield both(_matters(option, decision, known), apply("==", index, k))


def _changes(value: Table, decision: Decision) -> Value:
    """Where, over the other decisions, a table changes with this one."""
    place = value.deps.index(decision)
    rest = (*value.deps[:place], *value.deps[place + 1 :])
    inner = prod(len(d) for d in value.deps[place + 1 :])

    def differs(row: tuple[int, ...]) -> bool:
        start = sum(g * s for g, s in zip((*row[:place], 0, *row[place:]), value.strides, strict=True))
        return len({(type(v), v) for v in (value.values[start + k * inner] for k in range(len(decision)))}) > 1

    return tabulate(rest, differs)


def _without(condition: Value, decision: Decision) -> Value:
    """The condition with the decision itself quantified away: whether any of its values makes it hold."""
    if not is_sym(condition) or decision not in deps(condition):
        return condition
    if isinstance(condition, Apply):
        if condition.function in ("and", "or"):
            parts = [_without(a, decision) for a in condition.args]
            return both(*parts) if condition.function == "and" else either(*parts)
        return True
    rest = tuple(d for d in condition.deps if d is not decision)
    table = condition

    def any_value(row: tuple[int, ...]) -> bool:
        genes = dict(zip(rest, row, strict=True))
        choices = product(*(range(len(d)) if d is decision else (genes[d],) for d in table.deps))
        return any(table.values[sum(g * s for g, s in zip(c, table.strides, strict=True))] for c in choices)

    return tabulate(rest, any_value)
