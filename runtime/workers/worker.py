"""A worker process: makes its measure as the first message says, then answers groups of genomes. Dies with its coordinator.

Started by `process` as `python -m`. Which measure is a name, `module:function`, so this file knows neither torch nor graphs.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from .. import native
from ..search.front import Genome
from ..search.guard import guarded
from ..search.problem import Measure, reason_of
from .protocol import CHUNK, Inbox, Message, packed

Queue = SimpleQueue[Message]
FIRST_TO_GO = "500"
"""Where memory runs out, Linux ends a worker, not its coordinator."""


def main() -> None:
    """Until the coordinator is gone. What libraries print goes to stderr: stdout belongs to the messages."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    native.settle()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    inbox: Queue = SimpleQueue()
    Thread(target=listen, args=(inbox,), daemon=True).start()
    try:
        measure = begun(inbox.get())
    except Exception as fault:
        send(out, {"fault": reason_of(fault)})
        return
    send(out, {"ready": True})
    while True:
        group = [tuple(genes) for genes in inbox.get()["genomes"]]
        try:
            for answer in answers(measure, group):
                send(out, answer)
        except Exception as fault:
            sys.exit(reason_of(fault))
        send(out, {"done": True})


def listen(inbox: Queue) -> None:
    """Messages from stdin. Its end means that no coordinator lives: then this process ends too, whatever it does."""
    incoming = Inbox()
    while arrived := os.read(0, CHUNK):
        for message in incoming.messages(arrived):
            inbox.put(message)
    os._exit(0)


def begun(setup: Message) -> Measure:
    """The measure that the first message asks for, under its memory limit."""
    if setup["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (setup["memory"], resource.getrlimit(resource.RLIMIT_DATA)[1]))
    module, _, function = setup["measure"].partition(":")
    return guarded(getattr(import_module(module), function)(**setup["arguments"]))


def answers(measure: Measure, group: list[Genome]) -> Iterator[Message]:
    for genome, answer in measure(group):
        yield {"answer": [genome, answer.values, answer.error, answer.seconds]}


def send(out: BinaryIO, message: Message) -> None:
    out.write(packed(message))
    out.flush()


if __name__ == "__main__":
    main()
