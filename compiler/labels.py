"""The words of a picture as labels of Graphviz: names, tables, the legend."""

from collections.abc import Iterable, Iterator
from html import escape
from zlib import crc32

from .picture import Box, Option, Outline, Setting, Track

TINTS = ("#77AADD", "#99DDFF", "#44BB99", "#BBCC33", "#EEDD88", "#EE8866", "#FFAABB", "#CCBBDD")
"""Backgrounds for dark text, apart for every kind of colour vision: Paul Tol's light scheme, lilac for its olive."""
SALT = 66605
"""Keeps the standard library's cells apart in `TINTS`."""
PLAIN, PAPER = "#DDDDDD", "#FFFFFF"
INK, FAINT, LINE, OPEN = "#1A1A1A", "#5F6368", "#6B7075", "#0B5FFF"
FIRM, FADED = "D8", "66"
"""The opacity of a box; of one that only some architectures have."""
CAPTIONED = ("stem", "head")
INNER = 'CELLBORDER="0" CELLSPACING="2" CELLPADDING="4"'


def colours(cells: Iterable[str]) -> dict[str, str]:
    """Each cell's own colour, whatever else is drawn; where two names agree, the later takes the next free one."""
    found: dict[str, str] = {}
    for name in sorted(cells):
        first = crc32(f"{SALT}{name}".encode()) % len(TINTS)
        order = TINTS[first:] + TINTS[:first]
        found[name] = next((c for c in order if c not in found.values()), order[0])
    return found


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
