"""How the C library hands out memory to a process that trains.

glibc raises the size from which a block is a mapping of its own to that of the largest block freed so far, at most 32 MB.
What is smaller comes from one heap, where an aligned block seldom fits the gap of its like: the activations of a large
supernet leave gaps between what stays, and the process grows with every step. With a fixed size large tensors are mapped,
and huge pages make that cheap.
"""

import ctypes
import os
import platform

TRIM, MAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""
MAPPED = 1 << 22
"""Bytes from which a block is a mapping; torch asks for huge pages from half of that on."""
KEPT = 1 << 30
"""Bytes at the end of the heap that are not handed back: the next step needs them again."""
SETTINGS = "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"


def settle() -> bool:
    """Map large blocks on their own, in huge pages, from now on; whether that was done. Before the first large tensor.

    Nothing is done with another C library than glibc, or where the environment sets its allocator already.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in SETTINGS):
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    library = ctypes.CDLL(None)
    return bool(library.mallopt(MAP, MAPPED) and library.mallopt(TRIM, KEPT))
