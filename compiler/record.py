"""Frozen records that are made quickly.

`record` is `dataclass` for the types that a space has thousands of. Type checkers see a frozen class and refuse to set its
fields; at run time nothing does, so that making one is setting fields.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(frozen, slots):
        return dataclass(slots=slots, unsafe_hash=frozen)
