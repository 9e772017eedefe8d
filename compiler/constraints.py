"""What constraints say of architectures that lack some decisions; and what can be said of them at a glance, for `check`."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import prod

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic
from ..dsl.model import ADDITIVE
from .activity import Active
from .conditions import both, either, negate, scatter
from .graph import Graph, Node, Prior, Switch
from .sym import AGGREGATES, FUNCTIONS, Apply, Decision, Metric, Value, apply, at, depends_on_cost, deps

DRAWN = 30
"""So many genomes are tried before constraints are counted."""
WITHOUT = {"all": True, "any": False, "count": False, "sum": 0}
"""What stands for an element that is left out."""


def conjuncts(condition: Value) -> tuple[Value, ...]:
    """The parts of a `require` that are judged alone."""
    if isinstance(condition, Apply) and condition.function in ("and", "all"):
        return tuple(part for a in condition.args for part in conjuncts(a))
    return (condition,)


def resolved(condition: Value, active: Sequence[Value]) -> Value:
    """A constraint as a condition on every genome: parts that read inactive decisions are left out, or do not apply."""
    return both(*(_applied(part, active) for part in conjuncts(condition)))


def _applied(part: Value, active: Sequence[Value]) -> Value:
    value, read = present(part, active)
    return apply("or", negate(_exists(read, active)), value)


def existing(value: Value, active: Sequence[Value]) -> tuple[Value, Value]:
    """A value over what is there, and the condition under which all is there that it reads outside of lists."""
    found, read = present(value, active)
    return found, _exists(read, active)


def present(value: Value, active: Sequence[Value]) -> tuple[Value, set[Decision]]:
    """A value without the elements of lists that read inactive decisions, and the decisions that it reads outside of lists."""
    if not isinstance(value, Apply):
        return value, set(deps(value))
    parts = [present(a, active) for a in value.args]
    if value.function not in AGGREGATES:
        return apply(value.function, *(v for v, _ in parts)), {d for _, read in parts for d in read}
    kept = tuple(_kept(v, _exists(read, active), WITHOUT[value.function]) for v, read in parts)
    return apply(value.function, *kept), set()


def _kept(element: Value, exists: Value, otherwise: Value) -> Value:
    if exists is True:
        return element
    if isinstance(otherwise, bool):
        return apply("or", negate(exists), element) if otherwise else apply("and", exists, element)
    return apply("select", exists, otherwise, element)


def _exists(read: set[Decision], active: Sequence[Value]) -> Value:
    return both(*(active[d.index] for d in sorted(read, key=lambda d: d.index)))


def at_a_glance(graph: Graph) -> list[Diagnostic] | None:
    """Warnings on constraints that are always met; None where a closer look is needed (`Decisions.check`).

    Raises ArchError for a constraint that is constantly false. Constraints that one of a few fixed genomes meets can be
    met together, and priors that give its values a weight can be followed.
    """
    hopeless = [c for c in graph.constraints if c.condition is False]
    if hopeless:
        texts = [c.syntax.condition.span.text for c in hopeless]
        parts = [errors.parts(ranges(graph, text)) for text in texts]
        raise ArchError(*(errors.never_met(c.syntax.span, why) for c, why in zip(hopeless, parts, strict=True)))
    if graph.priors or any(not isinstance(c.condition, bool) for c in graph.constraints):
        conditions = _conditions(graph)
        if not any(_meets(graph, conditions, genes) for genes in _witnesses(graph)):
            return None
    if not graph.decisions:
        return []
    return [errors.always_met(c.syntax.span) for c in graph.constraints if c.condition is True and not c.given]


def _conditions(graph: Graph) -> list[Value]:
    """The constraints, and that the values of priors have a weight; without lists there is no need to ask what is inactive:
    whatever meets all constraints will do."""
    conditions = [c.condition for c in graph.constraints]
    if not graph.priors and not any(map(_aggregated, conditions)):
        return conditions
    active = Active(graph)
    return [*(resolved(c, active) for c in conditions), *(_weighed(p, active) for p in graph.priors)]


def _weighed(prior: Prior, active: Sequence[Value]) -> Value:
    """Where the value of a prior's quantity has a weight, or is not there."""
    quantity, exists = existing(prior.quantity, active)
    return either(negate(exists), *(apply("==", quantity, value) for value, weight in prior.weights if weight))


def _aggregated(value: Value) -> bool:
    return isinstance(value, Apply) and (value.function in AGGREGATES or any(map(_aggregated, value.args)))


def _witnesses(graph: Graph) -> Iterator[tuple[int, ...]]:
    """Genomes that may meet all constraints: the first of all choices, the last, and some drawn ones."""
    yield tuple(0 for _ in graph.decisions)
    yield tuple(len(d) - 1 for d in graph.decisions)
    yield from scatter(graph.decisions, DRAWN)


def _meets(graph: Graph, conditions: Sequence[Value], genes: Sequence[int]) -> bool:
    costs = figures(graph, genes) if any(map(depends_on_cost, conditions)) else {}
    try:
        return all(_value(condition, genes, costs) for condition in conditions)
    except KeyError:
        return False


def _value(value: Value, genes: Sequence[int], costs: dict[str, int]) -> Value:
    if isinstance(value, Metric):
        return costs[value.name]
    if isinstance(value, Apply):
        return FUNCTIONS[value.function](*(_value(a, genes, costs) for a in value.args))
    return at(value, genes)


def ranges(graph: Graph, text: str) -> list[str]:
    """What the decisions can be that a condition names by their paths."""
    found = []
    for d in graph.decisions:
        if re.search(rf"(?<![\w.]){re.escape(d.path)}(?![\w.\[])", text):
            numbers = all(isinstance(v, int | Fraction) and not isinstance(v, bool) for v in d.values)
            low, high = (d.labels[d.values.index(end(d.values))] for end in (min, max)) if numbers else ("", "")
            found.append(errors.between(d.path, low, high) if numbers else errors.one_of(d.path, d.labels))
    return found


def costs_of(value: Value) -> tuple[str, ...]:
    """The names of the costs that a condition reads, each once."""
    if isinstance(value, Metric):
        return (value.name,)
    parts = value.args if isinstance(value, Apply) and value.priced else ()
    return tuple(dict.fromkeys(name for part in parts for name in costs_of(part)))


def figures(graph: Graph, genes: Sequence[int]) -> dict[str, int]:
    """Parameters and MACs of one architecture and of its branches, by a walk over what it computes."""
    found = {f"{place}{name}": 0 for place in ("", *(f"{x.name}." for x in graph.lanes)) for name in ADDITIVE}
    for node in computed(graph, genes):
        shapes = tuple(graph.nodes[i].shape for i in node.inputs if i is not None)
        parameters = sum(prod(at(a.size, genes) for a in w.axes) for w in node.weights)
        macs = sum(prod(at(f, genes) for f in factors) for factors in node.op.work(shapes, node.shape))
        for place in {"", f"{node.lane}." if node.lane else ""}:
            found[f"{place}macs"] += macs
            found[f"{place}parameters"] += parameters
    return found


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
