"""What a picture shows: a graph, and perhaps one architecture of it, in; boxes, links and lanes of cells out.

A box is one use of a cell: the stem, a slot such as `s2.fine[1]`, what a branch enters by, a fusion, the head. Without
genes every choice is open; with genes only the live parts remain, with the values chosen.
"""

from collections.abc import Iterable
from functools import cached_property

from .choices import NAMED, Choices
from .flows import Flows
from .fold import fold
from .graph import Graph, Switch
from .groups import Group, Grouping, Part, steps
from .lanes import Lanes
from .liveness import liveness
from .naming import Genes, owner, reach, resolution, shorten, within
from .nature import Nature
from .picture import Box, Option, Outline, Wedge
from .pies import wedges
from .shape import Shape, text
from .sym import Decision, Value, at, deps, merge

SIGNS = {"sum": "+", "multiply": "*"}
"""Operators that the language writes as a sign."""
WIDE = 18
"""A picture of more columns is small: its boxes are colours."""


def outline(graph: Graph, genes: Genes | None = None, detail: bool = False) -> Outline:
    """The picture of a space, or of the one architecture that `genes` (an index for each decision) chooses.

    `detail` draws every cell by itself, with its name and its choices, however many there are.
    """
    if genes is None and not graph.decisions:
        genes = ()
    return _Outliner(graph, genes).run(detail)


class _Outliner:
    def __init__(self, graph: Graph, genes: Genes | None) -> None:
        self.graph = graph
        self.genes = genes
        self.live = liveness(graph)
        self.places = {p for n in graph.nodes for p in (n.stage, n.lane) if p}
        self.grouping = Grouping(graph, apart=genes is not None)
        self.groups, self.parts, self.routed = self.grouping.groups, self.grouping.parts, self.grouping.routed
        self.flows = Flows(graph, self.grouping, self.live, genes)
        self.holds = self.flows.holds
        self.choices = Choices(graph, self.grouping, self.live, genes, self.holds)
        self.lanes = Lanes(graph, self.grouping, self.genes, self.alive)

    def run(self, detail: bool) -> Outline:
        shown = [g for g in self.groups if self.alive(g)]
        columns = self.grouping.columns(shown)
        boxes = tuple(self.box(g, columns[g.key]) for g in shown)
        links = tuple(self.flows.links({b.key for b in boxes}))
        ties = {g.key: self.chosen(g) for g in shown}
        small = False
        if not detail:
            folded = fold(boxes, links, ties)
            small = len({b.column for b in folded[0]}) > WIDE
            boxes, links = fold(boxes, links, ties, self.routed) if small else folded
        tracks, boxes = self.lanes.tracks(boxes)
        decisions = len(self.graph.decisions) if self.genes is None else 0
        return Outline(self.title(), decisions, tracks, boxes, links, self.cells(boxes), small)

    def title(self) -> str:
        kind = "space" if self.genes is None else "architecture of" if self.graph.decisions else "network"
        return f"{kind} {self.graph.name}"

    def cells(self, boxes: Iterable[Box]) -> tuple[tuple[str, Nature], ...]:
        """All cells of the space, then those that this architecture names otherwise."""
        here = {o.name: o.nature for b in boxes if b.role in NAMED for o in b.options}
        return tuple(
            (self.choices.natures | {n: k for n, k in sorted(here.items()) if n not in self.choices.natures}).items()
        )

    def alive(self, group: Group) -> bool:
        return group.role == "input" or any(self.holds(self.live.nodes[i]) for i in group.nodes)

    # boxes

    def box(self, group: Group, column: int) -> Box:
        options = self.choices.options(group, self.genes)
        inside = [(d, path, owner(path, options)) for d, path in self.settings(group)]
        common = tuple(shorten([(d, path) for d, path, mine in inside if mine is None], self.genes))
        named = tuple(
            Option(
                o.name,
                tuple(shorten([(d, m[1]) for d, _, m in inside if m is not None and m[0] == o.name], self.genes)),
                o.times,
                self.choices.natures.get(o.name, o.nature),
            )
            for o in options
        )
        node = next(i for i in reversed(group.nodes) if not i or self.holds(self.live.nodes[i]))
        shape = self.graph.nodes[node].shape
        stride = resolution(self.text(shape.stride)) if shape.form == "map" else ""
        cell = "" if not self.choices.is_inner(group) else self.choices.plain(group, group.nodes)[0]
        return Box(
            group.key,
            group.role,
            group.stage,
            self.lanes.row(group),
            stride,
            column,
            named,
            common,
            self.size(shape, group),
            self.sign(group),
            self.note(group),
            cell,
            self.pie(group) if self.genes is not None else (),
        )

    def sign(self, group: Group) -> str:
        """How a fusion without a choice of cells joins its flows."""
        if group.role != "fuse" or self.choices.select_of(group):
            return ""
        nodes = [self.graph.nodes[i] for i in group.nodes]
        joins = [n.op.name for n in nodes if n.op.inputs != 1 and not isinstance(n.op, Switch) and n.op.name in SIGNS]
        several = any(len(n.inputs) > 1 for n in nodes if not isinstance(n.op, Switch))
        last = [n.op.name for n in nodes if len(n.inputs) > 1 and not isinstance(n.op, Switch)]
        return SIGNS.get((last if several else joins or [""])[-1], "")

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

    def pie(self, group: Group) -> tuple[Wedge, ...]:
        """The groups of units of the cell that a box is."""
        own = {d for d, _ in self.settings(group, dead=True)}
        chosen = self.choices.options(group, self.genes)[0].name
        nodes = self.choices.members(group).get(chosen, [group.nodes])[0]
        return tuple(wedges(self.graph, nodes, own, self.genes or (), lambda i: self.holds(self.live.nodes[i])))

    @cached_property
    def depths(self) -> dict[tuple[str, str], int]:
        """The choice of how many cells there are, by stage and branch."""
        every = [(n, i) for i, n in enumerate(self.graph.nodes) if self.grouping.is_depth(i)]
        return {(n.stage, n.lane): i for n, i in reversed(every)}

    def note(self, group: Group) -> str:
        """In which architectures a box exists: `times >= 2`."""
        if self.genes is not None or group.role == "input" or self.flows.condition(group) is True:
            return ""
        depth = self.depths.get((group.stage, group.lane))
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

    # decisions

    def settings(self, group: Group, dead: bool = False) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions inside a group, each with its path within it; not those that lanes and links show."""
        live = [i for i in group.nodes if dead or self.holds(self.live.nodes[i])]
        elsewhere = {d.index for x in self.graph.lanes for d in deps(x.width)}
        elsewhere |= {d.index for d in self.choices.select_of(group)} | {d.index for d in self.flows.gates_of(group)}
        found = merge(self.graph.nodes[i].op.deps() for i in live)
        if group.stage in self.routed:
            return self.of_layer(group, found, elsewhere)
        base = self.parts[group.nodes[0]][: group.base + 1] if group.role == "edge" else ()
        own = [(d, within(steps(d.path), group, self.places, base)) for d in found if d.index not in elsewhere]
        return [(d, path) for d, path in own if path is not None]

    def of_layer(
        self, group: Group, found: tuple[Decision, ...], elsewhere: set[int]
    ) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions of a layer, once for all routes that have a cell there."""
        kept: dict[tuple[Part, ...], Decision] = {}
        for d in found:
            stage, *inside = steps(d.path)
            if d.index not in elsewhere and stage == group.stage and inside[1:2] == [group.slot]:
                kept.setdefault(tuple(inside[2:]), d)
        return [(d, path) for path, d in kept.items()]

    def chosen(self, group: Group) -> tuple[Decision, ...]:
        """All decisions that a box shows as open."""
        return (
            merge((self.choices.select_of(group), tuple(d for d, _ in self.settings(group))))
            if self.genes is None
            else ()
        )
