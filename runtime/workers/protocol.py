"""What a coordinator and a worker say to each other: JSON objects over pipes, each behind its length. Imports nothing.

To a worker: `measure`, `arguments` and `memory`, once; then `genomes`, a group at a time.
From a worker: `ready` or `fault`, once; for each group an `answer` to every genome, then `done`.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]
HEAD = struct.Struct(">I")
CHUNK = 1 << 16
"""Bytes read at once."""


def packed(message: Message) -> bytes:
    """A message as it goes over a pipe. Floats come back bit for bit, NaN and infinity too."""
    body = json.dumps(message).encode()
    return HEAD.pack(len(body)) + body


class Inbox:
    """Bytes as they arrive in, whole messages out."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def messages(self, arrived: bytes) -> Iterator[Message]:
        self.bytes += arrived
        while len(self.bytes) >= HEAD.size:
            stop = HEAD.size + HEAD.unpack_from(self.bytes)[0]
            if len(self.bytes) < stop:
                return
            body = bytes(self.bytes[HEAD.size : stop])
            del self.bytes[:stop]
            yield json.loads(body)
