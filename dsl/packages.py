"""Entry points of installed packages; `importlib.metadata` is slow to import and asked only where there are any."""

import sys
from collections.abc import Iterable
from functools import cache
from os import scandir
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS = (b"[hrdsl.modules]", b"[hrdsl.operators]")


def entry_points(group: str) -> "Iterable[EntryPoint]":
    """The entry points of a group."""
    if not _any():
        return ()
    from importlib.metadata import entry_points as every

    return every(group=group)


@cache
def _any() -> bool:
    """Whether some package on the path may extend the language: its metadata names a group, or cannot be read."""
    return any(map(_extends, sys.path))


def _extends(folder: str) -> bool:
    try:
        with scandir(folder or ".") as found:
            infos = [f.path for f in found if f.name.endswith((".dist-info", ".egg-info")) and f.is_dir()]
        return any(map(_names_group, infos))
    except FileNotFoundError:
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
