"""What can be said of constraints at a glance, without tables of costs: for `check`, which must answer at once."""

from collections.abc import Iterator, Sequence
from math import prod

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic
from .graph import Graph, Node, Switch
from .sym import FUNCTIONS, Apply, Metric, Value, at


def at_a_glance(graph: Graph) -> list[Diagnostic] | None:
    """Warnings on constraints that are always met; None where a closer look is needed (`Decisions.check`).

    Raises ArchError for a constraint that is constantly false. Constraints that the architecture of all first or of all
    last choices meets can be met together.
    """
    hopeless = [c for c in graph.constraints if c.condition is False]
    if hopeless:
        raise ArchError(*(errors.never_met(c.syntax.span, "it is false for every choice") for c in hopeless))
    if any(not isinstance(c.condition, bool) for c in graph.constraints) and not any(map(_meets, *_ends(graph))):
        return None
    if not graph.decisions:
        return []
    return [errors.always_met(c.syntax.span) for c in graph.constraints if c.condition is True]


def _ends(graph: Graph) -> tuple[list[Graph], list[tuple[int, ...]]]:
    first = tuple(0 for _ in graph.decisions)
    return [graph, graph], [first, tuple(len(d) - 1 for d in graph.decisions)]


def _meets(graph: Graph, genes: Sequence[int]) -> bool:
    costs = figures(graph, genes)
    try:
        return all(_value(c.condition, genes, costs) for c in graph.constraints)
    except KeyError:
        return False


def _value(value: Value, genes: Sequence[int], costs: dict[str, int]) -> Value:
    if isinstance(value, Metric):
        return costs[value.name]
    if isinstance(value, Apply):
        return FUNCTIONS[value.function](*(_value(a, genes, costs) for a in value.args))
    return at(value, genes)


def figures(graph: Graph, genes: Sequence[int]) -> dict[str, int]:
    """Parameters and MACs of one architecture, by a walk over what it computes."""
    parameters = macs = 0
    for node in computed(graph, genes):
        shapes = tuple(graph.nodes[i].shape for i in node.inputs if i is not None)
        parameters += sum(prod(at(a.size, genes) for a in w.axes) for w in node.weights)
        macs += sum(prod(at(f, genes) for f in factors) for factors in node.op.macs(shapes, node.shape))
    return {"parameters": parameters, "macs": macs}


def computed(graph: Graph, genes: Sequence[int]) -> Iterator[Node]:
    """The nodes that an architecture computes."""
    seen: set[int] = set()
    todo = [graph.output]
    while todo:
        i = todo.pop()
        node = graph.nodes[i]
        if i in seen or not at(node.shape.present, genes):
            continue
        seen.add(i)
        if isinstance(node.op, Switch):
            chosen = node.inputs[at(node.op.select, genes)]
            todo += [] if chosen is None else [chosen]
            continue
        yield node
        todo += [k for k in node.inputs if k is not None]
