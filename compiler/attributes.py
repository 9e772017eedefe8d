"""Parts of values: `value.name` of modules, flows and places, `value[k]` of lists and branches. The evaluator asks."""

from typing import TYPE_CHECKING, Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Span
from ..dsl.model import ADDITIVE, COSTS, TIMES
from ..dsl.syntax import Attribute, Fix, Index
from .scope import Path, Scope, misspelt
from .sym import chosen
from .values import Alternatives, Cell, Flow, Namespace, Place, is_callable, kind_of

if TYPE_CHECKING:
    from .evaluate import Evaluator


def evaluate_attribute(ask: "Evaluator", expr: Attribute, use: Scope, base: Path) -> Any:
    """The value of `base.name`. Raises ArchError."""
    value = ask.value(expr.base, use, base)
    if isinstance(value, Namespace):
        cells = value.module.cells
        if expr.name not in cells:
            raise ArchError(
                errors.unknown_name(expr.name, "cell", _name_span(expr), cells, f" of `{value.module.name}`")
            )
        return Cell(cells[expr.name], value.module, {})
    if isinstance(value, Flow):
        return _flow_attribute(value, expr)
    if isinstance(value, Place):
        return _place_attribute(ask, value, expr)
    raise ArchError(errors.no_attribute(expr.name, kind_of(value), _name_span(expr), ()))


def _place_attribute(ask: "Evaluator", place: Place, expr: Attribute) -> Any:
    if expr.name == "name":
        return place.name
    if expr.name == "branches" and place.kind == "stage":
        return tuple(v for v in place.scope.values.values() if isinstance(v, Place))
    if expr.name == "passed" and place.scope.path in ask.builder.passed:
        return ask.builder.passed[place.scope.path]()
    if expr.name == "cells" and place.scope.size:
        return tuple(_cell_place(place, k, expr) for k in range(1, place.scope.size + 1))
    made = ask.decisions.made.get((*place.scope.path, expr.name))
    if made is not None and any(v is None or is_callable(v) for v in made.values):
        return Alternatives(chosen(made), made.values, made.labels)
    scope = place.scope
    if place.kind == "stage" and isinstance(scope.entries.get(expr.name), Fix):
        # a branch of it, where widths are known
        scope = next((v.scope for v in scope.values.values() if isinstance(v, Place)), scope)
    found, value = ask.find(expr.name, scope)
    if not found and expr.name in (*COSTS, *TIMES):
        return _cost(ask, place, expr)
    if not found:
        raise ArchError(
            errors.no_attribute(
                expr.name,
                f"{place.kind} `{place.name}`",
                _name_span(expr),
                place.scope.names(),
                misspelt(expr.name, place.scope),
            )
        )
    return value


def _cost(ask: "Evaluator", place: Place, expr: Attribute) -> Any:
    """`fine.macs`: a cost of a branch of the space."""
    if place.scope.kind != "branch" or expr.name not in ADDITIVE:
        branch = place.name if place.kind == "branch" else "some_branch"
        raise ArchError(errors.no_cost_of(expr.name, expr.base.span.text, expr.span, branch, ADDITIVE))
    return ask.cost(expr.name, expr.span, place.name)


def evaluate_index(ask: "Evaluator", expr: Index, use: Scope, base: Path) -> Any:
    """The value of `base[k]`, from 0 in a list, from 1 in a branch. Raises ArchError."""
    value = ask.value(expr.base, use, base)
    if not isinstance(value, tuple | Place):
        raise ArchError(errors.wrong_kind(kind_of(value), "a list", expr.base.span))
    index = ask.whole(expr.index, use, "a position")
    if isinstance(value, Place):
        return _cell_place(value, index, expr)
    if not value:
        raise ArchError(errors.wrong_kind("an empty list", "a list with items", expr.base.span))
    if not 0 <= index < len(value):
        raise ArchError(errors.out_of_range("the position", str(index), f"from 0 to {len(value) - 1}", expr.index.span))
    return value[index]


def _flow_attribute(flow: Flow, expr: Attribute) -> Any:
    """`flow.width` and its kin."""
    shape = flow.shape
    known: dict[str, Any] = {"width": shape.width, "stride": shape.stride, "branch": flow.lane, "points": shape.points}
    if shape.form == "map":
        known |= {"height": shape.extent[0], "columns": shape.extent[1]}
    if expr.name not in known:
        raise ArchError(errors.no_attribute(expr.name, "a flow", _name_span(expr), known))
    return known[expr.name]


def _cell_place(place: Place, index: int, expr: Index | Attribute) -> Place:
    """`stage.branch[k]`: the k-th cell of a branch in a stage, from 1."""
    if not place.scope.size:
        raise ArchError(errors.wrong_kind(kind_of(place), "a branch within a stage", expr.base.span))
    if not 1 <= index <= place.scope.size:
        raise ArchError(
            errors.out_of_range(f"the cell of {place.name}", str(index), f"from 1 to {place.scope.size}", expr.span)
        )
    scope = place.scope
    return Place(Scope("slot", (*scope.path, index), scope.module, scope), "cell", f"{place.name}[{index}]")


def _name_span(expr: Attribute) -> Span:
    """The place of the name behind the dot."""
    return Span(expr.span.source, expr.span.stop - len(expr.name), expr.span.stop)
