"""What the compiler tells its user.

A diagnostic is data; `render` is the only place that turns it into text. Every diagnostic has its own function in
`errors.py`, so its code and its words stand in one place.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=8)
def _starts(text: str) -> list[int]:
    """Where the lines of a text start."""
    return [0, *(m.end() for m in re.finditer("\n", text))]


@dataclass(frozen=True, slots=True)
class Source:
    """One file as the user wrote it. `name` is the path shown in messages."""

    name: str
    text: str

    def place(self, offset: int) -> tuple[int, int]:
        """The 1-based line and column of `offset`."""
        starts = _starts(self.text)
        row = bisect_right(starts, offset)
        return row, offset - starts[row - 1] + 1

    def line(self, offset: int) -> str:
        """The text of the line that holds `offset`, without its newline."""
        start = self.text.rfind("\n", 0, offset) + 1
        stop = self.text.find("\n", offset)
        return self.text[start : stop if stop >= 0 else None].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one source, from offset `start` up to but without `stop`."""

    source: Source
    start: int
    stop: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.stop]

    def to(self, other: "Span") -> "Span":
        """The stretch from the start of this span to the end of `other`."""
        return Span(self.source, self.start, other.stop)


@dataclass(frozen=True, slots=True)
class Label:
    """A span and what there is to say about it."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault: where it shows, where it comes from, and how to mend it."""

    code: str
    title: str
    here: Label
    there: tuple[Label, ...] = ()
    help: str = ""

    @property
    def severity(self) -> str:
        return "warning" if self.code.startswith("W") else "error"

    def as_json(self) -> dict[str, Any]:
        """The diagnostic as plain data: code, severity, title, place, labels, help."""
        return {
            "code": self.code,
            "severity": self.severity,
            "title": self.title,
            **_place(self.here),
            "labels": [_place(label) for label in self.there],
            "help": self.help,
        }


def _place(label: Label) -> dict[str, Any]:
    line, column = label.span.source.place(label.span.start)
    end_line, end_column = label.span.source.place(label.span.stop)
    return {
        "file": label.span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "text": label.text,
    }


MOST = 50
"""No report holds more diagnostics."""


class ArchError(Exception):
    """Raised once, at the end of a stage, with what the stage found."""

    def __init__(self, *found: Diagnostic) -> None:
        self.found = in_order(found)

    def __str__(self) -> str:
        return "\n\n".join(render(d) for d in self.found)


class NoSuchName(LookupError):
    """Somebody asked for a block by a name that the file does not declare; one line, with the names that it does."""


def in_order(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by place; the first of them if there are many."""
    return tuple(sorted(found, key=lambda d: (d.here.span.source.name, d.here.span.start))[:MOST])


WIDEST = 160
"""Longer lines are shown in part."""


def render(d: Diagnostic) -> str:
    """A diagnostic as plain text: the title, every label under its line, the help. Hidden characters are spelt out."""
    line, column = d.here.span.source.place(d.here.span.start)
    labels = sorted(
        (*d.there, d.here), key=lambda label: (label.span.source is not d.here.span.source, label.span.start)
    )
    width = max(len(str(label.span.source.place(label.span.start)[0])) for label in labels)
    place = f"{visible(d.here.span.source.name)}:{line}:{column}"
    out = [f"{d.severity}[{d.code}]: {visible(d.title)}", f"{' ' * width}--> {place}"]
    last = (d.here.span.source, 0)
    for label in labels:
        out += _excerpt(label, "^" if label is d.here else "-", width, last)
        last = (label.span.source, label.span.source.place(label.span.start)[0])
    if d.help:
        first, *rest = (visible(line) for line in d.help.splitlines())
        out += [f"{' ' * width} = help: {first}", *(f"{' ' * width}         {more}" for more in rest)]
    return "\n".join(out)


def visible(text: str) -> str:
    """A text without characters that steer a terminal or hide: each is shown as its code point."""
    if text.isprintable():
        return text
    return "".join(c if c == "\t" or c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


def _excerpt(label: Label, mark: str, width: int, last: tuple[Source, int]) -> list[str]:
    source = label.span.source
    row, column = source.place(label.span.start)
    before, marked, after = _parts(source.line(label.span.start), column - 1, label.span.stop - label.span.start)
    head = [] if source is last[0] else [f"{' ' * width}::: {visible(source.name)}:{row}:{column}"]
    shown = [] if (source, row) == last else [f"{row:>{width}} | {before}{marked}{after}"]
    blank = "".join("\t" if c == "\t" else " " for c in before)
    return [*head, *shown, f"{' ' * width} | {blank}{mark * max(1, len(marked))} {visible(label.text)}".rstrip()]


def _parts(line: str, start: int, length: int) -> tuple[str, str, str]:
    """A line before, within and behind the marked stretch, as it is shown; only a part of a very long line."""
    first, last = 0, len(line)
    if len(line) > WIDEST:
        first = max(0, start - WIDEST // 2)
        last = min(len(line), first + WIDEST)
    stop = min(start + length, last)
    before = ("..." if first else "") + visible(line[first:start])
    return before, visible(line[start:stop]), visible(line[stop:last]) + ("..." if last < len(line) else "")
