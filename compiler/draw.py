"""An outline as DOT text, and DOT text as a picture. Branches are lanes, finest on top; stages run from left to right.

`dot` is pure: the same text for the same outline. `draw` asks the system's `dot`, else the extra `render` (pygraphviz),
else it keeps the text.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from zlib import crc32

from .outline import Box, Link, Option, Outline, Setting, Track

TINTS = ("#77AADD", "#99DDFF", "#44BB99", "#BBCC33", "#EEDD88", "#EE8866", "#FFAABB", "#CCBBDD")
"""Backgrounds for dark text, apart for every kind of colour vision: Paul Tol's light scheme, lilac for its olive."""
SALT = 66605
"""Keeps the standard library's cells apart in `TINTS`."""
PLAIN, BAND, PAPER = "#DDDDDD", "#F3F4F6", "#FFFFFF"
INK, FAINT, LINE, OPEN = "#1A1A1A", "#5F6368", "#6B7075", "#0B5FFF"
FIRM, FADED = "D8", "66"
"""The opacity of a box; of one that only some architectures have."""
CAPTIONED = ("stem", "head")
INNER = 'CELLBORDER="0" CELLSPACING="2" CELLPADDING="4"'
STAGES = "the stages"
"""The row of the stages' names: no branch can be called so."""
STRAIGHT = "20"
"""The weight of a line within a lane."""
FONT = "Helvetica,Arial,sans-serif"
PAGE = {"rankdir": "LR", "splines": "line", "outputorder": "edgesfirst", "nodesep": "0.25", "ranksep": "0.3"}
PAPER_LOOK = {"pad": "0.3", "bgcolor": PAPER, "fontname": FONT, "labelloc": "t", "labeljust": "l"}
NODE = {"shape": "plain", "fontname": FONT, "fontsize": "11", "fontcolor": INK}
EDGE = {"color": LINE, "penwidth": "1.2", "arrowsize": "0.6", "tailport": "e", "headport": "w"}
BAND_END = {"shape": "box", "style": "filled", "color": BAND, "fillcolor": BAND, "fixedsize": "true"}
BAND_LINE = {
    "color": BAND,
    "arrowhead": "none",
    "weight": "0",
    "tailport": "c",
    "headport": "c",
    "tailclip": "false",
    "headclip": "false",
}
SIGN = {
    "shape": "circle",
    "fontsize": "18",
    "width": "0.36",
    "fixedsize": "true",
    "style": "filled",
    "fillcolor": PAPER,
    "color": LINE,
}
JOINT = {"shape": "point", "width": "0", "color": LINE}
HIDDEN = {"style": "invis", "tailport": "c", "headport": "c"}

HINT = "no renderer found: install Graphviz (`dot`), or the extra `render` (pip install 'hrdsl[render]')"
FORMATS = (".svg", ".png", ".pdf")
PATIENCE = 120
"""Seconds that a renderer may take."""
LIBRARY = """\
import sys
from pygraphviz import AGraph
graph = AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot", args=sys.argv[2]))
"""

Attributes = dict[str, str]
Place = tuple[str, int]
"""A row and a column."""


def dot(outline: Outline) -> str:
    """The picture as DOT."""
    grid = _Grid(outline)
    palette = colours(outline.cells)
    lines = (*_page(grid, palette), *_bands(grid), *_nodes(grid, palette), *_frame(grid), *_links(grid))
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
    """Where everything stands: a row for the stages' names and one for each lane, a column for each step.

    Every place has a node, so that rows stay straight and in order; `joints` are places that lines run through.
    """

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.lanes = [t.name for t in outline.lanes] or [""]
        self.boxes = {b.key: b for b in outline.boxes}
        self.rows = {b.key: self.row(b) for b in outline.boxes}
        self.taken = {(self.rows[b.key], b.column): b.key for b in outline.boxes}
        self.columns = range(max((b.column for b in outline.boxes), default=0) + 1)
        self.joints: set[Place] = set()
        self.pieces: dict[tuple[str, str], list[Link]] = {}
        for link in outline.links:
            self.route(link)

    def row(self, box: Box) -> str:
        """The lane of a box; the stem stands in the row that it feeds first, the head in the finest."""
        if box.lane:
            return box.lane
        target = next((self.boxes[k.target] for k in self.outline.links if k.source == box.key), None)
        return self.row(target) if target else self.lanes[0]

    def route(self, link: Link) -> None:
        """A long link runs along its lane where that is free, and turns off in the last column; links share the way."""
        source, target = self.boxes[link.source], self.boxes[link.target]
        way = [(self.rows[source.key], c) for c in range(source.column + 1, target.column)]
        if any(place in self.taken for place in way):
            way = []
        self.joints |= set(way)
        stops = [source.key, *(f"{row} {column}" for row, column in way), target.key]
        for ends in pairwise(stops):
            self.pieces.setdefault(ends, []).append(link)

    def name(self, place: Place) -> str:
        return self.taken.get(place, f"{place[0]} {place[1]}")

    def stages(self) -> dict[int, str]:
        """Each stage's first column."""
        first: dict[str, int] = {}
        for box in self.outline.boxes:
            if box.lane:
                first[box.stage] = min(box.column, first.get(box.stage, box.column))
        return {column: stage for stage, column in first.items()}

    def height(self, lane: str) -> int:
        """Points that the band of a lane needs."""
        return 20 + max((_height(b) for b in self.outline.boxes if self.rows[b.key] == lane), default=0)

    def room(self, column: int) -> int:
        """Points that a column needs for the lines that come from other lanes."""
        crossed = {k.target for k in self.outline.links if self.rows[k.source] != self.rows[k.target]}
        count = sum(b.column == column and b.key in crossed for b in self.outline.boxes)
        return 48 + 40 * count if count else 0


def _height(box: Box) -> int:
    """Points that a box needs at most."""
    options = sum(26 + 13 * len(o.settings) for o in box.options)
    return options + 13 * (len(box.settings) + bool(box.note)) + (18 if box.role in CAPTIONED else 0) + 22


# lines of DOT


def _page(grid: _Grid, palette: dict[str, str]) -> Iterator[str]:
    yield f"graph {attributes(PAGE | PAPER_LOOK | {'label': legend(grid.outline, palette)})}"
    yield f"node {attributes(NODE)}"
    yield f"edge {attributes(EDGE)}"


def _bands(grid: _Grid) -> Iterator[str]:
    """A band for each branch from its name to the end: one thick line, drawn before everything else."""
    for track in grid.outline.lanes:
        points, start, end = grid.height(track.name), quote(_start(track.name)), quote(_end(track.name))
        size = BAND_END | {"height": inches(points), "group": track.name}
        yield f"{start} {attributes(size | {'label': heading(track), 'width': inches(_margin(grid.outline.lanes))})}"
        yield f"{end} {attributes(size | {'label': '', 'width': '0.1'})}"
        yield f"{start} -> {end} {attributes(BAND_LINE | {'penwidth': str(points)})}"


def _margin(tracks: tuple[Track, ...]) -> int:
    """Points that the names of the branches need."""
    return max(84, *(max(9 * len(t.name), 6 * len(str(t.width or ""))) + 12 for t in tracks))


def _nodes(grid: _Grid, palette: dict[str, str]) -> Iterator[str]:
    """The boxes; a point wherever a lane has none; the stages' names, as wide as the lines below them need."""
    yield from (_node(grid, b, palette) for b in grid.outline.boxes)
    yield from (_point(grid, (lane, c)) for lane in grid.lanes for c in grid.columns if (lane, c) not in grid.taken)
    stages = grid.stages()
    for c in grid.columns:
        words = f"<{font(stages[c], 14, FAINT, bold=True)}>" if c in stages else ""
        size = {
            "shape": "box",
            "penwidth": "0",
            "margin": "0",
            "width": inches(grid.room(c)),
            "height": "0.3",
            "group": STAGES,
        }
        yield f"{quote(grid.name((STAGES, c)))} {attributes({'label': words} | size)}"


def _node(grid: _Grid, box: Box, palette: dict[str, str]) -> str:
    small = box.sign and not box.open and not box.settings
    look = SIGN | {"label": box.sign} if small else {"label": table(box, palette)}
    return f"{quote(box.key)} {attributes(look | {'group': grid.rows[box.key], 'tooltip': box.key})}"


def _point(grid: _Grid, place: Place) -> str:
    style = {} if place in grid.joints else {"style": "invis"}
    return f"{quote(grid.name(place))} {attributes(JOINT | {'group': place[0]} | style)}"


def _frame(grid: _Grid) -> Iterator[str]:
    """Each column is one rank, its rows in order; hidden lines keep the rows straight where nothing flows."""
    tracks = [t.name for t in grid.outline.lanes]
    inner = [[grid.name((row, c)) for row in (STAGES, *grid.lanes)] for c in grid.columns]
    outer = [[_start(t) for t in tracks], [_end(t) for t in tracks]]
    for names in (*inner, *filter(None, outer)):
        look = f" {attributes(HIDDEN)}" if len(names) > 1 else ""
        yield f"{{ rank=same; {' -> '.join(map(quote, names))}{look} }}"
    for row in (STAGES, *grid.lanes):
        ends = (_start(row), _end(row)) if row in tracks else ()
        names = [*ends[:1], *(grid.name((row, c)) for c in grid.columns), *ends[1:]]
        for a, b in pairwise(names):
            if (a, b) not in grid.pieces:
                yield f"{quote(a)} -> {quote(b)} {attributes(HIDDEN | {'weight': STRAIGHT})}"


def _links(grid: _Grid) -> Iterator[str]:
    for (source, target), links in grid.pieces.items():
        yield f"{quote(source)} -> {quote(target)} {attributes(_link(grid, source, target, links))}"


def _link(grid: _Grid, source: str, target: str, links: list[Link]) -> Attributes:
    end = grid.boxes.get(target)
    look: Attributes = {"tailport": "c"} if source not in grid.boxes else {}
    if end is None:
        look |= {"arrowhead": "none", "headport": "c"}
    if all(k.gates for k in links):
        look |= {"style": "dashed", "color": OPEN}
    crosses = end is not None and grid.rows[end.key] != grid.rows[links[0].source]
    return look | {"weight": "0" if crosses else STRAIGHT, "tooltip": "; ".join(map(_words, links))}


def _words(link: Link) -> str:
    """`s2.fine[3] to s2.coarse.fuse: down 2`."""
    facts = ", ".join(filter(None, (link.does, *map(str, link.gates))))
    return f"{link.source} to {link.target}{': ' if facts else ''}{facts}"


def _start(lane: str) -> str:
    return f"branch {lane}"


def _end(lane: str) -> str:
    return f"end of {lane}"


# labels


def inches(points: int) -> str:
    """Points as inches, exact to a hundredth, without floats."""
    hundredths = points * 100 // 72
    return f"{hundredths // 100}.{hundredths % 100:02}"


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
    caption = box.key.removeprefix("heads.") if box.key.startswith("heads.") else box.role
    above = [font(caption, 9, FAINT)] if box.role in CAPTIONED else []
    opacity = FADED if box.note else FIRM
    options = [option(o, palette.get(o.name, PLAIN) + opacity) for o in box.options]
    below = [*map(told, box.settings), *([font(box.note, 10, OPEN)] if box.note else []), font(box.size, 10, FAINT)]
    edge, width = (OPEN, 2) if box.open else (LINE, 1)
    style = "rounded,dashed" if box.note else "rounded"
    frame = f'STYLE="{style}" BORDER="{width}" COLOR="{edge}" BGCOLOR="{PAPER}" {INNER}'
    lines = [*(f"<TR><TD>{r}</TD></TR>" for r in above), *options, f"<TR><TD>{'<BR/>'.join(below)}</TD></TR>"]
    return f"<<TABLE {frame}>{''.join(lines)}</TABLE>>"


def option(cell: Option, colour: str) -> str:
    name = f"{cell.name} x{cell.times}" if cell.times > 1 else cell.name
    lines = (f"&nbsp;{font(name, 12, bold=True)}&nbsp;", *(font(str(s), 10) for s in cell.settings))
    return f'<TR><TD STYLE="rounded" BGCOLOR="{colour}">{"<BR/>".join(lines)}</TD></TR>'


def legend(outline: Outline, palette: dict[str, str]) -> str:
    """The title, the colours of the cells drawn, and what the signs mean."""
    lines = [font(outline.title, 18, bold=True), font(subtitle(outline), 11, FAINT)]
    keys = "".join((*swatches(outline, palette), *signs(outline)))
    if keys:
        lines.append(f'<TABLE BORDER="0" CELLSPACING="4" CELLPADDING="4"><TR>{keys}</TR></TABLE>')
    rows = "".join(f'<TR><TD ALIGN="LEFT">{line}</TD></TR>' for line in lines)
    return f'<<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>>'


def subtitle(outline: Outline) -> str:
    count = len(outline.lanes)
    words = [f"{count} branch{'es' if count != 1 else ''}"] if count else []
    words += [f"{outline.decisions} open decision{'s' if outline.decisions != 1 else ''}"] if outline.decisions else []
    return ", ".join(words) or ("all choices made" if outline.title.startswith("architecture") else "no choices")


def swatches(outline: Outline, palette: dict[str, str]) -> Iterator[str]:
    used = {o.name for b in outline.boxes for o in b.options}
    for name in outline.cells:
        if name in used:
            yield f'<TD STYLE="rounded" BGCOLOR="{palette[name]}{FIRM}">{font(name, 11)}</TD>'


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


# pictures


@dataclass(frozen=True, slots=True)
class Drawn:
    """The file written; `hint` says what to do where it is not the picture asked for."""

    path: Path
    hint: str = ""


def draw(text: str, path: Path) -> Drawn:
    """Write DOT text as SVG, PNG or PDF by the suffix of `path`; as `.dot` where nothing renders it. Raises OSError."""
    if path.suffix == ".dot":
        return _keep(text, path, "")
    if path.suffix not in FORMATS:
        return _keep(text, path, f"no picture has the suffix `{path.suffix}`: use one of {', '.join(FORMATS)}")
    faults = []
    for command in renderers(path.suffix[1:]):
        picture, fault = _run(command, text)
        if picture:
            _write(path, picture)
            return Drawn(path)
        faults.append(fault)
    return _keep(text, path, f"the picture could not be drawn: {'; '.join(faults)}" if faults else HINT)


def renderers(form: str) -> Iterator[list[str]]:
    """Commands that turn DOT text into a picture, best first; pygraphviz runs apart, with its warnings."""
    settings = "-Gdpi=144" if form == "png" else ""
    program = shutil.which("dot")
    if program:
        yield [program, f"-T{form}", *filter(None, [settings])]
    if find_spec("pygraphviz"):
        yield [sys.executable, "-c", LIBRARY, form, settings]


def _run(command: list[str], text: str) -> tuple[bytes, str]:
    """What a renderer makes of DOT text, or why it makes nothing."""
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        return b"", str(fault)
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return (b"" if done.returncode else done.stdout), "".join(
        last
    ) or f"{Path(command[0]).name} ended with {done.returncode}"


def _keep(text: str, path: Path, hint: str) -> Drawn:
    target = path.with_suffix(".dot")
    _write(target, text.encode())
    return Drawn(target, hint)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
