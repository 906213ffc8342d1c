"""
Memory that was freed, given back to the system.

What is read of a source is large for a moment, and the C library and Arrow keep what it took for the next time: some 12
of the 352 MB of a server with four sources of 131,072 features open, which may have 350. To take this out, delete the
call of `give_back`.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

import pyarrow as pa


def give_back() -> None:
    """Give back what can be given back; where the C library has no way to, as beside Linux, only what Arrow keeps."""
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
