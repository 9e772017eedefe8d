"""What a picture shows: a graph, and perhaps one architecture of it, in; boxes, links and lanes of cells out.

A box is one use of a cell: the stem, a slot such as `s2.fine[1]`, what a branch enters by, a fusion, the head. Without
genes every choice is open; with genes only the live parts remain, with the values chosen.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Literal

from .graph import Graph, Lane, Node, Outputs, Switch
from .liveness import chosen, liveness
from .shape import Shape, text
from .sym import Decision, Table, Value, at, both, deps, either, implied, is_sym, merge

Role = Literal["input", "stem", "enter", "slot", "fuse", "head", "other"]
Genes = Sequence[int]
Part = str | int
NAMES = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
SWITCHES = ("choice", "depth")
"""What elaboration calls the nodes that choose between cells and between depths."""

JOINTS = ("from", "same", "route")
"""What routes call the nodes that join flows, take one from another route, and leave a route out."""
SIGNS = {"sum": "+", "multiply": "*"}
"""Operators that the language writes as a sign."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A choice by its name within a box: `heads in {1, 2}`, or `heads = 2` once it is made."""

    name: str
    values: tuple[str, ...]

    @property
    def open(self) -> bool:
        return len(self.values) > 1

    def __str__(self) -> str:
        if not self.open:
            return f"{self.name} = {self.values[0]}"
        shown = self.values if len(self.values) <= 5 else (*self.values[:2], "...", self.values[-1])
        return f"{self.name} in {{{', '.join(shown)}}}"


@dataclass(frozen=True, slots=True)
class Option:
    """A cell that a box can be, with the choices inside it. `times` is how often it repeats."""

    name: str
    settings: tuple[Setting, ...] = ()
    times: int = 1

    @property
    def open(self) -> bool:
        return any(s.open for s in self.settings)


@dataclass(frozen=True, slots=True)
class Box:
    """One use of a cell, at `column` of the picture.

    `sign` is how a fusion joins its flows, where that has a sign; `note` says in which architectures
    it exists: empty, in all.
    """

    key: str
    role: Role
    stage: str
    lane: str
    column: int
    options: tuple[Option, ...]
    settings: tuple[Setting, ...]
    size: str
    sign: str = ""
    note: str = ""
    made: bool = False
    """Whether its choices are made: several options are then those of several routes."""

    @property
    def open(self) -> bool:
        return (len(self.options) > 1 and not self.made) or any(
            o.open for o in (*self.options, Option("", self.settings))
        )


@dataclass(frozen=True, slots=True)
class Link:
    """A flow from one box to another; `gates` are the choices that open and close it."""

    source: str
    target: str
    does: str
    gates: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """A branch: a lane of the picture."""

    name: str
    place: str
    width: Setting | None


@dataclass(frozen=True, slots=True)
class Outline:
    """A picture's content. `cells` are the names of all cells of the space, drawn or not: colours are theirs."""

    title: str
    decisions: int
    lanes: tuple[Track, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    cells: tuple[str, ...]


def outline(graph: Graph, genes: Genes | None = None) -> Outline:
    """The picture of a space, or of the one architecture that `genes` (an index for each decision) chooses."""
    if genes is None and not graph.decisions:
        genes = ()
    return _Outliner(graph, genes).run()


@dataclass(slots=True)
class _Group:
    """The nodes of one box, by number. `base` is how many parts their names share."""

    key: str
    role: Role
    stage: str
    lane: str
    slot: int
    base: int
    nodes: list[int]


class _Outliner:
    def __init__(self, graph: Graph, genes: Genes | None) -> None:
        self.graph = graph
        self.genes = genes
        self.live = liveness(graph)
        self.places = {p for n in graph.nodes for p in (n.stage, n.lane) if p}
        lanes = {x.name for x in graph.lanes}
        named = [_parts(n.name) for n in graph.nodes]
        self.routed = {p[0] for p in named if _on_route(p, lanes)}
        self.parts = [_off_route(p, lanes) if p[0] in self.routed else p for p in named]
        self.groups, self.group_of = self.grouped()

    def run(self) -> Outline:
        shown = [g for g in self.groups if self.alive(g)]
        columns = _columns(shown, list(dict.fromkeys(n.stage for n in self.graph.nodes)))
        boxes = tuple(self.box(g, columns[g.key]) for g in shown)
        links = tuple(self.links({b.key for b in boxes}))
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

    def grouped(self) -> tuple[list[_Group], list[_Group | None]]:
        """Every node's group; choices of depth and the points of a route belong to none: flows pass through them."""
        groups: dict[str, _Group] = {}
        of: list[_Group | None] = []
        for i, node in enumerate(self.graph.nodes):
            if self.is_depth(i) or self.is_joint(i):
                of.append(None)
                continue
            fresh = self.link(node, i) if self.chained and node.stage == "head" else _group(node, self.parts[i])
            if self.parts[i][0] == "heads" and not node.lane:
                fresh = _Group(f"heads.{self.parts[i][1]}", "head", "head", "", i, 2, [])
            group = groups.setdefault(fresh.key, fresh)
            group.nodes.append(i)
            of.append(group)
        return list(groups.values()), of

    @cached_property
    def chained(self) -> bool:
        """Whether a network is a chain in its head: nothing else, and of several links."""
        head = {p[1:2] for p, n in zip(self.parts, self.graph.nodes, strict=True) if n.stage == "head"}
        return not self.graph.lanes and len(head) > 1 and () not in head

    def link(self, node: Node, i: int) -> _Group:
        """An empty group for one link of such a chain."""
        return _Group(f"head.{self.parts[i][1]}", "head", "head", "", i, 1, [])

    def is_depth(self, i: int) -> bool:
        return bool(self.graph.nodes[i].lane) and len(self.parts[i]) == 3 and self.parts[i][2] == "depth"

    def is_joint(self, i: int) -> bool:
        """Whether a node only hands on: what a route passed, or all outputs together."""
        parts = self.parts[i]
        if isinstance(self.graph.nodes[i].op, Outputs):
            return True
        last = re.sub(r"\d+$", "", str(parts[-1]))
        return parts[0] in self.routed and (last in JOINTS or parts[2:3] == ("last",))

    def alive(self, group: _Group) -> bool:
        return group.role == "input" or any(self.holds(self.live.nodes[i]) for i in group.nodes)

    def holds(self, condition: Value) -> bool:
        """Whether a condition can hold: in some architecture, or in the one chosen."""
        return condition is not False if self.genes is None else bool(at(condition, self.genes))

    def condition(self, group: _Group) -> Value:
        """When a group is there, given that the network has an output: its last node is what others read."""
        every = [self.live.nodes[i] for i in group.nodes]
        whole = self.live.nodes[self.graph.output]
        return (
            True if any(implied(whole, c) is None for c in (*(c for c in every if c is True), every[-1])) else every[-1]
        )

    # boxes

    def box(self, group: _Group, column: int) -> Box:
        options = self.options(group, self.genes)
        inside = self.settings(group)
        common = tuple(_shorten([(d, path) for d, path in inside if not _owner(path, options)], self.genes))
        named = tuple(
            Option(
                o.name,
                tuple(_shorten([(d, path[1:]) for d, path in inside if _owner(path, options) == o.name], self.genes)),
                o.times,
            )
            for o in options
        )
        shape = self.graph.nodes[
            next(i for i in reversed(group.nodes) if not i or self.holds(self.live.nodes[i]))
        ].shape
        place = (group.key, group.role, group.stage, group.lane, column)
        size, sign, note, made = self.size(shape, group), self.sign(group), self.note(group), self.genes is not None
        ways = self.ways(group) if made and group.stage in self.routed else ()
        if len(ways) > 1:
            return Box(*place, ways, (), size, sign, note, made)
        return Box(*place, named, common, size, sign, note, made)

    def ways(self, group: _Group) -> tuple[Option, ...]:
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
                    *(_setting(d, path[1:], self.genes) for d, path in inside if path[0] == route),
                ),
            )
            for route, nodes in found.items()
        )

    def sign(self, group: _Group) -> str:
        """How a fusion without a choice of cells joins its flows."""
        if group.role != "fuse" or self.select_of(group):
            return ""
        joins = [
            n.op.name
            for n in (self.graph.nodes[i] for i in group.nodes)
            if len(n.inputs) > 1 and not isinstance(n.op, Switch)
        ]
        return SIGNS.get(joins[-1], "") if joins else ""

    def size(self, shape: Shape, group: _Group) -> str:
        if group.role == "input":
            return " x ".join(self.text(v) for v in (shape.width, *shape.extent))
        if shape.form == "vector":
            return self.text(shape.width)
        if shape.form == "tokens":
            return f"{self.text(shape.points)} tokens x {self.text(shape.width)}"
        return f"{self.text(shape.width)} @ {_place(self.text(shape.stride))}"

    def text(self, value: Value) -> str:
        return text(value) if self.genes is None else str(at(value, self.genes))

    def note(self, group: _Group) -> str:
        """In which architectures a box exists: `times >= 2`."""
        if self.genes is not None or group.role == "input" or self.condition(group) is True:
            return ""
        depth = next(
            (
                i
                for i, n in enumerate(self.graph.nodes)
                if self.is_depth(i) and (n.stage, n.lane) == (group.stage, group.lane)
            ),
            None,
        )
        if group.role != "slot" or depth is None:
            return "optional"
        switch = self.graph.nodes[depth].op
        assert isinstance(switch, Switch)
        if len(deps(switch.select)) != 1:
            return "optional"
        return _from(
            switch.select,
            group.slot,
            max(g.slot for g in self.groups if (g.stage, g.lane) == (group.stage, group.lane)),
        )

    def options(self, group: _Group, genes: Genes | None) -> tuple[Option, ...]:
        """The cells that a box can be: what its choice names, else the parts of its chain."""
        found: dict[str, None] = {}
        for choice in self.tops(group):
            labels = _labels(choice)
            found |= dict.fromkeys(labels if genes is None or not labels else (labels[at(choice.select, genes)],))
        if found:
            return tuple(Option(label, times=self.repeats(group, label)) for label in found)
        live = [i for i in group.nodes if genes is None or at(self.live.nodes[i], genes)]
        chain = _chain(dict.fromkeys(self.parts[i][group.base] for i in live if len(self.parts[i]) > group.base))
        if len(set(chain)) == 1:
            return (Option(chain[0], times=max(len(chain), self.repeats(group, chain[0]))),)
        shown = chain if len(chain) <= 3 else [chain[0], "...", chain[-1]]
        return (Option(" -> ".join(shown) or group.role),)

    def repeats(self, group: _Group, name: str) -> int:
        """How often `repeat` applies the cell of that name in a group."""
        at_next = (p[group.base : group.base + 2] for p in (self.parts[i] for i in group.nodes))
        return max((p[1] for p in at_next if len(p) == 2 and p[0] == name and isinstance(p[1], int)), default=1)

    def settings(self, group: _Group) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions inside a group, each with its path within it; not those that lanes and links show."""
        live = [i for i in group.nodes if self.holds(self.live.nodes[i])]
        elsewhere = {d.index for x in self.graph.lanes for d in deps(x.width)}
        elsewhere |= {d.index for d in self.select_of(group)} | {d.index for d in self.gates_of(group)}
        found = merge(self.graph.nodes[i].op.deps() for i in live)
        if group.stage in self.routed:
            return self.of_layer(group, found, elsewhere)
        own = [(d, _within(_parts(d.path), group, self.places)) for d in found if d.index not in elsewhere]
        return [(d, path) for d, path in own if path is not None]

    def of_layer(
        self, group: _Group, found: tuple[Decision, ...], elsewhere: set[int]
    ) -> list[tuple[Decision, tuple[Part, ...]]]:
        """The decisions of the routes in a layer: once for all of them in a space, else of each."""
        kept: dict[tuple[Part, ...], Decision] = {}
        for d in found:
            stage, route, *inside = _parts(d.path)
            if d.index not in elsewhere and stage == group.stage and inside[0] == group.slot:
                kept.setdefault(tuple(inside[1:]) if self.genes is None else (route, *inside[1:]), d)
        one = len({path[0] for path in kept}) == 1 and self.genes is not None
        several = len({self.parts[i][1] for i in group.nodes if self.holds(self.live.nodes[i])}) > 1
        return [(d, path[1:] if one and not several else path) for path, d in kept.items()]

    def tops(self, group: _Group) -> list[Switch]:
        """The choices between the options of a group, those that can be made."""
        tops = [i for i in group.nodes if len(self.parts[i]) == group.base + 1 and self.parts[i][-1] == "choice"]
        ops = [self.graph.nodes[i].op for i in tops if len(tops) == 1 or self.holds(self.live.nodes[i])]
        return [op for op in ops if isinstance(op, Switch)]

    def select_of(self, group: _Group) -> tuple[Decision, ...]:
        """The decision that chooses between the options of a group."""
        return merge(deps(op.select) for op in self.tops(group) if _labels(op))

    def gates_of(self, group: _Group) -> tuple[Decision, ...]:
        """The decisions that open and close links into a fusion."""
        return merge(self.gating(group, c) for _, c in self.reads(group).values()) if group.role == "fuse" else ()

    # links

    def links(self, shown: set[str]) -> Iterator[Link]:
        for group in self.groups:
            for key, (source, condition) in self.reads(group).items():
                if key in shown and group.key in shown:
                    gates = self.gating(group, condition) if self.genes is None else ()
                    names = tuple(_setting(d, _parts(d.path)[-1:], None) for d in gates)
                    yield Link(key, group.key, self.does(source, group), names)

    def reads(self, group: _Group) -> dict[str, tuple[int, Value]]:
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

    def origins(self, i: int, condition: Value) -> Iterator[tuple[_Group, int, Value]]:
        """The groups a flow comes from: through choices of depth the deepest, or the chosen one; through joints each."""
        group = self.group_of[i]
        if group is not None:
            yield group, i, condition
            return
        node = self.graph.nodes[i]
        assert isinstance(node.op, Switch)
        if self.is_depth(i):
            source = node.inputs[-1 if self.genes is None else at(node.op.select, self.genes)]
            assert source is not None
            yield from self.origins(source, condition)
            return
        for k, source in enumerate(node.inputs):
            when = both(condition, chosen(self.graph, i, k))
            if source is not None and self.holds(when):
                yield from self.origins(source, when)

    def gating(self, group: _Group, condition: Value) -> tuple[Decision, ...]:
        """The decisions that close a link while its target stays."""
        whole = self.condition(group)
        whole = self.live.nodes[self.graph.output] if whole is True else whole
        if implied(whole, condition) is None:
            return ()
        known = {d.index for d in deps(whole)}
        return tuple(d for d in deps(condition) if d.index not in known) or deps(condition)

    def does(self, source: int, group: _Group) -> str:
        """What a link does to the resolution: `down 2`, `up 4`, or nothing."""
        ours, theirs = self.graph.nodes[group.nodes[-1]].shape, self.graph.nodes[source].shape
        strides = [at(s.stride, self.any_genes) for s in (theirs, ours)]
        if strides[0] == strides[1]:
            return ""
        ratio = Fraction(strides[1]) / Fraction(strides[0])
        return f"down {ratio}" if ratio > 1 else f"up {1 / ratio}"

    def track(self, lane: Lane) -> Track:
        place = _place(self.text(lane.stride))
        if lane.width is None:
            return Track(lane.name, place, self.halving(lane))
        many = (
            tuple(dict.fromkeys(map(str, lane.width.values))) if isinstance(lane.width, Table) else (text(lane.width),)
        )
        values = many if self.genes is None else (str(at(lane.width, self.genes)),)
        return Track(lane.name, place, Setting("width", values))

    def halving(self, lane: Lane) -> Setting | None:
        """Where the route to a lane halves the resolution."""
        down = (d for d in self.graph.decisions if _parts(d.path)[1:] == (lane.name, "down"))
        found = next((d for d in down if _parts(d.path)[0] in self.routed), None)
        route = (
            c for p, c in zip(self.parts, self.live.nodes, strict=True) if p[0] in self.routed and p[1] == lane.name
        )
        if not any(map(self.holds, route)):
            return None
        return None if found is None else _setting(found, ("down",), self.genes)


# names and places


def _on_route(parts: tuple[Part, ...], lanes: set[str]) -> bool:
    """Whether a node is the point of a route where a layer ends: `paths.low[2].middle.from`."""
    return parts[-1] in ("from", "same", "route") and parts[1:2] != () and parts[1] in lanes


def _off_route(parts: tuple[Part, ...], lanes: set[str]) -> tuple[Part, ...]:
    """A node's path without the stride that its route is at, and whether it halves."""
    if len(parts) < 4 or not isinstance(parts[2], int) or parts[3] not in lanes:
        return parts
    inside = parts[4:]
    return (*parts[:3], *(inside[1:] if inside[:1] == ("down",) else inside))


def _parts(name: str) -> tuple[Part, ...]:
    """`s2.fine[1].conv` -> ("s2", "fine", 1, "conv"), without the arms of conditionals."""
    found = (int(number) if number else word for word, number in NAMES.findall(name))
    return tuple(p for p in found if p not in ("then", "else"))


def _group(node: Node, parts: tuple[Part, ...]) -> _Group:
    """An empty group for the box that a node belongs to."""
    if not node.lane:
        key = node.stage or "input"
        roles: dict[str, Role] = {"input": "input", "stem": "stem", "head": "head"}
        return _Group(key, roles.get(key, "other"), key, "", 0, 1, [])
    third = parts[2] if len(parts) > 2 else "other"
    path = f"{node.stage}.{node.lane}"
    if third == "fuse":
        return _Group(f"{node.stage}.{parts[1]}.fuse", "fuse", node.stage, str(parts[1]), 0, 3, [])
    if isinstance(third, int):
        return _Group(f"{path}[{third}]", "slot", node.stage, node.lane, third, 3, [])
    role: Role = "enter" if third == "enter" else "other"
    return _Group(f"{path}.{third}", role, node.stage, node.lane, 0, 3, [])


ORDER: dict[Role, int] = {"input": 0, "stem": 0, "enter": 0, "other": 1, "slot": 2, "fuse": 3, "head": 4}


def _columns(groups: list[_Group], stages: list[str]) -> dict[str, int]:
    """Stages from left to right; within a stage what a branch enters by, its cells, the fusion."""
    places = {g.key: (stages.index(g.stage) if g.stage in stages else -1, ORDER[g.role], g.slot) for g in groups}
    order = sorted(set(places.values()))
    return {key: order.index(place) for key, place in places.items()}


def _within(path: tuple[Part, ...], group: _Group, places: set[str]) -> tuple[Part, ...] | None:
    """A decision's path within a group; None if it is another's. `places` are the names of stages and branches."""
    own: Part = group.slot if group.role == "slot" else group.key.rpartition(".")[2]
    for step in (group.stage, group.lane, own):
        if path[:1] == (step,) and len(path) > 1:
            path = path[1:]
    first, inside = path[0], len(path) > 1
    return None if inside and (isinstance(first, int) or first in places or first in ("enter", "fuse")) else path


def _owner(path: tuple[Part, ...], options: tuple[Option, ...]) -> str | None:
    """The option that a path within a box leads into."""
    return next((o.name for o in options if len(path) > 1 and path[0] == o.name), None)


def _shorten(found: Iterable[tuple[Decision, tuple[Part, ...]]], genes: Genes | None) -> Iterator[Setting]:
    """Each decision by the shortest end of its path that no other decision of the box has."""
    pairs = list(found)
    for d, path in pairs:
        others = [p for e, p in pairs if e is not d]
        length = next((n for n in range(1, len(path)) if all(p[-n:] != path[-n:] for p in others)), len(path))
        yield _setting(d, path[-length:], genes)


def _setting(decision: Decision, path: tuple[Part, ...], genes: Genes | None) -> Setting:
    name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
    return Setting(name, decision.labels if genes is None else (decision.labels[genes[decision.index]],))


def _labels(op: object) -> tuple[str, ...]:
    """The names of the options of a choice between cells; none if it is not one decision's."""
    if not isinstance(op, Switch) or not isinstance(op.select, Table) or len(op.select.deps) != 1:
        return ()
    (decision,) = op.select.deps
    return decision.labels if op.select.values == tuple(range(len(decision))) else ()


def _chain(names: Iterable[Part]) -> list[str]:
    """The names of a chain in order; `conv2` is `conv` again."""
    found: list[str] = []
    for name in names:
        if isinstance(name, int) or name in SWITCHES:
            continue
        plain = name.rstrip("0123456789")
        found.append(plain if plain in found else name)
    return found


def _from(select: Value, slot: int, slots: int) -> str:
    """When a lane is deep enough for a slot: `times >= 2`."""
    (decision,) = deps(select)
    reach = [v + slots - max(select.values) >= slot for v in select.values]
    labels = [label for label, ok in zip(decision.labels, reach, strict=True) if ok]
    name = str(_parts(decision.path)[-1])
    if labels == list(decision.labels[-len(labels) :]):
        return f"{name} >= {labels[0]}" if len(labels) > 1 else f"{name} = {labels[0]}"
    return f"{name} in {{{', '.join(labels)}}}"


def _place(stride: str) -> str:
    """`4` -> `1/4`."""
    return f"1/{stride}" if not is_sym(stride) else "?"
