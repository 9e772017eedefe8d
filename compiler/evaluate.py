"""Expressions to values: numbers stay exact, decisions become tables, flows become nodes through the builder."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic, Span
from ..dsl.model import COSTS
from ..dsl.settings import constant
from ..dsl.syntax import (
    Attribute,
    Binary,
    Call,
    Chain,
    Comprehension,
    Constant,
    Domain,
    Expr,
    Fix,
    If,
    Index,
    Interval,
    ListOf,
    Members,
    Name,
    Number,
    Unary,
    Vary,
    path_text,
)
from .functions import FUNCTIONS, WIDEST
from .operator import Operator, signature
from .scope import Decisions, Entry, Path, Scope, owner_of, said
from .sym import Metric, Table, Value, apply, both, chosen, deps, is_sym, is_truth, negate, plain, variable
from .values import (
    Alternatives,
    Cell,
    Flow,
    Function,
    Namespace,
    Operation,
    Pipeline,
    Place,
    Quantity,
    Repeat,
    is_callable,
    kind_of,
)


class Builder(Protocol):
    """What makes nodes: see `build`."""

    condition: Value

    def flow(self, value: Any, x: Any, base: Path, use: Scope, span: Span) -> Any: ...
    def choose(self, select: Value, options: Sequence[Any], base: Path, span: Span) -> Any: ...
    def operate(self, kind: str, flows: tuple[Any, ...], base: Path, use: Scope, span: Span) -> Any: ...


class Evaluator:
    """Evaluates expressions. `use` is the scope that asks; `base` names the nodes that an expression makes."""

    def __init__(self, builder: Builder, decisions: Decisions, operators: dict[str, type[Operator]]) -> None:
        self.builder = builder
        self.decisions = decisions
        self.operators = operators

    # names

    def lookup(self, name: str, use: Scope, span: Span) -> Any:
        """The value of a name: entries outwards, then the file's cells and modules, then the language."""
        found, value = self.find(name, use)
        if found:
            return value
        module = use.module
        if name in module.cells:
            return Cell(module.cells[name], module, {})
        if name in module.uses:
            return Namespace(module.uses[name])
        if name in self.operators:
            return Operation(self.operators[name], {})
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if name in COSTS:
            return Metric(name, COSTS[name])
        known = {*use.names(), *module.cells, *module.uses, *self.operators, *FUNCTIONS}
        raise ArchError(errors.unknown_name(name, "name", span, known))

    def find(self, name: str, use: Scope) -> tuple[bool, Any]:
        """Whether a name is declared in `use` or outwards, and its value."""
        for scope in use.chain():
            override = self.decisions.override((*scope.path, name)) if scope.kind != "item" else None
            if override is not None:
                value = self.entry(name, override[0], scope, use)
                self._within(name, value, override[0], scope)
                return True, value
            if name in scope.values:
                return True, scope.values[name]
            if name in scope.entries:
                return True, self.entry(name, scope.entries[name], scope, use)
        return False, None

    def _within(self, name: str, value: Any, entry: Entry, scope: Scope) -> None:
        """A number that closes a decision must be one of its values."""
        declared = next((s.entries[name] for s in scope.chain() if name in s.entries), None)
        if not isinstance(declared, Vary) or isinstance(entry, Vary) or not isinstance(value, int | Fraction | str):
            return
        if isinstance(declared.domain, Members) and any(constant(i) is None for i in declared.domain.items):
            return
        values, labels = self.domain(declared.domain, scope, scope)
        if value not in values:
            path = path_text((*scope.path, name))
            shown = ", ".join(f"`{label}`" for label in labels[:12]) + (", ..." if len(labels) > 12 else "")
            raise ArchError(errors.outside_domain(path, _text(value), entry.value.span, declared.domain.span, shown))

    def declares(self, name: str, use: Scope) -> bool:
        """Whether a name is declared in `use` or outwards; nothing is evaluated."""
        return any(
            name in s.values or name in s.entries or (s.kind != "item" and (*s.path, name) in self.decisions.overrides)
            for s in use.chain()
        )

    def entry(self, name: str, entry: Entry, declared: Scope, use: Scope) -> Any:
        """The value of an entry for the scope that reads it."""
        if name in declared.busy:
            raise ArchError(errors.recursive(name, said(entry)))
        declared.busy.add(name)
        try:
            if isinstance(entry, Vary):
                owner = owner_of(use, declared, entry.per, entry.span)
                return self.vary(name, entry, owner, use)
            value = self.value(entry.value, use if declared in use.chain() else declared, _base(declared.path, name))
            if not is_callable(value):
                declared.values[name] = value
            return value
        finally:
            declared.busy.discard(name)

    # decisions

    def vary(self, name: str, entry: Vary, owner: Scope, use: Scope) -> Any:
        """The decision that `name in domain` makes in `owner`: a number, or alternatives."""
        values, labels = self.domain(entry.domain, owner, use)
        if len(values) == 1 and (*owner.path, name) in self.decisions.overrides:
            return values[0]
        numbers = [isinstance(v, int | Fraction | str) for v in values]
        if not all(numbers) and not all(v is None or is_callable(v) for v in values):
            raise ArchError(_mixed(values, entry.domain))
        decision = self.decisions.get(owner.path, name, values, labels, entry)
        return variable(decision) if all(numbers) else Alternatives(chosen(decision), values, labels)

    def domain(self, domain: Domain, scope: Scope, use: Scope) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """The values of a domain in order, and their labels."""
        if isinstance(domain, Interval):
            return self._interval(domain, use)
        if not domain.items:
            raise ArchError(errors.empty_domain(domain.span))
        values = tuple(self.value(item, use, scope.path) for item in domain.items)
        seen: dict[Any, Span] = {}
        for value, item in zip(values, domain.items, strict=True):
            if is_callable(value):
                continue
            if deps(value):
                raise ArchError(errors.not_static("a value of a domain", item.span, deps(value)[0].path))
            if (type(value), value) in seen:
                raise ArchError(errors.repeated_value(item.span.text, item.span, seen[type(value), value]))
            seen[type(value), value] = item.span
        labels = [v.label if is_callable(v) else _text(v) for v in values]
        return values, tuple(
            label if labels.index(label) == i else f"{label}{labels[: i + 1].count(label)}"
            for i, label in enumerate(labels)
        )

    def _interval(self, domain: Interval, use: Scope) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        first = self.whole(domain.first, use)
        last = self.whole(domain.last, use)
        step = self.whole(domain.by, use) if domain.by else 1
        if step < 1:
            raise ArchError(errors.out_of_range("step", str(step), "at least 1", (domain.by or domain).span))
        if last < first:
            raise ArchError(errors.empty_domain(domain.span))
        if (last - first) // step >= WIDEST:
            raise ArchError(
                errors.too_large("the domain", f"{(last - first) // step + 1:,} values", WIDEST, domain.span)
            )
        values = tuple(range(first, last + 1, step))
        return values, tuple(map(str, values))

    def whole(self, expr: Expr, use: Scope, what: str = "this") -> int:
        """A static whole number."""
        value = self.value(expr, use, ())
        if deps(value):
            raise ArchError(errors.not_static(what, expr.span, deps(value)[0].path))
        if not isinstance(value, int) or isinstance(value, bool):
            raise ArchError(errors.wrong_kind(f"{kind_of(value)}", "a whole number", expr.span))
        return value

    # expressions

    def value(self, expr: Expr, use: Scope, base: Path) -> Any:
        """The value of an expression. Raises ArchError at the smallest span that shows the fault."""
        match expr:
            case Number(value=value, unit=unit):
                return Quantity(value, unit) if unit else plain(value)
            case Constant(value=constant):
                return constant
            case Name(text=text, span=span):
                return self.lookup(text, use, span)
            case Attribute():
                return self._attribute(expr, use, base)
            case Index():
                return self._index(expr, use, base)
            case Call():
                return self._call(expr, use, base)
            case ListOf(items=items):
                return tuple(self.value(i, use, base) for i in items)
            case Comprehension():
                return self._comprehension(expr, use, base)
            case Unary():
                return self._unary(expr, use, base)
            case Binary():
                return self._binary(expr, use, base)
            case If():
                return self._if(expr, use, base)
            case Chain():
                return self._chain(expr, use, base)

    def _attribute(self, expr: Attribute, use: Scope, base: Path) -> Any:
        value = self.value(expr.base, use, base)
        if isinstance(value, Namespace):
            cells = value.module.cells
            if expr.name not in cells:
                raise ArchError(
                    errors.unknown_name(expr.name, "cell", _name(expr), cells, f" of `{value.module.name}`")
                )
            return Cell(cells[expr.name], value.module, {})
        if isinstance(value, Flow):
            return _flow_attribute(value, expr)
        if isinstance(value, Place):
            return self._place_attribute(value, expr)
        raise ArchError(errors.no_attribute(expr.name, kind_of(value), _name(expr), ()))

    def _place_attribute(self, place: Place, expr: Attribute) -> Any:
        if expr.name == "name":
            return place.name
        made = self.decisions.made.get((*place.scope.path, expr.name))
        if made is not None and any(v is None or is_callable(v) for v in made.values):
            return Alternatives(chosen(made), made.values, made.labels)
        scope = place.scope
        if place.kind == "stage" and isinstance(scope.entries.get(expr.name), Fix):
            scope = next(
                (v.scope for v in scope.values.values() if isinstance(v, Place)), scope
            )  # where widths are known
        found, value = self.find(expr.name, scope)
        if not found:
            raise ArchError(
                errors.no_attribute(expr.name, f"{place.kind} `{place.name}`", _name(expr), place.scope.names())
            )
        return value

    def _index(self, expr: Index, use: Scope, base: Path) -> Any:
        value = self.value(expr.base, use, base)
        if not isinstance(value, tuple):
            raise ArchError(errors.wrong_kind(kind_of(value), "a list", expr.base.span))
        index = self.whole(expr.index, use, "a position")
        if not 0 <= index < len(value):
            raise ArchError(
                errors.out_of_range("the position", str(index), f"from 0 to {len(value) - 1}", expr.index.span)
            )
        return value[index]

    def _comprehension(self, expr: Comprehension, use: Scope, base: Path) -> Any:
        items = self.value(expr.iterable, use, base)
        if not isinstance(items, tuple):
            raise ArchError(errors.wrong_kind(kind_of(items), "a list", expr.iterable.span))
        out = []
        for i, item in enumerate(items):
            part = item.lane if isinstance(item, Flow) and item.lane else i + 1
            scope = Scope("item", use.path, use.module, use, values={expr.variable: item})
            if expr.condition is not None:
                keep = self.value(expr.condition, scope, base)
                if not isinstance(keep, bool):
                    what = deps(keep)[0].path if deps(keep) else "a value"
                    raise ArchError(errors.not_static("the condition of a list", expr.condition.span, what))
                if not keep:
                    continue
            out.append(self.value(expr.item, scope, (*base, part)))
        return tuple(out)

    def _unary(self, expr: Unary, use: Scope, base: Path) -> Any:
        value = self.value(expr.operand, use, base)
        if expr.operator == "not":
            return apply("not", _truth(value, expr.operand))
        return apply("-", 0, _number(value, expr.operand))

    def _binary(self, expr: Binary, use: Scope, base: Path) -> Any:
        left, right = self.value(expr.left, use, base), self.value(expr.right, use, base)
        operator = expr.operator
        if operator in ("and", "or"):
            return apply(operator, _truth(left, expr.left), _truth(right, expr.right))
        if operator in ("+", "*") and (isinstance(left, Flow) or isinstance(right, Flow)):
            return self.builder.operate("sum" if operator == "+" else "multiply", (left, right), base, use, expr.span)
        if is_callable(left) or is_callable(right):
            return _compare_labels(expr, left, right)
        if operator in ("==", "!=") and (isinstance(left, str) or isinstance(right, str)):
            return apply(operator, left, right)
        unit = _common_unit(expr, left, right)
        left, right = _bare(left), _bare(right)
        if operator in ("/", "//", "%") and right == 0:
            raise ArchError(errors.divided_by_zero(expr.right.span))
        value = apply(operator, _number(left, expr.left), _number(right, expr.right))
        return (
            Quantity(Fraction(value), unit)
            if unit and isinstance(value, int | Fraction) and not isinstance(value, bool)
            else value
        )

    def _if(self, expr: If, use: Scope, base: Path) -> Any:
        condition = _truth(self.value(expr.condition, use, base), expr.condition)
        if isinstance(condition, bool):
            return self.value(expr.then if condition else expr.otherwise, use, (*base, "yes" if condition else "no"))
        outer = self.builder.condition
        try:
            self.builder.condition = both(outer, condition)
            then = self.value(expr.then, use, (*base, "yes"))
            self.builder.condition = both(outer, negate(condition))
            otherwise = self.value(expr.otherwise, use, (*base, "no"))
        finally:
            self.builder.condition = outer
        select = apply("select", condition, 1, 0)  # true is option 0
        if is_callable(then) or is_callable(otherwise):
            return Alternatives(select, (then, otherwise), ("then", "else"))
        if isinstance(then, Flow) or isinstance(otherwise, Flow):
            return self.builder.choose(select, (then, otherwise), base, expr.span)
        return apply("select", select, then, otherwise)

    def _chain(self, expr: Chain, use: Scope, base: Path) -> Any:
        first, *rest = expr.links
        value = self.value(first, use, base)
        if is_callable(value):
            links = [(value, first.span), *((self._link(link, use, base), link.span) for link in rest)]
            return Pipeline(tuple(links))
        for link in rest:
            value = self.builder.flow(self._link(link, use, base), value, base, use, link.span)
        return value

    def _link(self, link: Expr, use: Scope, base: Path) -> Any:
        value = self.value(link, use, base)
        if value is not None and not is_callable(value):
            raise ArchError(errors.wrong_kind(kind_of(value), "a cell or an operator", link.span))
        return value

    # calls

    def _call(self, call: Call, use: Scope, base: Path) -> Any:
        callee = self.value(call.function, use, base)
        if isinstance(callee, Function):
            return self._function(callee, call, use, base)
        if isinstance(callee, Cell):
            return self._cell(callee, call, use, base)
        if isinstance(callee, Operation):
            return self._operation(callee, call, use, base)
        raise ArchError(errors.wrong_kind(kind_of(callee), "something that can be called", call.function.span))

    def _function(self, callee: Function, call: Call, use: Scope, base: Path) -> Any:
        if callee.name == "repeat":
            return self._repeat(call, use, base)
        if call.named:
            name = str(call.named[0].target)
            raise ArchError(errors.unknown_argument(name, callee.name, call.named[0].span, ()))
        values = [self.value(a, use, base) for a in call.positional]
        return callee.run(call, values)

    def _repeat(self, call: Call, use: Scope, base: Path) -> Repeat:
        given = self._named(call, "repeat", ("times",), use, base)
        if len(call.positional) not in (1, 2) or (len(call.positional) == 2) == ("times" in given):
            raise ArchError(errors.missing_argument("times", "repeat", call.span))
        times = given.get("times") if "times" in given else self.value(call.positional[1], use, base)
        return Repeat(self._link(call.positional[0], use, base), times)

    def _cell(self, cell: Cell, call: Call, use: Scope, base: Path) -> Cell:
        names = [p.name for p in cell.block.parameters or ()]
        inner = [
            str(line.target) for line in cell.block.lines if isinstance(line, Vary) and len(line.target.parts) == 1
        ]
        if len(call.positional) > len(names):
            raise ArchError(errors.too_many_arguments(cell.label, call.positional[len(names)].span, len(names)))
        arguments = {n: self.value(a, use, base) for n, a in zip(names, call.positional, strict=False)}
        arguments |= self._named(call, cell.label, (*names, *inner), use, base, tuple(arguments))
        return Cell(cell.block, cell.module, {**cell.arguments, **arguments})

    def _operation(self, operation: Operation, call: Call, use: Scope, base: Path) -> Any:
        fields = [f.name for f in signature(operation.kind)]
        values = [self.value(a, use, base) for a in call.positional]
        flows = tuple(v for v in values if _flows(v))
        rest = [(v, a) for v, a in zip(values, call.positional, strict=True) if not _flows(v)]
        if len(rest) > len(fields):
            raise ArchError(errors.too_many_arguments(operation.label, rest[len(fields)][1].span, len(fields)))
        settings = {f: v for f, (v, _) in zip(fields, rest, strict=False)}
        settings |= self._named(call, operation.label, tuple(fields), use, base, tuple(settings))
        places = {f: a.span for f, (_, a) in zip(fields, rest, strict=False)} | {
            str(g.target): said(g) for g in call.named
        }
        full = Operation(operation.kind, {**operation.settings, **settings}, flows, {**operation.places, **places})
        wanted = operation.kind.inputs
        complete = bool(flows) if wanted is None else len(flows) == wanted
        return self.builder.flow(full, None, base, use, call.span) if complete else full

    def _named(
        self, call: Call, callee: str, known: Sequence[str], use: Scope, base: Path, taken: Sequence[str] = ()
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        places = {n: a.span for n, a in zip(taken, call.positional[-len(taken) :], strict=True)} if taken else {}
        for given in call.named:
            name = str(given.target)
            if name not in known:
                raise ArchError(errors.unknown_argument(name, callee, given.target.span, known))
            if name in places:
                raise ArchError(errors.declared_twice(name, given.target.span, places[name], "given"))
            places[name] = given.target.span
            if isinstance(given, Fix):
                out[name] = self.value(given.value, use, use.path)
                continue
            declared = _owner(use)
            owner = owner_of(use, declared, given.per, given.span)
            path = self.decisions.site((*owner.path, *base[len(declared.path) :], callee), call.span)
            place = Scope("site", path, owner.module, owner)
            override = self.decisions.override((*place.path, name))
            entry = override[0] if override else given
            out[name] = (
                self.vary(name, entry, place, use)
                if isinstance(entry, Vary)
                else self.value(entry.value, use, use.path)
            )
        return out


def _owner(use: Scope) -> Scope:
    """Where an `in` among arguments belongs: the innermost place that is not one turn of a list, a slot or a lane."""
    return next(s for s in use.chain() if s.kind not in ("item", "site", "slot", "lane"))


def _mixed(values: Sequence[Any], domain: Domain) -> Diagnostic:
    """A domain that holds neither values alone nor cells alone: the first that differs from the first."""
    cells = is_callable(values[0])
    fits = [is_callable(v) or v is None if cells else isinstance(v, int | Fraction | str) for v in values]
    wrong = fits.index(False)
    span = domain.items[wrong].span if isinstance(domain, Members) else domain.span
    want = "a cell" if cells else "a number" if wrong else "a number or a cell"
    return errors.wrong_kind(kind_of(values[wrong]), want, span, f"give {want}: a domain holds either values or cells")


def _name(expr: Attribute) -> Span:
    """The place of the name behind the dot."""
    return Span(expr.span.source, expr.span.stop - len(expr.name), expr.span.stop)


def _base(path: Path, name: str) -> Path:
    return path if name in ("out", "cell") else (*path, name)


def _flows(value: Any) -> bool:
    return isinstance(value, Flow) or (isinstance(value, tuple) and any(isinstance(v, Flow) for v in value))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _truth(value: Any, expr: Expr) -> Any:
    if is_truth(value):
        return value
    raise ArchError(errors.wrong_kind(kind_of(value), "a condition", expr.span, "compare it with something"))


def _number(value: Any, expr: Expr) -> Any:
    if (
        (isinstance(value, int | Fraction) and not isinstance(value, bool))
        or is_sym(value)
        or isinstance(value, Metric)
    ):
        return value
    raise ArchError(errors.wrong_kind(kind_of(value), "a number", expr.span))


def _unit(value: Any) -> str | None:
    """The unit of a value; None where it has no say (a bare zero, a sum of costs)."""
    if isinstance(value, Quantity | Metric):
        return value.unit
    if is_sym(value) and not isinstance(value, Table):
        units = {u for u in map(_unit, value.args) if u}
        return units.pop() if units else ""
    return ""


def _common_unit(expr: Binary, left: Any, right: Any) -> str:
    """The unit of both sides, which must agree; a product or quotient with a plain number keeps the other's."""
    one, two = _unit(left) or "", _unit(right) or ""
    if one == two or (expr.operator in ("*", "/") and not (one and two)):
        return one or two if expr.operator != "/" or not two else ""
    words = {"": "a plain number", "ms": "a time", "bytes": "a number of bytes"}
    wrong, other = (expr.right, expr.left) if one or isinstance(left, Metric) else (expr.left, expr.right)
    got, want = (two, one) if wrong is expr.right else (one, two)
    raise ArchError(errors.wrong_unit(words[got], words[want], wrong.span, other.span))


def _bare(value: Any) -> Any:
    return plain(value.value) if isinstance(value, Quantity) else value


def _compare_labels(expr: Binary, left: Any, right: Any) -> Any:
    """`stage.cell == "residual"`: the label of a choice against a text or a cell."""
    choice, other = (left, right) if isinstance(left, Alternatives) else (right, left)
    label = other if isinstance(other, str) else getattr(other, "label", None)
    if expr.operator not in ("==", "!=") or not isinstance(label, str) or isinstance(other, Alternatives):
        raise ArchError(errors.not_an_operation(expr.operator, kind_of(left), kind_of(right), expr.span))
    if not isinstance(choice, Alternatives):
        fixed = choice if isinstance(choice, str) else getattr(choice, "label", None)
        return (fixed == label) == (expr.operator == "==")
    if label not in choice.labels:
        raise ArchError(errors.unknown_name(label, "alternative", expr.span, choice.labels))
    return apply(expr.operator, choice.select, choice.labels.index(label))


def _flow_attribute(flow: Flow, expr: Attribute) -> Any:
    shape = flow.shape
    known: dict[str, Any] = {"width": shape.width, "stride": shape.stride, "branch": flow.lane, "points": shape.points}
    if shape.form == "map":
        known |= {"height": shape.extent[0], "columns": shape.extent[1]}
    if expr.name not in known:
        raise ArchError(errors.no_attribute(expr.name, "a flow", _name(expr), known))
    return known[expr.name]
