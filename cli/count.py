"""`hrdsl count`: how many architectures a space holds."""

from argparse import Namespace
from typing import TYPE_CHECKING

from .common import add_file, add_space, decided, show

if TYPE_CHECKING:
    from .common import Verbs


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("count")
    add_file(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    space = decided(args)
    count = space.decisions.count()
    data = {
        "path": str(args.file),
        "space": space.space.name,
        "count": digits(count.value),
        "exact": count.exact,
        "note": count.note,
        "diagnostics": [d.as_json() for d in space.warnings],
    }
    return show(args, data, [f"{space.space.name}: {words(count.value, count.exact, count.note)}"])


def digits(value: int) -> str:
    """The digits of a count, however many there are."""
    import sys

    sys.set_int_max_str_digits(0)
    return str(value)


def words(value: int, exact: bool, note: str) -> str:
    """A count for people."""
    shown = digits(value)
    shown = f"{value:,}" if len(shown) <= 40 else f"{shown[0]}.{shown[1:4]}e{len(shown) - 1}"
    least = "" if exact else "at most "
    return f"{least}{shown} architecture{'' if value == 1 else 's'}{f' ({note})' if note else ''}"
