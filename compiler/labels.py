"""The words of a picture as labels of Graphviz: names, tables, the legend."""

from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import get_args

from .nature import Nature
from .picture import Box, Option, Outline, Setting, Track

SHADES: dict[Nature, tuple[str, ...]] = {
    "convolution": ("#77AADD", "#B5D3F0", "#5A8FCB", "#99DDFF"),
    "light convolution": ("#44BB99", "#A6DFCF", "#2FA083", "#D3F0E7"),
    "attention in windows": ("#EE8866", "#F7BFA9", "#D9724E", "#FADBCF"),
    "attention in stripes": ("#EEDD88", "#F8F0C8", "#D8C04A", "#E9E0B0"),
    "attention of all pixels": ("#EE7788", "#FFC2C9", "#DB5C77", "#FFAABB"),
    "light attention": ("#B79FD6", "#DDCFEB", "#9A86C0", "#CCBBDD"),
    "1x1 or linear": ("#D9C5A7", "#EDE1CE", "#BFA57C", "#E3D3BB"),
    "pooling, resizing": ("#B8C4CE", "#DCE3E8", "#98A8B5", "#C9D3DB"),
    "fusion": ("#D3D6DB", "#E6E8EB", "#BFC4CB", "#DDE0E4"),
    "skipped": ("#FFFFFF", "#F7F7F7", "#FAFAFA", "#F2F2F2"),
    "other": ("#DDDDDD", "#EEEEEE", "#CCCCCC", "#E5E5E5"),
}
"""Backgrounds for dark text: a hue for each kind of operation (Paul Tol's light scheme), a shade for each cell."""
SLICES = ("#77AADD", "#44BB99", "#EE8866", "#EEDD88", "#FFAABB")
TOKENS, REMOVED = "#AA88CC", "#E4E6EA"
"""What pies show beside kernels."""
PLAIN, PAPER = "#DDDDDD", "#FFFFFF"
INK, FAINT, LINE, OPEN = "#1A1A1A", "#5F6368", "#6B7075", "#0B5FFF"
FIRM, FADED = "D8", "66"
"""The opacity of a box; of one that only some architectures have."""
CAPTIONED = ("stem", "head")
CHIPS = ("enter", "slot", "edge", "fuse")
"""What a small picture draws as colours."""
INNER = 'CELLBORDER="0" CELLSPACING="2" CELLPADDING="4"'


Palette = dict[str, str]
"""The colour of each cell."""


def colours(cells: Iterable[tuple[str, Nature]]) -> Palette:
    """The cells of each kind in shades of its hue, in the order given."""
    taken: Counter[Nature] = Counter()
    found: Palette = {}
    for name, nature in cells:
        found[name] = SHADES[nature][taken[nature] % len(SHADES[nature])]
        taken[nature] += 1
    return found


def slices(outline: Outline) -> dict[str, str]:
    """The colour of each group of units: kernels in the order of their size, tokens apart."""
    named = sorted({w.name for b in outline.boxes for w in b.pie})
    kernels = [name for name in named if name != "tokens"]
    return {n: SLICES[k % len(SLICES)] for k, n in enumerate(kernels)} | (
        {"tokens": TOKENS} if "tokens" in named else {}
    )


def font(words: str, size: int, colour: str = INK, bold: bool = False) -> str:
    inner = f"<B>{escape(words)}</B>" if bold else escape(words)
    return f'<FONT POINT-SIZE="{size}" COLOR="{colour}">{inner}</FONT>'


def told(setting: Setting, size: int = 10) -> str:
    """A setting in words, blue while it is open."""
    return font(str(setting), size, OPEN if setting.open else FAINT)


def heading(track: Track) -> str:
    """`coarse 1/4 width in {24, 32, 48}`."""
    width = f"<BR/>{told(track.width)}" if track.width else ""
    names = track.title.replace(", ", ",\n").split("\n")
    title = "<BR/>".join(font(n, 14 if len(names) == 1 else 12, bold=True) for n in names)
    return f"<{title}<BR/>{font(track.place, 12)}{width}>" if track.title else ""


def table(box: Box, palette: Palette, small: bool) -> str:
    """A box: a coloured row for each cell it can be, then what holds in every case."""
    caption = box.key.removeprefix("heads.") if box.key.startswith("heads.") else box.role
    above = [font(box.cell or caption, 9, FAINT)] if box.cell or box.role in CAPTIONED else []
    opacity = FADED if box.note else FIRM
    options = [option(o, palette.get(o.name, PLAIN) + opacity, small) for o in box.options]
    below = [
        *map(told, () if small else box.settings),
        *([font(box.note, 10, OPEN)] if box.note else []),
        font(box.size, 10, FAINT),
    ]
    lines = [*(f"<TR><TD>{r}</TD></TR>" for r in above), *options, f"<TR><TD>{'<BR/>'.join(below)}</TD></TR>"]
    return f"<<TABLE {frame(box)} {INNER}>{''.join(lines)}</TABLE>>"


def frame(box: Box) -> str:
    """The edge of a box: blue while something in it is open, dashed where not every architecture has it."""
    edge, width = (OPEN, 2) if box.open else (LINE, 1)
    style = "rounded,dashed" if box.note else "rounded"
    return f'STYLE="{style}" BORDER="{width}" COLOR="{edge}" BGCOLOR="{PAPER}"'


def chip(box: Box, palette: Palette, width: str) -> str:
    """A box without words: the colours of its cells, how often they repeat, and its width where the lane has another."""
    height = 22 if len(box.options) == 1 else max(8, 24 // len(box.options))
    rows = [
        f'<TR><TD BGCOLOR="{palette.get(o.name, PLAIN)}{FIRM}" WIDTH="26" HEIGHT="{height}">'
        f"{font(f'x{o.times}', 10, bold=True) if o.times > 1 else ''}</TD></TR>"
        for o in box.options
    ]
    size = box.size.split(" @ ")[0]
    words = size if len(size) < 8 else f"{size.split('|')[0]}..{size.split('|')[-1]}"
    below = f"<TR><TD>{font(words, 9, FAINT)}</TD></TR>" if size != width and box.role == "slot" else ""
    return f'<<TABLE {frame(box)} CELLBORDER="0" CELLSPACING="1" CELLPADDING="1">{"".join(rows)}{below}</TABLE>>'


def pie(box: Box, palette: dict[str, str]) -> dict[str, str]:
    """A round box: how much is left of each group of units, and what is removed."""
    whole = sum(w.most for w in box.pie)
    parts = [(palette[w.name], w.kept) for w in box.pie if w.kept]
    left = sum(kept for _, kept in parts)
    parts += [(REMOVED, whole - left)] if left < whole else []
    share = f"{100 * left // whole}%" if 100 * left >= whole or not left else "<1%"
    fill = ":".join(f"{colour};{count / whole:.4f}" for colour, count in parts)
    return {
        "shape": "circle",
        "style": "wedged" if len(parts) > 1 else "filled",
        "fillcolor": fill if len(parts) > 1 else parts[0][0],
        "color": LINE,
        "penwidth": "0.6",
        "fixedsize": "true",
        "width": "0.55",
        "label": f"<{font(box.role, 8) + '<BR/>' if box.role in CAPTIONED else ''}{font(share, 10)}>",
    }


def told_of(box: Box) -> str:
    """What a box is, in one line, for where it is not written out."""
    units = (f"{w.name}: {w.kept} of {w.most}" for w in box.pie)
    options = (", ".join((o.name, *map(str, o.settings))) for o in box.options)
    return "; ".join((box.key, *options, *map(str, box.settings), *units, *([box.note] if box.note else []), box.size))


def option(cell: Option, colour: str, small: bool) -> str:
    name = f"{cell.name} x{cell.times}" if cell.times > 1 else cell.name
    lines = (f"&nbsp;{font(name, 12, bold=True)}&nbsp;", *(font(str(s), 10) for s in cell.settings if not small))
    return f'<TR><TD STYLE="rounded" BGCOLOR="{colour}">{"<BR/>".join(lines)}</TD></TR>'


def legend(outline: Outline, palette: Palette) -> str:
    """The title, the colours of the cells drawn by what they compute, and what the signs mean."""
    lines = [font(outline.title, 18, bold=True), font(subtitle(outline), 11, FAINT)]
    keys = "".join((*swatches(outline, palette), *shares(outline), *signs(outline)))
    if keys:
        lines.append(f'<TABLE BORDER="0" CELLSPACING="4" CELLPADDING="4"><TR>{keys}</TR></TABLE>')
    rows = "".join(f'<TR><TD ALIGN="LEFT">{line}</TD></TR>' for line in lines)
    return f'<<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>>'


def subtitle(outline: Outline) -> str:
    count = sum(len(t.title.split(", ")) for t in outline.lanes if t.title)
    words = [f"{count} branch{'es' if count != 1 else ''}"] if count else []
    words += [f"{outline.decisions} open decision{'s' if outline.decisions != 1 else ''}"] if outline.decisions else []
    return ", ".join(words) or ("all choices made" if outline.title.startswith("architecture") else "no choices")


def swatches(outline: Outline, palette: Palette) -> Iterator[str]:
    """The cells drawn, by kind of operation; in a small picture with what is searched in them."""
    coloured = [(b, o) for b in outline.boxes if not (b.sign or b.pie) for o in b.options]
    for nature in get_args(Nature):
        used = {o.name for _, o in coloured if o.nature == nature}
        names = [name for name, kind in outline.cells if kind == nature and name in used]
        if names:
            yield f"<TD>{font(nature, 11, FAINT)}</TD>"
        for name in names:
            found = (s for b, o in coloured if o.name == name for s in (*o.settings, *b.settings) if s.open)
            inside = ", ".join(dict.fromkeys(s.name.rpartition(".")[2] for s in found)) if outline.small else ""
            words = font(name, 11) + (f"<BR/>{font(inside, 9, OPEN)}" if inside else "")
            yield f'<TD STYLE="rounded" BGCOLOR="{palette[name]}{FIRM}">{words}</TD>'


def shares(outline: Outline) -> Iterator[str]:
    """The groups of units that pies show."""
    named = slices(outline)
    for name, colour in (*named.items(), *([("removed", REMOVED)] if named else [])):
        yield f'<TD STYLE="rounded" BGCOLOR="{colour}">{font(name, 11)}</TD>'


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
