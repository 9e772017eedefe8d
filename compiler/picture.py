"""A picture's content as values: boxes, links and lanes of cells. `outline.py` makes them, `draw.py` draws them."""

from dataclasses import dataclass
from typing import Literal

from .nature import Nature

Role = Literal["input", "stem", "enter", "slot", "edge", "fuse", "head", "other"]


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
    """A cell that a box can be, with the choices inside it. `times` is how often it repeats, `nature` what it computes."""

    name: str
    settings: tuple[Setting, ...] = ()
    times: int = 1
    nature: Nature = "other"

    @property
    def open(self) -> bool:
        return any(s.open for s in self.settings)


@dataclass(frozen=True, slots=True)
class Wedge:
    """A group of units of a cell: how many of the most it may have are left."""

    name: str
    kept: int
    most: int


@dataclass(frozen=True, slots=True)
class Box:
    """One use of a cell, at `column` of the picture.

    `place` is its resolution, such as `1/4`, where it has one; `sign` is how a fusion joins its flows, where that has a
    sign; `note` says in which architectures it exists: empty, in all. `cell` is the cell whose inner choice the options
    are; `pie` are its groups of units.
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
    cell: str = ""
    pie: tuple[Wedge, ...] = ()

    @property
    def open(self) -> bool:
        return len(self.options) > 1 or any(o.open for o in (*self.options, Option("", self.settings)))


@dataclass(frozen=True, slots=True)
class Link:
    """A flow from one box to another; `gates` are the choices that open and close it."""

    source: str
    target: str
    does: str
    gates: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """A lane of the picture: branches of one resolution, or more room for the lane `beside`, which then has no `title`."""

    name: str
    place: str
    width: Setting | None
    title: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """A picture's content. `cells` are all cells of the space, drawn or not, and what they compute: colours are theirs.

    `small` is a picture of many columns, whose boxes are colours without names.
    """

    title: str
    decisions: int
    lanes: tuple[Track, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    cells: tuple[tuple[str, Nature], ...]
    small: bool = False
