"""What a picture shows: a graph, and perhaps one architecture of it, in; boxes, links and lanes of cells out.

A box is one use of a cell: the stem, a slot such as `s2.fine[1]`, what a branch enters by, a fusion, the head. Without
genes every choice is open; with genes only the live parts remain, with the values chosen.
"""

from collections.abc import Iterable
from functools import cached_property

from .flows import Flows
from .fold import fold
from .graph import Graph, Switch
from .groups import Group, Grouping, Part, steps
from .lanes import Lanes
from .liveness import liveness
from .naming import Genes, chain, labels, of_cells, owner, reach, resolution, shorten, within
from .nature import Nature, nature
from .picture import Box, Option, Outline, Wedge
from .pies import wedges
from .shape import Shape, text
from .sym import Decision, Value, at, deps, merge

SIGNS = {"sum": "+", "multiply": "*"}
"""Operators that the language writes as a sign."""
WIDE = 18
"""A picture of more columns is small: its boxes are colours."""
NAMED = ("slot", "enter", "edge", "fuse")
"""What has a colour."""


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
        self.any_genes: Genes = genes if genes is not None else [0] * len(graph.decisions)
        self.live = liveness(graph)
        self.places = {p for n in graph.nodes for p in (n.stage, n.lane) if p}
        self.grouping = Grouping(graph, apart=genes is not None)
        self.groups, self.parts, self.routed = self.grouping.groups, self.grouping.parts, self.grouping.routed
        self.flows = Flows(graph, self.grouping, self.live, genes)
        self.holds = self.flows.holds
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
        """All cells of the space, then what they are in this architecture only."""
        named = (o for g in self.groups if g.role in NAMED for o in self.options(g, None))
        every = sorted({(o.name, o.nature) for o in named})
        here = {(o.name, o.nature) for b in boxes if b.role in NAMED for o in b.options}
        return (*every, *sorted(here - {*every}))

    def alive(self, group: Group) -> bool:
        return group.role == "input" or any(self.holds(self.live.nodes[i]) for i in group.nodes)

    # boxes

    def box(self, group: Group, column: int) -> Box:
        options = self.options(group, self.genes)
        inside = [(d, path, owner(path, options)) for d, path in self.settings(group)]
        common = tuple(shorten([(d, path) for d, path, mine in inside if mine is None], self.genes))
        named = tuple(
            Option(
                o.name,
                tuple(shorten([(d, m[1]) for d, _, m in inside if m is not None and m[0] == o.name], self.genes)),
                o.times,
                o.nature,
            )
            for o in options
        )
        node = next(i for i in reversed(group.nodes) if not i or self.holds(self.live.nodes[i]))
        shape = self.graph.nodes[node].shape
        stride = resolution(self.text(shape.stride)) if shape.form == "map" else ""
        cell = "" if not self.is_inner(group) else self.plain(group, group.nodes)[0]
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
        if group.role != "fuse" or self.select_of(group):
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
        options = self.members(group)
        chosen = self.options(group, self.genes)[0].name
        nodes = options.get(chosen, group.nodes)
        return tuple(
            wedges(self.graph, nodes, own, self.any_genes, lambda i: self.holds(self.live.nodes[i]))
        )

    def note(self, group: Group) -> str:
        """In which architectures a box exists: `times >= 2`."""
        if self.genes is not None or group.role == "input" or self.flows.condition(group) is True:
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

    # options

    def options(self, group: Group, genes: Genes | None) -> tuple[Option, ...]:
        """The cells that a box can be: what its choice names, else the parts of its chain."""
        members = self.members(group)
        found: dict[str, None] = {}
        for i in self.tops(group):
            choice = self.graph.nodes[i].op
            assert isinstance(choice, Switch)
            every = labels(choice)
            found |= dict.fromkeys(every if genes is None or not every else (every[at(choice.select, genes)],))
        if found:
            return tuple(
                Option(name, (), self.repeats(group, name), self.nature(members[name], genes)) for name in found
            )
        live = [i for i in group.nodes if genes is None or self.is_live(i, genes)]
        name, times = self.plain(group, live)
        return (Option(name, (), times, self.nature(live, genes) if group.role != "fuse" else "fusion"),)

    def plain(self, group: Group, nodes: list[int]) -> tuple[str, int]:
        """The name of a box without choice, and how often its cell repeats."""
        if group.name:
            return group.name, self.repeats(group, group.name)
        names = chain(dict.fromkeys(self.parts[i][group.base] for i in nodes if len(self.parts[i]) > group.base))
        if len(set(names)) == 1:
            return names[0], max(len(names), self.repeats(group, names[0]))
        shown = names if len(names) <= 3 else [names[0], "...", names[-1]]
        return " -> ".join(shown) or group.role, 1

    def is_live(self, i: int, genes: Genes) -> bool:
        return self.holds(self.live.nodes[i]) if genes is self.genes else bool(at(self.live.nodes[i], genes))

    def nature(self, nodes: list[int], genes: Genes | None) -> Nature:
        values = genes if genes is not None else [0] * len(self.graph.decisions)
        live = [i for i in nodes if genes is None or self.is_live(i, genes)]
        return nature(self.graph, live, lambda v: at(v, values))

    def members(self, group: Group) -> dict[str, list[int]]:
        """The nodes of each option of a choice, without what options have in common."""
        if group.key not in self._members:
            self._members[group.key] = self._members_of(group)
        return self._members[group.key]

    @cached_property
    def _members(self) -> dict[str, dict[str, list[int]]]:
        return {}

    def _members_of(self, group: Group) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i in self.tops(group):
            node = self.graph.nodes[i]
            ends = [self.behind(k, set(group.nodes)) for k in node.inputs]
            common = set.intersection(*ends)
            for name, nodes in zip(labels(node.op), ends, strict=False):
                found.setdefault(name, sorted(nodes - common))
        return found

    def behind(self, end: int | None, own: set[int]) -> set[int]:
        """The nodes among some that a node reads, directly or not, itself included."""
        found: set[int] = set()
        stack = [end]
        while stack:
            i = stack.pop()
            if i is not None and i in own and i not in found:
                found.add(i)
                stack += self.graph.nodes[i].inputs
        return found

    def repeats(self, group: Group, name: str) -> int:
        """How often `repeat` applies the cell of that name in a group."""
        at_next = (p[group.base : group.base + 2] for p in (self.parts[i] for i in group.nodes))
        return max((p[1] for p in at_next if len(p) == 2 and p[0] == name and isinstance(p[1], int)), default=1)

    def tops(self, group: Group) -> list[int]:
        """The choices between the options of a group, those that can be made."""
        ops = {i: self.graph.nodes[i].op for i in group.nodes if isinstance(self.graph.nodes[i].op, Switch)}
        tops = [i for i in ops if len(self.parts[i]) == group.base + 1 and self.parts[i][-1] == "choice"]
        if not tops and group.role in ("slot", "enter"):
            tops = [i for i, op in ops.items() if of_cells(op)]
            if len({d for i in tops for d in ops[i].deps()}) != 1:
                return []
        return [i for i in tops if labels(ops[i]) and (len(tops) == 1 or self.holds(self.live.nodes[i]))]

    def is_inner(self, group: Group) -> bool:
        """Whether the options of a group are those of a choice within its cell."""
        return any(len(self.parts[i]) > group.base + 1 for i in self.tops(group))

    # decisions

    def settings(self, group: Group, dead: bool = False) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions inside a group, each with its path within it; not those that lanes and links show."""
        live = [i for i in group.nodes if dead or self.holds(self.live.nodes[i])]
        elsewhere = {d.index for x in self.graph.lanes for d in deps(x.width)}
        elsewhere |= {d.index for d in self.select_of(group)} | {d.index for d in self.flows.gates_of(group)}
        found = merge(self.graph.nodes[i].op.deps() for i in live)
        if group.stage in self.routed:
            return self.of_layer(group, found, elsewhere)
        own = [(d, within(steps(d.path), group, self.places)) for d in found if d.index not in elsewhere]
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
        return merge((self.select_of(group), tuple(d for d, _ in self.settings(group)))) if self.genes is None else ()

    def select_of(self, group: Group) -> tuple[Decision, ...]:
        """The decision that chooses between the options of a group."""
        return merge(self.graph.nodes[i].op.deps() for i in self.tops(group))
