"""
Memory: what was freed is given back to the system, and what stays is not searched for garbage.

What is read of a source is large for a moment, and the C library and Arrow keep what it took for the next time: some 12
of the 352 MB of a server with four sources of 131,072 features open, which may have 350. To take this out, delete the
call of `give_back`.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

import pyarrow as pa
import streamlit as st


def give_back() -> None:
    """Give back what can be given back; where the C library has no way to, as beside Linux, only what Arrow keeps."""
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


@st.cache_resource(ttl="10m", show_spinner=False)
def keep_what_is_loaded() -> None:
    """
    Take what is there now out of the search for garbage: mostly libraries, which stay. Every ten minutes search it all.

    Python looks at every object, and nothing else runs meanwhile: with 50 people 0.14 seconds every 5 seconds, and
    0.03 so. What is read of a source goes without a search, as nothing of it holds itself. A session of Streamlit's
    holds itself: if nothing were searched again, whoever was there at that time would stay for ever, with all uploads.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    give_back()
