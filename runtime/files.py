"""Files that are whole or not there: written aside, flushed to disk, renamed."""

import os
from collections.abc import Callable
from pathlib import Path


def write(path: Path, content: bytes | str) -> Path:
    """Write a file atomically; its folder is made. Raises OSError, and then leaves what was there."""
    data = content.encode() if isinstance(content, str) else content
    return write_by(path, lambda aside: aside.write_bytes(data))


def write_by(path: Path, save: Callable[[Path], object]) -> Path:
    """As `write`, for what writes itself to a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        save(aside)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path
