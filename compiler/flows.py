"""The links of a picture: which box reads which, and the decisions that open and close that."""

from collections.abc import Iterator
from fractions import Fraction

from .conditions import both, either
from .graph import Graph, Switch
from .groups import Group, Grouping, steps
from .liveness import Liveness, chosen
from .naming import Genes, setting
from .picture import Link
from .sym import Decision, Value, at, deps, merge
from .trials import Trials


class Flows:
    """Flows between the boxes of a space, or of the one architecture of `genes`."""

    def __init__(self, graph: Graph, grouping: Grouping, live: Liveness, genes: Genes | None) -> None:
        self.graph, self.grouping, self.live, self.genes = graph, grouping, live, genes
        self.trials = Trials(graph.decisions, genes)
        self.holds = self.trials.holds
        self.known: dict[str, dict[str, tuple[int, Value]]] = {}

    def links(self, shown: set[str]) -> Iterator[Link]:
        for group in self.grouping.groups:
            for key, (source, condition) in self.reads(group).items() if group.key in shown else ():
                if key in shown:
                    gates = self.gating(group, condition) if self.genes is None else ()
                    names = tuple(setting(d, steps(d.path)[-1:], None) for d in gates)
                    yield Link(key, group.key, self.does(source, group), names)

    def gates_of(self, group: Group) -> tuple[Decision, ...]:
        """The decisions that open and close links into a fusion."""
        if group.role != "fuse" or self.genes is not None:
            return ()
        return merge(self.gating(group, c) for _, c in self.reads(group).values())

    def reads(self, group: Group) -> dict[str, tuple[int, Value]]:
        """The boxes that a group reads: the node, and when any of its nodes reads it."""
        if group.key not in self.known:
            self.known[group.key] = self._reads(group)
        return self.known[group.key]

    def _reads(self, group: Group) -> dict[str, tuple[int, Value]]:
        found: dict[str, tuple[int, list[Value]]] = {}
        for i in group.nodes:
            node = self.graph.nodes[i]
            for k, (source, condition) in enumerate(zip(node.inputs, self.live.inputs[i], strict=True)):
                if source is None or k in node.op.like or not self.holds(condition):
                    continue
                for origin, end, when in self.origins(source, condition):
                    if origin is not group:
                        found.setdefault(origin.key, (end, []))[1].append(when)
        if self.genes is not None:
            return {key: (source, True) for key, (source, _) in found.items()}
        return {key: (source, either(*conditions)) for key, (source, conditions) in found.items()}

    def origins(self, i: int, condition: Value) -> Iterator[tuple[Group, int, Value]]:
        """The groups a flow comes from: through choices of depth the deepest, or the chosen one; through joints each."""
        group = self.grouping.of[i]
        if group is not None:
            yield group, i, condition
            return
        node = self.graph.nodes[i]
        if not isinstance(node.op, Switch) or self.grouping.is_depth(i):
            deep = isinstance(node.op, Switch) and self.genes is not None
            source = node.inputs[at(node.op.select, self.genes or ()) if deep else -1]  # type: ignore[attr-defined]
            assert source is not None
            yield from self.origins(source, condition)
            return
        for k, source in enumerate(node.inputs):
            when = both(condition, chosen(self.graph, i, k)) if self.genes is None else chosen(self.graph, i, k)
            if source is not None and self.holds(when):
                yield from self.origins(source, when)

    def condition(self, group: Group) -> Value:
        """When a group is there, given that the network has an output: its last node is what others read."""
        every = [self.live.nodes[i] for i in group.nodes]
        whole = self.live.nodes[self.graph.output]
        if any(c is True for c in every) or self.trials.implied(whole, every[-1]):
            return True
        return every[-1]

    def gating(self, group: Group, condition: Value) -> tuple[Decision, ...]:
        """The decisions that close a link while its target stays."""
        whole = self.condition(group)
        whole = self.live.nodes[self.graph.output] if whole is True else whole
        if self.trials.implied(whole, condition):
            return ()
        known = {d.index for d in deps(whole)}
        return tuple(d for d in deps(condition) if d.index not in known) or deps(condition)

    def does(self, source: int, group: Group) -> str:
        """What a link does to the resolution: `down 2`, `up 4`, or nothing."""
        genes = self.genes if self.genes is not None else [0] * len(self.graph.decisions)
        ours, theirs = self.graph.nodes[group.nodes[-1]].shape, self.graph.nodes[source].shape
        strides = [at(s.stride, genes) for s in (theirs, ours)]
        if strides[0] == strides[1]:
            return ""
        ratio = Fraction(strides[1]) / Fraction(strides[0])
        return f"down {ratio}" if ratio > 1 else f"up {1 / ratio}"
