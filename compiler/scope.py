"""Names and decisions: entries are looked up outwards; `in` makes a decision, once for each place that owns it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import MOST, ArchError, Diagnostic, Span
from ..dsl.modules import Module
from ..dsl.syntax import Fix, Vary, path_text
from .graph import Choice
from .sym import Decision

Path = tuple[str | int, ...]
Entry = Fix | Vary
GRANULARITY = {"branch": "lane", "cell": "slot"}
"""`per branch`, `per cell` -> the kind of scope that owns the decision."""


WORDS = {"body": "cell"}
"""Kinds of scopes that have another name in messages."""


@dataclass(slots=True)
class Scope:
    """One place where names are declared. `kind`: space, branch, stage, lane (a branch in a stage), slot (one cell of a
    lane), body (inside a cell), item (one turn of a comprehension)."""

    kind: str
    path: Path
    module: Module
    outer: "Scope | None" = None
    entries: Mapping[str, Entry] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    memo: dict[str, Any] = field(default_factory=dict)
    """Values of outer entries as this scope reads them."""
    size: int = 0
    """How many cells a lane has."""

    def chain(self) -> "list[Scope]":
        found, scope = [], self
        while True:
            found.append(scope)
            if scope.outer is None:
                return found
            scope = scope.outer

    def names(self) -> set[str]:
        return {n for s in self.chain() for n in (*s.entries, *s.values)}


class Decisions:
    """The decisions made so far, each at its path; overrides close or narrow them."""

    def __init__(self) -> None:
        self.made: dict[Path, Decision] = {}
        self.choices: list[Choice] = []
        self.warnings: list[Diagnostic] = []
        self.overrides: dict[Path, tuple[Entry, Scope]] = {}
        self.overridden: set[str | int] = set()
        """The names that some override sets, wherever."""
        self.used: set[Path] = set()
        self.sites: dict[Path, list[Span]] = {}

    def site(self, path: Path, span: Span) -> Path:
        """The path of a call that holds `in` arguments; a second call of the same name in one place is numbered."""
        spans = self.sites.setdefault(path, [])
        if span not in spans:
            spans.append(span)
        place = spans.index(span)
        return path if place == 0 else (*path[:-1], f"{path[-1]}{place + 1}")

    def get(self, owner: Path, name: str, values: tuple[Any, ...], labels: tuple[str, ...], entry: Vary) -> Decision:
        """The decision at `owner` + `name`, made at the first call."""
        path = (*owner, name)
        known = self.made.get(path)
        if known is not None and (known.labels, known.span) != (labels, entry.domain.span):
            # cells that exclude each other lie at one path: what they share is one decision, what differs is not
            return self.get(owner, _next(name), values, labels, entry)
        if known is None:
            decision = Decision(path_text(path), len(self.made), values, labels, entry.domain.span)
            self.made[path] = decision
            self.choices.append(Choice(decision, owner, name, entry.span))
            if len(values) == 1:
                self.warnings.append(errors.one_value(decision.path, entry.span))
        return self.made[path]

    def override(self, path: Path) -> tuple[Entry, Scope] | None:
        found = self.overrides.get(path)
        if found:
            self.used.add(path)
        return found

    def declare_override(self, path: Path, entry: Entry, scope: Scope) -> None:
        if path in self.overrides:
            raise ArchError(
                errors.declared_twice(path_text(path), entry.target.span, self.overrides[path][0].target.span)
            )
        self.overrides[path] = (entry, scope)
        self.overridden.add(path[-1])

    def unused(self) -> list[Diagnostic]:
        """One fault for each override that names nothing."""
        known = [path_text(p) for p in self.made]
        left = [(path, entry) for path, (entry, _) in self.overrides.items() if path not in self.used][:MOST]
        return [errors.unused_override(path_text(path), entry.target.span, known) for path, entry in left]


def misspelt(name: str, use: Scope) -> Span | None:
    """The place of an entry with nearly this name, outwards: what the author may have meant."""
    for scope in use.chain():
        near = get_close_matches(name, scope.entries, 1, 0.75)
        if near:
            return scope.entries[near[0]].target.span
    return None


class Counts(dict[Path, int]):
    """How often each path was taken, over what `below` counted."""

    __slots__ = ("below",)

    def __init__(self, below: "Counts | None" = None) -> None:
        self.below = below

    def __missing__(self, path: Path) -> int:
        return 0 if self.below is None else self.below[path]


def numbered(path: Path, taken: Counts) -> Path:
    """`path`, the second time with a 2 behind its last part, and so on."""
    count = taken[path] = taken[path] + 1
    if count == 1 or not path:
        return path
    last = path[-1]
    return (*path, count) if isinstance(last, int) else (*path[:-1], f"{last}{count}")


def _next(name: str) -> str:
    """`kernel`, `kernel2`, `kernel3`, ..."""
    stem = name.rstrip("0123456789")
    return f"{stem}{int(name[len(stem) :] or 1) + 1}"


def said(entry: Entry) -> Span:
    """The place of what an entry says: its value or its domain."""
    return entry.value.span if isinstance(entry, Fix) else entry.domain.span


def owner_of(use: Scope, declared: Scope, per: str | None, span: Span) -> Scope:
    """The scope that owns a decision: where it is declared, or the lane or slot that reads it."""
    if per is None:
        return declared
    span = Span(span.source, span.stop - len(per), span.stop) if span.text.endswith(per) else span
    if per not in GRANULARITY:
        raise ArchError(
            errors.wrong_granularity(per, f"a {WORDS.get(declared.kind, declared.kind)}", span, GRANULARITY)
        )
    for scope in use.chain():
        if scope.kind == GRANULARITY[per]:
            return scope
        if scope is declared:
            break
    raise ArchError(errors.wrong_granularity(per, f"a {WORDS.get(declared.kind, declared.kind)}", span, ()))
