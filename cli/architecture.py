"""Which architecture: the options that choose one, and architectures as text."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .common import UsageError

if TYPE_CHECKING:
    from ..compiler.api import Compiled

Genes = tuple[int, ...]
LONGEST = 10_000
"""Digits of a number of an architecture."""


def add_architecture(parser: ArgumentParser, default: str = "") -> None:
    """`--arch`, `--index`, `--largest`, `--smallest`; `default` says when the largest is taken unasked."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--arch",
        metavar="PATH=LABEL,...",
        action="append",
        help="these decisions; all others as in the largest",
    )
    which.add_argument("--index", metavar="N", type=index, help="the architecture with this number, from 0")
    which.add_argument("--largest", action="store_true", help=f"the largest architecture{default}")
    which.add_argument("--smallest", action="store_true", help="the smallest architecture")


def chosen(args: Namespace, space: "Compiled") -> Genes | None:
    """The genes that the options ask for; None where they name no architecture."""
    if args.smallest:
        return tuple(space.decisions.smallest())
    if args.largest:
        return tuple(space.decisions.largest())
    if args.index is not None:
        return numbered(args.index, space)
    return read(args.arch, space) if args.arch else None


def index(text: str) -> int:
    """An argparse type: the number of an architecture, of any size."""
    digits = text.replace(",", "").replace("_", "")
    if not digits.isascii() or not digits.isdigit() or len(digits) > LONGEST:
        raise ArgumentTypeError(f"the number of an architecture is needed, not `{text[:80]}`")
    sys.set_int_max_str_digits(0)
    return int(digits)


def numbered(number: int, space: "Compiled") -> Genes:
    """The architecture with a number."""
    try:
        return space.decisions.unrank(number)
    except ValueError as fault:
        raise UsageError(f"--index: {fault}") from None


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
    return _feasible(genes, space)


def _feasible(genes: Sequence[int], space: "Compiled") -> Genes:
    """The canonical form; a usage fault if a constraint is broken."""
    import numpy

    rows = space.decisions.canonical(numpy.array([genes], dtype=numpy.int16))
    for constraint in space.decisions.constraints:
        if not space.decisions.feasible(rows, [constraint])[0]:
            raise UsageError(f"--arch: this architecture breaks `require {constraint.syntax.condition.span.text}`")
    return tuple(map(int, rows[0]))


def line(labels: Mapping[str, str]) -> str:
    """An architecture on one line, as `--arch` reads it."""
    return ", ".join(f"{path} = {label}" for path, label in labels.items()) or "(no decisions)"


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
