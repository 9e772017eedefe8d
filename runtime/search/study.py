"""A study: the append-only SQLite table of a search, and its lock. A resumed search replays, answered from here."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from .front import Genome
from .problem import Config, Evaluation, Objective

SCHEMA = 2
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE evaluations (
    genome TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, "values" TEXT NOT NULL, error TEXT,
    seconds REAL NOT NULL, images INTEGER NOT NULL, generation INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;
"""
COLUMNS = 'position, genome, "values", error, seconds, images, generation, digest'
LEFTOVERS = ("-wal", "-shm", "-journal", ".tmp", ".tmp-journal")
_locks: weakref.WeakSet["Lock"] = weakref.WeakSet()


class StudyError(Exception):
    """Why a study cannot be used, in one line."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a study belongs to: two searches with equal identities ask the same genomes in the same order."""

    space: str
    seed: int
    objectives: tuple[str, ...]
    configuration: dict[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation as stored."""

    position: int
    genome: Genome
    evaluation: Evaluation
    generation: int


def identify(
    space: str, objectives: tuple[Objective, ...], config: Config, engine: str, starts: Sequence[Genome] = ()
) -> Identity:
    """`space` is the hash of the space, `engine` the name of the way to search, `starts` what it starts from."""
    names = tuple(f"{'max' if objective.maximize else 'min'} {objective.name}" for objective in objectives)
    begun = {"from": hashlib.sha256(repr(tuple(starts)).encode()).hexdigest()[:16]} if starts else {}
    return Identity(space, config.seed, names, {"engine": engine, **config.trajectory(), **begun})


class Study:
    """The open study of one search; `with Study(path, identity) as study` holds its lock."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.lock = Lock(path)
        try:
            self.database, self.rows = _opened(path, identity)
        except BaseException:
            self.lock.release()
            raise
        self.known = {row.genome: row for row in self.rows}
        self.taken = {row.position: row.genome for row in self.rows}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find(self, position: int, genome: Genome) -> Evaluation | None:
        """The stored answer. A study that holds another genome here belongs to another history and is refused."""
        row, other = self.known.get(genome), self.taken.get(position)
        if other not in (None, genome) or (row is not None and row.position != position):
            raise StudyError(
                f"study {self.path} cannot be continued: its evaluation {position} is another than is asked now; "
                "another version of hrdsl, numpy or pymoo wrote it"
            )
        return row.evaluation if row is not None else None

    def add(self, position: int, genome: Genome, evaluation: Evaluation, generation: int) -> None:
        """Append one answer; it is on the disk when this returns."""
        row = Row(position, genome, evaluation, generation)
        with _faults(self.path):
            self.database.execute(f"INSERT INTO evaluations ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _stored(row))
        self.known[genome], self.taken[position] = row, genome

    def close(self) -> None:
        try:
            with _faults(self.path):
                self.database.close()
        finally:
            self.lock.release()


def read(path: Path) -> tuple[Identity, tuple[Row, ...]]:
    """The identity and the evaluations of a study that may be running, without its lock."""
    with _faults(path):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        with contextlib.closing(database):
            _check(path, database)
            return _identity(path, database), _rows(path, database)


def _opened(path: Path, identity: Identity) -> tuple[sqlite3.Connection, tuple[Row, ...]]:
    with _faults(path), contextlib.ExitStack() as closing:
        if not path.exists():
            _create(path, identity)
        database = sqlite3.connect(path, isolation_level=None, timeout=30)
        closing.callback(database.close)
        _check(path, database)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        _compare(path, _identity(path, database), identity)
        rows = _rows(path, database)
        closing.pop_all()
        return database, rows


def _check(path: Path, database: sqlite3.Connection) -> None:
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _damaged(path, verdict)


def _create(path: Path, identity: Identity) -> None:
    """Built aside and renamed: a study is whole or absent, and an empty file is a damaged one."""
    new = path.with_name(f"{path.name}.tmp")
    for suffix in LEFTOVERS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    fields = {"schema": SCHEMA, **asdict(identity)}
    with contextlib.closing(sqlite3.connect(new)) as database:
        database.executescript(TABLES)
        texts = [(name, json.dumps(value)) for name, value in fields.items()]
        database.executemany("INSERT INTO meta VALUES (?, ?)", texts)
        database.commit()
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _identity(path: Path, database: sqlite3.Connection) -> Identity:
    if not database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]:
        raise StudyError(f"{path} is a database, but not a study")
    try:
        meta = {name: json.loads(value) for name, value in database.execute("SELECT name, value FROM meta")}
        schema = meta.pop("schema")
        if schema != SCHEMA:
            raise StudyError(
                f"study {path} has schema {schema}; this version of hrdsl reads schema {SCHEMA}: start a new study"
            )
        return Identity(meta["space"], meta["seed"], tuple(meta["objectives"]), meta["configuration"])
    except (ValueError, KeyError, TypeError) as fault:
        raise _damaged(path, "its description cannot be read") from fault


def _rows(path: Path, database: sqlite3.Connection) -> tuple[Row, ...]:
    return tuple(
        _row(path, fields) for fields in database.execute(f"SELECT {COLUMNS} FROM evaluations ORDER BY position")
    )


def _row(path: Path, fields: tuple[int, str, str, str | None, float, int, int, str]) -> Row:
    """SQLite does not notice a flipped bit in a value; the digest does."""
    position, genome, values, error, seconds, images, generation, digest = fields
    if _digest(fields[:-1]) != digest:
        raise _damaged(path, f"evaluation {position} does not match its digest")
    evaluation = Evaluation(tuple(json.loads(values)), error, seconds, images)
    return Row(position, tuple(int(gene) for gene in genome.split(",")), evaluation, generation)


def _stored(row: Row) -> tuple[object, ...]:
    answer = row.evaluation
    values = json.dumps(answer.values, allow_nan=False)
    spent = float(answer.seconds), answer.images
    fields = (row.position, _text(row.genome), values, answer.error, *spent, row.generation)
    return (*fields, _digest(fields))


def _digest(fields: tuple[object, ...]) -> str:
    return hashlib.sha256(json.dumps(fields, default=repr).encode()).hexdigest()[:16]


def _text(genome: Genome) -> str:
    return ",".join(map(str, genome))


def _compare(path: Path, stored: Identity, wanted: Identity) -> None:
    old, new = _flat(stored), _flat(wanted)
    changes = [
        f"{name} was {json.dumps(old.get(name))} and is {json.dumps(new.get(name))}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    if changes:
        raise StudyError(
            f"study {path} belongs to another search: {'; '.join(changes)}; use another study or the same settings"
        )


def _flat(identity: Identity) -> dict[str, object]:
    """As it reads back from the file."""
    fields: dict[str, object] = json.loads(json.dumps(asdict(identity)))
    configuration = fields.pop("configuration")
    assert isinstance(configuration, dict)
    return {**fields, **configuration}


def _damaged(path: Path, reason: str) -> StudyError:
    return StudyError(f"study {path} is damaged: {' '.join(reason.split())}; put it aside and start a new one")


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Faults of the disk and of the database as one line each."""
    try:
        yield
    except sqlite3.OperationalError as fault:
        raise StudyError(f"study {path} cannot be used: {fault}; what was evaluated before is kept") from fault
    except sqlite3.IntegrityError as fault:
        raise StudyError(f"study {path} was changed by another process: {fault}") from fault
    except sqlite3.DatabaseError as fault:
        raise _damaged(path, str(fault)) from fault
    except OSError as fault:
        raise StudyError(f"study {path} cannot be written: {fault.strerror}") from fault


class Lock:
    """An exclusive lock beside the study. The system frees it when its process dies, however that happens."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.lock")
        try:
            self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as fault:
            raise StudyError(f"study {path} cannot be opened: {self.path}: {fault.strerror}") from fault
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._note({"pid": os.getpid(), "host": socket.gethostname()})
        except OSError as fault:
            reason = self._holder() if fault.errno in (errno.EWOULDBLOCK, errno.EACCES) else fault.strerror
            os.close(self.handle)
            raise StudyError(f"study {path} cannot be locked: {reason}") from fault
        _locks.add(self)

    def release(self) -> None:
        if self in _locks:
            _locks.discard(self)
            os.ftruncate(self.handle, 0)
            os.close(self.handle)

    def forget(self) -> None:
        """In a forked child: only the parent holds the study, so that the lock dies with it."""
        os.close(self.handle)

    def _note(self, holder: dict[str, object]) -> None:
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, json.dumps(holder).encode(), 0)

    def _holder(self) -> str:
        try:
            note = json.loads(os.pread(self.handle, 4096, 0))
            return f"process {note['pid']} on {note['host']} is using it"
        except (ValueError, KeyError, TypeError):
            return "another process is using it"


def _forked() -> None:
    for lock in tuple(_locks):
        lock.forget()
    _locks.clear()


os.register_at_fork(after_in_child=_forked)
