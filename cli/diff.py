"""`hrdsl diff`: what changed between two spaces or two networks, by what they mean."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_space, decided, show, table
from .count import digits, words
from .figures import COSTS, short

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from ..compiler.compare import Comparison, DecisionChange, NodeChange
    from .common import Verbs

EQUAL, DIFFERENT = 0, 1
MOST = 4
"""Rows of a part that are shown without --all."""
_RELATIONS = {
    "equal": "both hold the same architectures",
    "subset": "every architecture of the second is one of the first",
    "superset": "every architecture of the first is one of the second",
    "overlap": "some architectures are in both",
    "disjoint": "no architecture is in both",
    "undecided": "whether they share architectures was not decided",
}


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("diff")
    parser.add_argument("first", metavar="FIRST", type=Path, help="an .arch file")
    parser.add_argument("second", metavar="SECOND", type=Path, help="another one")
    parser.add_argument("--all", action="store_true", help="every difference (default: the first few of each kind)")
    add_space(parser)


def run(args: Namespace) -> int:
    from ..compiler.compare import compare

    first, second = (decided(Namespace(**{**vars(args), "file": path})) for path in (args.first, args.second))
    found = compare(first, second)
    data = {
        "equal": found.equal,
        "relation": found.relation.kind,
        "common": None if found.relation.common is None else digits(found.relation.common),
        "note": found.relation.note,
        "first": _side(args.first, first, found, 0),
        "second": _side(args.second, second, found, 1),
        **{
            part: [asdict(x) for x in getattr(found, part)] for part in ("decisions", "constraints", "nodes", "weights")
        },
    }
    show(args, data, _lines(found, None if args.all else MOST))
    return EQUAL if found.equal else DIFFERENT


def _side(path: Path, space: "Compiled", found: "Comparison", side: int) -> dict[str, Any]:
    count, costs = found.counts[side], found.costs[side]
    counted = {"count": digits(count.value), "exact": count.exact, "note": count.note}
    return {"path": str(path), "space": space.space.name, **counted, **costs["largest"], "smallest": costs["smallest"]}


def _lines(found: "Comparison", most: int | None) -> Iterator[str]:
    relation = found.relation
    note = f" ({relation.note})" if relation.note else ""
    yield f"{'equal' if found.equal else 'different'}: {_RELATIONS[relation.kind]}{note}"
    yield from (f"{word:<7} {words(c.value, c.exact, c.note)}" for word, c in zip(_SIDES, found.counts, strict=True))
    if relation.kind == "overlap" and relation.common is not None:
        yield f"common  {words(relation.common, True, '')}"
    if found.equal:
        return
    yield from _part("decisions", [_decision(d) for d in found.decisions], most)
    yield from _part("constraints", [[c.change, c.text] for c in found.constraints], most)
    nodes = sorted(found.nodes, key=_follows)
    yield from _part("nodes", [[n.change, n.name, _parts(n.parts) or n.operator] for n in nodes], most)
    yield from ("", "costs", *table(_costs(found), (1, 2, 3)))
    yield from ("", "weights", *table(_weights(found), (1, 2)))
    if most is None:
        yield from _sizes(found)


_SIDES = ("first", "second")


def _part(title: str, rows: list[list[str]], most: int | None) -> Iterator[str]:
    if not rows:
        return
    numbers = Counter(row[0] for row in rows)
    yield ""
    yield f"{title}: {', '.join(f'{n} {change}' for change, n in numbers.items())}"
    yield from table(rows[:most])
    if most is not None and len(rows) > most:
        yield f"  ... and {len(rows) - most} more (--all shows them)"


def _decision(d: "DecisionChange") -> list[str]:
    before, after = ("" if labels is None else f"{{{', '.join(labels)}}}" for labels in (d.before, d.after))
    if d.change == "fixed":
        return [d.change, d.path, f"{before} -> {d.value or 'not computed'}"]
    if d.change == "opened":
        return [d.change, d.path, f"{d.value or 'not computed'} -> {after}"]
    return [d.change, d.path, " -> ".join(filter(None, (before, after)))]


def _follows(node: "NodeChange") -> bool:
    """Whether only sizes changed in a node, which follow from another node."""
    return bool(node.parts) and all(part.startswith(("channels", "extent")) for part in node.parts)


def _parts(parts: Any) -> str:
    """What changed in a node; where it reads has long names, which --json prints."""
    return ", ".join(n if n == "inputs" else f"{n} {' -> '.join(map(_cut, pair))}" for n, pair in parts.items())


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _costs(found: "Comparison") -> list[list[str]]:
    """Each cost: rounded from the smallest to the largest, exact for a single architecture; the largest compared."""
    rows = [["", "first", "second", "difference"]]
    for cost in COSTS:
        ends = [(side["smallest"][cost], side["largest"][cost]) for side in found.costs]
        rows.append([cost, *(_range(cost, *end) for end in ends), f"{ends[1][1] - ends[0][1]:+,}"])
    return rows


def _range(cost: str, low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{short(cost, low)} .. {short(cost, high)}"


def _weights(found: "Comparison") -> list[Sequence[str]]:
    """What becomes of the parameters of the first: how many tensors, how many numbers."""
    rows = []
    for change, says in _WEIGHTS.items():
        mine = [w for w in found.weights if w.change == change]
        numbers = sum(w.copied if w.before and w.after else _size(w.before or w.after) for w in mine)
        if mine:
            rows.append([says, f"{len(mine):,}", f"{numbers:,}"])
    return [["", "tensors", "numbers"], *rows]


def _sizes(found: "Comparison") -> Iterator[str]:
    """Every parameter that does not carry over whole."""
    rows = [[w.change, w.name, " -> ".join(_axes(s) for s in (w.before, w.after) if s)] for w in found.weights]
    rows = [row for row in rows if row[0] != "same"]
    yield from table(rows) if rows else ()


def _axes(size: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, size))}]"


_WEIGHTS = {
    "same": "carry over whole",
    "resized": "carry over in part",
    "removed": "only in the first",
    "added": "only in the second",
}


def _size(size: tuple[int, ...] | None) -> int:
    from math import prod

    return prod(size or ())
