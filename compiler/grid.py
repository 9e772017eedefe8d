"""Where everything of a picture stands: rows and columns, and the places that lines run through."""

from collections.abc import Iterator
from itertools import pairwise

from .labels import CAPTIONED, CHIPS
from .picture import Box, Link, Outline, Track

STAGES = "the stages"
"""The row of the stages' names: no branch can be called so."""
Place = tuple[str, int]
"""A row and a column."""
Way = list[Place]


class Grid:
    """A row for the stages' names, one for each lane, clear rows between and below them, a column for each step.

    Every place has a node, so that rows stay straight and in order; `joints` are places that lines run through, each
    with the box that its lines come from or lead to.
    """

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.lanes = [t.name for t in outline.lanes] or [""]
        self.boxes = {b.key: b for b in outline.boxes}
        self.taken: dict[Place, str] = {}
        self.rows: dict[str, str] = {}
        for box in sorted(outline.boxes, key=lambda b: not b.lane):
            self.rows[box.key] = next(row for row in self.choices(box) if (row, box.column) not in self.taken)
            self.taken[self.rows[box.key], box.column] = box.key
        self.gaps = [_gap(t.name) for t in outline.lanes if self.is_first(t)]
        self.order = [r for lane in (*self.lanes, *self.below()) for r in (_gap(lane), lane, *self.between(lane))]
        self.columns = range(max((b.column for b in outline.boxes), default=0) + 1)
        self.joints: dict[Place, str] = {}
        self.pieces: dict[tuple[str, str], list[Link]] = {}
        for link in outline.links:
            self.route(link)
        used = {*self.rows.values(), *self.lanes, *(row for row, _ in self.joints), *self.gaps}
        self.order = [row for row in self.order if row in used]
        self.columns_at = {self.name((row, c)): c for row in self.order for c in self.columns}

    @property
    def dense(self) -> bool:
        """Whether some branch has several lanes: they stand close together, and gaps keep the branches apart."""
        return any(t.beside for t in self.outline.lanes)

    def is_first(self, track: Track) -> bool:
        """Whether a lane is the first one of its branch, where some branch has several."""
        branch = [t.beside or t.name for t in self.outline.lanes]
        place = self.outline.lanes.index(track)
        return self.dense and branch[place] not in branch[:place]

    def choices(self, box: Box) -> Iterator[str]:
        """The rows where a box may stand, best first: its lane, the lane of its resolution, the others, one below."""
        yield from (t.name for t in self.outline.lanes if box.lane in (t.name, "") and t.place == box.place)
        yield from (box.lane,) if box.lane else self.lanes
        yield from (_below(k) for k in range(len(self.boxes)))

    def below(self) -> list[str]:
        """Clear rows below the lanes, where boxes stand that have no place in one."""
        return [_below(k) for k in range(len(self.boxes)) if _below(k) in self.rows.values()]

    def between(self, row: str) -> list[str]:
        """The clear rows below a row: one for each box that lines there may lead to."""
        return [_between(row, key) for key in self.boxes]

    def route(self, link: Link) -> None:
        """A long link takes the first of its ways that is free; those from one box, or to one box, may share theirs."""
        source, target = self.boxes[link.source], self.boxes[link.target]
        free = ((w, owner) for w, crossed, owner in self.ways(source, target) if self.is_free(w, crossed, owner))
        way, owner = next(free, ([], ""))
        self.joints |= dict.fromkeys(way, owner)
        for ends in pairwise((source.key, *map(self.name, way), target.key)):
            self.pieces.setdefault(ends, []).append(link)

    def ways(self, source: Box, target: Box) -> Iterator[tuple[Way, Way, str]]:
        """Ways from box to box, each with the places that it crosses, and the box whose links may share it: along the
        lane of the source; along that of the target; below a lane, where boxes stand in both,
        straight down from the source or else aslant to the next column."""
        start, end = self.rows[source.key], self.rows[target.key]
        first, last = source.column, target.column
        inner = range(first + 1, last)
        if not inner:
            return
        yield [(start, c) for c in inner], [], source.key
        if start != end:
            crossed = [(row, first) for row in self.crossed(start, end)]
            yield [(end, c) for c in (first, *inner)], crossed, target.key
        rows = self.clear(start, end, target.key)
        for row in rows:
            before, after = self.crossed(start, row), self.crossed(row, end)
            crossed = [*((r, first) for r in before), *((r, last) for r in after)]
            yield [(row, c) for c in (first, *inner, last)], crossed, target.key
        for row in rows:
            yield [(row, c) for c in (*inner, last)], [(r, last) for r in self.crossed(row, end)], target.key

    def is_free(self, way: Way, crossed: Way, owner: str) -> bool:
        """Whether no box stands in a way, and no other lines run along it."""
        return all(p not in self.taken for p in (*way, *crossed)) and all(
            self.joints.get(p, owner) == owner for p in way
        )

    def crossed(self, a: str, b: str) -> list[str]:
        """The rows between two rows."""
        low, high = sorted((self.order.index(a), self.order.index(b)))
        return self.order[low + 1 : high]

    def clear(self, start: str, end: str, key: str) -> list[str]:
        """The rows between two lanes for the lines to a box: the one next to the first lane first."""
        if start == end:
            return [_between(start, key)]
        lines = {_between(row, key) for row in self.lanes}
        rows = [r for r in self.crossed(start, end) if r in lines]
        return rows if self.order.index(start) < self.order.index(end) else rows[::-1]

    def is_upright(self, a: str, b: str) -> bool:
        """Whether a line from one place to another stays in its column."""
        return self.columns_at[a] == self.columns_at[b]

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
        beside = any(t.beside and t.name == lane for t in self.outline.lanes)
        small = self.outline.small
        boxes = (b for b in self.outline.boxes if self.rows[b.key] == lane)
        return max(8 if beside else 60, (8 if beside else 20) + max((_height(b, small) for b in boxes), default=0))

    def room(self, column: int) -> int:
        """Points that a column needs for the lines that come from other lanes."""
        crossed = {k.target for k in self.outline.links if self.rows[k.source] != self.rows[k.target]}
        count = sum(b.column == column and b.key in crossed for b in self.outline.boxes)
        least, more = (24, 24) if self.outline.small else (48, 40)
        return least + more * min(count, 4) if count else 0


def _gap(row: str) -> str:
    return f"gap above {row}"


def _below(k: int) -> str:
    return f"clear row {k + 1}"


def _between(row: str, key: str) -> str:
    return f"below {row}: {key}"


def _height(box: Box, small: bool) -> int:
    """Points that a box needs at most."""
    if box.pie:
        return 40
    if small and box.role in CHIPS:
        return 14 + max(24, 10 * len(box.options)) + (14 if box.role == "slot" else 0)
    options = sum(26 + 13 * len(o.settings) for o in box.options)
    return options + 13 * (len(box.settings) + bool(box.note)) + (18 if box.role in CAPTIONED else 0) + 22
