"""An outline as DOT text, and DOT text as a picture. Branches are lanes, finest on top; stages run from left to right.

`dot` is pure and deterministic. `draw` asks the system's `dot`, else the extra `render` (pygraphviz), else it keeps the text.
"""

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from zlib import crc32

from .outline import Box, Option, Outline, Setting, Track

TINTS = ("#77AADD", "#99DDFF", "#44BB99", "#BBCC33", "#EEDD88", "#EE8866", "#FFAABB", "#AAAA00")
"""Paul Tol's light scheme: backgrounds for dark text that stay apart for every kind of colour vision."""
SALT = 197
"""Keeps the standard library's cells apart in `TINTS`."""
PLAIN, BAND, PAPER = "#DDDDDD", "#F4F5F7", "#FFFFFF"
INK, FAINT, LINE, OPEN = "#1A1A1A", "#5F6368", "#5F6368", "#0B5FFF"
FADED = "66"
"""The opacity of a box that only some architectures have."""
FONT = "Helvetica,Arial,sans-serif"

Attributes = dict[str, str]


def dot(outline: Outline) -> str:
    """The picture as DOT: the same text for the same outline, always."""
    return _Page(outline).text()


def colours(cells: Iterable[str]) -> dict[str, str]:
    """A colour for each cell's name: its own, whatever else is drawn; where two would agree, the later name takes the next free."""
    found: dict[str, str] = {}
    for name in sorted(cells):
        first = crc32(f"{SALT}{name}".encode()) % len(TINTS)
        order = TINTS[first:] + TINTS[:first]
        found[name] = next((c for c in order if c not in found.values()), order[0])
    return found


class _Page:
    """The grid: a row for each lane under a row of stage names, a column for each step."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.colours = colours(outline.cells)
        self.boxes = {b.key: b for b in outline.boxes}
        self.rows = {b.key: self.row(b) for b in outline.boxes}
        self.taken = {(self.rows[b.key], b.column): b.key for b in outline.boxes}
        self.joints: dict[tuple[str, int], str] = {}
        self.segments = self.routed()

    def row(self, box: Box) -> str:
        """The lane of a box; the stem stands in the row that it feeds first, the head in the finest."""
        if box.lane:
            return box.lane
        targets = [self.boxes[k.target] for k in self.outline.links if k.source == box.key]
        if box.role != "head" and targets and targets[0].role != "head":
            return self.row(targets[0])
        return self.outline.lanes[0].name if self.outline.lanes else ""

    # links

    def routed(self) -> dict[tuple[str, str], Attributes]:
        """The drawn pieces of all links: a long one runs along its lane and turns off in the last column."""
        pieces: dict[tuple[str, str], list[tuple[bool, str]]] = {}
        for link in self.outline.links:
            stops = self.stops(self.boxes[link.source], self.boxes[link.target])
            note = ", ".join(filter(None, (link.does, *map(str, link.gates))))
            for a, b in zip(stops, stops[1:], strict=False):
                pieces.setdefault((a, b), []).append((bool(link.gates), note))
        return {ends: self.line(ends, many) for ends, many in pieces.items()}

    def stops(self, source: Box, target: Box) -> list[str]:
        row = self.rows[source.key]
        between = [(row, c) for c in range(source.column + 1, target.column)]
        if any(place in self.taken for place in between):
            return [source.key, target.key]
        for place in between:
            self.joints.setdefault(place, f"{place[0]} {place[1]}")
        return [source.key, *(self.joints[p] for p in between), target.key]

    def line(self, ends: tuple[str, str], links: list[tuple[bool, str]]) -> Attributes:
        last = self.boxes.get(ends[1])
        out: Attributes = {} if last else {"arrowhead": "none"}
        if len(links) == 1 and links[0][1]:
            out["tooltip"] = links[0][1]
        if all(gated for gated, _ in links):
            out |= {"style": "dashed", "color": OPEN}
        if self.straight(ends):
            out["weight"] = "20"
        return out

    def straight(self, ends: tuple[str, str]) -> bool:
        rows = [self.rows.get(e) or next((r for (r, _), n in self.joints.items() if n == e), "") for e in ends]
        return rows[0] == rows[1]

    # text

    def text(self) -> str:
        parts = (self.head(), *map(self.lane, self.outline.lanes), self.outside(), self.ranks(), self.lines())
        return f"digraph {quote(self.outline.title)} {{\n" + "\n".join(line for part in parts for line in part) + "\n}\n"

    def head(self) -> Iterator[str]:
        page = {"rankdir": "LR", "newrank": "true", "nodesep": "0.3", "ranksep": "0.35", "splines": "true", "bgcolor": PAPER}
        words = {"fontname": FONT, "fontsize": "12", "fontcolor": INK, "labelloc": "t", "labeljust": "l"}
        yield f"  graph {attributes(page | words | {'label': legend(self.outline, self.colours), 'pad': '0.3'})}"
        yield f"  node {attributes({'shape': 'plain', 'fontname': FONT, 'fontsize': '11', 'fontcolor': INK})}"
        yield f"  edge {attributes({'color': LINE, 'penwidth': '1.2', 'arrowsize': '0.6', 'fontname': FONT, 'fontsize': '9'})}"

    def lane(self, track: Track) -> Iterator[str]:
        """The band of one branch."""
        yield f"  subgraph {quote(f'cluster {track.name}')} {{"
        look = {"style": "rounded,filled", "color": BAND, "fillcolor": BAND, "margin": "10", "labelloc": "t", "labeljust": "l"}
        yield f"    graph {attributes(look | {'label': heading(track)})}"
        yield from (f"    {line}" for line in self.nodes(lambda b: b.lane == track.name))
        columns = [b.column for b in self.outline.boxes if b.lane == track.name]
        for column in range(min(columns), max(columns) + 1):
            if (track.name, column) not in self.taken:
                yield f"    {joint(self.place(track.name, column), (track.name, column) in self.joints, track.name)}"
        yield "  }"

    def outside(self) -> Iterator[str]:
        """Boxes outside the lanes, and the names of the stages."""
        yield from (f"  {line}" for line in self.nodes(lambda b: not b.lane))
        for stage in self.stages():
            yield f"  {quote(f'stage {stage}')} {attributes({'label': stage, 'shape': 'plaintext', 'fontcolor': FAINT})}"

    def nodes(self, keep: Callable[[Box], bool]) -> Iterator[str]:
        for box in filter(keep, self.outline.boxes):
            yield f"{quote(box.key)} {attributes(self.look(box) | {'group': self.rows[box.key], 'tooltip': box.key})}"

    def look(self, box: Box) -> Attributes:
        if box.role == "fuse" and not box.open and len(box.options) == 1:
            return {"label": "+", "shape": "circle"}
        return {"label": table(box, self.colours)}

    def stages(self) -> list[str]:
        return list(dict.fromkeys(b.stage for b in self.outline.boxes if b.lane))

    def place(self, row: str, column: int) -> str:
        return self.taken.get((row, column)) or f"{row} {column}"

    def ranks(self) -> Iterator[str]:
        """Each column is one rank, with its rows in order."""
        for column in sorted({b.column for b in self.outline.boxes}):
            rows = [t.name for t in self.outline.lanes if self.spans(t.name, column)] or [""]
            names = [*self.headers(column), *(self.place(r, column) for r in rows)]
            names += [b.key for b in self.outline.boxes if b.column == column and b.key not in names]
            chain = " -> ".join(map(quote, names))
            yield f"  {{ rank=same; {chain}{' [style=invis]' if len(names) > 1 else ''} }}"

    def headers(self, column: int) -> list[str]:
        first = {s: min(b.column for b in self.outline.boxes if b.stage == s) for s in self.stages()}
        return [f"stage {s}" for s, c in first.items() if c == column]

    def spans(self, row: str, column: int) -> bool:
        columns = [b.column for b in self.outline.boxes if b.lane == row]
        return min(columns) <= column <= max(columns)

    def lines(self) -> Iterator[str]:
        for (a, b), look in self.segments.items():
            yield f"  {quote(a)} -> {quote(b)} {attributes(look)}".rstrip()


# pieces of DOT


def quote(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def attributes(pairs: Attributes) -> str:
    if not pairs:
        return ""
    return "[" + ", ".join(f"{k}={v if v.startswith('<') else quote(v)}" for k, v in pairs.items()) + "]"


def joint(name: str, drawn: bool, row: str) -> str:
    """A place in a lane without a box: a line runs through it, or it only keeps the lane straight."""
    look = {"label": "", "shape": "point", "width": "0.01", "height": "0.01", "group": row, "color": LINE}
    return f"{quote(name)} {attributes(look if drawn else look | {'style': 'invis'})}"


def font(words: str, size: int, colour: str = INK, bold: bool = False) -> str:
    inner = f"<B>{escape(words)}</B>" if bold else escape(words)
    return f'<FONT POINT-SIZE="{size}" COLOR="{colour}">{inner}</FONT>'


def told(setting: Setting, size: int = 10) -> str:
    """A setting in words, blue while it is open."""
    return font(str(setting), size, OPEN if setting.open else FAINT)


def heading(track: Track) -> str:
    """`coarse 1/4, width 24|32|48`."""
    width = f"&nbsp;&nbsp;{told(track.width, 11)}" if track.width else ""
    return f"<{font(track.name, 13, bold=True)}&nbsp;&nbsp;{font(track.place, 13)}{width}>"


def table(box: Box, palette: dict[str, str]) -> str:
    """A box: a coloured row for each cell it can be, then what it is in every case."""
    fade = FADED if box.note else ""
    style = "rounded,dashed" if box.note else "rounded"
    edge, width = (OPEN, 2) if box.open else (LINE, 1)
    rows = [row(o, palette.get(o.name, PLAIN) + fade) for o in box.options]
    below = [told(s) for s in box.settings]
    if box.note:
        below.append(font(f"if {box.note}" if box.note != "optional" else box.note, 10, OPEN))
    below.append(font(box.size, 10))
    rows += [f"<TR><TD>{line}</TD></TR>" for line in below]
    frame = f'STYLE="{style}" BORDER="{width}" COLOR="{edge}" BGCOLOR="{PAPER}" CELLBORDER="0" CELLSPACING="2" CELLPADDING="3"'
    return f"<<TABLE {frame}>{''.join(rows)}</TABLE>>"


def row(option: Option, colour: str) -> str:
    name = option.name.replace("_", " ") + (f" x{option.times}" if option.times > 1 else "")
    lines = [font(name, 12, bold=True), *(told(s) for s in option.settings)]
    return f'<TR><TD STYLE="rounded" BGCOLOR="{colour}">{"<BR/>".join(lines)}</TD></TR>'


def legend(outline: Outline, palette: dict[str, str]) -> str:
    """The title, the colours of the cells drawn, and what the signs mean."""
    used = {o.name for b in outline.boxes for o in b.options}
    cells = [(n, palette[n]) for n in outline.cells if n in used]
    keys = [f'<TD STYLE="rounded" BGCOLOR="{colour}">{font(name.replace("_", " "), 11)}</TD>' for name, colour in cells]
    title = f'<TR><TD ALIGN="LEFT" COLSPAN="{max(len(keys), 1)}">{font(outline.title, 18, bold=True)}</TD></TR>'
    return f'<<TABLE BORDER="0" CELLSPACING="4" CELLPADDING="4">{title}<TR>{"".join(keys)}</TR></TABLE>>'
