"""An outline as DOT text, and DOT text as a picture. Branches are lanes, finest on top; stages run from left to right.

`dot` is pure: the same text for the same outline. `draw` asks the system's `dot`, else the extra `render` (pygraphviz),
else it keeps the text.
"""

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from zlib import crc32

from .outline import Box, Link, Option, Outline, Setting, Track

TINTS = ("#77AADD", "#99DDFF", "#44BB99", "#BBCC33", "#EEDD88", "#EE8866", "#FFAABB", "#CCBBDD")
"""Backgrounds for dark text that stay apart for every kind of colour vision: Paul Tol's light scheme, lilac for its olive."""
SALT = 66605
"""Keeps the standard library's cells apart in `TINTS`."""
PLAIN, BAND, PAPER = "#DDDDDD", "#F3F4F6", "#FFFFFF"
INK, FAINT, LINE, OPEN = "#1A1A1A", "#5F6368", "#6B7075", "#0B5FFF"
FADED = "77"
"""The opacity of a box that only some architectures have."""
FONT = "Helvetica,Arial,sans-serif"
PAGE = {
    "rankdir": "LR", "splines": "line", "outputorder": "edgesfirst", "nodesep": "0.25", "ranksep": "0.3", "pad": "0.3", "bgcolor": PAPER,
    "fontname": FONT, "labelloc": "t", "labeljust": "l",
}  # fmt: skip
NODE = {"shape": "plain", "fontname": FONT, "fontsize": "11", "fontcolor": INK}
EDGE = {"color": LINE, "penwidth": "1.2", "arrowsize": "0.6", "tailport": "e", "headport": "w"}
BAND_END = {"shape": "box", "style": "filled", "color": BAND, "fillcolor": BAND, "fixedsize": "true"}
SIGN = {"shape": "circle", "fontsize": "18", "width": "0.36", "fixedsize": "true", "style": "filled", "fillcolor": PAPER, "color": LINE}
GAP = {"label": "", "shape": "box", "height": "0.01", "style": "invis"}
JOINT = {"shape": "point", "width": "0.01", "color": LINE}

Attributes = dict[str, str]
Place = tuple[str, int]
"""A row and a column."""


def dot(outline: Outline) -> str:
    """The picture as DOT."""
    grid = _Grid(outline)
    palette = colours(outline.cells)
    lines = (*_page(grid, palette), *_lanes(grid), *_boxes(grid, palette), *_columns(grid), *_links(grid))
    return "\n".join((f"digraph {quote(outline.title)} {{", *(f"  {line}" for line in lines), "}", ""))


def colours(cells: Iterable[str]) -> dict[str, str]:
    """Each cell's own colour, whatever else is drawn; where two names agree, the later takes the next free one."""
    found: dict[str, str] = {}
    for name in sorted(cells):
        first = crc32(f"{SALT}{name}".encode()) % len(TINTS)
        order = TINTS[first:] + TINTS[:first]
        found[name] = next((c for c in order if c not in found.values()), order[0])
    return found


# the grid


class _Grid:
    """Where everything stands: a row for each lane, a column for each step. `joints` are places that lines only run through."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.boxes = {b.key: b for b in outline.boxes}
        self.rows = {b.key: self.row(b) for b in outline.boxes}
        self.taken = {(self.rows[b.key], b.column): b.key for b in outline.boxes}
        self.stages = list(dict.fromkeys(b.stage for b in outline.boxes if b.lane))
        self.joints: set[Place] = set()
        self.pieces: dict[tuple[str, str], list[Link]] = {}
        for link in outline.links:
            self.route(link)

    def row(self, box: Box) -> str:
        """The lane of a box; the stem stands in the row that it feeds first, the head in the finest."""
        if box.lane or not self.outline.lanes:
            return box.lane
        target = next((self.boxes[k.target] for k in self.outline.links if k.source == box.key), None)
        return self.row(target) if target else self.outline.lanes[0].name

    def route(self, link: Link) -> None:
        """A long link runs along its lane where that is free, and turns off in the last column; links share the way."""
        source, target = self.boxes[link.source], self.boxes[link.target]
        way = [(self.rows[source.key], c) for c in range(source.column + 1, target.column)]
        if any(place in self.taken for place in way):
            way = []
        self.joints |= set(way)
        stops = [source.key, *map(_corner, way), target.key]
        for ends in zip(stops, stops[1:], strict=False):
            self.pieces.setdefault(ends, []).append(link)

    def column(self, number: int) -> list[str]:
        """The names in a column from top to bottom: what starts there, then every row, so that lanes stay straight."""
        heads = [_stage(s) for s in self.stages if number == min(b.column for b in self.outline.boxes if b.stage == s)]
        room = [_gap(number)] if self.room(number) else []
        names = [self.taken.get((t.name, number), _corner((t.name, number))) for t in self.outline.lanes]
        return [*heads, *room, *names, *(b.key for b in self.outline.boxes if b.column == number and b.key not in names)]

    def height(self, lane: str) -> int:
        """Points that the band of a lane needs."""
        return 24 + max(_height(b) for b in self.outline.boxes if self.rows[b.key] == lane)

    def room(self, number: int) -> int:
        """How many boxes of a column read other lanes: their lines need room."""
        here = {b.key for b in self.outline.boxes if b.column == number}
        return len({k.target for k in self.outline.links if k.target in here and self.rows[k.source] != self.rows[k.target]})


def _gap(column: int) -> str:
    return f"gap {column}"


def _corner(place: Place) -> str:
    return f"{place[0]} {place[1]}"


def _lane(name: str) -> str:
    return f"branch {name}"


def _end(name: str) -> str:
    return f"end {name}"


def _stage(name: str) -> str:
    return f"stage {name}"


# lines of DOT


def _page(grid: _Grid, palette: dict[str, str]) -> Iterator[str]:
    yield f"graph {attributes(PAGE | {'label': legend(grid.outline, palette)})}"
    yield f"node {attributes(NODE)}"
    yield f"edge {attributes(EDGE)}"


def _lanes(grid: _Grid) -> Iterator[str]:
    """A band for each branch from its name to the end: one thick line, drawn before anything else."""
    for track in grid.outline.lanes:
        size = {"height": inches(grid.height(track.name)), "group": track.name}
        yield f"{quote(_lane(track.name))} {attributes(BAND_END | size | {'label': heading(track), 'width': '1.3'})}"
        yield f"{quote(_end(track.name))} {attributes(BAND_END | size | {'label': '', 'width': '0.1'})}"
        thick = {"penwidth": str(grid.height(track.name)), "color": BAND, "arrowhead": "none", "weight": "0"}
        yield f"{quote(_lane(track.name))} -> {quote(_end(track.name))} {attributes(thick)}"


def _boxes(grid: _Grid, palette: dict[str, str]) -> Iterator[str]:
    """The boxes, a point wherever a lane has none, the names of the stages, and room for lines that cross."""
    columns = sorted({b.column for b in grid.outline.boxes})
    yield from (_node(grid, b, palette) for b in grid.outline.boxes)
    yield from (_point(grid, (t.name, c)) for t in grid.outline.lanes for c in columns if (t.name, c) not in grid.taken)
    yield from (f"{quote(_stage(s))} {attributes({'label': f'<{font(s, 14, FAINT, bold=True)}>'})}" for s in grid.stages)
    rooms = ((c, grid.room(c)) for c in columns if grid.room(c))
    yield from (f"{quote(_gap(c))} {attributes(GAP | {'width': inches(54 + 36 * lanes)})}" for c, lanes in rooms)


def inches(points: int) -> str:
    """Points as inches, exact to a hundredth, without floats."""
    hundredths = points * 100 // 72
    return f"{hundredths // 100}.{hundredths % 100:02}"


def _height(box: Box) -> int:
    """Points that a box needs at most."""
    rows = sum(26 + 13 * len(o.settings) for o in box.options)
    return rows + 13 * (len(box.settings) + bool(box.note)) + (20 if box.role in ("stem", "head") else 0) + 22


def _node(grid: _Grid, box: Box, palette: dict[str, str]) -> str:
    small = box.sign and not box.open and not box.settings
    look = SIGN | {"label": box.sign} if small else {"label": table(box, palette)}
    return f"{quote(box.key)} {attributes(look | {'group': grid.rows[box.key], 'tooltip': box.key})}"


def _point(grid: _Grid, place: Place) -> str:
    style = {} if place in grid.joints else {"style": "invis"}
    return f"{quote(_corner(place))} {attributes(JOINT | {'group': place[0]} | style)}"


def _columns(grid: _Grid) -> Iterator[str]:
    """Each column is one rank, its rows in order; an invisible line keeps every row straight."""
    tracks = [t.name for t in grid.outline.lanes]
    columns = [grid.column(n) for n in sorted({b.column for b in grid.outline.boxes})]
    for names in ([_lane(t) for t in tracks], *columns, [_end(t) for t in tracks]):
        order = " [style=invis, tailport=c, headport=c]" if len(names) > 1 else ""
        yield f"{{ rank=same; {' -> '.join(map(quote, names))}{order} }}"
    for track in tracks:
        cells = [grid.taken.get((track, n), _corner((track, n))) for n in sorted({b.column for b in grid.outline.boxes})]
        yield f"{' -> '.join(map(quote, [_lane(track), *cells, _end(track)]))} [style=invis, weight=50]"


def _links(grid: _Grid) -> Iterator[str]:
    for (source, target), links in grid.pieces.items():
        yield f"{quote(source)} -> {quote(target)} {attributes(_link(grid, source, target, links))}"


def _link(grid: _Grid, source: str, target: str, links: list[Link]) -> Attributes:
    end = grid.boxes.get(target)
    notes = dict.fromkeys(", ".join((k.does, *map(str, k.gates))) for k in links if k.does or k.gates)
    look: Attributes = {} if end else {"arrowhead": "none", "headport": "c"}
    look |= {} if source in grid.boxes else {"tailport": "c"}
    if all(k.gates for k in links):
        look |= {"style": "dashed", "color": OPEN}
    if end and grid.rows[target] != grid.rows[links[0].source]:
        look |= {"weight": "0"}
    else:
        look |= {"weight": "20"}
    return look | {"tooltip": "; ".join(notes) or f"{links[0].source} to {links[0].target}"}


# labels


def quote(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def attributes(pairs: Attributes) -> str:
    return "[" + ", ".join(f"{k}={v if v.startswith('<') else quote(v)}" for k, v in pairs.items()) + "]"


def font(words: str, size: int, colour: str = INK, bold: bool = False) -> str:
    inner = f"<B>{escape(words)}</B>" if bold else escape(words)
    return f'<FONT POINT-SIZE="{size}" COLOR="{colour}">{inner}</FONT>'


def told(setting: Setting, size: int = 10) -> str:
    """A setting in words, blue while it is open."""
    return font(str(setting), size, OPEN if setting.open else FAINT)


def heading(track: Track) -> str:
    """`coarse 1/4 width in {24, 32, 48}`."""
    width = f"<BR/>{told(track.width)}" if track.width else ""
    return f"<{font(track.name, 14, bold=True)}<BR/>{font(track.place, 12)}{width}>"


def table(box: Box, palette: dict[str, str]) -> str:
    """A box: a coloured row for each cell it can be, then what holds in every case."""
    above = [font(box.role, 9, FAINT)] if box.role in ("stem", "head") else []
    faded = FADED if box.note else ""
    options = [option(o, palette.get(o.name, PLAIN) + faded) for o in box.options]
    below = [*map(told, box.settings), *([font(box.note, 10, OPEN)] if box.note else []), font(box.size, 10, FAINT)]
    edge, width = (OPEN, 2) if box.open else (LINE, 1)
    style = "rounded,dashed" if box.note else "rounded"
    frame = f'STYLE="{style}" BORDER="{width}" COLOR="{edge}" BGCOLOR="{PAPER}" CELLBORDER="0" CELLSPACING="2" CELLPADDING="4"'
    lines = [*(f"<TR><TD>{r}</TD></TR>" for r in above), *options, f"<TR><TD>{'<BR/>'.join(below)}</TD></TR>"]
    return f"<<TABLE {frame}>{''.join(lines)}</TABLE>>"


def option(cell: Option, colour: str) -> str:
    name = f"{cell.name} x{cell.times}" if cell.times > 1 else cell.name
    lines = (f"&nbsp;{font(name, 12, bold=True)}&nbsp;", *(font(str(s), 10) for s in cell.settings))
    return f'<TR><TD STYLE="rounded" BGCOLOR="{colour}">{"<BR/>".join(lines)}</TD></TR>'


def legend(outline: Outline, palette: dict[str, str]) -> str:
    """The title, the colours of the cells drawn, and what the signs mean."""
    title = f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="2"><TR><TD ALIGN="LEFT">{font(outline.title, 18, bold=True)}</TD></TR>'
    counts = f'<TR><TD ALIGN="LEFT">{font(subtitle(outline), 11, FAINT)}</TD></TR>'
    keys = "".join((*swatches(outline, palette), *signs(outline)))
    key = f'<TR><TD ALIGN="LEFT"><TABLE BORDER="0" CELLSPACING="4" CELLPADDING="4"><TR>{keys}</TR></TABLE></TD></TR>' if keys else ""
    return f"<{title}{counts}{key}</TABLE>>"


def subtitle(outline: Outline) -> str:
    count = len(outline.lanes)
    words = [f"{count} branch{'es' if count != 1 else ''}"] if count else []
    words += [f"{outline.decisions} open decision{'s' if outline.decisions != 1 else ''}"] if outline.decisions else []
    return ", ".join(words) or "all choices made"


def swatches(outline: Outline, palette: dict[str, str]) -> Iterator[str]:
    used = {o.name for b in outline.boxes for o in b.options}
    for name in outline.cells:
        if name in used:
            yield f'<TD STYLE="rounded" BGCOLOR="{palette[name]}">{font(name, 11)}</TD>'


def signs(outline: Outline) -> Iterator[str]:
    """What a sign, a blue frame, a dashed frame and a dashed line mean, where they occur."""
    stages: dict[str, list[str]] = {}
    for box in (b for b in outline.boxes if b.sign):
        names = stages.setdefault(f"{box.sign} {box.options[0].name}", [])
        names += [box.stage] if box.stage not in names else []
    for name, where in stages.items():
        words = f"{name} ({', '.join(where)})"
        yield f'<TD STYLE="rounded" BORDER="1" COLOR="{LINE}">{font(words, 11)}</TD>'
    if any(b.open for b in outline.boxes):
        yield f'<TD STYLE="rounded" BORDER="2" COLOR="{OPEN}">{font("searched", 11)}</TD>'
    if any(b.note for b in outline.boxes):
        yield f'<TD STYLE="rounded,dashed" BORDER="2" COLOR="{OPEN}">{font("not in every architecture", 11)}</TD>'
    if any(k.gates for k in outline.links):
        yield f"<TD>{font('- - -> searched link', 11, OPEN)}</TD>"
