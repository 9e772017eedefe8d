"""What the uses of one cell hold where they differ: `trio` with a convolution here, with local attention there."""

from collections.abc import Mapping, Sequence

from .groups import Path, plain


def inner(uses: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """The paths of the nodes of each use, from within the cell, in; the cell that each holds out: at the outermost place where
    all hold a single one, and not all the same. Empty if there is none."""
    held = [_held(paths) for paths in uses.values()]
    places = [place for place in held[0] if all(place in each for each in held)]
    for place in sorted(places, key=len):
        names = [each[place] for each in held]
        if len(set(names)) > 1:
            return dict(zip(uses, names, strict=True))
    return {}


def _held(paths: Sequence[Path]) -> dict[Path, str]:
    """The places of a use that hold one cell, and nothing beside it."""
    found: dict[Path, set[tuple[str, bool]]] = {}
    for path in paths:
        for k, part in enumerate(path[1:], 1):
            found.setdefault(path[:k], set()).add((plain(part), k + 1 < len(path)))
    single = {place: next(iter(parts)) for place, parts in found.items() if len(parts) == 1}
    return {place: name for place, (name, is_cell) in single.items() if is_cell}
