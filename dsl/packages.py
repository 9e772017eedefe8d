"""What installed packages add to the language: folders of modules and operators, by entry points.

`importlib.metadata` is slow to import and asked only where there are any. A package's code is imported when a file
names what it adds; a package that fails gives a diagnostic that names it.
"""

import sys
from collections.abc import Iterable
from functools import cache
from os import scandir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import errors
from .diagnostic import ArchError, Source, Span

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS = (b"[hrdsl.modules]", b"[hrdsl.operators]")


def entry_points(group: str) -> "Iterable[EntryPoint]":
    """The entry points of a group."""
    if not _any():
        return ()
    from importlib.metadata import entry_points as every

    return every(group=group)


def module_roots() -> "dict[str, EntryPoint]":
    """The entry points that name folders of modules, by the first name of their paths."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points("hrdsl.modules"):
        if entry.name in found:
            raise faulty(entry, "modules", f"`{package(found[entry.name])}` names its modules so too")
        found[entry.name] = entry
    return found


def module_folder(entry: "EntryPoint", span: Span) -> Path:
    """The folder that an entry point names."""
    found = load(entry, "modules", span)
    if not isinstance(found, str | Path) or not Path(found).is_dir():
        raise faulty(entry, "modules", f"{entry.value} is no folder", span)
    return Path(found)


def load(entry: "EntryPoint", what: str, span: Span | None = None) -> Any:
    """What an entry point names; `what` it is for is said where the import fails."""
    try:
        return entry.load()
    except Exception as fault:
        raise faulty(entry, what, f"{type(fault).__name__}: {fault}", span) from fault


def faulty(entry: "EntryPoint", what: str, why: str, span: Span | None = None) -> ArchError:
    """The fault of a package, shown at `span` or at its own entry point."""
    text = f"{entry.name} = {entry.value}"
    own = Span(Source(f"{package(entry)}: entry_points.txt", text), 0, len(text))
    return ArchError(errors.faulty_package(package(entry), f"{what} `{entry.name}`", why, span or own))


def package(entry: "EntryPoint") -> str:
    """The name of the package that an entry point belongs to."""
    return entry.dist.name if entry.dist else entry.value


@cache
def _any() -> bool:
    """Whether some package on the path may extend the language: its metadata names a group, or cannot be read."""
    return any(map(_extends, sys.path))


def _extends(folder: str) -> bool:
    try:
        with scandir(folder or ".") as found:
            infos = [f.path for f in found if f.name.endswith((".dist-info", ".egg-info")) and f.is_dir()]
        return any(map(_names_group, infos))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _names_group(info: str) -> bool:
    try:
        with open(f"{info}/entry_points.txt", "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return False
    return any(group in text for group in GROUPS)
