"""Which architecture: the options that choose one, and architectures as text."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import UsageError

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from ..compiler.graph import Graph

Genes = tuple[int, ...]


def add_architecture(parser: ArgumentParser, default: str) -> None:
    """`--arch`, `--largest`, `--smallest`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--arch",
        metavar="PATH=LABEL,...",
        action="append",
        help="decisions; those not named are as in the largest architecture",
    )
    which.add_argument(
        "--largest", action="store_true", help=f"the largest architecture{default if 'largest' in default else ''}"
    )
    which.add_argument("--smallest", action="store_true", help="the smallest architecture")


def chosen(args: Namespace, space: "Compiled") -> Genes | None:
    """The genes that the options ask for; None where they name no architecture."""
    if args.smallest:
        return tuple(space.decisions.smallest())
    if args.largest:
        return tuple(space.decisions.largest())
    return read(args.arch, space) if args.arch else None


def read(texts: Sequence[str], space: "Compiled") -> Genes:
    """The genes of `path=label, ...`."""
    from ..dsl.errors import near

    genes = list(map(int, space.decisions.largest()))
    known = {d.path: d for d in space.graph.decisions}
    for part in (p for text in texts for p in _parts(text)):
        path, equals, label = (s.strip() for s in part.partition("="))
        if not equals:
            raise UsageError(f"--arch: write `path=label`, not `{part}`")
        if path not in known:
            raise UsageError(f"--arch: no decision `{path}`: {near(path, known) or 'this space holds none'}")
        decision = known[path]
        if label not in decision.labels:
            raise UsageError(f"--arch: `{path}` cannot be `{label}`: {near(label, decision.labels)}")
        genes[decision.index] = decision.labels.index(label)
    return tuple(genes)


def labels(graph: "Graph", genes: Sequence[int]) -> dict[str, str]:
    """An architecture as path -> label."""
    return {d.path: d.labels[int(genes[d.index])] for d in graph.decisions}


def line(graph: "Graph", genes: Sequence[int]) -> str:
    """An architecture on one line, as `--arch` reads it."""
    return ", ".join(f"{path} = {label}" for path, label in labels(graph, genes).items()) or "(no decisions)"


def _parts(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [p.strip() for p in parts if p.strip()]
