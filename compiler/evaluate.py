"""Expressions to values: numbers stay exact, decisions become tables, flows become nodes through the builder."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Protocol

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Span
from ..dsl.model import COSTS, TIMES
from ..dsl.settings import constant
from ..dsl.syntax import (
    Attribute,
    Binary,
    Call,
    Chain,
    Comprehension,
    Constant,
    Expr,
    If,
    Index,
    ListOf,
    Loop,
    Members,
    Name,
    Number,
    Unary,
    Vary,
    path_text,
)
from .attributes import evaluate_attribute, evaluate_index
from .budget import Budget, bounded
from .calls import evaluate_call
from .conditions import Where, negate
from .domains import domain_of
from .functions import FUNCTIONS, WIDEST
from .kinds import (
    bare,
    common_unit,
    compare_labels,
    compare_lists,
    is_numeric,
    is_point,
    label_of,
    number,
    truth,
)
from .operator import Operator
from .scope import Decisions, Entry, Path, Scope, owner_of, said
from .sym import Decision, Metric, Value, apply, chosen, deps, is_sym, plain, tabulate, variable
from .values import (
    Alternatives,
    Cell,
    Flow,
    Named,
    Namespace,
    Operation,
    Pipeline,
    Quantity,
    is_callable,
    kind_of,
)


class Builder(Protocol):
    """What makes nodes: see `build`."""

    where: Where

    @property
    def passed(self) -> Mapping[Path, Callable[[], Any]]: ...
    def flow(self, value: Any, x: Any, base: Path, use: Scope, span: Span) -> Any: ...
    def choose(self, select: Value, options: Sequence[Any], base: Path, span: Span) -> Any: ...
    def operate(self, kind: str, flows: tuple[Any, ...], base: Path, use: Scope, span: Span) -> Any: ...


class Evaluator:
    """Evaluates expressions. `use` is the scope that asks; `base` names the nodes that an expression makes."""

    def __init__(self, builder: Builder, decisions: Decisions, operators: Mapping[str, type[Operator]]) -> None:
        self.builder = builder
        self.decisions = decisions
        self.operators = operators
        self.plain: dict[str, Operation] = {}
        self.functions = FUNCTIONS
        self.budget = Budget()
        self.holder: Scope | None = None
        """The place of the entry that is evaluated: it owns the decisions among its arguments."""
        self.judging = False
        """Within a constraint: aggregates keep their elements apart."""
        self.searching = False
        """Within a constraint of a search, which knows a device."""

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
            return self._operation(name)
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if name in COSTS or name in TIMES:
            return self.cost(name, span)
        known = {*use.names(), *module.cells, *module.uses, *self.operators, *FUNCTIONS}
        raise ArchError(errors.unknown_name(name, "name", span, known))

    def _operation(self, name: str) -> Operation:
        """An operator without settings. That of a package is imported only when a text names it."""
        if name not in self.plain:
            self.plain[name] = Operation(self.operators[name], {})
        return self.plain[name]

    def find(self, name: str, use: Scope) -> tuple[bool, Any]:
        """Whether a name is declared in `use` or outwards, and its value."""
        overridden = name in self.decisions.overridden
        scope: Scope | None = use
        while scope is not None:
            override = self.decisions.override((*scope.path, name)) if overridden and scope.kind != "item" else None
            if override is not None:
                value = self.entry(name, override[0], scope, use)
                declared = next((s.entries[name] for s in scope.chain() if name in s.entries), None)
                self.within((*scope.path, name), value, override[0], declared, scope)
                return True, value
            if name in scope.values:
                return True, scope.values[name]
            if name in scope.entries:
                if name not in use.memo:
                    return True, self.entry(name, scope.entries[name], scope, use)
                return True, use.memo[name]
            scope = scope.outer
        return False, None

    def within(self, at: Path, value: Any, entry: Entry, declared: Entry | None, scope: Scope) -> None:
        """A value, no cell, that closes a decision must be one of its values, if these are constants."""
        if (
            not isinstance(declared, Vary)
            or isinstance(entry, Vary)
            or not (is_point(value) or isinstance(value, tuple))
        ):
            return
        if isinstance(declared.domain, Members) and any(constant(i) is None for i in declared.domain.items):
            return
        values, labels = domain_of(self, declared.domain, scope, scope)
        if value not in values:
            shown = ", ".join(f"`{label}`" for label in labels[:12]) + (", ..." if len(labels) > 12 else "")
            where = declared.domain.span
            raise ArchError(errors.outside_domain(path_text(at), label_of(value), said(entry), where, shown))

    def cost(self, name: str, span: Span, branch: str = "") -> Metric:
        """A cost of the whole network, or of a branch: known to constraints only."""
        if not self.judging:
            help = "only `require` and goals name costs, of the network or of a branch"
            raise ArchError(errors.wrong_kind("a cost", "what one part of the network knows", span, help))
        if name in TIMES and not self.searching:
            raise ArchError(errors.latency_of_space(span))
        return Metric(f"{branch}.{name}" if branch else name, {**COSTS, **TIMES}[name])

    def declares(self, name: str, use: Scope) -> bool:
        """Whether a name is declared in `use` or outwards; nothing is evaluated."""
        overridden = name in self.decisions.overridden
        scope: Scope | None = use
        while scope is not None:
            if name in scope.values or name in scope.entries:
                return True
            if overridden and scope.kind != "item" and (*scope.path, name) in self.decisions.overrides:
                return True
            scope = scope.outer
        return False

    def entry(self, name: str, entry: Entry, declared: Scope, use: Scope) -> Any:
        """The value of an entry for the scope that reads it."""
        if name in declared.busy:
            raise ArchError(errors.recursive(name, said(entry)))
        declared.busy.add(name)
        outer, self.holder = self.holder, declared
        try:
            if isinstance(entry, Vary):
                owner = owner_of(use, declared, entry.per, entry.span)
                return self.vary(name, entry, owner, use)
            value = self.value(entry.value, use if declared in use.chain() else declared, _base(declared.path, name))
            if not is_callable(value):
                (declared.values if declared.kind == "body" else use.memo)[name] = value
            return value
        finally:
            declared.busy.discard(name)
            self.holder = outer

    def vary(self, name: str, entry: Vary, owner: Scope, use: Scope) -> Any:
        """The decision that `name in domain` makes in `owner`: a number, a list of numbers, or alternatives."""
        values, labels = domain_of(self, entry.domain, owner, use)
        if len(values) == 1 and (*owner.path, name) in self.decisions.overrides:
            return values[0]
        if values[0] == ():
            return ()
        decision = self.decisions.get(owner.path, name, values, labels, entry)
        if is_point(values[0]):
            return variable(decision)
        if not isinstance(values[0], tuple):
            return Alternatives(chosen(decision), values, labels)
        return tuple(tabulate((decision,), partial(_item, decision, k)) for k in range(len(values[0])))

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
        self.budget.left -= 1
        if self.budget.left < 0:
            self.budget.spend(0, expr.span)
        return _RULES[type(expr)](self, expr, use, base)

    def _number(self, expr: Number, use: Scope, base: Path) -> Any:
        return Quantity(expr.value, expr.unit) if expr.unit else plain(expr.value)

    def _constant(self, expr: Constant, use: Scope, base: Path) -> Any:
        return expr.value

    def _name(self, expr: Name, use: Scope, base: Path) -> Any:
        return self.lookup(expr.text, use, expr.span)

    def _list(self, expr: ListOf, use: Scope, base: Path) -> Any:
        return self.budget.listed(tuple(self.value(i, use, base) for i in expr.items), expr.span)

    def _comprehension(self, expr: Comprehension, use: Scope, base: Path) -> Any:
        out: list[Any] = []
        self._turns(expr, expr.loops, use, base, base, out)
        return self.budget.listed(tuple(out), expr.span)

    def _turns(
        self, expr: Comprehension, loops: tuple[Loop, ...], use: Scope, base: Path, at: Path, out: list[Any]
    ) -> None:
        """The turns of the loops that are left, each loop within the one before."""
        if not loops:
            if self._keeps(expr, use, base):
                out.append(self.value(expr.item, use, at))
            if len(out) > WIDEST:
                raise ArchError(errors.too_large("the list", f"more than {WIDEST:,} items", WIDEST, expr.span))
            return
        items = self.value(loops[0].iterable, use, base)
        if not isinstance(items, tuple):
            raise ArchError(errors.wrong_kind(kind_of(items), "a list", loops[0].iterable.span))
        for i, item in enumerate(items):
            part = item.lane if isinstance(item, Flow) and item.lane else i + 1
            scope = Scope("item", use.path, use.module, use, values={loops[0].variable: item})
            self._turns(expr, loops[1:], scope, base, (*at, part), out)

    def _keeps(self, expr: Comprehension, scope: Scope, base: Path) -> bool:
        if expr.condition is None:
            return True
        keep = self.value(expr.condition, scope, base)
        if isinstance(keep, bool):
            return keep
        what = deps(keep)[0].path if deps(keep) else "a value"
        raise ArchError(errors.not_static("the condition of a list", expr.condition.span, what))

    def _unary(self, expr: Unary, use: Scope, base: Path) -> Any:
        value = self.value(expr.operand, use, base)
        if expr.operator == "not":
            return apply("not", truth(value, expr.operand))
        return apply("-", 0, number(value, expr.operand))

    def _binary(self, expr: Binary, use: Scope, base: Path) -> Any:
        left, right = self.value(expr.left, use, base), self.value(expr.right, use, base)
        operator = expr.operator
        if operator in ("and", "or"):
            return apply(operator, truth(left, expr.left), truth(right, expr.right))
        if operator in ("+", "*") and (isinstance(left, Flow) or isinstance(right, Flow) or left is right is None):
            return self.builder.operate("sum" if operator == "+" else "multiply", (left, right), base, use, expr.span)
        if is_callable(left) or is_callable(right):
            return compare_labels(expr, left, right)
        if operator in ("==", "!=") and _comparable(left, right):
            return apply(operator, left, right)
        if operator in ("==", "!=") and isinstance(left, tuple) and isinstance(right, tuple):
            return compare_lists(operator, left, right)
        unit = common_unit(expr, left, right)
        left, right = bare(left), bare(right)
        if operator in ("/", "//", "%") and right == 0:
            raise ArchError(errors.divided_by_zero(expr.right.span))
        value = bounded(apply(operator, number(left, expr.left), number(right, expr.right)), expr.span)
        return (
            Quantity(Fraction(value), unit)
            if unit and isinstance(value, int | Fraction) and not isinstance(value, bool)
            else value
        )

    def _if(self, expr: If, use: Scope, base: Path) -> Any:
        condition = truth(self.value(expr.condition, use, base), expr.condition)
        if isinstance(condition, bool):
            return self.value(expr.then if condition else expr.otherwise, use, (*base, "yes" if condition else "no"))
        outer = self.builder.where
        try:
            self.builder.where = outer.within(condition)
            then = self.value(expr.then, use, (*base, "yes"))
            self.builder.where = outer.within(negate(condition))
            otherwise = self.value(expr.otherwise, use, (*base, "no"))
        finally:
            self.builder.where = outer
        select = apply("select", condition, 1, 0)  # true is option 0
        return self._pick(select, then, otherwise, base, expr.span)

    def _pick(self, select: Value, then: Any, otherwise: Any, base: Path, span: Span) -> Any:
        """One of two values, cells, flows or lists of one length."""
        if is_callable(then) or is_callable(otherwise):
            return Alternatives(select, (then, otherwise), ("then", "else"))
        if isinstance(then, Flow) or isinstance(otherwise, Flow):
            return self.builder.choose(select, (then, otherwise), base, span)
        if isinstance(then, tuple) and isinstance(otherwise, tuple) and len(then) == len(otherwise):
            pairs = enumerate(zip(then, otherwise, strict=True), start=1)
            return tuple(self._pick(select, a, b, (*base, k), span) for k, (a, b) in pairs)
        if then is None and otherwise is None:
            return None
        kinds = kind_of(otherwise), kind_of(then)
        if kinds[0] != kinds[1] or not all(is_point(v) or is_sym(v) for v in (then, otherwise)):
            raise ArchError(errors.wrong_kind(f"{kinds[0]} beside {kinds[1]}", "two sides of one kind", span))
        return apply("select", select, then, otherwise)

    def _chain(self, expr: Chain, use: Scope, base: Path) -> Any:
        first, *rest = expr.links
        value = self.value(first, use, base)
        if is_callable(value):
            links = [(self.named(first, value, use), first.span), *((self.link(li, use, base), li.span) for li in rest)]
            return Pipeline(tuple(links))
        for link in rest:
            if value is None and not self.joins(link, use, base):
                return None  # what is not there has no width that the rest could ask for
            value = self.builder.flow(self.link(link, use, base), value, base, use, link.span)
        return value

    def joins(self, link: Expr, use: Scope, base: Path) -> bool:
        """Whether a link takes a list of flows, of which `none` is left out."""
        callee = self.value(link.function if isinstance(link, Call) else link, use, base)
        return isinstance(callee, Operation) and callee.kind.inputs is None

    def link(self, link: Expr, use: Scope, base: Path) -> Any:
        value = self.value(link, use, base)
        if value is not None and not is_callable(value):
            raise ArchError(errors.wrong_kind(kind_of(value), "a cell or an operator", link.span))
        return self.named(link, value, use)

    def named(self, link: Expr, value: Any, use: Scope) -> Any:
        """A link of a chain that may stand for one cell or another: its path is that of the name, whichever it is."""
        if isinstance(link, If) and value is not None:
            return Named("if", value)
        if isinstance(link, Name) and value is not None and self.declares(link.text, use):
            return Named(link.text, value)
        return value


_RULES: Mapping[type[Expr], Callable[[Evaluator, Any, Scope, Path], Any]] = {
    Number: Evaluator._number,
    Constant: Evaluator._constant,
    Name: Evaluator._name,
    Attribute: evaluate_attribute,
    Index: evaluate_index,
    Call: evaluate_call,
    ListOf: Evaluator._list,
    Comprehension: Evaluator._comprehension,
    Unary: Evaluator._unary,
    Binary: Evaluator._binary,
    If: Evaluator._if,
    Chain: Evaluator._chain,
}
"""What evaluates each kind of expression."""


def _comparable(left: Any, right: Any) -> bool:
    """Whether `==` looks at two values as they are: texts and truths, beside numbers too."""
    return all(is_point(v) or is_sym(v) for v in (left, right)) and not (is_numeric(left) and is_numeric(right))


def _base(path: Path, name: str) -> Path:
    return path if name in ("out", "cell") else (*path, name)


def _item(decision: Decision, k: int, row: tuple[int, ...]) -> Any:
    """Element k of the chosen list."""
    return decision.values[row[0]][k]
