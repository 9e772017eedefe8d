"""Names within a box: what its cells, its choices and the architectures that have it are called."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from .graph import Switch
from .groups import Group, Part, steps
from .picture import Option, Setting
from .sym import Decision, Table, Value, deps, is_sym

Genes = Sequence[int]
SWITCHES = ("choice", "depth")
"""What elaboration calls the nodes that choose between cells and between depths."""


def within(
    path: tuple[Part, ...], group: Group, places: set[str], base: tuple[Part, ...] = ()
) -> tuple[Part, ...] | None:
    """A decision's path within a group; None if it is another's. `places` are the names of stages and branches, `base`
    what the paths of an edge begin with."""
    if base:
        return path[len(base) - 1 :] if path[: len(base)] == base else None
    if group.role == "enter" and path[:3] == (group.stage, group.lane, "enter"):
        return path[3:]
    own = (group.slot,) if group.role == "slot" else steps(group.key.rpartition(".")[2])
    for step in (group.stage, group.lane, *own):
        if path[:1] == (step,) and len(path) > 1:
            path = path[1:]
    first, inside = path[0], len(path) > 1
    return None if inside and (isinstance(first, int) or first in places or first in ("enter", "fuse")) else path


def owner(path: tuple[Part, ...], options: tuple[Option, ...]) -> tuple[str, tuple[Part, ...]] | None:
    """The option that a path within a box leads into, and the path within that."""
    names = {o.name for o in options}
    return next(((str(part), path[k + 1 :]) for k, part in enumerate(path[:-1]) if part in names), None)


def shorten(found: Iterable[tuple[Decision, tuple[Part, ...]]], genes: Genes | None) -> Iterator[Setting]:
    """Each decision by the shortest end of its path that no other decision of the box has."""
    pairs = list(found)
    for d, path in pairs:
        others = [p for e, p in pairs if e is not d]
        length = next((n for n in range(1, len(path)) if all(p[-n:] != path[-n:] for p in others)), len(path))
        yield setting(d, path[-length:], genes)


def setting(decision: Decision, path: tuple[Part, ...], genes: Genes | None) -> Setting:
    name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
    return Setting(name, decision.labels if genes is None else (decision.labels[genes[decision.index]],))


def labels(op: object) -> tuple[str, ...]:
    """The names of the options of a choice between cells; none if it is not one decision's."""
    if not isinstance(op, Switch) or not isinstance(op.select, Table) or len(op.select.deps) != 1:
        return ()
    (decision,) = op.select.deps
    return decision.labels if op.select.values == tuple(range(len(decision))) else ()


def of_cells(op: object) -> bool:
    """Whether a choice is between cells, by one decision."""
    if not labels(op):
        return False
    assert isinstance(op, Switch)
    (decision,) = deps(op.select)
    return not all(isinstance(v, bool | int | Fraction | str | tuple) for v in decision.values)


def chain(names: Iterable[Part]) -> list[str]:
    """The names of a chain in order; `conv2` is `conv` again."""
    found: list[str] = []
    for name in names:
        if isinstance(name, int) or name in SWITCHES:
            continue
        plain = name.rstrip("0123456789")
        found.append(plain if plain in found else name)
    return found


def reach(select: Value, slot: int, slots: int) -> str:
    """When a lane is deep enough for a slot: `times >= 2`."""
    (decision,) = deps(select)
    reach = [v + slots - max(select.values) >= slot for v in select.values]
    labels = [label for label, ok in zip(decision.labels, reach, strict=True) if ok]
    name = str(steps(decision.path)[-1])
    if labels == list(decision.labels[-len(labels) :]):
        return f"{name} >= {labels[0]}" if len(labels) > 1 else f"{name} = {labels[0]}"
    return f"{name} in {{{', '.join(labels)}}}"


def resolution(stride: str) -> str:
    """`4` -> `1/4`."""
    return f"1/{stride}" if not is_sym(stride) else "?"
