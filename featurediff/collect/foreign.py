"""Models that strangers saved: what the libraries raise and print while they load one."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.utils import logging

from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def refusing(what: str, name: str) -> Iterator[None]:
    """
    Say that a model cannot be loaded: as with `torch.load`, foreign files make the libraries raise anything.

    Parameters
    ----------
    what : str
        What is loaded, such as "model" or "tokenizer of".
    name : str
        Hub id or local folder.

    Raises
    ------
    DataError
        If anything is raised within.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        folder = Path(name)
        where = f"The {what} {quoted(name)}"
        if "trust_remote_code" in str(error):
            code = f" ({listed(sorted(path.name for path in folder.glob('*.py')))})" if kind_of(folder) else ""
            msg = (
                f"{where} wants to run Python code that comes with it{code}, and featurediff runs none. Take a model "
                "whose architecture transformers has itself."
            )
            raise DataError(msg) from error
        if isinstance(error, pickle.UnpicklingError):
            msg = f"{where} has a pickle that is damaged or wants to run code. Save it again as safetensors."
            raise DataError(msg) from error
        reason = quoted(" ".join(str(error).split()))
        local = "" if kind_of(folder) else " There is no such folder either."
        msg = f"{where} cannot be loaded ({type(error).__name__}: {reason}).{local}"
        raise DataError(msg) from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from reporting every weight that is left out, and from drawing a bar of its own."""
    before = logging.get_verbosity()
    had_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bar:
            logging.enable_progress_bar()
