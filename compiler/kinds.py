"""What an operation demands of its operands: truths, numbers, units, labels, lists. Values in, values or faults out."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic
from ..dsl.syntax import Binary, Domain, Expr, Listed, ListOf, Members
from .conditions import both, negate
from .sym import Apply, Metric, apply, is_sym, is_truth, plain, samples
from .values import Alternatives, Quantity, is_callable, kind_of


def is_number(value: Any) -> bool:
    """Whether a value is one static number."""
    return type(value) in (int, Fraction)


def is_numeric(value: Any) -> bool:
    """Whether a value is a number for every choice."""
    return is_number(value) or (is_sym(value) and all(map(is_number, samples(value))))


def truth(value: Any, expr: Expr) -> Any:
    """A value that has to be a condition."""
    if is_truth(value):
        return value
    raise ArchError(errors.wrong_kind(kind_of(value), "a condition", expr.span, "compare it with something"))


def number(value: Any, expr: Expr) -> Any:
    """A value that has to be a number or a cost."""
    if is_numeric(value) or isinstance(value, Metric):
        return value
    raise ArchError(errors.wrong_kind(kind_of(value), "a number", expr.span))


def _unit(value: Any) -> str | None:
    """The unit of a value; None where it has no say (a bare zero, a sum of costs)."""
    if isinstance(value, Quantity | Metric):
        return value.unit
    if isinstance(value, Apply) and value.priced:
        units = {u for u in map(_unit, value.args) if u}
        return units.pop() if units else ""
    return ""


def common_unit(expr: Binary, left: Any, right: Any) -> str:
    """The unit of both sides, which must agree; a product or quotient with a plain number keeps the other's."""
    one, two = _unit(left) or "", _unit(right) or ""
    if one == two or (expr.operator in ("*", "/") and not (one and two)):
        return one or two if expr.operator != "/" or not two else ""
    words = {"": "a plain number", "ms": "a time", "bytes": "a number of bytes"}
    wrong, other = (expr.right, expr.left) if one or isinstance(left, Metric) else (expr.left, expr.right)
    got, want = (two, one) if wrong is expr.right else (one, two)
    raise ArchError(errors.wrong_unit(words[got], words[want], wrong.span, other.span))


def bare(value: Any) -> Any:
    """A quantity without its unit."""
    return plain(value.value) if isinstance(value, Quantity) else value


def compare_labels(expr: Binary, left: Any, right: Any) -> Any:
    """`stage.cell == "residual"`: the label of a choice against a text or a cell."""
    choice, other = (left, right) if isinstance(left, Alternatives) else (right, left)
    label = other if isinstance(other, str) else "none" if other is None else getattr(other, "label", None)
    if expr.operator not in ("==", "!="):
        raise ArchError(errors.not_an_operation(expr.operator, kind_of(left), kind_of(right), expr.span))
    if isinstance(choice, Alternatives) and isinstance(other, Alternatives):
        return _same_choice(expr.operator, choice, other)
    if not isinstance(label, str):
        raise ArchError(errors.not_an_operation(expr.operator, kind_of(left), kind_of(right), expr.span))
    if not isinstance(choice, Alternatives):
        fixed = choice if isinstance(choice, str) else "none" if choice is None else getattr(choice, "label", None)
        return (fixed == label) == (expr.operator == "==")
    if label not in choice.labels:
        raise ArchError(errors.unknown_label(label, (expr.right if choice is left else expr.left).span, choice.labels))
    return apply(expr.operator, choice.select, choice.labels.index(label))


def _same_choice(operator: str, left: Alternatives, right: Alternatives) -> Any:
    """Two choices compared by the labels of what they pick."""
    known = {label: i for i, label in enumerate(dict.fromkeys((*left.labels, *right.labels)))}
    one, two = (apply("select", c.select, *(known[n] for n in c.labels)) for c in (left, right))
    return apply(operator, one, two)


def compare_lists(operator: str, left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
    """Two lists compared element by element."""
    same = len(left) == len(right) and both(*(apply("==", a, b) for a, b in zip(left, right, strict=True)))
    return same if operator == "==" else negate(same)


def label_of(value: Any) -> str:
    """A static value as a domain shows it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(label_of, value))}]"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def is_point(value: Any) -> bool:
    """Whether a value may be one of a domain of numbers, truths and texts."""
    return type(value) in (int, bool, str, Fraction)


def mixed(values: Sequence[Any], domain: Domain) -> Diagnostic:
    """A domain that holds neither values alone nor cells alone: the first that differs from the first."""
    cells = is_callable(values[0])
    if cells and isinstance(domain, Listed):
        help = "cells stand in a set: `{first, second}`"
        return errors.wrong_kind("a list of cells", "a list of numbers", domain.span, help)
    lists = isinstance(values[0], tuple)
    fits = [is_callable(v) or v is None if cells else like(values[0], v) for v in values]
    wrong = fits.index(False) if False in fits else 0
    first = kind_of(values[0])
    want = "a cell" if cells else f"a list of {len(values[0])}" if lists else first if wrong else "a number or a cell"
    items = written(domain)
    span = items[wrong].span if items else domain.span
    either = "values of one kind" if is_point(values[wrong]) and not cells else "either values or cells"
    help = f"give {want}: lists are of one length" if lists else f"give {want}: a domain holds {either}"
    return errors.wrong_kind(kind_of(values[wrong]), want, span, help)


def written(domain: Domain) -> tuple[Expr, ...]:
    """The members of a domain as they are written out; none where an expression gives them."""
    if isinstance(domain, Members):
        return domain.items
    return domain.value.items if isinstance(domain, Listed) and isinstance(domain.value, ListOf) else ()


def like(first: Any, value: Any) -> bool:
    """Whether two static values, or two lists of them, are of one kind."""
    if isinstance(first, tuple) and isinstance(value, tuple):
        return len(first) == len(value) and all(map(like, first, value))
    return is_point(first) and is_point(value) and kind_of(first) == kind_of(value)
