"""Pies: how much is left of the groups of units that a cell adds or joins, such as the channels of each kernel.

Derived from the graph: an axis whose size one decision of the cell sets is a group of units; it is drawn where groups come
together in a sum or a concatenation, so that each can be left out by itself.
"""

from collections.abc import Callable, Collection, Sequence

from .axis import Prefix
from .graph import Graph, Node, Switch
from .picture import Wedge
from .sym import Decision, Table, at

Ask = Callable[[int], bool]


def wedges(
    graph: Graph, nodes: Collection[int], own: Collection[Decision], genes: Sequence[int], live: Ask
) -> list[Wedge]:
    """The groups of units of a cell in one architecture; none if it has not several side by side."""
    found: dict[int, tuple[Table, int]] = {}
    carried: dict[int, set[int]] = {}
    for i in nodes:
        size = _size(graph.nodes[i])
        if size is not None and size[0].deps[0] in own:
            found.setdefault(size[0].deps[0].index, size)
            carried.setdefault(size[0].deps[0].index, set()).add(i)
    together = _together(graph, nodes, carried)
    named: dict[str, list[tuple[int, int]]] = {}
    for d, (table, limit) in found.items():
        if d in together:
            kept = at(table, genes) if any(map(live, carried[d])) else 0
            named.setdefault(_label(graph, nodes, carried[d], genes), []).append((kept, limit))
    return [Wedge(name, sum(k for k, _ in parts), sum(m for _, m in parts)) for name, parts in named.items()]


def _size(node: Node) -> tuple[Table, int] | None:
    """The number of channels that a node makes or keeps, and the largest one, if one decision sets it."""
    axis = node.shape.channels
    if isinstance(node.op, Switch) or not isinstance(axis, Prefix) or not isinstance(axis.size, Table):
        return None
    return (axis.size, axis.limit) if len(axis.size.deps) == 1 else None


def _together(graph: Graph, nodes: Collection[int], carried: dict[int, set[int]]) -> set[int]:
    """The groups that meet others in a sum or a concatenation."""
    reached: dict[int, set[int]] = {}
    met: set[int] = set()
    for i in sorted(nodes):
        inputs = [reached.get(k, set()) for k in graph.nodes[i].inputs if k is not None]
        reached[i] = set().union(*inputs, (d for d, carriers in carried.items() if i in carriers))
        if graph.nodes[i].op.inputs is None and not isinstance(graph.nodes[i].op, Switch):
            alone = [own - set().union(*(o for o in inputs if o is not own)) for own in inputs]
            met |= set().union(*alone) if sum(map(bool, alone)) > 1 else set()
    return met


def _label(graph: Graph, nodes: Collection[int], carriers: set[int], genes: Sequence[int]) -> str:
    """`3x3` by the filter over pixels that works on the channels of a group; `tokens` where they become tokens."""
    if any(graph.nodes[i].shape.form == "tokens" for i in nodes if not carriers.isdisjoint(graph.nodes[i].inputs)):
        return "tokens"
    filters = (w.axes[2:] for i in carriers for w in graph.nodes[i].weights if len(w.axes) == 4)
    sides = max(([at(a.size, genes) for a in axes] for axes in filters), default=[1, 1])
    return "x".join(map(str, sides))
