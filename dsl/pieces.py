"""The plain view of a text: words, marks, brackets, comments. It needs no grammar, so it works where the grammar gives up.

Text in, pieces out; and what is refused before the grammar sees it. Imports `diagnostic` and `errors`.
"""

import re
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from . import errors
from .diagnostic import ArchError, Diagnostic, Source, Span

NESTING = 60
"""Brackets may nest this deep."""
LENGTH = 200_000
"""No file is longer, in characters."""

WORDS = frozenset(
    "hrdsl use as on at for in per prior require step if then else or and not true false none maximize minimize".split()
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
_JOINTS = (
    *("->", "if", "then", "else", "and", "or", "not", "=", "in", ".", ".."),
    *("+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!="),
)
"""A line that begins or ends with one of these is a part of what the author meant as one entry."""
_BRACKET = re.compile(r"""#[^\n]*|"[^"\n]*"|(?P<open>[(\[{])|(?P<close>[)\]}])""")
_ITEM = re.compile(r"(?:cell|space|train|search)[ \t]+(?!in\b)[A-Za-z_]|use[ \t]+[A-Za-z_]")


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
        raise ArchError(errors.unknown_edition(span_of(source, header[1])))
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += (match.lastgroup == "open") - (match.lastgroup == "close")
        if depth > NESTING:
            raise ArchError(errors.too_deep(Span(source, match.start(), match.end()), NESTING))


def check_header(source: Source) -> tuple[Diagnostic | None, int]:
    """The fault of the first line, if any, and where the items start."""
    pieces = scan(source.text)
    first = next((p for p in pieces if p.kind != "newline" and not is_comment(p)), None)
    if first is None or first.text != "hrdsl":
        at = span_of(source, first) if first else Span(source, 0, 0)
        return errors.no_header(at), 0
    rest = [p for p in _until_newline(pieces) if not is_comment(p)]
    stop = source.text.find("\n", first.start)
    stop = stop if stop >= 0 else len(source.text)
    if not rest or rest[0].kind != "number":
        return errors.unknown_edition(span_of(source, rest[0] if rest else first)), stop
    if len(rest) > 1:
        return errors.one_per_line(span_of(source, rest[1])), rest[1].start
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


def entry_at(text: str, first: int, last: int, at: int) -> tuple[int, int] | None:
    """Where the entry around a place of an item stands, with its documentation and its block.

    An entry that is faulty at the end of its line may go on in the next: both are left out.
    None if the brackets of the item or of the entry do not match: nobody knows then where the entry ends.
    """
    code = [p for p in scan(text, first, last) if p.kind != "newline" and not is_comment(p)]
    balance = sum(_turn(p) for p in code)
    if not code or balance:
        return None
    start, level, depth, value = code[0].start, 0, 0, 0
    for i, (before, after) in enumerate(pairwise(code)):
        depth += _turn(before)
        if before.kind == "open" and not value and not _opens_block(code, i):
            value = depth
        value = value if depth >= value else 0
        unfinished = before.stop <= at < after.start and after.kind != "close"
        if value or unfinished or not _parted(text, before, after):
            continue
        if at >= after.start:
            start, level = after.start, depth
        elif depth <= level:
            return (start, before.stop) if depth == level else None
    return (start, code[-1].stop) if level == 0 else None


def _turn(piece: Piece) -> int:
    return (piece.kind == "open") - (piece.kind == "close")


def _opens_block(code: list[Piece], i: int) -> bool:
    """Whether a bracket is the brace of a block, not of a domain; that of a prior ends with its line."""
    return code[i].text == "{" and i > 0 and code[i - 1].text not in ("in", "=")


def _parted(text: str, before: Piece, after: Piece) -> bool:
    """Whether two pieces outside brackets belong to different entries."""
    held = before.kind == "comment" or before.text in _JOINTS or after.text in (*_JOINTS, "{")
    return not held and "\n" in text[before.stop : after.start]


def _hidden(char: str) -> str:
    names = {"\x00": "a NUL byte", "\ufeff": "a byte order mark"}
    if char in names:
        return names[char]
    if "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069" or char in "\u200e\u200f":
        return f"U+{ord(char):04X}, which changes the direction of the text"
    return f"the hidden character U+{ord(char):04X}"


def is_comment(piece: Piece) -> bool:
    """Whether a piece is a comment that documents nothing."""
    return piece.kind == "comment" and not piece.text.startswith("##")


def _code(pieces: Iterator[Piece]) -> Iterator[Piece]:
    return (p for p in pieces if p.kind not in ("comment", "newline"))


def _until_newline(pieces: Iterator[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        if piece.kind == "newline":
            return
        yield piece


def span_of(source: Source, piece: Piece) -> Span:
    """Where a piece stands."""
    return Span(source, piece.start, piece.stop)
