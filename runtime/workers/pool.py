"""The coordinator: groups of genomes in, answers of worker processes out; who kills, stalls or fills one is found and recorded."""

import selectors
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ..faults import RunError
from ..search.front import Genome
from ..search.problem import Evaluation, one_line
from .process import Group, Process
from .protocol import Message

SHARE = 2
"""Groups for each worker in a generation: candidates differ in cost, and neighbours share what they compute."""
FIRST, LEAST, TIMES = 3600.0, 60.0, 20.0
"""Seconds that a group may take before anything is known; that a candidate may take at least; times the slowest before it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a candidate may take: seconds, and bytes of data of its process. None: seconds from what others took; any bytes."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Crew:
    """How many processes, and what their candidates may take."""

    count: int
    limits: Limits = Limits()


class Workers:
    """A measure that runs in the processes of a crew. `measure` names a function, `module:function`, that makes the measure of a
    worker from `arguments`, plain data. Processes start when there is something to ask; `close` ends them, and so does
    the end of this process, whatever its cause.

    Raises RunError if a worker cannot begin.
    """

    def __init__(self, crew: Crew, measure: str, arguments: Message) -> None:
        self.count, self.limits = crew.count, crew.limits
        self.setup = {"measure": measure, "arguments": arguments, "memory": self.limits.memory}
        self.processes: list[Process] = []
        self.slowest: float | None = None
        self.stillborn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process."""
        for process in self.processes:
            process.close()
        self.processes.clear()

    def __call__(self, genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        """Each genome with its answer, in the order in which they come."""
        todo = deque(map(Group, cut(sorted(genomes), SHARE * self.count)))
        try:
            while todo or self.busy():
                self.employ(todo)
                heard = self.heard()
                for process in heard:
                    yield from self.received(process, todo)
                for process in self.busy():
                    limit = self.limit()
                    if process not in heard and process.silent() > self.patience(process):
                        yield from self.lost(process, f"took longer than {limit:.4g} s", todo)
        finally:
            for process in self.busy():
                self.discard(process)

    def busy(self) -> list[Process]:
        return [process for process in self.processes if process.group is not None]

    def employ(self, todo: deque[Group]) -> None:
        """Groups to those who wait, and as many more processes as there is work for."""
        for process in self.processes:
            if todo and process.ready and process.group is None:
                process.give(todo.popleft())
        loading = sum(not process.ready for process in self.processes)
        for _ in range(min(self.count - len(self.processes), len(todo) - loading)):
            self.processes.append(Process(self.setup))

    def heard(self) -> list[Process]:
        """The processes that have said something, or ended. Waits until one has, or one is overdue."""
        left = [self.patience(process) - process.silent() for process in self.busy()]
        with selectors.DefaultSelector() as selector:
            for process in self.processes:
                selector.register(process, selectors.EVENT_READ, process)
            return [key.data for key, _ in selector.select(max(0.0, min(left)) if left else None)]

    def received(self, process: Process, todo: deque[Group]) -> Iterator[tuple[Genome, Evaluation]]:
        messages = process.read()
        if messages is None:
            yield from self.lost(process, process.ended(), todo)
            return
        for message in messages:
            if "fault" in message:
                raise self.hopeless(message["fault"])
            process.ready, self.stillborn = True, 0
            if "answer" in message:
                yield self.answered(process, message)
            elif "done" in message:
                process.group = None

    def answered(self, process: Process, message: Message) -> tuple[Genome, Evaluation]:
        genes, values, error, seconds = message["answer"]
        genome, answer = tuple(genes), Evaluation(tuple(values), error, seconds)
        assert process.group is not None
        process.group.genomes.remove(genome)
        process.since = time.monotonic()
        if error is None:
            self.slowest = max(self.slowest or 0.0, seconds)
        return genome, answer

    def lost(self, process: Process, reason: str, todo: deque[Group]) -> Iterator[tuple[Genome, Evaluation]]:
        """A process ended, or has to. What its group left is asked one by one; who was alone in it is guilty."""
        group, seconds = process.group, process.silent()
        self.stillborn += not process.ready
        if self.stillborn > 1:
            raise self.hopeless(f"it {reason}")
        self.discard(process)
        if group is None:
            return
        if group.alone and group.genomes:
            yield group.genomes[0], Evaluation((), one_line(reason), seconds)
        else:
            todo.extend(Group([genome], alone=True) for genome in group.genomes)

    def hopeless(self, reason: str) -> RunError:
        """No worker can begin."""
        hint = "; it may need a larger --memory-limit" if self.limits.memory is not None else ""
        return RunError(one_line(f"a worker cannot begin: {reason}") + hint)

    def discard(self, process: Process) -> None:
        self.processes.remove(process)
        process.close()

    def limit(self) -> float:
        """Seconds that a candidate may take."""
        if self.limits.seconds is not None:
            return self.limits.seconds
        return FIRST if self.slowest is None else max(LEAST, TIMES * self.slowest)

    def patience(self, process: Process) -> float:
        """Seconds that a busy process may be silent: what all that it has not answered may take."""
        assert process.group is not None
        unknown = self.limits.seconds is None and self.slowest is None
        return self.limit() * (1 if unknown else len(process.group.genomes) or 1)


def cut(genomes: Sequence[Genome], parts: int) -> Iterator[list[Genome]]:
    """At most so many runs of about equal length. Of sorted genomes, each holds those that begin alike."""
    parts = min(parts, len(genomes))
    for k in range(parts):
        yield list(genomes[k * len(genomes) // parts : (k + 1) * len(genomes) // parts])
