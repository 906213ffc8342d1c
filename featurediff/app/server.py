"""The server of `featurediff app`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.config import CONFIG, LOCAL, MAX_UPLOAD_ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = Path(__file__).parents[2] / "streamlit_app.py"
"""
The dashboard: beside the package, in a checkout as in a wheel. It is not looked up as a module, because a folder in
which somebody runs `python -m featurediff app` may have a script of that name.
"""


def serve(arguments: Sequence[str], address: str, port: int | None, max_upload: int | None = None) -> None:
    """
    Run the dashboard until it is stopped.

    Parameters
    ----------
    arguments : sequence of str
        For the script; see `sources.settings`.
    address, port : str, int or None
        Where the server listens; with None on the first free port from 8501.
    max_upload : int or None
        MB of a file that may be uploaded; None for more where only this machine can open the dashboard.
    """
    sys.argv = [str(SCRIPT), *arguments]
    places: dict[str, object] = {"server.address": address} | ({} if port is None else {"server.port": port})
    if max_upload or address in LOCAL:
        places["server.maxUploadSize"] = max_upload or MAX_UPLOAD_ALONE
    st.App(SCRIPT).run(config={**CONFIG, **places})
