"""Where a search starts from: the front of an earlier study, found networks; as genomes of the space at hand.

Decisions are matched by path and their values by label, so the earlier study may be of another version of the space. What it
does not say is drawn.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler.api import Compiled, compile_file
from ..compiler.placed import placed
from .faults import RunError
from .files import write
from .objectives import linkage_of
from .search.front import Front
from .search.linkage import fresh
from .search.problem import Genome, Objective

FRONT = "front.json"
"""The front of a study so far: values and choices of each member."""


def write_choices(compiled: Compiled, objectives: Sequence[Objective], front: Front, folder: Path) -> None:
    """The front of a study as choices by path, for a later search to start from."""
    names = [o.name for o in objectives]
    rows = [
        {"values": dict(zip(names, m.values, strict=True)), "choices": compiled.decisions.labels(m.genome)}
        for m in front.members
    ]
    text = json.dumps({"space": compiled.space.name, "networks": rows}, indent=1)
    write(folder / FRONT, text + "\n")


def starts(compiled: Compiled, sources: Sequence[Path], seed: int) -> tuple[Genome, ...]:
    """The architectures that earlier studies and networks stand for, each once; made feasible where that is possible.

    `compiled` is under the constraints of the search. Raises RunError, ArchError, OSError.
    """
    rng = np.random.default_rng(seed)
    found = [genome for source in sources for genome in _from(compiled, source, rng)]
    return tuple(dict.fromkeys(found))


def _from(compiled: Compiled, source: Path, rng: np.random.Generator) -> list[Genome]:
    if source.suffix == ".arch":
        return _feasible(compiled, source, np.array([_network(compiled, source)], np.int16), rng)
    given = [*_choices(source)]
    known = {d.path: d for d in compiled.graph.decisions}
    if not any(path in known and label in known[path].labels for one in given for path, label in one.items()):
        raise RunError(
            f"--from {source}: nothing that it chose is a choice of space `{compiled.space.name}`; "
            "its decisions have other names"
        )
    rows = fresh(rng, compiled.decisions.cardinalities, linkage_of(compiled.decisions), len(given))
    for row, one in zip(rows, given, strict=True):
        for path, label in one.items():
            if path in known and label in known[path].labels:
                row[known[path].index] = known[path].labels.index(label)
    return _feasible(compiled, source, rows, rng)


def _network(compiled: Compiled, source: Path) -> Genome:
    """The architecture that a network without open decisions is."""
    network = compile_file(source)
    if network.graph.decisions:
        raise RunError(
            f"--from {source}: space `{network.space.name}` holds more than one architecture; give a found network, or a study"
        )
    genes = placed(compiled.graph, network.graph)
    if genes is None:
        raise RunError(
            f"--from {source}: it is no architecture of space `{compiled.space.name}` as it is now; "
            "give the study that found it, whose choices are matched by name"
        )
    return genes


def _choices(source: Path) -> Iterator[Mapping[str, str]]:
    """The choices of each member of a front."""
    path = source / FRONT if source.is_dir() else source
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
        networks = read["networks"] if "networks" in read else read["front"]
        found = [{str(k): str(v) for k, v in n["choices"].items()} for n in networks]
    except FileNotFoundError:
        what = f"{FRONT} is not there; is it a study?" if source.is_dir() else "there is no such file"
        raise RunError(f"--from {source}: {what}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        what = "a study, a found network (.arch), or the JSON that `search --json` prints"
        raise RunError(f"--from {source}: {path.name} is not the front of a search; give {what}") from None
    if not found:
        raise RunError(f"--from {source}: the front is empty")
    yield from found


def _feasible(
    compiled: Compiled, source: Path, rows: np.ndarray[Any, np.dtype[np.int16]], rng: np.random.Generator
) -> list[Genome]:
    """The rows in canonical form, repaired where a constraint is broken; those that cannot be are left out."""
    space = compiled.decisions
    rows = space.canonical(rows)
    broken = ~space.feasible(rows)
    if broken.any():
        rows[broken] = space.repair(rows[broken], rng)
    kept = rows[space.feasible(rows)]
    if not len(kept):
        raise RunError(f"--from {source}: none of its networks can meet the constraints of this search")
    return [tuple(row) for row in kept.tolist()]
