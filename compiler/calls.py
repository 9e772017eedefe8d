"""Calls: functions, cells and operators with their arguments. The evaluator asks; nothing flows here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError
from ..dsl.syntax import Call, Fix, Vary
from .kinds import is_number
from .operator import names
from .scope import Path, Scope, owner_of, said
from .sym import is_sym, settled
from .values import Cell, Flow, Function, Operation, Repeat, kind_of

if TYPE_CHECKING:
    from .evaluate import Evaluator


def evaluate_call(ask: "Evaluator", call: Call, use: Scope, base: Path) -> Any:
    """The value of `callee(...)`. Raises ArchError."""
    callee = ask.value(call.function, use, base)
    match callee:
        case Function():
            return _function(ask, callee, call, use, base)
        case Cell():
            return _cell(ask, callee, call, use, base)
        case Operation():
            return _operation(ask, callee, call, use, base)
    raise ArchError(errors.wrong_kind(kind_of(callee), "something that can be called", call.function.span))


def _function(ask: "Evaluator", callee: Function, call: Call, use: Scope, base: Path) -> Any:
    if callee.name == "repeat":
        return _repeat(ask, call, use, base)
    if call.named:
        name = str(call.named[0].target)
        raise ArchError(errors.unknown_argument(name, callee.name, call.named[0].span, ()))
    value = ask.budget.listed(callee.run(call, [ask.value(a, use, base) for a in call.positional]), call.span)
    return value if ask.judging else settled(value)


def _repeat(ask: "Evaluator", call: Call, use: Scope, base: Path) -> Repeat:
    given = _named(ask, call, "repeat", ("times",), use, base)
    if len(call.positional) not in (1, 2) or (len(call.positional) == 2) == ("times" in given):
        raise ArchError(errors.missing_argument("times", "repeat", call.span))
    times = given.get("times") if "times" in given else ask.value(call.positional[1], use, base)
    return Repeat(ask.link(call.positional[0], use, base), times)


def _cell(ask: "Evaluator", cell: Cell, call: Call, use: Scope, base: Path) -> Cell:
    names = [p.name for p in cell.block.parameters or ()]
    inner = [str(line.target) for line in cell.block.lines if isinstance(line, Vary) and len(line.target.parts) == 1]
    if len(call.positional) > len(names):
        raise ArchError(errors.too_many_arguments(cell.label, call.positional[len(names)].span, len(names)))
    arguments = {n: ask.value(a, use, base) for n, a in zip(names, call.positional, strict=False)}
    arguments |= _named(ask, call, cell.label, (*names, *inner), use, base, tuple(arguments))
    return Cell(cell.block, cell.module, {**cell.arguments, **arguments})


def _operation(ask: "Evaluator", operation: Operation, call: Call, use: Scope, base: Path) -> Any:
    fields = names(operation.kind)
    values = [ask.value(a, use, base) for a in call.positional]
    if operation.kind.name == "sum" and _numbers(values):
        return _function(ask, ask.functions["sum"], call, use, base)
    flows: list[Any] = []
    settings, places = {**operation.settings}, {**operation.places}
    count = 0
    for value, expr in zip(values, call.positional, strict=True):
        if _flows(value):
            flows.append(value)
            continue
        if count == len(fields):
            raise ArchError(errors.too_many_arguments(operation.label, expr.span, count))
        name, count = fields[count], count + 1
        settings[name], places[name] = value, expr.span
    if call.named:
        settings |= _named(ask, call, operation.label, fields, use, base, fields[:count])
        places |= {str(g.target): said(g) for g in call.named}
    full = Operation(operation.kind, settings, tuple(flows), places)
    wanted = operation.kind.inputs
    complete = bool(flows) if wanted is None else len(flows) == wanted
    return ask.builder.flow(full, None, base, use, call.span) if complete else full


def _named(
    ask: "Evaluator", call: Call, callee: str, known: Sequence[str], use: Scope, base: Path, taken: Sequence[str] = ()
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    places = {n: a.span for n, a in zip(taken, call.positional[-len(taken) :], strict=True)} if taken else {}
    for given in call.named:
        name = str(given.target)
        if name not in known:
            raise ArchError(errors.unknown_argument(name, callee, given.target.span, known))
        if name in places:
            raise ArchError(errors.given_twice(name, given.target.span, places[name]))
        places[name] = given.target.span
        if isinstance(given, Fix):
            out[name] = ask.value(given.value, use, use.path)
            continue
        declared = ask.holder if ask.holder in use.chain() else _owner(use)
        owner = owner_of(use, declared, given.per, given.span)
        held = declared.path if given.per is None else _held(use, base)
        path = ask.decisions.site((*owner.path, *base[len(held) :], callee), call.span)
        place = Scope("site", path, owner.module, owner)
        override = ask.decisions.override((*place.path, name))
        entry = override[0] if override else given
        if isinstance(entry, Vary):
            out[name] = ask.vary(name, entry, place, use)
        else:
            out[name] = ask.value(entry.value, use, use.path)
        ask.within((*place.path, name), out[name], entry, given, use)
    return out


def _held(use: Scope, base: Path) -> Path:
    """The place within which `base` names an entry."""
    return max((s.path for s in use.chain() if base[: len(s.path)] == s.path), key=len)


def _owner(use: Scope) -> Scope:
    """Where an `in` among arguments belongs: the innermost place that is not one turn of a list, a slot or a lane."""
    return next(s for s in use.chain() if s.kind not in ("item", "site", "slot", "lane"))


def _flows(value: Any) -> bool:
    return value is None or isinstance(value, Flow) or (isinstance(value, tuple) and any(map(_flows, value)))


def _numbers(values: Sequence[Any]) -> bool:
    """Whether `sum` is asked for numbers: of one list, or some in a row."""
    items = values[0] if len(values) == 1 and isinstance(values[0], tuple) else values
    return bool(values) and all(is_number(v) or is_sym(v) for v in items) and (bool(items) or len(values) == 1)
