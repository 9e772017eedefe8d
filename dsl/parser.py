"""Text in, syntax tree out. LALR(1) tables are cached; newlines inside brackets and around `->` do not count."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, TextSlice, Token, Tree, UnexpectedInput
from lark import __version__ as lark_version

from . import errors
from .diagnostic import ArchError, Diagnostic, Source, Span
from .faults import check_header, check_text, chunks, explain_fault
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
    Expr,
    File,
    Fix,
    Goal,
    If,
    Index,
    Interval,
    Line,
    ListOf,
    Members,
    Name,
    Number,
    Parameter,
    Require,
    Target,
    Unary,
    Use,
    Vary,
)

LEVELS = 150
"""Operators, calls and brackets together may nest this deep; sums and `else if` nest with every term."""
FAULTS = 50
"""No run reports more."""


JOINTS = ("_ARROW", "THEN", "ELSE", "AND", "OR")
"""A line may end before or after these."""


class Newlines:
    """Drop newlines inside `( )`, `[ ]` and the braces of a domain, and on either side of `->`."""

    always_accept = ("_NL",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth: list[str] = []
        held: Token | None = None
        last = ""
        for token in stream:
            if token.type == "_NL":
                held = None if depth or last in JOINTS or last in ("_NL", "") else (held or token)
                continue
            if held is not None and token.type not in JOINTS:
                yield held
                last = "_NL"
            held = None
            if token.type in ("LPAR", "LSQB") or (token.type == "LBRACE" and (depth or last == "IN")):
                depth.append(token.type)
            elif token.type in ("RPAR", "RSQB", "RBRACE") and depth:
                depth.pop()
            yield token
            last = token.type
        if held is not None:
            yield held


def _cache_file(grammar: str) -> str | bool:
    """Where the tables are kept: per user, named by grammar and lark version; no file where none can be written."""
    key = hashlib.sha256(f"{lark_version}\n{grammar}".encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"hrdsl-{os.getuid() if hasattr(os, 'getuid') else 'tables'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.stat()
        if hasattr(os, "getuid") and (owner.st_uid != os.getuid() or owner.st_mode & 0o022):
            return False
    except OSError:
        return False
    return str(folder / f"tables-{key}.lark") if os.access(folder, os.W_OK) else False


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        start=["start", "items"],
        parser="lalr",
        lexer="basic",
        propagate_positions=True,
        maybe_placeholders=True,
        postlex=Newlines(),
        cache=_cache_file(grammar),
    )


def parse(source: Source) -> File:
    """Read one file. Raises ArchError with the syntax faults of every item."""
    check_text(source)
    text = source.text + "\n"
    try:
        tree = _parser().parse(text, start="start")
    except UnexpectedInput as fault:
        raise ArchError(*_faults(source, text, fault)) from None
    build = _Builder(source)
    try:
        file = build.file(tree)
    except RecursionError:
        raise ArchError(errors.too_deep(Span(source, 0, 1), LEVELS)) from None
    build.check()
    return file


def _faults(source: Source, text: str, whole: UnexpectedInput) -> list[Diagnostic]:
    """The faults of a file, item by item, so that one fault does not hide the others."""
    header, start = check_header(source)
    found = [header] if header else []
    for first, last in chunks(text, start):
        build = _Builder(source)
        try:
            build.items(_parser().parse(TextSlice(text, first, last), start="items"))
            found += build.found
        except UnexpectedInput as fault:
            found.append(explain_fault(source, fault, first, last))
        except ArchError as error:
            found += error.found
        except RecursionError:
            found.append(errors.too_deep(Span(source, first, first + 1), LEVELS))
        if len(found) >= FAULTS:
            break
    return found[:FAULTS] or [explain_fault(source, whole, 0, len(text))]


class _Builder:
    """Lark's tree to ours, one method for each rule."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Diagnostic] = []

    def check(self) -> None:
        """Raise what was found on the way."""
        if self.found:
            raise ArchError(*self.found[:FAULTS])

    def span(self, node: Tree[Token] | Token) -> Span:
        if isinstance(node, Token):
            assert node.start_pos is not None and node.end_pos is not None
            return Span(self.source, node.start_pos, node.end_pos)
        if node.meta.empty:
            return Span(self.source, 0, 0)
        return Span(self.source, node.meta.start_pos, node.meta.end_pos)

    def file(self, tree: Tree[Token]) -> File:
        return File(1, self.items(tree.children[1]), span=Span(self.source, 0, len(self.source.text)))

    def items(self, tree: Any) -> tuple[Use | Block, ...]:
        """All items of a tree, unless it is too deep to walk."""
        layer, depth = [tree], 0
        while layer:
            if depth > LEVELS:
                raise ArchError(errors.too_deep(self.span(layer[0]), LEVELS))
            layer = [c for node in layer for c in node.children if isinstance(c, Tree)]
            depth += 1
        return tuple(self.make(item) for item in tree.children)

    def make(self, node: Any) -> Any:
        if isinstance(node, Token):
            return str(node)
        build: Callable[[Any], Any] = getattr(self, f"_{node.data}")
        return build(node)

    # items and lines

    def _use(self, node: Any) -> Use:
        dotted, alias = node.children
        return Use(tuple(map(str, dotted.children)), alias and str(alias), span=self.span(node))

    def _block(self, node: Any) -> Block:
        docs, kind, name, params, *rest = node.children
        *clauses, body = rest
        head = self.span(kind).to(self.span((clauses or [params or name or kind])[-1]))
        return Block(
            str(kind),
            name and str(name),
            None if params is None else tuple(self._param(p) for p in params.children if p is not None),
            tuple(self.make(c) for c in clauses),
            tuple(self._line(line) for line in body.children if line is not None),
            self._docs(docs),
            span=self.span(kind).to(self.span(node)),
            head=head,
        )

    def _param(self, node: Any) -> Parameter:
        name, default = node.children
        return Parameter(str(name), None if default is None else self.expr(default), span=self.span(node))

    def _on(self, node: Any) -> Clause:
        return Clause("on", tuple(Name(str(n), span=self.span(n)) for n in node.children), span=self.span(node))

    def _at(self, node: Any) -> Clause:
        return Clause("at", value=self.expr(node.children[0]), span=self.span(node))

    def _for_(self, node: Any) -> Clause:
        name = node.children[0]
        return Clause("for", (Name(str(name), span=self.span(name)),), span=self.span(node))

    def _line(self, node: Any) -> Line:
        line: Line = self.make(node)
        return line

    def _docs(self, node: Any) -> tuple[str, ...]:
        return () if node is None else tuple(str(line).removeprefix("##").strip() for line in node.children)

    def _body_span(self, node: Any, first: Any) -> Span:
        return self.span(first).to(self.span(node))

    def _fix(self, node: Any) -> Fix:
        docs, target, value = node.children
        return Fix(self._target(target), self.expr(value), self._docs(docs), span=self._body_span(node, target))

    def _vary(self, node: Any) -> Vary:
        docs, target, domain, per = node.children
        span = self._body_span(node, target)
        return Vary(self._target(target), self.make(domain), per and str(per), self._docs(docs), span=span)

    def _require(self, node: Any) -> Require:
        docs, condition = node.children
        return Require(self.expr(condition), self._docs(docs), span=self.span(condition))

    def _goal(self, node: Any) -> Goal:
        docs, direction, value = node.children
        return Goal(str(direction), self.expr(value), self._docs(docs), span=self._body_span(node, direction))

    def _target(self, node: Any) -> Target:
        first, *parts = node.children
        rest = tuple(str(p.children[0]) if p.data == "dot" else self._position(p.children[0]) for p in parts)
        return Target((str(first), *rest), span=self.span(node))

    def _position(self, token: Token) -> int:
        value, unit = self._read(token)
        if unit or value.denominator != 1:
            self.found.append(
                errors.unexpected(f"`{token}`", "a whole number", self.span(token), "write a position: `[0]`")
            )
        return int(value)

    # domains and expressions

    def _members(self, node: Any) -> Members:
        return Members(tuple(self.expr(c) for c in node.children if c is not None), span=self.span(node))

    def _span(self, node: Any) -> Interval:
        first, last, by = node.children
        return Interval(self.expr(first), self.expr(last), None if by is None else self.expr(by), span=self.span(node))

    def expr(self, node: Any) -> Expr:
        value: Expr = self.make(node)
        return value

    def _number(self, node: Any) -> Number:
        value, unit = self._read(node.children[0])
        return Number(value, unit, str(node.children[0]), span=self.span(node))

    def _read(self, token: Token) -> tuple[Fraction, str]:
        try:
            return read_number(str(token), self.span(token))
        except ArchError as error:
            self.found += error.found
            return Fraction(0), ""

    def _string(self, node: Any) -> Constant:
        return Constant(str(node.children[0])[1:-1], span=self.span(node))

    def _true(self, node: Any) -> Constant:
        return Constant(True, span=self.span(node))

    def _false(self, node: Any) -> Constant:
        return Constant(False, span=self.span(node))

    def _none(self, node: Any) -> Constant:
        return Constant(None, span=self.span(node))

    def _name(self, node: Any) -> Name:
        return Name(str(node.children[0]), span=self.span(node))

    def _list(self, node: Any) -> ListOf:
        return ListOf(tuple(self.expr(c) for c in node.children if c is not None), span=self.span(node))

    def _comprehension(self, node: Any) -> Comprehension:
        item, variable, iterable, condition = node.children
        made = None if condition is None else self.expr(condition)
        return Comprehension(self.expr(item), str(variable), self.expr(iterable), made, span=self.span(node))

    def _group(self, node: Any) -> Expr:
        return self.expr(node.children[0])

    def _attribute(self, node: Any) -> Attribute:
        base, name = node.children
        return Attribute(self.expr(base), str(name), span=self.span(node))

    def _index(self, node: Any) -> Index:
        base, index = node.children
        return Index(self.expr(base), self.expr(index), span=self.span(node))

    def _call(self, node: Any) -> Call:
        function, *args = node.children
        made = [self.make(a) for a in args if a is not None]
        positional = [a for a in made if not isinstance(a, Fix | Vary)]
        named = [a for a in made if isinstance(a, Fix | Vary)]
        late = [a for a in made[len(positional) :] if not isinstance(a, Fix | Vary)]
        if late:
            help = "values in order come before the named ones"
            self.found.append(errors.unexpected("value in order", "`name = value`", late[0].span, help))
        return Call(self.expr(function), tuple(positional), tuple(named), span=self.span(node))

    def _fixed_arg(self, node: Any) -> Fix:
        name, value = node.children
        return Fix(Target((str(name),), span=self.span(name)), self.expr(value), span=self.span(node))

    def _varied_arg(self, node: Any) -> Vary:
        name, domain, per = node.children
        target = Target((str(name),), span=self.span(name))
        return Vary(target, self.make(domain), per and str(per), span=self.span(node))

    def _if_(self, node: Any) -> If:
        condition, then, otherwise = node.children
        return If(self.expr(condition), self.expr(then), self.expr(otherwise), span=self.span(node))

    def _chain(self, node: Any) -> Chain:
        return Chain(tuple(self.expr(c) for c in node.children), span=self.span(node))

    def _negative(self, node: Any) -> Unary:
        return Unary("-", self.expr(node.children[-1]), span=self.span(node))

    def _negation(self, node: Any) -> Unary:
        return Unary("not", self.expr(node.children[0]), span=self.span(node))

    def _infix(self, node: Any) -> Binary:
        left, operator, right = node.children
        return Binary(str(operator), self.expr(left), self.expr(right), span=self.span(node))

    _sum = _product = _compare = _infix

    def _or_(self, node: Any) -> Binary:
        left, right = node.children
        return Binary("or", self.expr(left), self.expr(right), span=self.span(node))

    def _and_(self, node: Any) -> Binary:
        left, right = node.children
        return Binary("and", self.expr(left), self.expr(right), span=self.span(node))
