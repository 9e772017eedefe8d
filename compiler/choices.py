"""What a box can be: the options of its choice, or its cell; what they are called, made of, and compute."""

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import get_args

from .edges import common
from .graph import Graph, Switch
from .groups import ARMS, Group, Grouping, Part, Path, every_step
from .inner import inner
from .liveness import Liveness
from .naming import Genes, chain, labels, of_cells
from .nature import Nature, nature
from .picture import Option
from .sym import Decision, Value, at, merge

NAMED = ("slot", "enter", "edge", "fuse")
"""What has a colour."""


class Choices:
    """The options of the groups of a space, or of the one architecture of `genes`; `holds` judges conditions."""

    def __init__(
        self, graph: Graph, grouping: Grouping, live: Liveness, genes: Genes | None, holds: Callable[[Value], bool]
    ) -> None:
        self.graph, self.groups, self.parts = graph, grouping.groups, grouping.parts
        self.live, self.genes, self.holds = live, genes, holds
        self.zeros = [0] * len(graph.decisions)
        self._members: dict[str, dict[str, list[list[int]]]] = {}

    @cached_property
    def natures(self) -> dict[str, Nature]:
        """What each cell of the space computes, by name, the most frequent first: what it does in most places."""
        found: dict[str, Counter[Nature]] = {}
        for group in (g for g in self.groups if g.role in NAMED):
            for name, every in self.members(group).items() or [
                (o.name, [group.nodes]) for o in self.options(group, None)
            ]:
                found.setdefault(name, Counter()).update(self.nature(nodes, group) for nodes in every)
        order = get_args(Nature)
        often = sorted(found, key=lambda name: (-found[name].total(), name))
        return {name: max(found[name], key=lambda kind: (found[name][kind], order.index(kind))) for name in often}

    def options(self, group: Group, genes: Genes | None) -> tuple[Option, ...]:
        """The cells that a box can be: what its choice names, else the parts of its chain."""
        found: dict[str, None] = {}
        for i in self.tops(group):
            choice = self.graph.nodes[i].op
            assert isinstance(choice, Switch)
            every = labels(choice)
            found |= dict.fromkeys(every if genes is None or not every else (every[at(choice.select, genes)],))
        if found:
            return tuple(Option(name, (), self.repeats(group, name)) for name in found)
        live = [i for i in group.nodes if genes is None or self.holds(self.live.nodes[i])]
        name, times = self.plain(group, live)
        return (Option(self.told.get(group.key, name), (), times, self.nature(live, group)),)

    def plain(self, group: Group, nodes: list[int]) -> tuple[str, int]:
        """The name of a box without choice, and how often its cell repeats."""
        if group.name:
            return group.name, self.repeats(group, group.name)
        inner = [p for p in common([self.parts[i] for i in nodes])[group.base + 1 :] if p in self.in_slots]
        if group.role == "enter" and inner:
            return str(inner[-1]), 1
        names = chain(dict.fromkeys(self.parts[i][group.base] for i in nodes if len(self.parts[i]) > group.base))
        if len(set(names)) == 1:
            return self.held(names[0], nodes) or names[0], max(len(names), self.repeats(group, names[0]))
        shown = names if len(names) <= 3 else [names[0], "...", names[-1]]
        return " -> ".join(shown) or group.role, 1

    @cached_property
    def told(self) -> dict[str, str]:
        """The cells that boxes of a network hold, where boxes of one name hold different ones."""
        uses: dict[str, dict[str, list[Path]]] = {}
        for group in self.groups if not self.graph.decisions else ():
            name = self.plain(group, group.nodes)[0]
            paths = [p[p.index(name) + 1 :] for p in (self.parts[i] for i in group.nodes) if name in p]
            if group.role in NAMED and paths:
                uses.setdefault(name, {})[group.key] = paths
        return {key: cell for each in uses.values() for key, cell in inner(each).items()}

    def held(self, name: str, nodes: list[int]) -> str | None:
        """What a cell holds whose `if` chooses between uses of one other cell, and that has nothing else."""
        paths = [every_step(n.name) for n in (self.graph.nodes[i] for i in nodes) if not isinstance(n.op, Switch)]
        inside = [path[path.index(name) + 1 :] for path in paths if name in path]
        if len(inside) < len(paths) or not all(path and path[0] in ARMS for path in inside):
            return None
        uses = {tuple(p for p in path if p not in ARMS)[:2] for path in inside}
        return str(*uses.pop()[1:]) if len(uses) == 1 else None

    def nature(self, nodes: list[int], group: Group) -> Nature:
        """What nodes compute; the same in a space and in its architectures."""
        ops = (self.graph.nodes[i] for i in nodes)
        if group.role == "fuse" and any(
            len(n.inputs) - len(n.op.like) > 1 for n in ops if not isinstance(n.op, Switch)
        ):
            return "fusion"
        return nature(self.graph, nodes, lambda v: at(v, self.zeros))

    def members(self, group: Group) -> dict[str, list[list[int]]]:
        """The nodes of each option of each choice, without what options have in common."""
        if group.key not in self._members:
            self._members[group.key] = self._members_of(group)
        return self._members[group.key]

    def _members_of(self, group: Group) -> dict[str, list[list[int]]]:
        found: dict[str, list[list[int]]] = {}
        for i in self.tops(group, every=True):
            node = self.graph.nodes[i]
            ends = [self.behind(k, set(group.nodes)) for k in node.inputs]
            shared = set.intersection(*ends)
            for name, nodes in zip(labels(node.op), ends, strict=False):
                found.setdefault(name, []).append(sorted(nodes - shared))
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

    @cached_property
    def in_slots(self) -> set[Part]:
        """The names of the cells of slots."""
        slots = (g for g in self.groups if g.role == "slot")
        return {self.parts[i][g.base] for g in slots for i in g.nodes if len(self.parts[i]) > g.base + 1}

    def repeats(self, group: Group, name: str) -> int:
        """How often `repeat` applies the cell of that name in a group."""
        at_next = (p[group.base : group.base + 2] for p in (self.parts[i] for i in group.nodes))
        return max((p[1] for p in at_next if len(p) == 2 and p[0] == name and isinstance(p[1], int)), default=1)

    def tops(self, group: Group, every: bool = False) -> list[int]:
        """The choices between the options of a group: all, or those that can be made."""
        ops = {i: self.graph.nodes[i].op for i in group.nodes if isinstance(self.graph.nodes[i].op, Switch)}
        tops = [i for i in ops if len(self.parts[i]) == group.base + 1 and self.parts[i][-1] == "choice"]
        if not tops and group.role in ("slot", "enter"):
            tops = [i for i, op in ops.items() if of_cells(op)]
            if len({d for i in tops for d in ops[i].deps()}) != 1:
                return []
        tops = [i for i in tops if labels(ops[i])]
        return [i for i in tops if every or len(tops) == 1 or self.holds(self.live.nodes[i])]

    def is_inner(self, group: Group) -> bool:
        """Whether a box names what its cell holds, not the cell: the options of a choice within it."""
        return group.key in self.told or any(len(self.parts[i]) > group.base + 1 for i in self.tops(group))

    def select_of(self, group: Group) -> tuple[Decision, ...]:
        """The decision that chooses between the options of a group."""
        return merge(self.graph.nodes[i].op.deps() for i in self.tops(group))
