"""The nodes of a graph by the box of a picture that they belong to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from .edges import edges
from .graph import Graph, Node, Outputs
from .nature import idle
from .picture import Role
from .sym import at

Part = str | int
Path = tuple[Part, ...]
Run = tuple[Path, list[int]]
"""The nodes whose paths begin alike."""
NAMES = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
ARMS = ("then", "else", "yes", "no")
"""What elaboration calls the arms of conditionals."""

JOINTS = ("from", "same", "route")
"""What routes call the nodes that join flows, take one from another route, and leave a route out."""
ORDER: dict[Role, int] = {"input": 0, "stem": 0, "enter": 0, "other": 1, "slot": 2, "edge": 3, "fuse": 4, "head": 5}
"""Within a stage, from left to right."""


@dataclass(slots=True)
class Group:
    """The nodes of one box, by number. `base` is how many parts their names share before the cell's.

    `slot` counts within the lane; `name` is the cell's where its path alone does not tell; `source` is what comes in:
    the route that a cell of an architecture is on, the branch that an edge of a fusion comes from.
    """

    key: str
    role: Role
    stage: str
    lane: str = ""
    slot: int = 0
    base: int = 1
    name: str = ""
    nodes: list[int] = field(default_factory=list)
    source: str = ""


class Grouping:
    """All nodes by group. `parts` are their paths without what routes add, `routed` the stages that are routes.

    `apart` keeps routes apart that have a cell at the same layer and stride.
    """

    def __init__(self, graph: Graph, apart: bool = False) -> None:
        self.graph = graph
        lanes = {x.name for x in graph.lanes}
        named = [steps(n.name) for n in graph.nodes]
        self.routed = _routed(graph, named)
        self.parts = [_off_route(p, lanes) if p[0] in self.routed else p for p in named]
        chained = {i: group for group in self.chain() for i in group.nodes}
        groups: dict[str, Group] = {}
        self.of: list[Group | None] = []
        """Every node's group; choices of depth and the points of a route have none: flows pass through them."""
        for i, node in enumerate(graph.nodes):
            if self.is_depth(i) or self.is_joint(i):
                self.of.append(None)
                continue
            fresh = chained.get(i) or _group(node, self.parts[i])
            if apart and fresh.stage in self.routed and fresh.role == "slot":
                fresh.source = str(self.parts[i][1])
                fresh.key += f" of {fresh.source}"
            group = groups.setdefault(fresh.key, fresh)
            if i not in chained:
                group.nodes.append(i)
            self.of.append(group)
        self.groups = [g for g in groups.values() if not self.is_idle(g)]
        self.groups = [part for g in self.groups for part in (*edges(self, g), g)]

    def is_depth(self, i: int) -> bool:
        return bool(self.graph.nodes[i].lane) and len(self.parts[i]) == 3 and plain(self.parts[i][2]) == "depth"

    def is_idle(self, group: Group) -> bool:
        """Whether a branch hands on its flow as it is: no box then."""
        genes = [0] * len(self.graph.decisions)
        nodes = group.nodes
        found = group.role in ("slot", "enter") and len(nodes) == 1
        found = found and idle(self.graph, self.graph.nodes[nodes[0]], lambda v: at(v, genes))
        if found:
            self.of[nodes[0]] = None
        return found

    def is_joint(self, i: int) -> bool:
        """Whether a node only hands on: what a route passed, or all outputs together."""
        parts = self.parts[i]
        if isinstance(self.graph.nodes[i].op, Outputs):
            return True
        return parts[0] in self.routed and (plain(parts[-1]) in JOINTS or parts[2:3] == ("last",))

    def round(self, group: Group) -> int:
        """How many fusions of its stage are over before a group."""
        fused = (g for g in self.groups if g.role == "fuse" and g.stage == group.stage and g.slot)
        return len(
            {g.slot for g in fused if g.nodes[0] < group.nodes[0] and (group.role, g.slot) != ("fuse", group.slot)}
        )

    def columns(self, shown: list[Group]) -> dict[str, int]:
        """Stages from left to right; within a stage, in each round, what a branch enters by, its cells, the fusion."""
        stages = list(dict.fromkeys(n.stage for n in self.graph.nodes))
        places = {
            g.key: (
                stages.index(g.stage) if g.stage in stages else -1,
                self.round(g),
                ORDER[g.role] if g.lane else 0,
                0 if g.role == "fuse" else g.slot,
            )
            for g in shown
        }
        order = sorted(set(places.values()))
        return {key: order.index(place) for key, place in places.items()}

    # chains

    def chain(self) -> Iterator[Group]:
        """The links of a network that is a chain in its head: nothing else, and of several links."""
        nodes = [i for i, n in enumerate(self.graph.nodes) if n.stage == "head" and self.parts[i][0] == "head"]
        runs = self.runs(nodes, 1)
        if not self.graph.lanes and len(runs) > 1:
            for prefix, run in runs:
                yield from self.unfold(prefix, run, _told(prefix, runs), "head")

    def unfold(self, prefix: Path, nodes: list[int], name: str, role: Role) -> Iterator[Group]:
        """The cells of a cell that is one chain of cells, else the cell itself."""
        runs = self.runs(nodes, len(prefix))
        if self.of_cells(runs) and self.in_a_row(runs):
            for deeper, run in runs:
                yield from self.unfold(deeper, run, _told(deeper, runs), "slot")
            return
        yield Group(_joined(prefix), role, "head", "", nodes[0], len(prefix) - 1, name, nodes)

    def runs(self, nodes: list[int], depth: int) -> list[Run]:
        """Nodes by the next part of their paths, in order; `residual[2]` and the cell that it repeats are one part."""

        found: dict[Path, list[int]] = {}
        for i in nodes:
            parts = self.parts[i]
            number = next((k for k in (depth, depth + 1) if isinstance((*parts, "", "")[k], int)), depth - 1)
            found.setdefault(parts[: number + 2], []).append(i)
        return [] if any(len(self.parts[i]) <= depth for i in nodes) else list(found.items())

    def of_cells(self, runs: list[Run]) -> bool:
        """Whether runs are cells, not steps within one: they hold cells themselves, or are one cell again and again."""
        inner = [max(len(self.parts[i]) for i in run) - len(prefix) for prefix, run in runs]
        same = len(runs) > 1 and len({_told(prefix, runs) for prefix, _ in runs}) == 1
        return bool(runs) and min(inner) >= (1 if same else 2)

    def in_a_row(self, runs: list[Run]) -> bool:
        """Whether each run reads the end of the one before it, and nothing else."""
        for (_, before), (_, run) in pairwise(runs):
            read = {k for i in run for k in self.graph.nodes[i].inputs if k is not None} - set(run)
            if read != {before[-1]}:
                return False
        return True


def _routed(graph: Graph, named: list[Path]) -> set[Part]:
    """The stages that are routes: behind each of their layers stands the branch at its stride, `paths.low[2].middle`."""
    lanes = {x.name for x in graph.lanes}
    layers = [(p, n) for p, n in zip(named, graph.nodes, strict=True) if n.lane and isinstance((*p, 0, "", "")[2], int)]
    staged = {p[0] for p, _ in layers if len(p) > 3 and p[3] in lanes}
    return staged - {p[0] for p, n in layers if len(p) > 2 and (len(p) < 4 or p[3] not in lanes)}


def _off_route(parts: Path, lanes: set[str]) -> Path:
    """A node's path without the stride that its route is at, and whether it halves."""
    if len(parts) < 4 or not isinstance(parts[2], int) or parts[3] not in lanes:
        return parts
    inside = parts[4:]
    return (*parts[:3], *(inside[1:] if inside[:1] == ("down",) else inside))


def steps(name: str) -> Path:
    """`s2.fine[1].yes.conv` -> ("s2", "fine", 1, "conv"), without the arms of conditionals."""
    return tuple(p for p in every_step(name) if p not in ARMS)


def every_step(name: str) -> Path:
    """The same with the arms."""
    return tuple(int(number) if number else word for word, number in NAMES.findall(name))


def plain(part: Part) -> str:
    """A part without the number that tells it from earlier ones."""
    return str(part).rstrip("0123456789")


def _told(prefix: Path, runs: list[Run]) -> str:
    """The name of a run's cell: `conv2` is `conv` again where there is one."""
    name = plain(prefix[-1])
    return name if any(other[-1] == name for other, _ in runs) else str(prefix[-1])


def _joined(parts: Path) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts).lstrip(".")


def _group(node: Node, parts: Path) -> Group:
    """An empty group for the box that a node belongs to."""
    if parts[0] == "heads" and not node.lane:
        return Group(f"heads.{parts[1]}", "head", "head", base=2)
    if not node.lane:
        key = node.stage or "input"
        roles: dict[str, Role] = {"input": "input", "stem": "stem", "head": "head"}
        return Group(key, roles.get(key, "other"), key)
    third = parts[2] if len(parts) > 2 else "other"
    path = f"{node.stage}.{node.lane}"
    if third == "fuse":
        number = parts[3] if isinstance(parts[3], int) else 0
        key, lane = f"{node.stage}.{parts[1]}.fuse", str(parts[1])
        return Group(f"{key}[{number}]" if number else key, "fuse", node.stage, lane, number, 4 if number else 3)
    if isinstance(third, int):
        return Group(f"{path}[{third}]", "slot", node.stage, node.lane, third, 3)
    return Group(f"{path}.{third}", "enter" if third == "enter" else "other", node.stage, node.lane, base=3)
