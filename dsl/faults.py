"""Syntax faults in the user's words: what stands there, what was expected, what to do.

Text and lark's fault in, diagnostics out. `scan` is the plain view of a text (words, marks, brackets, comments) that
needs no grammar, so it also works where the grammar gave up. Imports `diagnostic` and `errors`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import islice, pairwise
from typing import NamedTuple

from lark import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from . import errors
from .diagnostic import ArchError, Diagnostic, Source, Span
from .numbers import SCALES

NESTING = 60
"""Brackets may nest this deep."""
LENGTH = 1_000_000
"""No file is longer, in characters."""

WORDS = frozenset(
    "hrdsl use as on at for in per require step if then else or and not true false none maximize minimize".split()
)
"""The words of the language: none of them is a name."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_PIECE = re.compile(
    r"""
    (?P<comment>\#[^\n]*) | (?P<string>"[^"\n]*") | (?P<open>[(\[{]) | (?P<close>[)\]}]) | (?P<newline>\n)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9][A-Za-z0-9_]*(?:\.[0-9][A-Za-z0-9_]*)?(?:(?<=[eE])-[0-9]+)?)
    | (?P<mark>->|\.\.|<=|>=|==|!=|//|\S)
    """,
    re.VERBOSE,
)
_ITEM = re.compile(r"(?:cell|space|train|search)[ \t]+(?!in\b)[A-Za-z_]|use[ \t]+[A-Za-z_]")
_QUOTES = "'`\u2018\u2019\u201c\u201d\u201e"
_FOREIGN = {
    ":": "an entry is written `name = value`",
    ";": "an entry ends with its line: remove the `;`",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "^": "there are no powers: multiply",
    "?": "write `if condition then value else value`",
    "\\": "lines inside brackets go on by themselves: put the value in `( )`",
    "\r": "end lines with a newline",
    "\xa0": "replace it by a plain space",
    **dict.fromkeys(_QUOTES, 'strings stand in plain double quotes: `"text"`'),
    **dict.fromkeys("\u00d7\u00b7\u2217", "write `*`"),
    **dict.fromkeys("\u2013\u2014\u2212", "write `-`"),
    "÷": "write `/`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "→": "write `->`",
    "…": "write `..`",
    "∈": "write `in`",
}
_WANTED = {
    "NAME": "a name",
    "_NL": "the end of the line",
    "THEN": "`then`",
    "ELSE": "`else`",
    "FOR": "`for`",
    "IN": "`in`",
    "EQUAL": "`=`",
    "_RANGE": "`..`",
    "COMMA": "`,`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "PLUS": "an operator",
}
_OPENS = {")": "(", "]": "[", "}": "{"}
_COMPARES = ("<", ">", "<=", ">=", "==", "!=")
_BOUNDARIES = ("=", "in", ",", "->", "require", "maximize", "minimize", "if", "then", "else", "and", "or", "not")
_SHAPES = "an entry is `name = value` or `name in domain`, a block is `kind name { ... }`"


class Piece(NamedTuple):
    """A word, mark, bracket, number, string, comment or newline of a text."""

    kind: str
    text: str
    start: int
    stop: int


def scan(text: str, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
    """The pieces of a text in order; whatever the grammar says about them."""
    for match in _PIECE.finditer(text, start, len(text) if stop is None else stop):
        yield Piece(match.lastgroup or "", match[0], match.start(), match.end())


# before the grammar ------------------------------------------------------------------------------------------------


def check_text(source: Source) -> None:
    """Refuse what no grammar should see: over-long files, hidden characters, other editions, deep nesting."""
    text = source.text
    if len(text) > LENGTH:
        raise ArchError(errors.too_long(Span(source, 0, 1), len(text), LENGTH))
    hidden = _HIDDEN.search(text)
    if hidden:
        raise ArchError(errors.not_text(Span(source, hidden.start(), hidden.end()), _hidden(hidden[0])))
    header = list(islice(_code(scan(text)), 2))
    if len(header) == 2 and header[0].text == "hrdsl" and header[1].kind == "number" and header[1].text != "1":
        raise ArchError(errors.unknown_edition(_span(source, header[1])))
    depth = 0
    for piece in scan(text):
        depth += (piece.kind == "open") - (piece.kind == "close")
        if depth > NESTING:
            raise ArchError(errors.too_deep(_span(source, piece), NESTING))


def check_header(source: Source) -> tuple[Diagnostic | None, int]:
    """The fault of the first line, if any, and where the items start."""
    pieces = scan(source.text)
    first = next((p for p in pieces if p.kind != "newline" and not _is_comment(p)), None)
    if first is None or first.text != "hrdsl":
        at = _span(source, first) if first else Span(source, 0, 0)
        return errors.no_header(at), 0
    rest = [p for p in _until_newline(pieces) if not _is_comment(p)]
    stop = source.text.find("\n", first.start)
    stop = stop if stop >= 0 else len(source.text)
    if not rest or rest[0].kind != "number":
        return errors.unknown_edition(_span(source, rest[0] if rest else first)), stop
    if len(rest) > 1:
        return errors.one_per_line(_span(source, rest[1])), rest[1].start
    return None, stop


def chunks(text: str, start: int) -> list[tuple[int, int]]:
    """Where the items stand, found without the grammar: each begins in column 1."""
    cuts, depth, docs = [start], 0, -1
    for piece in scan(text, start):
        if piece.start == 0 or text[piece.start - 1] == "\n":
            if piece.kind == "comment":
                docs = piece.start if docs < 0 else docs
            elif piece.kind != "newline":
                if _ITEM.match(text, piece.start) or (depth <= 0 and piece.kind == "word"):
                    cuts.append(docs if docs >= 0 else piece.start)
                    depth = 0
                docs = -1
        elif piece.kind != "newline":
            docs = -1
        depth += (piece.kind == "open") - (piece.kind == "close")
    cuts.append(len(text))
    return [(a, b) for a, b in pairwise(cuts) if text[a:b].strip()]


def _hidden(char: str) -> str:
    names = {"\x00": "a NUL byte", "\ufeff": "a byte order mark"}
    if char in names:
        return names[char]
    if "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069" or char in "\u200e\u200f":
        return f"U+{ord(char):04X}, which changes the direction of the text"
    return f"the hidden character U+{ord(char):04X}"


def _is_comment(piece: Piece) -> bool:
    return piece.kind == "comment" and not piece.text.startswith("##")


def _code(pieces: Iterator[Piece]) -> Iterator[Piece]:
    return (p for p in pieces if p.kind not in ("comment", "newline"))


def _until_newline(pieces: Iterator[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        if piece.kind == "newline":
            return
        yield piece


def _span(source: Source, piece: Piece) -> Span:
    return Span(source, piece.start, piece.stop)


# after the grammar -------------------------------------------------------------------------------------------------


def explain_fault(source: Source, fault: UnexpectedInput, start: int, stop: int) -> Diagnostic:
    """One diagnostic for the parser's fault in the item that stands from `start` to `stop`."""
    at = fault.pos_in_stream if fault.pos_in_stream is not None else start
    if isinstance(fault, UnexpectedCharacters):
        return _foreign(source, at)
    assert isinstance(fault, UnexpectedToken)
    at = stop if fault.token.type == "$END" else at
    pieces = [p for p in scan(source.text, start, stop) if not _is_comment(p)]
    here = next((i for i, p in enumerate(pieces) if p.start >= at), len(pieces))
    place = _Place(source, pieces, here, frozenset(fault.accepts or fault.expected))
    return next(found for rule in RULES if (found := rule(place)))


def _foreign(source: Source, at: int) -> Diagnostic:
    """A character the language does not have."""
    char, line = source.text[at], source.line(at)[source.place(at)[1] - 1 :]
    if char == '"':
        end = at + len(line.rstrip())
        return errors.never_closed('"', Span(source, at, at + 1), Span(source, end, end + 1))
    quoted = re.match(f"[{_QUOTES}]([^{_QUOTES}]*)[{_QUOTES}]", line)
    if quoted:
        return errors.bad_character(char, Span(source, at, at + quoted.end()), f'write `"{quoted[1]}"`')
    run = len(line) - len(line.lstrip(char)) if char in "&|" else 1
    other = "names are made of a-z, A-Z, 0-9 and `_`" if char.isalpha() else "remove it"
    return errors.bad_character(char, Span(source, at, at + run), _FOREIGN.get(char, other))


@dataclass(frozen=True)
class _Place:
    """Where the parser stopped: before `pieces[here]`; it would have gone on with one of `accepts`."""

    source: Source
    pieces: list[Piece]
    here: int
    accepts: frozenset[str]

    @cached_property
    def line(self) -> list[Piece]:
        """What stands before the fault on its line."""
        first = self.here
        while first > 0 and self.pieces[first - 1].kind != "newline":
            first -= 1
        return self.pieces[first : self.here]

    @cached_property
    def before(self) -> Piece:
        """The last piece that fits."""
        return next((p for p in reversed(self.pieces[: self.here]) if p.kind != "newline"), self.pieces[0])

    @cached_property
    def found(self) -> Piece:
        """The piece that does not fit."""
        end = Piece("end", "", self.before.stop, self.before.stop)
        return self.pieces[self.here] if self.here < len(self.pieces) else end

    @cached_property
    def after(self) -> Piece:
        """The piece after that."""
        end = Piece("end", "", self.found.stop, self.found.stop)
        return self.pieces[self.here + 1] if self.here + 1 < len(self.pieces) else end

    @cached_property
    def brackets(self) -> tuple[dict[int, int], list[int], list[int]]:
        """Openers with their closers, openers without, closers without. Between braces the indentation decides."""
        pairs: dict[int, int] = {}
        lost: list[int] = []
        stray: list[int] = []
        stack: list[int] = []
        for i, piece in enumerate(self.pieces):
            if piece.kind == "open":
                stack.append(i)
            elif piece.kind == "close":
                depth = self._opener(stack, i)
                if depth is None:
                    stray.append(i)
                    continue
                lost += stack[depth + 1 :]
                pairs[stack[depth]] = i
                del stack[depth:]
        return pairs, sorted(lost + stack), stray

    def _opener(self, stack: list[int], close: int) -> int | None:
        fit = [d for d, i in enumerate(stack) if self.pieces[i].text == _OPENS[self.pieces[close].text]]
        if not fit:
            return None
        starts_line = close == 0 or self.pieces[close - 1].kind == "newline"
        outer = [d for d in fit if self._indent(stack[d]) <= self._indent(close)]
        return outer[-1] if starts_line and outer else fit[-1]

    def _indent(self, i: int) -> int:
        line = self.source.line(self.pieces[i].start)
        return len(line) - len(line.lstrip())

    def is_block(self, i: int) -> bool:
        return self.pieces[i].text == "{" and not (i > 0 and self.pieces[i - 1].text in ("in", "="))

    @property
    def wants_value(self) -> bool:
        return {"NUMBER", "LPAR"} <= self.accepts

    @property
    def at_line_end(self) -> bool:
        return self.found.kind in ("newline", "end")

    def back(self, fits: Callable[[Piece], bool]) -> int | None:
        """The nearest piece before the fault that fits, within the same brackets and the same entry."""
        opener = {close: first for first, close in self.brackets[0].items()}
        i = self.here - 1
        while i >= 0 and not fits(self.pieces[i]):
            if self.pieces[i].kind in ("open", "newline") or self.pieces[i].text == ",":
                return None
            i = opener.get(i, i) - 1
        return i if i >= 0 else None

    def forward(self) -> int:
        """Where the value that holds the fault ends."""
        i = self.here
        while i < len(self.pieces):
            piece = self.pieces[i]
            if piece.kind in ("close", "newline") or piece.text in (",", "and", "or", "then", "else", "->", "per"):
                break
            i = self.brackets[0].get(i, i) + 1
        return i

    def text(self, first: int, last: int) -> str:
        """The pieces from `first` up to but without `last` as the author wrote them."""
        return self.source.text[self.pieces[first].start : self.pieces[last - 1].stop] if first < last else "..."

    def span(self, piece: Piece) -> Span:
        """A piece's span; the end of a line shows right after the last piece that fits."""
        if piece.kind in ("newline", "end"):
            return Span(self.source, self.before.stop, self.before.stop + 1)
        return _span(self.source, piece)

    def unexpected(self, wanted: str, help: str) -> Diagnostic:
        names = {"newline": "end of the line", "end": "end", "comment": "documentation"}
        return errors.unexpected(
            names.get(self.found.kind, f"`{self.found.text}`"), wanted, self.span(self.found), help
        )


def _never_closed(p: _Place) -> Diagnostic | None:
    ended = p.found.kind in ("close", "end")
    lost = [i for i in p.brackets[1] if i < p.here and (ended or not p.is_block(i))]
    if not lost:
        return None
    return errors.never_closed(p.pieces[lost[-1]].text, p.span(p.pieces[lost[-1]]), p.span(p.found))


def _never_opened(p: _Place) -> Diagnostic | None:
    if p.here not in p.brackets[2]:
        return None
    opener = _OPENS[p.found.text]
    return p.unexpected(f"`{opener}` before it", f"remove it, or write the `{opener}` that it closes")


def _documentation(p: _Place) -> Diagnostic | None:
    help = "`##` stands on lines of its own before the entry or block it documents; elsewhere write `#`"
    if p.found.kind == "comment":
        return p.unexpected("the end of the line" if p.line else "a value", help)
    if p.before.kind == "comment":
        return errors.unexpected("documentation", "an entry or a block after it", p.span(p.before), help)
    return None


def _many_values(p: _Place) -> Diagnostic | None:
    """`width = {1, 2}` and `width = 1 .. 3`."""
    if p.found.text == "{" and p.before.text == "=":
        stop = p.pieces[p.brackets[0].get(p.here, p.here)].stop
        return errors.equals_set(Span(p.source, p.found.start, stop), p.text(_target(p, p.here - 1), p.here - 1))
    if p.found.text != "..":
        return None
    sign = p.back(lambda q: q.text in ("=", "in"))
    if sign is None or p.pieces[sign].text == "in":
        return p.unexpected(_wanted(p), "a range is written `width in 1..3` or `width in 32..128 step 32`")
    span = Span(p.source, p.pieces[sign + 1].start, p.pieces[p.forward() - 1].stop)
    return errors.equals_set(span, p.text(_target(p, sign), sign), "a range")


def _equals_and_in(p: _Place) -> Diagnostic | None:
    if {p.found.text, p.before.text} != {"=", "in"}:
        return None
    wanted = "a value" if p.before.text == "=" else "a domain"
    return p.unexpected(wanted, "`=` fixes one value, `in` searches several: keep one of the two")


def _comparison(p: _Place) -> Diagnostic | None:
    """Chains of comparisons, and `=` and `==` in each other's place."""
    if p.found.text == "=" and p.line and p.accepts & {"PLUS"} and "EQUAL" not in p.accepts:
        tested = p.line[0].text in ("require", "maximize", "minimize") or "THEN" in p.accepts
        return p.unexpected("an operator", "to compare, write `==`") if tested else None
    if p.found.text not in _COMPARES:
        return None
    if "EQUAL" in p.accepts:
        name, sign = p.text(_target(p, p.here), p.here), p.found.text
        if sign == "==":
            return p.unexpected("`=`", f"an entry is written `{name} = ...`; `==` compares")
        return p.unexpected("`=` or `in`", f"a constraint begins with `require`: `require {name} {sign} ...`")
    first = p.back(lambda q: q.text in _COMPARES or q.text in _BOUNDARIES)
    if first is None or p.pieces[first].text in _BOUNDARIES:
        return None
    left, middle = p.text(_target(p, first), first), p.text(first + 1, p.here)
    right = f"{middle} {p.found.text} {p.text(p.here + 1, p.forward())}"
    rewritten = f"{left} {p.pieces[first].text} {middle} and {right}"
    return errors.chained_comparison(p.span(p.found), p.span(p.pieces[first]), rewritten)


def _use(p: _Place) -> Diagnostic | None:
    if not p.line or p.line[0].text != "use" or p.found.text in WORDS or p.found.kind == "word":
        return None
    return p.unexpected(_wanted(p), "modules are named `use std.blocks` or `use std.blocks as b`")


def _reserved(p: _Place) -> Diagnostic | None:
    if p.found.text in ("=", "in") and p.before.text in WORDS and p.line == [p.before]:
        return errors.reserved(p.before.text, p.span(p.before))
    if p.accepts == {"NAME"} and p.before.text in WORDS and p.found.text in ("(", "{") and len(p.line) == 2:
        return errors.reserved(p.before.text, p.span(p.before))
    if p.found.text not in WORDS or "NAME" not in p.accepts:
        return None
    if p.wants_value and p.found.text in ("if", "not"):
        return p.unexpected("a value", f"inside an expression, put it in parentheses: `({p.found.text} ...)`")
    names = p.after.kind in ("word", "newline", "close") or p.after.text in ("=", "(", "{", ",", ".", "[")
    return errors.reserved(p.found.text, p.span(p.found)) if names or not p.wants_value else None


def _case(p: _Place) -> Diagnostic | None:
    """`IN`, `If`, `Require`."""
    for piece in (p.found, p.before):
        word = piece.text.lower()
        if piece.kind == "word" and piece.text not in WORDS and word in WORDS:
            help = f"the words of the language are in lower case: `{word}`"
            return errors.unexpected(f"`{piece.text}`", f"`{word}`", p.span(piece), help)
    return None


def _not_in(p: _Place) -> Diagnostic | None:
    """`width on {1, 2}`, `width {1, 2}`, `width of {1, 2}`."""
    brace = p.here if p.found.text == "{" else p.here - 1
    head = p.line[:-1] if brace < p.here else p.line
    if brace not in p.brackets[0] or p.pieces[brace].text != "{" or not head or head[-1].text in ("in", "="):
        return None
    if brace < p.here and (p.at_line_end or p.after.text in ("=", "in")):
        return None
    meant = f"did you mean `{head[0].text} in {p.text(brace, p.brackets[0][brace] + 1)}`?"
    if len(head) == 2 and head[1].kind == "word":
        return errors.unexpected(f"`{head[1].text}`", "`in`", p.span(head[1]), meant)
    return errors.unexpected("`{`", "`in`", p.span(p.pieces[brace]), meant) if len(head) == 1 else None


def _line_end(p: _Place) -> Diagnostic | None:
    """Two entries on one line, or a comma after the first."""
    if "_NL" not in p.accepts or not p.line:
        return None
    if p.found.text == ",":
        if p.after.kind == "word":
            return errors.one_per_line(p.span(p.after))
        return p.unexpected("the end of the line", "an entry ends with its line: remove the `,`")
    if p.found.text in SCALES and p.before.kind == "number" and p.after.kind in ("newline", "close", "end"):
        return p.unexpected(
            "the end of the line", f"a unit follows its number at once: `{p.before.text}{p.found.text}`"
        )
    starts = p.found.text in ("require", "use", "maximize", "minimize")
    if starts or (p.found.kind == "word" and (p.after.kind == "word" or p.after.text in ("=", ".", "[", "{", "("))):
        return errors.one_per_line(p.span(p.found))
    return None


def _domain(p: _Place) -> Diagnostic | None:
    """`width in 3`, `width in [1, 2]`, `width in 1 - 3`."""
    if p.wants_value and "LBRACE" in p.accepts:
        return p.unexpected("a domain", "a domain is a set `{1, 2}` or a range `1..3`")
    first = p.back(lambda q: q.text == "in")
    if "_RANGE" not in p.accepts or first is None:
        return None
    start, end = p.pieces[first + 1], p.text(first + 1, p.here)
    if start.text == "[" and p.before.text == "]":
        span = Span(p.source, start.start, p.before.stop)
        return errors.unexpected("list", "a set", span, f"a set of values is written `{{{end[1:-1].strip()}}}`")
    if p.at_line_end or p.found.kind == "close" or p.found.text == ",":
        name = p.text(_target(p, first), first)
        return p.unexpected(
            "`..`", f"one value is fixed with `{name} = {end}`; several are `{{a, b}}` or `first..last`"
        )
    return p.unexpected("`..`", "a range is written `first..last`, a set `{a, b}`")


def _missing_value(p: _Place) -> Diagnostic | None:
    if not p.wants_value:
        return None
    if p.at_line_end:
        return p.unexpected(
            "a value", f"write a value after `{p.before.text}` on the same line, or put the whole in `( )`"
        )
    return p.unexpected("a value", f"write a value between `{p.before.text}` and `{p.found.text}`")


def _head(p: _Place) -> Diagnostic | None:
    """`stage s1 on fine` without its brace, `width 16`, `width`."""
    if not {"LBRACE", "EQUAL"} & p.accepts or p.wants_value or not p.line or "_NL" in p.accepts:
        return None
    head = p.text(p.here - len(p.line), p.here)
    if "EQUAL" in p.accepts:
        given = p.text(p.here, p.forward()) if p.found.kind in ("number", "string") else "..."
        return p.unexpected("`=`, `in` or a block", f"an entry is written `{head} = {given}`")
    if p.found.text in ("=", "in"):
        return p.unexpected(_wanted(p), f"entries stand in blocks: `space name {{ {head} {p.found.text} ... }}`")
    meant = get_close_matches(p.line[0].text, ("require", "maximize", "minimize"), 1, 0.7)
    if meant:
        return errors.unexpected(
            f"`{p.line[0].text}`", f"`{meant[0]}`", p.span(p.line[0]), f"did you mean `{meant[0]}`?"
        )
    if p.at_line_end and any(q.text == "{" for q in p.pieces[p.here : p.here + 2]):
        return p.unexpected("`{`", f"put the `{{` on the same line: `{head} {{`")
    wanted = "`{`" if p.at_line_end else _wanted(p)
    return p.unexpected(wanted, f"a block is written `{head} {{ ... }}`")


def _missing_comma(p: _Place) -> Diagnostic | None:
    if "COMMA" not in p.accepts or not p.accepts & {"RPAR", "RSQB", "RBRACE"}:
        return None
    if p.found.kind in ("word", "number", "string", "open"):
        return p.unexpected("`,`", f"separate the values: `{p.before.text}, {p.found.text}`")
    return None


def _if(p: _Place) -> Diagnostic | None:
    if not p.accepts & {"THEN", "ELSE"}:
        return None
    return p.unexpected(_wanted(p), "every `if` has three parts: `if condition then value else value`")


def _operator_first(p: _Place) -> Diagnostic | None:
    """A line that starts with an operator: the line before has already ended."""
    if p.line or p.found.text not in ("+", "-", "*", "/", "//", "%", ".", "..", "and", "or", *_COMPARES):
        return None
    return p.unexpected("an entry or a block", "an entry ends with its line: to go on, put the value in `( )`")


def _otherwise(p: _Place) -> Diagnostic:
    if p.found.kind in ("number", "string") and not p.line:
        return p.unexpected("an entry or a block", _SHAPES)
    if "_NL" in p.accepts and p.line and not p.at_line_end:
        return p.unexpected(_wanted(p), "an entry ends with its line")
    if p.accepts == {"IN"}:
        return p.unexpected(_wanted(p), "a list is built by `[value for name in list if condition]`")
    if p.accepts == {"NAME"}:
        return p.unexpected("a name", "names are made of a-z, A-Z, 0-9 and `_`")
    return p.unexpected(_wanted(p), _SHAPES)


RULES: tuple[Callable[[_Place], Diagnostic | None], ...] = (
    _never_closed,
    _never_opened,
    _documentation,
    _many_values,
    _equals_and_in,
    _comparison,
    _case,
    _use,
    _not_in,
    _line_end,
    _reserved,
    _operator_first,
    _domain,
    _missing_value,
    _head,
    _missing_comma,
    _if,
    _otherwise,
)
"""From the most particular to the general; the first that answers wins."""


def _target(p: _Place, end: int) -> int:
    """Where the operand or the entry's name that ends before piece `end` begins."""
    opener = {close: first for first, close in p.brackets[0].items()}
    i = end
    while i > 0 and p.pieces[i - 1].text not in _BOUNDARIES and p.pieces[i - 1].kind not in ("open", "newline"):
        i = opener.get(i - 1, i - 1)
    return i


def _wanted(p: _Place) -> str:
    """What would fit, in words: `a`, `b` or `c`."""
    names = [words for name, words in _WANTED.items() if name in p.accepts]
    names = ["an entry or a block"] if "REQUIRE" in p.accepts and not p.line else names
    *most, last = names or ["something else"]
    return f"{', '.join(most)} or {last}" if most else last
