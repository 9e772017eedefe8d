"""The lanes of a picture: the branches by resolution, and more room for one where several boxes stand side by side."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from .graph import Graph, Lane
from .groups import Group, Grouping, steps
from .naming import Genes, resolution, setting
from .picture import Box, Setting, Track
from .shape import text
from .sym import Table, at


class Lanes:
    """Rows by name: a branch's, one for each further route of an architecture at its stride, one for each edge into it."""

    def __init__(self, graph: Graph, grouping: Grouping, genes: Genes | None, alive: Callable[[Group], bool]) -> None:
        self.graph, self.grouping, self.genes, self.alive = graph, grouping, genes, alive
        zeros = [0] * len(graph.decisions)
        self.order = sorted(graph.lanes, key=lambda x: at(x.stride, genes if genes is not None else zeros))

    @cached_property
    def first(self) -> dict[str, str]:
        """The route that has the row of a branch, by branch: the one that ends there, else the first that passes."""
        found: dict[str, list[str]] = {}
        for g in self.grouping.groups:
            if g.role == "slot" and g.source and self.alive(g):
                found.setdefault(g.lane, []).append(g.source)
        return {lane: lane if lane in routes else routes[0] for lane, routes in found.items()}

    def row(self, group: Group) -> str:
        """The name of the row that a group stands in."""
        if group.role == "edge" and group.source not in ("", group.lane):
            return f"{group.lane} from {group.source}"
        if group.role == "slot" and group.source != self.first.get(group.lane, group.source):
            return f"{group.lane} of {group.source}"
        return group.lane

    def tracks(self, boxes: tuple[Box, ...]) -> tuple[tuple[Track, ...], tuple[Box, ...]]:
        """The rows that are used, the highest resolution first; branches that follow each other at one share theirs."""
        used = {b.lane for b in boxes}
        names = [x.name for x in self.order]
        found: list[Track] = []
        for k, lane in enumerate(self.order):
            above = [f"{lane.name} from {n}" for n in names[:k]]
            below = [f"{lane.name} of {n}" for n in names] + [f"{lane.name} from {n}" for n in names[k + 1 :]]
            found += (Track(n, "", None, beside=lane.name) for n in above if n in used)
            found += (self.track(lane),) if lane.name in used or used & {*above, *below} else ()
            found += (Track(n, "", None, beside=lane.name) for n in below if n in used)
        return _merged(found, boxes)

    def track(self, lane: Lane) -> Track:
        place = resolution(text(lane.stride) if self.genes is None else str(at(lane.stride, self.genes)))
        if lane.width is None:
            return Track(lane.name, place, self.halving(lane), lane.name)
        many = (
            tuple(dict.fromkeys(map(str, lane.width.values))) if isinstance(lane.width, Table) else (text(lane.width),)
        )
        values = many if self.genes is None else (str(at(lane.width, self.genes)),)
        return Track(lane.name, place, Setting("width", values), lane.name)

    def halving(self, lane: Lane) -> Setting | None:
        """Where the route to a lane halves the resolution."""
        routed = self.grouping.routed
        found = next((d for d in self.graph.decisions if _halves(d.path, lane.name) in routed), None)
        ends = any(self.alive(g) for g in self.grouping.groups if g.stage in routed and g.source in ("", lane.name))
        return setting(found, ("down",), self.genes) if found is not None and ends else None


def _halves(path: str, lane: str) -> object:
    """The routes that a decision of where to halve belongs to."""
    parts = steps(path)
    return parts[0] if parts[1:] == (lane, "down") else None


def _merged(tracks: list[Track], boxes: tuple[Box, ...]) -> tuple[tuple[Track, ...], tuple[Box, ...]]:
    """Branches of one resolution whose boxes stand in different columns as one lane."""
    kept: list[Track] = []
    moved: dict[str, str] = {}
    for track in tracks:
        before = next((k for k in kept if _may_share(k, track, boxes, moved)), None)
        if before is None:
            kept.append(track)
            continue
        width = before.width if before.width == track.width else None
        kept[kept.index(before)] = replace(before, title=f"{before.title}, {track.title}", width=width)
        moved[track.name] = before.name
    kept = [replace(t, beside=moved.get(t.beside, t.beside)) for t in kept]
    order = [t.name for t in kept]
    return tuple(sorted(kept, key=lambda t: order.index(t.beside or t.name))), tuple(
        replace(b, lane=moved.get(b.lane, b.lane)) for b in boxes
    )


def _may_share(one: Track, other: Track, boxes: tuple[Box, ...], moved: dict[str, str]) -> bool:
    if (
        one.place != other.place
        or not one.title
        or not other.title
        or any(t.width and t.width.open for t in (one, other))
    ):
        return False
    columns = [{b.column for b in boxes if moved.get(b.lane, b.lane) == t.name} for t in (one, other)]
    return not columns[0] & columns[1]
