"""The edges of a fusion as boxes of their own, where decisions are made on them: a block on each, for example.

`groups.py` asks; nodes that depend on one flow only belong to the edge from it, the rest joins them.
"""

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from .graph import Switch

if TYPE_CHECKING:
    from .groups import Group, Grouping, Path


def edges(grouping: "Grouping", group: "Group") -> list["Group"]:
    """The edges that become boxes; the fusion keeps the other nodes."""
    if group.role != "fuse":
        return []
    parts = _by_source(grouping, group)
    found = [_edge(grouping, group, source, nodes) for source, nodes in parts.items()]
    if len(found) == len(group.nodes) or not any(_decides(grouping, group, e) for e in found):
        return []
    for edge in found:
        group.nodes = [i for i in group.nodes if i not in edge.nodes]
        for i in edge.nodes:
            grouping.of[i] = edge
    return found


def _by_source(grouping: "Grouping", group: "Group") -> dict[str, list[int]]:
    """The nodes of a fusion before it joins its flows that only one branch reaches, by that branch."""
    reached: dict[int, set[str]] = {}
    own, graph = set(group.nodes) - _trunk(grouping, group), grouping.graph
    for i in sorted(own):
        inputs = [k for k in graph.nodes[i].inputs if k is not None]
        reached[i] = {s for k in inputs for s in (reached[k] if k in own else {graph.nodes[k].lane})}
    found: dict[str, list[int]] = {}
    for i, sources in reached.items():
        if len(sources) == 1:
            found.setdefault(min(sources), []).append(i)
    return found


def _trunk(grouping: "Grouping", group: "Group") -> set[int]:
    """The operator on lists that joins the flows, and what follows it."""
    graph = grouping.graph
    joins = [i for i in group.nodes if graph.nodes[i].op.inputs is None and not isinstance(graph.nodes[i].op, Switch)]
    return {i for i in group.nodes if joins and i >= joins[-1]}


def _edge(grouping: "Grouping", group: "Group", source: str, nodes: list[int]) -> "Group":
    path = common([grouping.parts[i] for i in nodes])
    name = next((p for p in reversed(path[group.base - 1 :]) if isinstance(p, str)), "")
    base = max(len(path) - 1, group.base)
    key = f"{group.key} from {source}"
    return replace(group, key=key, role="edge", base=base, name=name, nodes=nodes, source=source)


def common(paths: list["Path"]) -> "Path":
    """What paths begin with alike, without the operators themselves."""
    columns = zip(*(p[:-1] for p in paths), strict=False)
    alike = takewhile(lambda column: len(set(column)) == 1, columns)
    return tuple(column[0] for column in alike)


def _decides(grouping: "Grouping", group: "Group", edge: "Group") -> bool:
    """Whether something in an edge is searched, beyond whether it is there."""
    graph = grouping.graph
    nodes = (graph.nodes[i] for i in edge.nodes if not isinstance(graph.nodes[i].op, Switch))
    return any(d.path.startswith(f"{group.key}.") for n in nodes for d in n.op.deps())
