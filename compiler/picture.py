"""A picture's content as values: boxes, links and lanes of cells. `outline.py` makes them, `draw.py` draws them."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["input", "stem", "enter", "slot", "fuse", "head", "other"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A choice by its name within a box: `heads in {1, 2}`, or `heads = 2` once it is made."""

    name: str
    values: tuple[str, ...]

    @property
    def open(self) -> bool:
        return len(self.values) > 1

    def __str__(self) -> str:
        if not self.open:
            return f"{self.name} = {self.values[0]}"
        shown = self.values if len(self.values) <= 5 else (*self.values[:2], "...", self.values[-1])
        return f"{self.name} in {{{', '.join(shown)}}}"


@dataclass(frozen=True, slots=True)
class Option:
    """A cell that a box can be, with the choices inside it. `times` is how often it repeats."""

    name: str
    settings: tuple[Setting, ...] = ()
    times: int = 1

    @property
    def open(self) -> bool:
        return any(s.open for s in self.settings)


@dataclass(frozen=True, slots=True)
class Box:
    """One use of a cell, at `column` of the picture.

    `place` is its resolution, such as `1/4`, where it has one; `sign` is how a fusion joins its flows, where that has a sign; `note` says in which architectures
    it exists: empty, in all.
    """

    key: str
    role: Role
    stage: str
    lane: str
    place: str
    column: int
    options: tuple[Option, ...]
    settings: tuple[Setting, ...]
    size: str
    sign: str = ""
    note: str = ""
    made: bool = False
    """Whether its choices are made: several options are then those of several routes."""

    @property
    def open(self) -> bool:
        return (len(self.options) > 1 and not self.made) or any(
            o.open for o in (*self.options, Option("", self.settings))
        )


@dataclass(frozen=True, slots=True)
class Link:
    """A flow from one box to another; `gates` are the choices that open and close it."""

    source: str
    target: str
    does: str
    gates: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """A branch: a lane of the picture."""

    name: str
    place: str
    width: Setting | None


@dataclass(frozen=True, slots=True)
class Outline:
    """A picture's content. `cells` are the names of all cells of the space, drawn or not: colours are theirs."""

    title: str
    decisions: int
    lanes: tuple[Track, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    cells: tuple[str, ...]
