"""What a picture shows: a graph, and perhaps one architecture of it, in; boxes, links and lanes of cells out.

A box is one use of a cell: the stem, a slot such as `s2.fine[1]`, what a branch enters by, a fusion, the head. Without
genes every choice is open; with genes only the live parts remain, with the values chosen.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache, cached_property

from .conditions import both, either, implied
from .fold import fold
from .graph import Graph, Lane, Switch
from .groups import Group, Grouping, Part, steps
from .liveness import chosen, liveness
from .naming import Genes, chain, labels, owner, reach, resolution, setting, shorten, within
from .picture import Box, Link, Option, Outline, Setting, Track
from .shape import Shape, text
from .sym import Decision, Table, Value, at, deps, merge

SIGNS = {"sum": "+", "multiply": "*"}
"""Operators that the language writes as a sign."""


def outline(graph: Graph, genes: Genes | None = None) -> Outline:
    """The picture of a space, or of the one architecture that `genes` (an index for each decision) chooses."""
    if genes is None and not graph.decisions:
        genes = ()
    return _Outliner(graph, genes).run()


class _Outliner:
    def __init__(self, graph: Graph, genes: Genes | None) -> None:
        self.graph = graph
        self.genes = genes
        self.live = liveness(graph)
        self.implied = cache(implied)
        self.places = {p for n in graph.nodes for p in (n.stage, n.lane) if p}
        self.grouping = Grouping(graph)
        self.groups, self.parts, self.routed = self.grouping.groups, self.grouping.parts, self.grouping.routed

    def run(self) -> Outline:
        shown = [g for g in self.groups if self.alive(g)]
        columns = self.grouping.columns(shown)
        every = tuple(self.box(g, columns[g.key]) for g in shown)
        boxes, links = fold(every, tuple(self.links({b.key for b in every})), {g.key: self.chosen(g) for g in shown})
        used = {b.lane for b in boxes}
        lanes = tuple(
            self.track(x)
            for x in sorted(self.graph.lanes, key=lambda x: at(x.stride, self.any_genes))
            if x.name in used
        )
        named = {o.name for g in self.groups if g.role in ("slot", "enter") for o in self.options(g, None)}
        decisions = len(self.graph.decisions) if self.genes is None else 0
        return Outline(self.title(), decisions, lanes, boxes, links, tuple(sorted(named)))

    def title(self) -> str:
        kind = "space" if self.genes is None else "architecture of" if self.graph.decisions else "network"
        return f"{kind} {self.graph.name}"

    @cached_property
    def any_genes(self) -> Genes:
        return self.genes if self.genes is not None else [0] * len(self.graph.decisions)

    # groups

    def alive(self, group: Group) -> bool:
        return group.role == "input" or any(self.holds(self.live.nodes[i]) for i in group.nodes)

    def holds(self, condition: Value) -> bool:
        """Whether a condition can hold: in some architecture, or in the one chosen."""
        return condition is not False if self.genes is None else bool(at(condition, self.genes))

    def condition(self, group: Group) -> Value:
        """When a group is there, given that the network has an output: its last node is what others read."""
        every = [self.live.nodes[i] for i in group.nodes]
        whole = self.live.nodes[self.graph.output]
        return (
            True
            if any(self.implied(whole, c) is None for c in (*(c for c in every if c is True), every[-1]))
            else every[-1]
        )

    # boxes

    def box(self, group: Group, column: int) -> Box:
        options = self.options(group, self.genes)
        inside = self.settings(group)
        common = tuple(shorten([(d, path) for d, path in inside if not owner(path, options)], self.genes))
        named = tuple(
            Option(
                o.name,
                tuple(shorten([(d, path[1:]) for d, path in inside if owner(path, options) == o.name], self.genes)),
                o.times,
            )
            for o in options
        )
        shape = self.graph.nodes[
            next(i for i in reversed(group.nodes) if not i or self.holds(self.live.nodes[i]))
        ].shape
        stride = resolution(self.text(shape.stride)) if shape.form == "map" else ""
        place = (group.key, group.role, group.stage, group.lane, stride, column)
        size, sign, note, made = self.size(shape, group), self.sign(group), self.note(group), self.genes is not None
        ways = self.ways(group) if made and group.stage in self.routed else ()
        if len(ways) > 1:
            return Box(*place, ways, (), size, sign, note, made)
        return Box(*place, named, common, size, sign, note, made)

    def ways(self, group: Group) -> tuple[Option, ...]:
        """The cell of each route at one layer and stride of an architecture; one that routes share is the first one's."""
        found: dict[Part, list[int]] = {}
        for i in group.nodes:
            if group.role == "slot" and self.holds(self.live.nodes[i]):
                found.setdefault(self.parts[i][1], []).append(i)
        inside = self.settings(group)
        return tuple(
            Option(
                self.options(replace(group, nodes=nodes), self.genes)[0].name,
                (
                    Setting("route", (str(route),)),
                    *(setting(d, path[1:], self.genes) for d, path in inside if path[0] == route),
                ),
            )
            for route, nodes in found.items()
        )

    def sign(self, group: Group) -> str:
        """How a fusion without a choice of cells joins its flows."""
        if group.role != "fuse" or self.select_of(group):
            return ""
        joins = [
            n.op.name
            for n in (self.graph.nodes[i] for i in group.nodes)
            if len(n.inputs) > 1 and not isinstance(n.op, Switch)
        ]
        return SIGNS.get(joins[-1], "") if joins else ""

    def size(self, shape: Shape, group: Group) -> str:
        if group.role == "input":
            return " x ".join(self.text(v) for v in (shape.width, *shape.extent))
        if shape.form == "vector":
            return self.text(shape.width)
        if shape.form == "tokens":
            return f"{self.text(shape.points)} tokens x {self.text(shape.width)}"
        return f"{self.text(shape.width)} @ {resolution(self.text(shape.stride))}"

    def text(self, value: Value) -> str:
        return text(value) if self.genes is None else str(at(value, self.genes))

    def note(self, group: Group) -> str:
        """In which architectures a box exists: `times >= 2`."""
        if self.genes is not None or group.role == "input" or self.condition(group) is True:
            return ""
        depth = next(
            (
                i
                for i, n in enumerate(self.graph.nodes)
                if self.grouping.is_depth(i) and (n.stage, n.lane) == (group.stage, group.lane)
            ),
            None,
        )
        if group.role != "slot" or depth is None:
            return "optional"
        switch = self.graph.nodes[depth].op
        assert isinstance(switch, Switch)
        if len(deps(switch.select)) != 1:
            return "optional"
        own = self.grouping.round(group)
        every = (g for g in self.groups if (g.role, g.stage, g.lane) == (group.role, group.stage, group.lane))
        peers = [g.slot for g in every if self.grouping.round(g) == own]
        return reach(switch.select, peers.index(group.slot) + 1, len(peers))

    def options(self, group: Group, genes: Genes | None) -> tuple[Option, ...]:
        """The cells that a box can be: what its choice names, else the parts of its chain."""
        found: dict[str, None] = {}
        for choice in self.tops(group):
            every = labels(choice)
            found |= dict.fromkeys(every if genes is None or not every else (every[at(choice.select, genes)],))
        if found:
            return tuple(Option(label, times=self.repeats(group, label)) for label in found)
        if group.name:
            return (Option(group.name, times=self.repeats(group, group.name)),)
        live = [i for i in group.nodes if genes is None or at(self.live.nodes[i], genes)]
        names = chain(dict.fromkeys(self.parts[i][group.base] for i in live if len(self.parts[i]) > group.base))
        if len(set(names)) == 1:
            return (Option(names[0], times=max(len(names), self.repeats(group, names[0]))),)
        shown = names if len(names) <= 3 else [names[0], "...", names[-1]]
        return (Option(" -> ".join(shown) or group.role),)

    def repeats(self, group: Group, name: str) -> int:
        """How often `repeat` applies the cell of that name in a group."""
        at_next = (p[group.base : group.base + 2] for p in (self.parts[i] for i in group.nodes))
        return max((p[1] for p in at_next if len(p) == 2 and p[0] == name and isinstance(p[1], int)), default=1)

    def settings(self, group: Group) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions inside a group, each with its path within it; not those that lanes and links show."""
        live = [i for i in group.nodes if self.holds(self.live.nodes[i])]
        elsewhere = {d.index for x in self.graph.lanes for d in deps(x.width)}
        elsewhere |= {d.index for d in self.select_of(group)} | {d.index for d in self.gates_of(group)}
        found = merge(self.graph.nodes[i].op.deps() for i in live)
        if group.stage in self.routed:
            return self.of_layer(group, found, elsewhere)
        own = [(d, within(steps(d.path), group, self.places)) for d in found if d.index not in elsewhere]
        return [(d, path) for d, path in own if path is not None]

    def of_layer(
        self, group: Group, found: tuple[Decision, ...], elsewhere: set[int]
    ) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions of the routes in a layer: once for all of them in a space, else of each."""
        kept: dict[tuple[Part, ...], Decision] = {}
        for d in found:
            stage, route, *inside = steps(d.path)
            if d.index not in elsewhere and stage == group.stage and inside[0] == group.slot:
                kept.setdefault(tuple(inside[1:]) if self.genes is None else (route, *inside[1:]), d)
        one = len({path[0] for path in kept}) == 1 and self.genes is not None
        several = len({self.parts[i][1] for i in group.nodes if self.holds(self.live.nodes[i])}) > 1
        return [(d, path[1:] if one and not several else path) for path, d in kept.items()]

    def tops(self, group: Group) -> list[Switch]:
        """The choices between the options of a group, those that can be made."""
        tops = [i for i in group.nodes if len(self.parts[i]) == group.base + 1 and self.parts[i][-1] == "choice"]
        ops = [self.graph.nodes[i].op for i in tops if len(tops) == 1 or self.holds(self.live.nodes[i])]
        return [op for op in ops if isinstance(op, Switch)]

    def chosen(self, group: Group) -> tuple[Decision, ...]:
        """All decisions that a box shows as open."""
        return merge((self.select_of(group), tuple(d for d, _ in self.settings(group)))) if self.genes is None else ()

    def select_of(self, group: Group) -> tuple[Decision, ...]:
        """The decision that chooses between the options of a group."""
        return merge(deps(op.select) for op in self.tops(group) if labels(op))

    def gates_of(self, group: Group) -> tuple[Decision, ...]:
        """The decisions that open and close links into a fusion."""
        return merge(self.gating(group, c) for _, c in self.reads(group).values()) if group.role == "fuse" else ()

    # links

    def links(self, shown: set[str]) -> Iterator[Link]:
        for group in self.groups:
            for key, (source, condition) in self.reads(group).items():
                if key in shown and group.key in shown:
                    gates = self.gating(group, condition) if self.genes is None else ()
                    names = tuple(setting(d, steps(d.path)[-1:], None) for d in gates)
                    yield Link(key, group.key, self.does(source, group), names)

    def reads(self, group: Group) -> dict[str, tuple[int, Value]]:
        """The boxes that a group reads: the node, and when any of its nodes reads it."""
        found: dict[str, tuple[int, list[Value]]] = {}
        for i in group.nodes:
            for source, condition in zip(self.graph.nodes[i].inputs, self.live.inputs[i], strict=True):
                if source is None or not self.holds(condition):
                    continue
                for origin, node, when in self.origins(source, condition):
                    if origin is not group:
                        found.setdefault(origin.key, (node, []))[1].append(when)
        return {key: (source, either(*conditions)) for key, (source, conditions) in found.items()}

    def origins(self, i: int, condition: Value) -> Iterator[tuple[Group, int, Value]]:
        """The groups a flow comes from: through choices of depth the deepest, or the chosen one; through joints each."""
        group = self.grouping.of[i]
        if group is not None:
            yield group, i, condition
            return
        node = self.graph.nodes[i]
        assert isinstance(node.op, Switch)
        if self.grouping.is_depth(i):
            source = node.inputs[-1 if self.genes is None else at(node.op.select, self.genes)]
            assert source is not None
            yield from self.origins(source, condition)
            return
        for k, source in enumerate(node.inputs):
            when = both(condition, chosen(self.graph, i, k))
            if source is not None and self.holds(when):
                yield from self.origins(source, when)

    def gating(self, group: Group, condition: Value) -> tuple[Decision, ...]:
        """The decisions that close a link while its target stays."""
        whole = self.condition(group)
        whole = self.live.nodes[self.graph.output] if whole is True else whole
        if self.implied(whole, condition) is None:
            return ()
        known = {d.index for d in deps(whole)}
        return tuple(d for d in deps(condition) if d.index not in known) or deps(condition)

    def does(self, source: int, group: Group) -> str:
        """What a link does to the resolution: `down 2`, `up 4`, or nothing."""
        ours, theirs = self.graph.nodes[group.nodes[-1]].shape, self.graph.nodes[source].shape
        strides = [at(s.stride, self.any_genes) for s in (theirs, ours)]
        if strides[0] == strides[1]:
            return ""
        ratio = Fraction(strides[1]) / Fraction(strides[0])
        return f"down {ratio}" if ratio > 1 else f"up {1 / ratio}"

    def track(self, lane: Lane) -> Track:
        place = resolution(self.text(lane.stride))
        if lane.width is None:
            return Track(lane.name, place, self.halving(lane))
        many = (
            tuple(dict.fromkeys(map(str, lane.width.values))) if isinstance(lane.width, Table) else (text(lane.width),)
        )
        values = many if self.genes is None else (str(at(lane.width, self.genes)),)
        return Track(lane.name, place, Setting("width", values))

    def halving(self, lane: Lane) -> Setting | None:
        """Where the route to a lane halves the resolution."""
        down = (d for d in self.graph.decisions if steps(d.path)[1:] == (lane.name, "down"))
        found = next((d for d in down if steps(d.path)[0] in self.routed), None)
        route = (
            c for p, c in zip(self.parts, self.live.nodes, strict=True) if p[0] in self.routed and p[1] == lane.name
        )
        if not any(map(self.holds, route)):
            return None
        return None if found is None else setting(found, ("down",), self.genes)
