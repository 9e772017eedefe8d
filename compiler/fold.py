"""Equal boxes in a row as one: `residual x4` for four slots with the same cell, settings and width."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from .picture import Box, Link
from .sym import Decision

FOLDED = ("slot", "head")
Ties = Mapping[str, tuple[Decision, ...]]


def fold(
    boxes: tuple[Box, ...], links: tuple[Link, ...], ties: Ties, apart: Collection[object] = ()
) -> tuple[tuple[Box, ...], tuple[Link, ...]]:
    """The picture with each run of equal boxes as one. `ties` are each box's open decisions: equal boxes share them.

    Boxes of the stages `apart` stay as they are.
    """
    follower = _followers({b.key: b for b in boxes if b.stage not in apart}, links, ties)
    named: dict[str, str] = {}
    found = []
    for box in boxes:
        if box.key in follower.values():
            continue
        run = [box.key]
        while run[-1] in follower:
            run.append(follower[run[-1]])
        one = _several(box, run)
        named |= dict.fromkeys(run, one.key)
        found.append(one)
    order = sorted({b.column for b in found})
    kept = (replace(k, source=named[k.source], target=named[k.target]) for k in links)
    return tuple(replace(b, column=order.index(b.column)) for b in found), tuple(
        k for k in kept if k.source != k.target
    )


def _followers(boxes: Mapping[str, Box], links: tuple[Link, ...], ties: Ties) -> dict[str, str]:
    """Each box that only the next one reads, where that is equal and reads nothing else."""
    sources, targets = Counter(k.source for k in links), Counter(k.target for k in links)
    return {
        k.source: k.target
        for k in links
        if sources[k.source] == targets[k.target] == 1
        and k.source in boxes
        and k.target in boxes
        and _face(boxes[k.source]) == _face(boxes[k.target])
        and ties[k.source] == ties[k.target]
        and boxes[k.source].role in FOLDED
        and not boxes[k.source].pie
    }


def _face(box: Box) -> Box:
    """What a box shows."""
    return replace(box, key="", column=0)


def _several(box: Box, run: list[str]) -> Box:
    if len(run) == 1:
        return box
    options = tuple(replace(o, times=o.times * len(run)) for o in box.options)
    return replace(box, key=f"{run[0]} .. {run[-1]}", options=options)
