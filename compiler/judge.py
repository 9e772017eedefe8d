"""What waits until a whole space is known: facts that only constraints can save, and the weights of priors."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic, Span
from ..dsl.syntax import Expr, Weight
from ..dsl.syntax import Prior as PriorLine
from .activity import Active
from .conditions import both, implied
from .constraints import conjuncts, resolved
from .evaluate import Evaluator
from .graph import Graph, Prior, Split
from .kinds import is_number, is_point, label_of
from .scope import Scope
from .site import Suspicion, counterexample
from .sym import Table, Value, depends_on_cost, deps, is_sym, settled
from .values import Alternatives, kind_of


def judge(graph: Graph, suspicions: Sequence[Suspicion]) -> list[Diagnostic]:
    """The faults that no constraint forbids, each place once."""
    if not suspicions:
        return []
    premises = list(_premises(graph))
    found: dict[Any, Diagnostic] = {}
    for s in suspicions:
        over = {d for d in (*deps(s.condition), *deps(s.fact))}
        near = [p for p in premises if over & set(deps(p))]
        against = implied(both(s.condition, *near), s.fact)
        if against is None:
            continue
        fault = s.fault(counterexample(against))
        assert isinstance(fault, ArchError)
        for d in fault.found:
            found.setdefault((d.code, d.here.span), d)
    return list(found.values())


def _premises(graph: Graph) -> Iterator[Value]:
    """The constraints on structure, part by part, as conditions on every choice."""
    active = Active(graph)
    for part in (p for c in graph.constraints for p in conjuncts(c.condition)):
        if is_sym(part) and not depends_on_cost(part):
            yield resolved(part, active)


# priors


def read_prior(evaluator: Evaluator, line: PriorLine, scope: Scope, found: list[Diagnostic]) -> Prior:
    """The weights of a prior, checked against the values that its quantity takes."""
    try:
        evaluator.judging = True
        value = evaluator.value(line.quantity, scope, ())
        evaluator.judging = False
        quantity, labels = _quantity(value, line.quantity.span)
        weights = tuple(_weight(evaluator, w, scope, labels) for w in line.weights)
    except ArchError as fault:
        evaluator.judging = False
        found += fault.found
        return Prior(0, ((0, Fraction(1)),), line)
    seen = [v for v, _ in weights]
    for k, (value, w) in enumerate(zip(seen, line.weights, strict=True)):
        if value in seen[:k]:
            found.append(
                errors.repeated_value(w.value.span.text, w.value.span, line.weights[seen.index(value)].value.span)
            )
    if not any(share for _, share in weights):
        found.append(errors.bad_prior("all weights are zero", line.span, "give at least one value a weight"))
    plain = settled(quantity)
    if isinstance(plain, Table):
        missing = [v for v in seen if v not in plain.values]
        if missing:
            shown = ", ".join(f"`{label_of(v)}`" for v in missing[:8])
            found.append(errors.bad_prior(f"it is never {shown}", line.span, "give weights to values that it can have"))
    return Prior(quantity, weights, line)


def read_split(evaluator: Evaluator, expr: Expr, scope: Scope, found: list[Diagnostic]) -> Split:
    """What splits a search: a quantity over decisions, as a prior weighs one."""
    try:
        evaluator.judging = True
        return Split(*_quantity(evaluator.value(expr, scope, ()), expr.span), expr)
    except ArchError as fault:
        found += fault.found
        return Split(0, (), expr)
    finally:
        evaluator.judging = False


def is_open(evaluator: Evaluator, line: PriorLine, scope: Scope) -> bool:
    """Whether the quantity of a cell's prior depends on decisions where the cell is used."""
    value = evaluator.value(line.quantity, scope, ())
    return is_sym(value) or (isinstance(value, Alternatives) and is_sym(value.select)) or depends_on_cost(value)


def _quantity(value: Any, span: Span) -> tuple[Value, tuple[str, ...]]:
    if isinstance(value, Alternatives):
        return value.select, value.labels
    if is_sym(value) and not depends_on_cost(value):
        return value, ()
    raise ArchError(errors.wrong_kind(kind_of(value), "a decision, or what follows from decisions", span))


def _weight(evaluator: Evaluator, w: Weight, scope: Scope, labels: tuple[str, ...]) -> tuple[Any, Fraction]:
    value = evaluator.value(w.value, scope, ())
    if labels:
        label = value if isinstance(value, str) else getattr(value, "label", label_of(value))
        if label not in labels:
            raise ArchError(errors.unknown_label(str(label), w.value.span, labels))
        value = labels.index(label)
    elif not is_point(value):
        raise ArchError(errors.wrong_kind(kind_of(value), "a fixed value", w.value.span))
    share = evaluator.value(w.weight, scope, ())
    if not is_number(share) or share < 0:
        raise ArchError(errors.wrong_kind(kind_of(share), "a number that is not negative", w.weight.span))
    return value, Fraction(share)
