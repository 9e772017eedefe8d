"""What a process that trains tells the libraries below torch, before its first large tensor and its first convolution.

Memory: glibc raises the size from which a block is a mapping of its own to that of the largest block freed so far, at most
32 MB. What is smaller comes from one heap, where an aligned block seldom fits the gap of its like: the activations of a large
supernet leave gaps between what stays, and the process grows with every step. With a fixed size large tensors are mapped,
and huge pages make that cheap.

Kernels: oneDNN compiles one for each operation and shape, and keeps the last 1,024. The architectures of a space, or one
that lost units everywhere, have more shapes than that, and each step would compile again what the last one used.
"""

import ctypes
import os
import platform

TRIM, MAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""
MAPPED = 1 << 22
"""Bytes from which a block is a mapping; torch asks for huge pages from half of that on."""
HELD = 1 << 30
"""Bytes at the end of the heap that are not handed back: the next step needs them again."""
SETTINGS = "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"
KERNELS = 4096
"""That oneDNN keeps, of some 20 to 50 kB each."""
CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"


def settle() -> None:
    """Both, for the rest of the process. What the environment sets already holds."""
    keep_kernels()
    map_large_blocks()


def keep_kernels() -> None:
    """Let oneDNN keep more kernels. It reads that once, when it first looks for one."""
    if not any(name in os.environ for name in CAPACITY):
        os.environ[CAPACITY[0]] = str(KERNELS)


def map_large_blocks() -> bool:
    """Map large blocks on their own, in huge pages, from now on; whether that was done. Nothing is done with another C
    library than glibc."""
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in SETTINGS):
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    library = ctypes.CDLL(None)
    return bool(library.mallopt(MAP, MAPPED) and library.mallopt(TRIM, HELD))
