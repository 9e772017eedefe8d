"""The one canonical form of a text: source in, text out; nothing to configure, every comment kept.

`flat` writes an expression on one line; a `_Writer` breaks what is too long or holds comments. Comments come from `scan`
and go back by position: those on lines of their own before what follows them, the others to the end of their line.
Imports `parser`, `faults` and the syntax tree.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from .diagnostic import Source
from .faults import Piece, scan
from .parser import parse
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
    ListOf,
    Members,
    Name,
    Number,
    Parameter,
    Require,
    Syntax,
    Unary,
    Use,
    Vary,
)

WIDTH = 100
"""No line is longer, where it can be broken."""

_ANY, _CHAIN, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY, _POSTFIX = range(10)
_LEVELS = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("<=", ">=", "==", "!=", "<", ">"), _COMPARE),
    **dict.fromkeys(("+", "-"), _SUM),
    **dict.fromkeys(("*", "/", "//", "%"), _PRODUCT),
}


def format_text(source: Source) -> str:
    """The canonical text of a file. Raises ArchError where it does not parse."""
    return _Writer(source).file(parse(source))


# on one line -------------------------------------------------------------------------------------------------------


def flat(part: Expr | Domain | Fix | Vary | Parameter, least: int = _ANY) -> str:
    """A part on one line; in parentheses if it binds less tightly than `least`."""
    text = _FLAT[type(part)](part)
    return f"({text})" if _level(part) < least else text


def _level(part: Syntax) -> int:
    match part:
        case If():
            return _ANY
        case Chain():
            return _CHAIN
        case Binary(operator=operator):
            return _LEVELS[operator]
        case Unary(operator="not"):
            return _NOT
        case Unary():
            return _UNARY
        case _:
            return _POSTFIX


def _operands(part: Binary) -> tuple[int, int]:
    """How tightly the two sides of an operator must bind without parentheses."""
    level = _LEVELS[part.operator]
    return (_SUM, _SUM) if level == _COMPARE else (level, level + 1)


def _list(parts: Sequence[Expr | Fix | Vary | Parameter]) -> str:
    return ", ".join(flat(p) for p in parts)


def _is_fraction(part: Syntax) -> bool:
    """`3/2` and `-3/2`: a number that only looks like a division."""
    match part:
        case Binary(operator="/", left=Number() | Unary(operator="-", operand=Number()), right=Number()):
            return True
    return False


def _binary(part: Binary) -> str:
    left, right = (flat(p, least) for p, least in zip((part.left, part.right), _operands(part), strict=True))
    return f"{left}/{right}" if _is_fraction(part) else f"{left} {part.operator} {right}"


def _interval(part: Interval) -> str:
    wide = any(isinstance(p, Binary) and not _is_fraction(p) for p in (part.first, part.last))
    by = "" if part.by is None else f" step {flat(part.by, _SUM)}"
    return f"{flat(part.first, _SUM)}{' .. ' if wide else '..'}{flat(part.last, _SUM)}{by}"


def _comprehension(part: Comprehension) -> str:
    return f"[{' '.join(word + flat(inner, least) for word, inner, least in _clauses(part))}]"


def _clauses(part: Comprehension) -> list[tuple[str, Expr, int]]:
    parts = [("", part.item, _ANY), (f"for {part.variable} in ", part.iterable, _CHAIN)]
    return parts if part.condition is None else [*parts, ("if ", part.condition, _CHAIN)]


def _branches(part: If) -> list[tuple[str, Expr, int]]:
    parts = [("if ", part.condition, _CHAIN), ("then ", part.then, _CHAIN)]
    while isinstance(part.otherwise, If):
        part = part.otherwise
        parts += [("else if ", part.condition, _CHAIN), ("then ", part.then, _CHAIN)]
    return [*parts, ("else ", part.otherwise, _CHAIN)]


def _constant(part: Constant) -> str:
    return f'"{part.value}"' if isinstance(part.value, str) else str(part.value).lower()


def _per(part: Vary) -> str:
    return f" per {part.per}" if part.per else ""


_FLAT: dict[type, Callable[..., str]] = {
    Number: lambda p: p.text,
    Constant: _constant,
    Name: lambda p: p.text,
    Attribute: lambda p: f"{flat(p.base, _POSTFIX)}.{p.name}",
    Index: lambda p: f"{flat(p.base, _POSTFIX)}[{flat(p.index)}]",
    Call: lambda p: f"{flat(p.function, _POSTFIX)}({_list((*p.positional, *p.named))})",
    ListOf: lambda p: f"[{_list(p.items)}]",
    Comprehension: _comprehension,
    Unary: lambda p: f"not {flat(p.operand, _NOT)}" if p.operator == "not" else f"-{flat(p.operand, _UNARY)}",
    Binary: _binary,
    If: lambda p: " ".join(word + flat(inner, least) for word, inner, least in _branches(p)),
    Chain: lambda p: " -> ".join(flat(link, _OR) for link in p.links),
    Members: lambda p: f"{{{_list(p.items)}}}",
    Interval: _interval,
    Fix: lambda p: f"{p.target} = {flat(p.value)}",
    Vary: lambda p: f"{p.target} in {flat(p.domain)}{_per(p)}",
    Parameter: lambda p: p.name if p.default is None else f"{p.name} = {flat(p.default)}",
}


# on many lines -----------------------------------------------------------------------------------------------------


class _Writer:
    """Writes one file in order; `self.comments[self.at :]` are not written yet."""

    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.pieces = list(scan(source.text))
        self.starts = [p.start for p in self.pieces]
        self.comments = [p for p in self.pieces if p.kind == "comment" and not p.text.startswith("##")]
        self.docs = [p for p in self.pieces if p.kind == "comment" and p.text.startswith("##")]
        self.at = 0

    # comments

    def take(self, before: int) -> list[Piece]:
        """The comments that stand before an offset and are not written yet."""
        first = self.at
        while self.at < len(self.comments) and self.comments[self.at].start < before:
            self.at += 1
        return self.comments[first : self.at]

    def trailing(self, stop: int, before: int) -> str:
        """The comment at the end of the line on which something stopped, if nothing else comes between."""
        end = self.text.find("\n", stop)
        found = self.take(min(before, end if end >= 0 else len(self.text)))
        return f"  {found[0].text.rstrip()}" if found else ""

    def has_comment(self, part: Syntax) -> bool:
        return self.at < len(self.comments) and part.span.start <= self.comments[self.at].start < part.span.stop

    def own_lines(self, comments: list[Piece], indent: int) -> list[str]:
        """Comments on lines of their own, with the blank lines before them."""
        out: list[str] = []
        for comment in comments:
            out += [""] * self.blank_before(comment.start) + [" " * indent + comment.text.rstrip()]
        return out

    def blank_before(self, start: int) -> bool:
        """Is the line before the one that holds `start` blank?"""
        head = self.text[: self.text.rfind("\n", 0, start) + 1]
        return not self.text[len(head) : start].strip() and head.endswith("\n") and not _last_line(head).strip()

    def find(self, bracket: str, after: int) -> int:
        """The offset of the first such bracket after an offset."""
        i = bisect_left(self.starts, after)
        return next(p.start for p in self.pieces[i:] if p.text == bracket)

    # items and lines

    def file(self, file: File) -> str:
        header = next(p for p in self.pieces if p.text == "hrdsl")
        out = self.own_lines(self.take(header.start), 0)
        out.append("hrdsl 1" + self.trailing(header.stop, file.items[0].span.start if file.items else len(self.text)))
        last: Use | Block | None = None
        for i, item in enumerate(file.items):
            after = file.items[i + 1].span.start if i + 1 < len(file.items) else len(self.text)
            lines = self.line(item, 0, after)
            together = isinstance(item, Use) and isinstance(last, Use)
            out += lines if together or lines[0] == "" else ["", *lines]
            last = item
        tail = self.own_lines(self.take(len(self.text)), 0)
        out += ["", *tail] if tail and tail[0] else tail
        return "\n".join(out).lstrip("\n") + "\n"

    def line(self, line: Line | Use, indent: int, after: int) -> list[str]:
        """An entry or a block with its blank line, comments and documentation; `after` is where the next one starts."""
        docs = () if isinstance(line, Use) else line.docs
        start = self.first_doc(line) if docs else line.span.start
        blank = [""] * self.blank_before(start)
        lead = self.own_lines(self.take(line.span.start), indent)
        body = self.block(line, indent) if isinstance(line, Block) else self.entry(line, indent)
        stray = [" " * indent + c.text.rstrip() for c in self.take(line.span.stop)]
        body[-1] += self.trailing(line.span.stop, after)
        return [*lead, *blank, *stray, *(f"{' ' * indent}## {d}".rstrip() for d in docs), *body]

    def first_doc(self, line: Line) -> int:
        i = bisect_left([d.start for d in self.docs], line.span.start)
        return self.docs[i - len(line.docs)].start

    def entry(self, line: Fix | Vary | Require | Goal | Use, indent: int) -> list[str]:
        pad = " " * indent
        match line:
            case Use():
                return [f"{pad}use {'.'.join(line.path)}" + (f" as {line.alias}" if line.alias else "")]
            case Require():
                return self.after(f"{pad}require ", line.condition, indent)
            case Goal():
                return self.after(f"{pad}{line.direction} ", line.value, indent)
            case _:
                return self.argument(line, indent, pad)

    def block(self, block: Block, indent: int) -> list[str]:
        pad = " " * indent
        name = f"{block.kind} {block.name}" if block.name else block.kind
        clauses = "".join(f" {_clause(c)}" for c in block.clauses)
        short = self.one_line(block, f"{pad}{name}", clauses)
        if short:
            return [short]
        head = self.head(block, f"{pad}{name}", clauses, indent)
        brace = self.find("{", block.head.stop)
        stray = [pad + c.text.rstrip() for c in self.take(brace)]
        first = block.lines[0] if block.lines else None
        inner = block.span.stop - 1 if first is None else self.first_doc(first) if _docs(first) else first.span.start
        head[-1] += " {" + self.trailing(brace, inner)
        body: list[str] = []
        for i, line in enumerate(block.lines):
            after = block.lines[i + 1].span.start if i + 1 < len(block.lines) else block.span.stop - 1
            body += self.line(line, indent + 2, after)
        body += self.own_lines(self.take(block.span.stop - 1), indent + 2)
        while body and not body[0]:
            del body[0]
        return [*stray, *head, *body, f"{pad}}}"]

    def one_line(self, block: Block, name: str, clauses: str) -> str:
        """The block on one line, or nothing if it does not belong there."""
        if self.has_comment(block) or len(block.lines) > 1:
            return ""
        params = "" if block.parameters is None else f"({_list(block.parameters)})"
        if not block.lines:
            text = f"{name}{params}{clauses} {{}}"
            return text if len(text) <= WIDTH else ""
        line = block.lines[0]
        if isinstance(line, Block) or line.docs or "\n" in block.span.text:
            return ""
        text = f"{name}{params}{clauses} {{ {_flat_line(line)} }}"
        return text if len(text) <= WIDTH else ""

    def head(self, block: Block, name: str, clauses: str, indent: int) -> list[str]:
        if block.parameters is None:
            return [name + clauses]
        text = f"{name}({_list(block.parameters)}){clauses}"
        stop = self.find(")", block.parameters[-1].span.stop) if block.parameters else block.head.stop
        commented = self.at < len(self.comments) and block.span.start <= self.comments[self.at].start < stop
        if not commented and len(text) + 2 <= WIDTH:
            return [text]
        return self.group(f"{name}(", block.parameters, "){}".format(clauses), indent, stop)

    # expressions

    def after(self, lead: str, part: Expr, indent: int, tail: int = 0, least: int = _ANY) -> list[str]:
        """`part` behind `lead`, the first of its lines."""
        text = lead + flat(part, least)
        if len(text) + tail <= WIDTH and not self.has_comment(part):
            return [text]
        return self.broken(lead, part, indent, least)

    def broken(self, lead: str, part: Expr, indent: int, least: int) -> list[str]:
        match part:
            case Chain() if least > _CHAIN:
                return self.wrapped(lead, [("", part, _ANY)], ")", indent, part.span.stop)
            case Chain():
                return self.chain(lead, part, indent)
            case If():
                return self.wrapped(lead, _branches(part), ")", indent, part.span.stop)
            case Binary():
                return self.wrapped(lead, _terms(part, _LEVELS[part.operator]), ")", indent, part.span.stop)
            case Unary():
                sign, inner = ("not ", _NOT) if part.operator == "not" else ("-", _UNARY)
                return self.after(lead + sign, part.operand, indent, 0, inner)
            case Attribute():
                out = self.after(lead, part.base, indent, len(part.name) + 1, _POSTFIX)
                return [*out[:-1], f"{out[-1]}.{part.name}"]
            case Index():
                out = self.after(lead, part.base, indent, 1, _POSTFIX)
                out = [*out[:-1], *self.after(f"{out[-1]}[", part.index, indent, 1)]
                return [*out[:-1], f"{out[-1]}]"]
            case Call():
                out = self.after(lead, part.function, indent, 1, _POSTFIX)
                args = (*part.positional, *part.named)
                return [*out[:-1], *self.group(f"{out[-1]}(", args, ")", indent, part.span.stop - 1)]
            case ListOf():
                return self.group(f"{lead}[", part.items, "]", indent, part.span.stop - 1)
            case Comprehension():
                return self.wrapped(lead, _clauses(part), "]", indent, part.span.stop - 1)
            case _:
                return [lead + flat(part, least)]

    def argument(self, part: Expr | Fix | Vary | Parameter, indent: int, lead: str, tail: int = 0) -> list[str]:
        """What stands between the commas of a call, or an entry."""
        match part:
            case Fix():
                return self.after(f"{lead}{part.target} = ", part.value, indent, tail)
            case Parameter(default=None):
                return [lead + part.name]
            case Parameter(default=default):
                assert default is not None
                return self.after(f"{lead}{part.name} = ", default, indent, tail)
            case Vary(domain=Members() as members):
                text = lead + flat(part)
                if len(text) + tail <= WIDTH and not self.has_comment(members):
                    return [text]
                close = members.span.stop - 1
                return self.group(f"{lead}{part.target} in {{", members.items, "}" + _per(part), indent, close)
            case Vary():
                return [lead + flat(part)]
            case _:
                return self.after(lead, part, indent, tail)

    def group(
        self, lead: str, parts: Sequence[Expr | Fix | Vary | Parameter], close: str, indent: int, stop: int
    ) -> list[str]:
        """One part per line, each with a comma; the closing bracket stands at `stop`."""
        if not parts:
            return [lead + self.open_comment(stop), *self.own(stop, indent + 2), " " * indent + close]
        out = [lead + self.open_comment(parts[0].span.start)]
        for i, part in enumerate(parts):
            after = parts[i + 1].span.start if i + 1 < len(parts) else stop
            lead_lines = self.own(part.span.start, indent + 2)
            lines = self.argument(part, indent + 2, " " * (indent + 2), 1)
            stray = self.own(part.span.stop, indent + 2)
            lines[-1] += "," + self.trailing(part.span.stop, after)
            out += [*lead_lines, *stray, *lines]
        return [*out, *self.own(stop, indent + 2), " " * indent + close]
