"""Rules to syntax nodes: one method of `Builder` for each rule of the grammar. Imports `syntax`, `numbers` and `errors`.

A method gets the span of its rule and its children: nodes, tokens, and None for optional parts that are absent.
"""

from fractions import Fraction
from typing import Any

from . import errors
from .diagnostic import ArchError, Diagnostic, Source, Span
from .numbers import read_number
from .syntax import (
    Attribute,
    Binary,
    Block,
    Call,
    Chain,
    Clause,
    Comprehension,
    Constant,
    Domain,
    Expr,
    File,
    Fix,
    Goal,
    If,
    Index,
    Interval,
    Line,
    Listed,
    ListOf,
    Loop,
    Members,
    Name,
    Number,
    Parameter,
    Prior,
    Require,
    Target,
    Unary,
    Use,
    Vary,
    Weight,
)
from .tables import STARTS
from .tokens import Token

LEVELS = 150
"""Operators, calls and brackets together may nest this deep; sums and `else if` nest with every term."""

Docs = tuple[str, ...] | None
Argument = Expr | Fix | Vary


class Builder:
    """Makes the nodes of one text and collects the faults that the grammar does not know."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Diagnostic] = []

    def node(self, rule: str, span: Span, depth: int, children: list[Any]) -> Any:
        """The node of a rule. Raises ArchError at the first that is too deep: nothing behind it is read."""
        if depth > LEVELS and rule not in STARTS:
            raise ArchError(*self.found, errors.too_deep(span, LEVELS))
        return getattr(self, f"_{rule}")(span, *children)

    def span(self, token: Token) -> Span:
        return Span(self.source, token.start, token.stop)

    # items and lines

    def _start(self, span: Span, header: None, items: tuple[Use | Block, ...]) -> File:
        return File(1, items, span=Span(self.source, 0, len(self.source.text)))

    def _header(self, span: Span, edition: Token) -> None:
        """The edition is checked before the grammar."""

    def _items(self, span: Span, *items: Use | Block) -> tuple[Use | Block, ...]:
        return items

    def _use(self, span: Span, path: tuple[str, ...], alias: Token | None) -> Use:
        return Use(path, alias and alias.text, span=span)

    def _dotted(self, span: Span, *names: Token) -> tuple[str, ...]:
        return tuple(name.text for name in names)

    def _block(self, span: Span, docs: Docs, head: tuple[Any, ...], body: tuple[Line, ...]) -> Block:
        kind, name, parameters, clauses, place = head
        return Block(kind, name, parameters, clauses, body, docs or (), span=span, head=place)

    def _head(
        self, span: Span, kind: Token, name: Token | None, parameters: tuple[Parameter, ...] | None, *clauses: Clause
    ) -> tuple[Any, ...]:
        return kind.text, name and name.text, parameters, clauses, span

    def _params(self, span: Span, *parameters: Parameter | None) -> tuple[Parameter, ...]:
        return tuple(p for p in parameters if p is not None)

    def _param(self, span: Span, name: Token, default: Expr | None) -> Parameter:
        return Parameter(name.text, default, span=span)

    def _on(self, span: Span, *names: Token) -> Clause:
        return Clause("on", tuple(Name(name.text, span=self.span(name)) for name in names), span=span)

    def _at(self, span: Span, value: Expr) -> Clause:
        return Clause("at", value=value, span=span)

    def _for_(self, span: Span, name: Token) -> Clause:
        return Clause("for", (Name(name.text, span=self.span(name)),), span=span)

    def _body(self, span: Span, *lines: Line | None) -> tuple[Line, ...]:
        return tuple(line for line in lines if line is not None)

    def _docs(self, span: Span, *lines: Token) -> tuple[str, ...]:
        return tuple(line.text.removeprefix("##").strip() for line in lines)

    def _fix(self, span: Span, docs: Docs, target: Target, value: Expr) -> Fix:
        return Fix(target, value, docs or (), span=span)

    def _vary(self, span: Span, docs: Docs, target: Target, domain: Domain, per: Token | None) -> Vary:
        self.check_domain(target, domain)
        return Vary(target, domain, per and per.text, docs or (), span=span)

    def _require(self, span: Span, docs: Docs, condition: Expr) -> Require:
        return Require(condition, docs or (), span=span)

    def _goal(self, span: Span, docs: Docs, direction: Token, value: Expr) -> Goal:
        return Goal(direction.text, value, docs or (), span=span)

    def _prior(self, span: Span, docs: Docs, quantity: Expr, *weights: Weight | None) -> Prior:
        return Prior(quantity, tuple(w for w in weights if w is not None), docs or (), span=span)

    def _weight(self, span: Span, value: Expr, weight: Expr) -> Weight:
        return Weight(value, weight, span=span)

    def _target(self, span: Span, first: Token, *parts: str | int) -> Target:
        return Target((first.text, *parts), span=span)

    def _dot(self, span: Span, name: Token) -> str:
        return name.text

    def _nth(self, span: Span, position: Token) -> int:
        value, unit = self.read(position)
        if unit or value.denominator != 1:
            help = "write a position: `[0]`"
            self.found.append(errors.unexpected(f"`{position.text}`", "a whole number", self.span(position), help))
        return int(value)

    # domains

    def _members(self, span: Span, *items: Expr | None) -> Members:
        return Members(tuple(item for item in items if item is not None), span=span)

    def _span(self, span: Span, first: Expr, last: Expr, by: Expr | None) -> Interval:
        return Interval(first, last, by, span=span)

    def _listed(self, span: Span, value: Expr) -> Listed:
        return Listed(value, span=span)

    def check_domain(self, target: Target, domain: Domain) -> None:
        """`width in 3` parses as a list that an expression gives."""
        if isinstance(domain, Listed) and isinstance(domain.value, Number | Constant | Unary | Binary):
            given = domain.span.text
            help = f"one value is fixed with `{target} = {given}`; several are `{{a, b}}` or `first..last`"
            self.found.append(errors.unexpected(f"`{given}`", "a domain", domain.span, help))

    # expressions

    def _number(self, span: Span, token: Token) -> Number:
        value, unit = self.read(token)
        return Number(value, unit, token.text, span=span)

    def read(self, token: Token) -> tuple[Fraction, str]:
        try:
            return read_number(token.text, self.span(token))
        except ArchError as fault:
            self.found += fault.found
            return Fraction(0), ""

    def _string(self, span: Span, token: Token) -> Constant:
        return Constant(token.text[1:-1], span=span)

    def _true(self, span: Span) -> Constant:
        return Constant(True, span=span)

    def _false(self, span: Span) -> Constant:
        return Constant(False, span=span)

    def _none(self, span: Span) -> Constant:
        return Constant(None, span=span)

    def _name(self, span: Span, token: Token) -> Name:
        return Name(token.text, span=span)

    def _list(self, span: Span, *items: Expr | None) -> ListOf:
        return ListOf(tuple(item for item in items if item is not None), span=span)

    def _comprehension(self, span: Span, item: Expr, *rest: Any) -> Comprehension:
        *loops, condition = rest
        return Comprehension(item, tuple(loops), condition, span=span)

    def _loop(self, span: Span, variable: Token, iterable: Expr) -> Loop:
        return Loop(variable.text, iterable, span=span)

    def _group(self, span: Span, inner: Expr) -> Expr:
        return inner

    def _attribute(self, span: Span, base: Expr, name: Token) -> Attribute:
        return Attribute(base, name.text, span=span)

    def _index(self, span: Span, base: Expr, index: Expr) -> Index:
        return Index(base, index, span=span)

    def _call(self, span: Span, function: Expr, *arguments: Argument | None) -> Call:
        named = tuple(a for a in arguments if isinstance(a, Fix | Vary))
        positional = tuple(a for a in arguments if a is not None and not isinstance(a, Fix | Vary))
        if named and positional and positional[-1].span.start > named[0].span.start:
            late = next(a for a in positional if a.span.start > named[0].span.start)
            help = "values in order come before the named ones"
            self.found.append(errors.unexpected("value in order", "`name = value`", late.span, help))
        return Call(function, positional, named, span=span)

    def _fixed_arg(self, span: Span, name: Token, value: Expr) -> Fix:
        return Fix(Target((name.text,), span=self.span(name)), value, span=span)

    def _varied_arg(self, span: Span, name: Token, domain: Domain, per: Token | None) -> Vary:
        target = Target((name.text,), span=self.span(name))
        self.check_domain(target, domain)
        return Vary(target, domain, per and per.text, span=span)

    def _if_(self, span: Span, condition: Expr, then: Expr, otherwise: Expr) -> If:
        return If(condition, then, otherwise, span=span)

    def _chain(self, span: Span, *links: Expr) -> Chain:
        return Chain(links, span=span)

    def _negative(self, span: Span, sign: Token, operand: Expr) -> Unary:
        return Unary("-", operand, span=span)

    def _negation(self, span: Span, operand: Expr) -> Unary:
        return Unary("not", operand, span=span)

    def _infix(self, span: Span, left: Expr, operator: Token, right: Expr) -> Binary:
        return Binary(operator.text, left, right, span=span)

    _sum = _product = _compare = _infix

    def _or_(self, span: Span, left: Expr, right: Expr) -> Binary:
        return Binary("or", left, right, span=span)

    def _and_(self, span: Span, left: Expr, right: Expr) -> Binary:
        return Binary("and", left, right, span=span)
