"""Patterns over names with dots: numbers, choices and wildcards on one side, templates with small sums on the other."""

import ast
import operator
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

HOLE = re.compile(r"\{([^{}]*)\}")
ADDED = r"(?:\.(?:yes|no))*"
"""What an `if` adds to names of ours; a pattern may leave it out."""
OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}

Indices = dict[str, int]


class Hole(NamedTuple):
    """`{name}` of a pattern, or `{name=word,word}`."""

    name: str
    words: tuple[str, ...]

    def meaning(self, text: str) -> int:
        """What a matched text means: the place of a word, a number, or 1 where there is none."""
        return self.words.index(text) if self.words else int(text or 1)


class Pattern:
    """The beginning of a name, whole parts: `stage{m}.*.attention` matches `stage2.fine.attention.q.weight`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._holes: list[Hole] = []

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts = [] if self.text == "." else self.text.split(".")
        return re.compile("".join(map(self._part, parts)))

    def matches(self, name: str) -> Iterator[tuple[Indices, str]]:
        """Each way to match: the indices, and what of the name stands behind."""
        text = f".{name}" if name else ""
        if not self._expression.match(text):
            return
        for end in (*(k for k, c in enumerate(text) if c == "."), len(text)):
            found = self._expression.fullmatch(text, endpos=end)
            indices = None if found is None else self._read(found.groups())
            if indices is not None:
                yield indices, text[end + 1 :]

    def __contains__(self, name: str) -> bool:
        return any(True for _ in self.matches(name))

    def _read(self, texts: tuple[str, ...]) -> Indices | None:
        """The indices; None if one has two values."""
        found: Indices = {}
        for hole, text in zip(self._holes, texts, strict=True):
            if found.setdefault(hole.name, hole.meaning(text)) != hole.meaning(text):
                return None
        return found

    def _part(self, part: str) -> str:
        if part == "**":
            return r"(?:\.[^.]+)*?"
        out, done = "", 0
        for hole in HOLE.finditer(part):
            out += _literal(part[done : hole.start()]) + self._hole(hole[1], part[: hole.start()])
            done = hole.end()
        return rf"{ADDED}\.{out}{_literal(part[done:])}"

    def _hole(self, text: str, before: str) -> str:
        name, _, words = text.partition("=")
        self._holes.append(Hole(name, tuple(words.split(",")) if words else ()))
        if words:
            return f"({'|'.join(map(re.escape, words.split(',')))})"
        return r"(\d*)" if before[-1:].isalpha() or before[-1:] == "_" else r"(\d+)"


def _literal(text: str) -> str:
    return "[^.]*".join(map(re.escape, text.split("*")))


def filled(template: str, indices: Indices) -> str:
    """`layer{n+1}` with its braces computed. Raises ValueError."""
    return HOLE.sub(lambda hole: str(_computed(hole[1], indices)), template)


def _computed(text: str, indices: Indices) -> int:
    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(int(number)):
                return number
            case ast.Name(name) if name in indices:
                return indices[name]
            case ast.BinOp(left, operation, right) if type(operation) in OPERATIONS:
                return OPERATIONS[type(operation)](value(left), value(right))
        raise ValueError(f"`{{{text}}}` is no sum of indices of the left side")

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError):
        raise ValueError(f"`{{{text}}}` is no sum of indices of the left side") from None


def joined(*parts: str) -> str:
    """Parts of a name with dots between; `.` and nothing are no part."""
    return ".".join(p for p in parts if p not in ("", "."))
