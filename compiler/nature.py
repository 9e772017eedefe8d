"""What kind of operation a cell is, from the nodes that it is made of: a convolution, attention within windows, ...

Nodes in, a name out. Nothing here knows a cell or an operator by its name.
"""

from collections.abc import Callable, Collection
from typing import Any, Literal

from .graph import Graph, Node
from .sym import Value

Nature = Literal[
    "convolution",
    "light convolution",
    "attention in windows",
    "attention in stripes",
    "attention of all pixels",
    "light attention",
    "1x1 or linear",
    "pooling, resizing",
    "fusion",
    "skipped",
    "other",
]
Ask = Callable[[Value], Any]


def nature(graph: Graph, nodes: Collection[int], ask: Ask) -> Nature:
    """The kind of what some nodes, in order, compute together; `ask` gives values for one architecture."""
    own = [graph.nodes[i] for i in nodes]
    if any(n.op.family == "attention" for n in own):
        return _attention(graph, nodes, ask)
    spatial = [n for n in own if _kernel(n) > 1]
    if spatial:
        full = any(_dense(n) and ask(n.shape.stride) <= ask(own[-1].shape.stride) for n in spatial)
        return "convolution" if full else "light convolution"
    if any(len(w.axes) > 1 for n in own for w in n.weights):
        return "1x1 or linear"
    if any(_extent(n, ask) != _extent(graph.nodes[i], ask) for n in own for i in n.inputs[:1] if i is not None):
        return "pooling, resizing"
    return "skipped" if all(idle(graph, n, ask) for n in own) else "other"


def idle(graph: Graph, node: Node, ask: Ask) -> bool:
    """Whether a node hands on what it reads."""
    shapes = tuple(graph.nodes[i].shape for i in node.inputs if i is not None)
    return len(shapes) == 1 and not node.op.lower(ask, shapes, node.shape)


def _attention(graph: Graph, nodes: Collection[int], ask: Ask) -> Nature:
    """By what a query looks at: a window, a stripe as long as the map, all pixels of the cell's input or output, fewer."""
    own = set(nodes)
    for node in (graph.nodes[i] for i in nodes):
        before = graph.nodes[node.inputs[0]] if node.inputs and node.inputs[0] is not None else node
        if node.op.family == "windows" and ask(node.shape.copies) > ask(before.shape.copies):
            whole = [a == b for a, b in zip(_extent(node, ask), _extent(before, ask), strict=True)]
            return "attention in stripes" if whole.count(True) == 1 else "attention in windows"
    outside = {k for i in nodes for k in graph.nodes[i].inputs if k is not None} - own
    pixels = {ask(graph.nodes[i].shape.points) for i in (*outside, max(nodes)) if graph.nodes[i].shape.form == "map"}
    keys = {
        ask(graph.nodes[k].shape.points)
        for n in (graph.nodes[i] for i in nodes)
        if n.op.family == "attention"
        for k in n.inputs[1:2]
        if k is not None
    }
    return "attention of all pixels" if keys & pixels else "light attention"


def _kernel(node: Node) -> int:
    """The largest side of a filter over pixels."""
    return max((a.limit for w in node.weights if len(w.axes) == 4 for a in w.axes[2:]), default=0)


def _dense(node: Node) -> bool:
    """Whether a filter reads several channels."""
    return any(len(w.axes) == 4 and w.axes[1].limit > 1 for w in node.weights)


def _extent(node: Node, ask: Ask) -> list[Any]:
    return [ask(e) for e in node.shape.extent]
