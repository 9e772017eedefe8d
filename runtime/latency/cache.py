"""Timings that were measured before, by conditions and key: one SQLite file in the user's cache folder.

Several processes may use it at once. Without any folder to write to, everything works uncached.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from ..data import cache_folders
from .clock import Conditions, Timing

log = logging.getLogger(__name__)

FILE = "latency.sqlite"
TABLES = """
CREATE TABLE IF NOT EXISTS timings (
  conditions TEXT NOT NULL, key TEXT NOT NULL, about TEXT NOT NULL,
  median REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
  samples INTEGER NOT NULL, disturbed INTEGER NOT NULL,
  PRIMARY KEY (conditions, key)
) WITHOUT ROWID
"""


class Timings:
    """What is known under some conditions."""

    def __init__(self, on: Conditions, folder: Path | None = None) -> None:
        """`folder` is that of the cache; by default as for data sets."""
        self.name = json.dumps(asdict(on), sort_keys=True)
        self.path = _usable(folder)

    def read(self) -> dict[str, Timing]:
        """Everything by key; nothing where the file cannot be read."""
        if self.path is None:
            return {}
        columns = "key, median, low, high, samples, disturbed"
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as database:
                rows = database.execute(f"SELECT {columns} FROM timings WHERE conditions = ?", (self.name,))
                return {key: Timing(*values) for key, *values in rows}
        except sqlite3.Error as fault:
            log.warning("latencies kept in %s cannot be used: %s", self.path, fault)
            return {}

    def keep(self, found: Mapping[str, Timing], about: Mapping[str, str]) -> None:
        """Add timings, all of them or none; a key that is there is replaced."""
        if self.path is None or not found:
            return
        rows: Iterable[tuple[object, ...]] = ((self.name, key, about[key], *timing) for key, timing in found.items())
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
                database.executemany("INSERT OR REPLACE INTO timings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as fault:
            log.warning("latencies cannot be kept in %s: %s", self.path, fault)


def _usable(folder: Path | None) -> Path | None:
    """The file in the first folder that takes one."""
    for place in cache_folders(folder):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(place / FILE, timeout=30)) as database, database:
                database.execute(TABLES)
            return place / FILE
        except (OSError, sqlite3.Error) as fault:
            log.warning("latencies cannot be kept in %s: %s", place, fault)
    return None
