"""One worker process as its coordinator sees it: loading, idle, or busy with a group."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..search.front import Genome
from .protocol import CHUNK, Inbox, Message, packed

MODULE = f"{__package__}.worker"
TAIL = 4096


@dataclass(slots=True)
class Group:
    """Genomes without an answer. `alone`: one that has spoilt a group before."""

    genomes: list[Genome]
    alone: bool = False


class Process:
    """A worker. It holds nothing that would be lost with it."""

    def __init__(self, setup: Message) -> None:
        self.said = tempfile.TemporaryFile()
        self.popen = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            env=environment(),
            process_group=0,
        )
        assert self.popen.stdin is not None and self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self.inbox = Inbox()
        self.ready = False
        self.group: Group | None = None
        self.since = 0.0
        self.send(setup)

    def fileno(self) -> int:
        """Readable where there is something to `read`."""
        return self.stdout.fileno()

    def give(self, group: Group) -> None:
        """A group to answer."""
        self.group, self.since = group, time.monotonic()
        self.send({"genomes": group.genomes})

    def send(self, message: Message) -> None:
        """A worker that is dead is noticed when it is read."""
        with suppress(BrokenPipeError):
            self.stdin.write(packed(message))
            self.stdin.flush()

    def read(self) -> Iterator[Message] | None:
        """What has arrived; None if the process has ended."""
        arrived = os.read(self.fileno(), CHUNK)
        return self.inbox.messages(arrived) if arrived else None

    def silent(self) -> float:
        """Seconds since the group was given or its last answer came."""
        return time.monotonic() - self.since

    def stop(self) -> int:
        """End the process, if it lives; how it ended, as `subprocess` counts."""
        self.popen.kill()
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        return self.popen.wait()

    def ended(self) -> str:
        """How a process ended that nobody stopped; where it may have said why, with its last line."""
        status = self.popen.wait()
        if status < 0 and -status != signal.SIGABRT:
            return f"died by signal {-status}{named(-status)}"
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - TAIL))
        lines = self.said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"died by signal {-status}{named(-status)}" if status < 0 else f"ended with status {status}"
        return f"{how}: {last}" if last else how

    def close(self) -> None:
        self.stop()
        self.said.close()


def named(number: int) -> str:
    """The name of a signal, in brackets."""
    with suppress(ValueError):
        return f" ({signal.Signals(number).name})"
    return ""


def environment() -> dict[str, str]:
    """Modules are found as here; one thread, so that answers depend neither on the machine nor on the number of workers."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
