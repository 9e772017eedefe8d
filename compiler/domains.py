"""Domains: the ordered values that `in` offers, with their labels. The evaluator gives the values of expressions."""

from typing import TYPE_CHECKING, Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Span
from ..dsl.syntax import Domain, Interval, Listed, Members
from .functions import WIDEST
from .kinds import is_point, label_of, like, mixed, written
from .scope import Scope
from .sym import deps
from .values import is_callable, kind_of

if TYPE_CHECKING:
    from .evaluate import Evaluator

Values = tuple[Any, ...]
Labels = tuple[str, ...]


def domain_of(ask: "Evaluator", domain: Domain, scope: Scope, use: Scope) -> tuple[Values, Labels]:
    """The values of a domain in order, and their labels: values of one kind, lists of one length, or cells. Raises ArchError."""
    if isinstance(domain, Interval):
        return _interval(ask, domain, use)
    values, spans = _members(ask, domain, scope, use)
    if not values:
        raise ArchError(errors.empty_domain(domain.span))
    seen: dict[Any, Span] = {}
    for value, span in zip(values, spans, strict=True):
        _static(value, span)
        if is_point(value) or _is_list(value):
            if (type(value), value) in seen:
                raise ArchError(errors.repeated_value(label_of(value), span, seen[type(value), value]))
            seen[type(value), value] = span
    if not _alike(values, domain):
        raise ArchError(mixed(values, domain))
    return values, numbered([v.label if is_callable(v) else label_of(v) for v in values])


def _static(value: Any, span: Span) -> None:
    for part in value if isinstance(value, tuple) else (value,):
        if deps(part):
            raise ArchError(errors.not_static("a value of a domain", span, deps(part)[0].path))


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(is_point, value))


def _alike(values: Values, domain: Domain) -> bool:
    if all(v is None or is_callable(v) for v in values):
        return not isinstance(domain, Listed)
    return all(like(values[0], v) for v in values)


def _members(ask: "Evaluator", domain: Members | Listed, scope: Scope, use: Scope) -> tuple[Values, tuple[Span, ...]]:
    """The values of a set or a list, each with the place to point at."""
    items = written(domain)
    if items or isinstance(domain, Members):
        _bounded(len(items), domain.span)
        return tuple(ask.value(item, use, scope.path) for item in items), tuple(item.span for item in items)
    values = ask.value(domain.value, use, scope.path)
    if not isinstance(values, tuple):
        raise ArchError(errors.wrong_kind(kind_of(values), "a list", domain.span, "a domain is a set `{a, b}`"))
    _bounded(len(values), domain.span)
    return values, (domain.span,) * len(values)


def _interval(ask: "Evaluator", domain: Interval, use: Scope) -> tuple[Values, Labels]:
    first, last = ask.whole(domain.first, use), ask.whole(domain.last, use)
    step = ask.whole(domain.by, use) if domain.by else 1
    if step < 1:
        raise ArchError(errors.out_of_range("step", str(step), "at least 1", (domain.by or domain).span))
    if last < first:
        raise ArchError(errors.empty_domain(domain.span))
    _bounded((last - first) // step + 1, domain.span)
    values = tuple(range(first, last + 1, step))
    return values, tuple(map(str, values))


def _bounded(count: int, span: Span) -> None:
    if count > WIDEST:
        raise ArchError(errors.too_large("the domain", f"{count:,} values", WIDEST, span))


def numbered(labels: list[str]) -> tuple[str, ...]:
    """Labels that differ: one that occurs again gets its rank."""
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label}{seen[label]}")
    return tuple(out)
