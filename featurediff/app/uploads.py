"""How large uploads may be. Results may have what `server.maxUploadSize` says: the server itself refuses more."""

from __future__ import annotations

from typing import Any

from featurediff.errors import DataError

MAX_EXPLANATIONS = 32
"""MB (2^20 bytes) of a file of explanations."""


def check_size(file: Any, megabytes: int) -> None:  # noqa: ANN401  Streamlit's UploadedFile
    """
    Refuse an upload that is too large, before its bytes are copied; the browser alone knows the limit of a widget.

    Raises
    ------
    DataError
        If it is larger.
    """
    most = megabytes * 2**20
    if file.size > most:
        msg = f"`{file.name}` has {file.size:,} bytes, but expected at most {most:,} ({megabytes} MB)."
        raise DataError(msg)
