"""Maps: which of their tensors each of ours comes from, read from TOML. docs/weights.md describes the format."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from .patterns import Indices, Pattern, filled, joined

FOLDER = Path(__file__).with_name("maps")
TERM = re.compile(r"(?P<names>[^\[\]]+?)\s*(?:\[(?P<cut>[^\[\]]*)\])?\s*(?:\bas (?P<section>\S+))?")

Cut = tuple[tuple[Fraction, Fraction], ...]
"""For each axis from the first: the share that is taken."""


class MapError(ValueError):
    """A map that cannot be used."""


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor of theirs: all names are names of it (`*`: anything within a part); `cuts` are taken in order."""

    names: tuple[str, ...]
    cuts: tuple[Cut, ...] = ()


Source = tuple[Part, ...]
"""What one of ours comes from: parts, joined along the first axis."""


@dataclass(frozen=True, slots=True)
class Term:
    """One place of theirs on the right of an entry."""

    names: tuple[str, ...]
    cut: str
    section: str

    def sliced(self, indices: Indices) -> tuple[Cut, ...]:
        if not self.cut:
            return ()
        axes = (axis.partition(":") for axis in filled(self.cut, indices).split(","))
        return (tuple((Fraction(a.strip() or 0), Fraction(b.strip() or 1)) for a, _, b in axes),)


@dataclass(frozen=True, slots=True)
class Section:
    """A module of the released code."""

    name: str
    entries: tuple[tuple[Pattern, tuple[Term, ...]], ...]
    ignore: tuple[str, ...]
    copies: tuple[str, ...]


@dataclass(frozen=True)
class Map:
    """The sections of a file. `places` are the modules that were asked for: their place, and the section that describes it."""

    sections: Mapping[str, Section]
    places: set[tuple[tuple[str, ...], str]] = field(default_factory=set)

    def sources(
        self, section: str, name: str, places: tuple[str, ...] = ("",), passed: tuple[str, ...] = ()
    ) -> Iterator[Source]:
        """What this name of ours may come from, in the order of the entries. `places` are names of their module, `passed`
        the sections that led here without taking a part of the name."""
        self.places.add((places, section))
        for pattern, terms in self.sections[section].entries:
            for indices, rest in pattern.matches(name):
                before = (*passed, section) if rest == name else ()
                for parts in product(*(self._term(t, indices, rest, places, before) for t in terms)):
                    yield tuple(p for source in parts for p in source)

    def _term(
        self, term: Term, indices: Indices, rest: str, places: tuple[str, ...], passed: tuple[str, ...]
    ) -> Iterator[Source]:
        here = tuple(joined(place, filled(name, indices)) for place in places for name in term.names)
        cuts = term.sliced(indices)
        if not term.section:
            yield (Part(tuple(joined(name, rest) for name in here), cuts),)
        elif term.section not in passed:
            for source in self.sources(term.section, rest, here, passed):
                yield tuple(Part(part.names, part.cuts + cuts) for part in source)

    def ignored(self) -> list[Pattern]:
        """What the sections of `places` ignore."""
        return self._below(lambda section: section.ignore)

    def copies(self) -> list[Pattern]:
        """Where they say that what was taken stands again."""
        return self._below(lambda section: section.copies)

    def _below(self, listed: Callable[[Section], tuple[str, ...]]) -> list[Pattern]:
        """The listed patterns of every module that was asked for, as patterns of whole names."""
        found = {
            joined(at, text) for places, name in self.places for at in places for text in listed(self.sections[name])
        }
        return [Pattern(text) for text in sorted(found)]


def known() -> list[str]:
    """The maps that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> tuple[Map, str]:
    """`NAME[:SECTION]`, NAME a map of the package or the path of a `.toml` file; the section, else the first. Raises MapError, OSError."""
    head, _, section = name.rpartition(":") if ":" in name else (name, "", "")
    path = Path(head) if head.endswith(".toml") else FOLDER / f"{head}.toml"
    if not head.endswith(".toml") and head not in known():
        raise MapError(f"no map `{head}`: there are {', '.join(known())}, or give the path of a .toml file")
    found = read(path.read_text(encoding="utf-8"))
    section = section or next(iter(found.sections))
    if section not in found.sections:
        raise MapError(f"map `{head}` has no section `{section}`: there are {', '.join(found.sections)}")
    return found, section


def read(text: str) -> Map:
    """A map from its text. Raises MapError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise MapError(f"the map is no TOML: {fault}") from None
    sections = {name: _section(name, entries) for name, entries in data.items()}
    if not sections:
        raise MapError("the map has no section")
    for section in sections.values():
        for pattern, terms in section.entries:
            for term in terms:
                if term.section and term.section not in sections:
                    raise MapError(f"[{section.name}] {pattern.text}: no section `{term.section}`")
    return Map(sections)


def _section(name: str, entries: Any) -> Section:
    if not isinstance(entries, dict):
        raise MapError(f"`{name}` stands outside of a section")
    ignore, copies = (_patterns(name, key, entries.pop(key, [])) for key in ("ignore", "copies"))
    return Section(name, tuple((Pattern(k), _terms(name, k, v)) for k, v in entries.items()), ignore, copies)


def _patterns(section: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(i, str) for i in value):
        raise MapError(f"[{section}] {key}: a list of patterns is needed")
    return tuple(value)


def _terms(section: str, key: str, value: Any) -> tuple[Term, ...]:
    texts = value if isinstance(value, list) else [value]
    found = [TERM.fullmatch(t.strip()) if isinstance(t, str) else None for t in texts]
    if not found or not all(found):
        raise MapError(f'[{section}] "{key}": a place of theirs is needed, or a list of places, not {value!r}')
    return tuple(
        Term(tuple(n.strip() for n in f["names"].split("|")), f["cut"] or "", f["section"] or "") for f in found if f
    )
