"""Text to tokens: one pattern for all of them, and the newlines that do not count left out. Imports `tables`."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from .tables import END, tables

JOINTS = ("_ARROW", "THEN", "ELSE", "AND", "OR")
"""A line may end before or after these."""
FOREIGN = "FOREIGN"
"""The kind of a character that the language does not have."""


class Token(NamedTuple):
    """A terminal of the grammar and where it stands."""

    kind: str
    text: str
    start: int
    stop: int


class Unexpected(Exception):
    """A token that does not fit, or a foreign character; `accepts` are the kinds that would fit."""

    def __init__(self, token: Token, accepts: frozenset[str] = frozenset()) -> None:
        super().__init__(token)
        self.token = token
        self.accepts = accepts


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf"{tables().pattern}|(?P<{FOREIGN}>[\s\S])")


def tokens(text: str, first: int, last: int) -> Iterator[Token]:
    """The tokens of a stretch of text and its end. Raises Unexpected for a foreign character."""
    words, ignored = tables().words, frozenset(tables().ignored)
    for match in _pattern().finditer(text, first, last):
        kind = match.lastgroup or ""
        if kind in ignored:
            continue
        word = match[0]
        if kind == "NAME":
            kind = words.get(word, kind)
        token = Token(kind, word, *match.span())
        if kind == FOREIGN:
            raise Unexpected(token)
        yield token
    yield Token(END, "", last, last)


def joined(stream: Iterator[Token]) -> Iterator[Token]:
    """The same without newlines inside `( )`, `[ ]`, the braces of a domain or a prior, and on either side of joints."""
    depth, last, prior = 0, "_NL", False
    held: Token | None = None
    for token in stream:
        kind = token.kind
        if kind == "_NL":
            if not depth and last != "_NL" and last not in JOINTS:
                held = held or token
            continue
        if held is not None:
            if kind not in JOINTS:
                yield held
                prior = False
            held = None
        if kind == "PRIOR":
            prior = True
        elif kind in ("LPAR", "LSQB"):
            depth += 1
        elif kind == "LBRACE" and (depth or prior or last == "IN"):
            depth, prior = depth + 1, prior and depth > 0
        elif depth and kind in ("RPAR", "RSQB", "RBRACE"):
            depth -= 1
        yield token
        last = kind
