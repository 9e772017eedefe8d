"""An outline as DOT text, and DOT text as a picture. Branches are lanes, finest on top; stages run from left to right.

`dot` is pure: the same text for the same outline. `draw` asks the system's `dot`, else the extra `render` (pygraphviz),
else it keeps the text.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from .grid import STAGES, Grid, Place
from .labels import (
    CHIPS,
    FAINT,
    INK,
    LINE,
    OPEN,
    PAPER,
    Palette,
    chip,
    colours,
    font,
    heading,
    legend,
    pie,
    slices,
    table,
    told_of,
)
from .picture import Box, Link, Outline, Track
from .svg import lean

BAND = "#F3F4F6"
STRAIGHT = "20"
"""The weight of a line within a lane."""
MOST_TOLD = 6
"""How many links the tooltip of one line tells, and how many choices of each."""
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
    "tailport": "w",
    "headport": "e",
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
JOINT = {"shape": "point", "width": "0.03", "penwidth": "0", "color": LINE}
"""As wide as the break that Graphviz leaves between two lines."""
GAP = {"shape": "box", "style": "invis", "label": "", "width": "0.03", "height": "0.5", "fixedsize": "true"}
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


def dot(outline: Outline) -> str:
    """The picture as DOT."""
    grid = Grid(outline)
    palette = colours(outline.cells)
    lines = (*_page(grid, palette), *_bands(grid), *_nodes(grid, palette), *_frame(grid), *_links(grid))
    return "\n".join((f"digraph {quote(outline.title)} {{", *(f"  {line}" for line in lines), "}", ""))


# lines of DOT


def _page(grid: Grid, palette: Palette) -> Iterator[str]:
    close = {"nodesep": "0.08"} if grid.dense else {}
    yield f"graph {attributes(PAGE | close | PAPER_LOOK | {'label': legend(grid.outline, palette)})}"
    yield f"node {attributes(NODE)}"
    yield f"edge {attributes(EDGE)}"


def _bands(grid: Grid) -> Iterator[str]:
    """A band for each branch from its name to the end: one thick line, drawn before everything else."""
    for track in grid.outline.lanes:
        points, start, end = grid.height(track.name), quote(_start(track.name)), quote(_end(track.name))
        size = BAND_END | {"height": inches(points), "group": track.name}
        yield f"{start} {attributes(size | {'label': heading(track), 'width': inches(_margin(grid.outline.lanes))})}"
        yield f"{end} {attributes(size | {'label': '', 'width': '0.1'})}"
        yield f"{start} -> {end} {attributes(BAND_LINE | {'penwidth': str(points + 32 * grid.dense)})}"
    for name in (of(row) for row in grid.gaps for of in (_start, _end)):
        yield f"{quote(name)} {attributes(GAP)}"


def _margin(tracks: tuple[Track, ...]) -> int:
    """Points that the names of the branches need."""
    return max(84, *(max(9 * max(map(len, t.title.split(", "))), 6 * len(str(t.width or ""))) + 12 for t in tracks))


def _nodes(grid: Grid, palette: Palette) -> Iterator[str]:
    """The boxes; a point wherever a lane has none; the stages' names, as wide as the lines below them need."""
    yield from (_node(grid, b, palette) for b in grid.outline.boxes)
    yield from (_point(grid, (lane, c)) for lane in grid.order for c in grid.columns if (lane, c) not in grid.taken)
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


def _node(grid: Grid, box: Box, palette: Palette) -> str:
    small = grid.outline.small
    width = next(("|".join(t.width.values) for t in grid.outline.lanes if t.name == box.lane and t.width), "")
    if box.pie:
        look = pie(box, slices(grid.outline))
    elif box.sign and not box.open and not box.settings:
        look = SIGN | {"label": box.sign}
    else:
        look = {"label": chip(box, palette, width) if small and box.role in CHIPS else table(box, palette, small)}
    return f"{quote(box.key)} {attributes(look | {'group': grid.rows[box.key], 'tooltip': told_of(box)})}"


def _point(grid: Grid, place: Place) -> str:
    if place[0] in grid.gaps:
        return f"{quote(grid.name(place))} {attributes(GAP | {'group': place[0]})}"
    style = {} if place in grid.joints else {"style": "invis"}
    return f"{quote(grid.name(place))} {attributes(JOINT | {'group': place[0]} | style)}"


def _frame(grid: Grid) -> Iterator[str]:
    """Each column is one rank, its rows in order; hidden lines keep the rows straight where nothing flows."""
    tracks = [t.name for t in grid.outline.lanes]
    inner = [[grid.name((row, c)) for row in (STAGES, *grid.order)] for c in grid.columns]
    outer = [[of(row) for row in grid.order if row in tracks or row in grid.gaps] for of in (_start, _end)]
    for names in (*inner, *filter(None, outer)):
        yield f"{{ rank=same; {'; '.join(map(quote, names))} }}"
        yield from _hidden(grid, names, HIDDEN)
    for row in (STAGES, *grid.order):
        ends = (_start(row), _end(row)) if row in tracks else ()
        names = [*ends[:1], *(grid.name((row, c)) for c in grid.columns), *ends[1:]]
        yield from _hidden(grid, names, HIDDEN | {"weight": STRAIGHT})


def _hidden(grid: Grid, names: list[str], look: Attributes) -> Iterator[str]:
    for a, b in pairwise(names):
        if (a, b) not in grid.pieces:
            yield f"{quote(a)} -> {quote(b)} {attributes(look)}"


def _links(grid: Grid) -> Iterator[str]:
    for (source, target), links in grid.pieces.items():
        yield f"{quote(source)} -> {quote(target)} {attributes(_link(grid, source, target, links))}"


def _link(grid: Grid, source: str, target: str, links: list[Link]) -> Attributes:
    end = grid.boxes.get(target)
    look: Attributes = {"tailport": "c"} if source not in grid.boxes else {}
    if end is None:
        look |= {"arrowhead": "none", "headport": "c"}
    if grid.is_upright(source, target):
        look |= {"tailport": "", "headport": ""}
    if all(k.gates for k in links):
        look |= {"style": "dashed", "color": OPEN}
    crosses = end is not None and grid.rows[end.key] != grid.rows[links[0].source]
    return look | {"weight": "0" if crosses else STRAIGHT, "tooltip": _told(links)}


def _told(links: list[Link]) -> str:
    """What the links on one line are: the first of many, as Graphviz reads no longer text."""
    if len(links) == 1:
        return _words(links[0])
    more = [f"and {len(links) - MOST_TOLD} more"] if len(links) > MOST_TOLD else []
    return "; ".join((*(f"{k.source} to {k.target}" for k in links[:MOST_TOLD]), *more))


def _words(link: Link) -> str:
    """`s2.fine[3] to s2.coarse.fuse: down 2`."""
    gates = list(dict.fromkeys(map(str, link.gates)))
    more = ["..."] if len(gates) > MOST_TOLD else []
    facts = ", ".join(filter(None, (link.does, *gates[:MOST_TOLD], *more)))
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
            _write(path, lean(picture) if path.suffix == ".svg" else picture)
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
