"""When a decision matters: the condition under which some computed node would change with it."""

from itertools import product
from math import prod

from .graph import Graph
from .liveness import liveness
from .sym import Apply, Decision, Table, Value, both, deps, either, is_sym, tabulate


def activity(graph: Graph) -> tuple[Value, ...]:
    """For each decision, the condition that makes it exist: a live node reads it, and its value makes a difference there.

    Inactive decisions are absent from an architecture (gene 0), so each network has one genome; the exception are gates that
    follow each other, where a flow can be `none` for two reasons (docs/decisions/0002).
    """
    live = liveness(graph).nodes
    found: dict[int, list[Value]] = {d.index: [] for d in graph.decisions}
    for node, condition in zip(graph.nodes, live, strict=True):
        if condition is False:
            continue
        for value in node.op.settings().values():
            for d in deps(value):
                found[d.index].append(both(condition, _matters(value, d)))
    return tuple(_without(either(*found[d.index]), d) for d in graph.decisions)


def _matters(value: Value, decision: Decision) -> Value:
    """Where, over the other decisions, a value changes with this one."""
    if not isinstance(value, Table):
        return True
    place = value.deps.index(decision)
    rest = (*value.deps[:place], *value.deps[place + 1 :])
    inner = prod(len(d) for d in value.deps[place + 1 :])

    def differs(row: tuple[int, ...]) -> bool:
        start = sum(g * s for g, s in zip((*row[:place], 0, *row[place:]), value.strides, strict=True))
        return len({(type(v), v) for v in (value.values[start + k * inner] for k in range(len(decision)))}) > 1

    return tabulate(rest, differs)


def _without(condition: Value, decision: Decision) -> Value:
    """The condition with the decision itself quantified away: whether any of its values makes it hold."""
    if not is_sym(condition) or decision not in deps(condition):
        return condition
    if isinstance(condition, Apply):
        if condition.function in ("and", "or"):
            parts = [_without(a, decision) for a in condition.args]
            return both(*parts) if condition.function == "and" else either(*parts)
        return True
    rest = tuple(d for d in condition.deps if d is not decision)
    table = condition

    def any_value(row: tuple[int, ...]) -> bool:
        genes = dict(zip(rest, row, strict=True))
        choices = product(*(range(len(d)) if d is decision else (genes[d],) for d in table.deps))
        return any(table.values[sum(g * s for g, s in zip(c, table.strides, strict=True))] for c in choices)

    return tabulate(rest, any_value)
