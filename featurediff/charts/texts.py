"""Texts of strangers as Plotly shows them: escaped, wrapped, shortened."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.wording import visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOVER_WIDTH = 80

_LINE = re.compile(rf"[^ \n].{{0,{HOVER_WIDTH - 1}}}(?= |$)|[^ \n].{{{HOVER_WIDTH - 1}}}|\n", re.MULTILINE)


def text(written: str) -> str:
    """Return what strangers wrote so that Plotly shows it as written: no markup, no placeholder, no TeX."""
    return html.escape(visible(written), quote=False).replace("{", "&#123;").replace("$", "&#36;")


def hover_texts(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return what ends each point's hover text, read-only, of shape (rows,)."""
    texts = np.array(wrap(table["explanation"]), dtype=object)
    texts.setflags(write=False)
    return texts


def wrap(explanations: pd.Series) -> list[str]:
    """Return explanations as lines of `HOVER_WIDTH`, escaped."""
    found = explanations.notna().to_numpy()
    texts = np.full(len(explanations), "No explanation", dtype=object)
    lines = "\v".join(_LINE.findall("\n".join(_one_line(explanations[found]))))  # at once, not text by text
    lines = lines.replace("\v\n", "\n").replace("\n\v", "\n")
    texts[found] = _escape(lines).replace("\v", "<br>").split("\n")[: found.sum()]
    return list(texts)


def shorten(explanations: pd.Series, width: int) -> list[str]:
    """Return explanations cut to one line of at most `width` characters, escaped; missing is empty."""
    lines = _one_line(explanations.fillna(""))
    return [_escape(line if len(line) <= width else line[: width - 1].rstrip() + "…") for line in lines]


def _one_line(texts: pd.Series) -> list[str]:
    """Return texts without white space but single blanks between words, and without NUL."""
    return [
        line
        if line.isprintable() and "  " not in line and line == line.strip(" ")  # a blank is the one printable space
        else " ".join(line.replace("\0", " ").split())
        for line in texts
    ]


def _escape(lines: str) -> str:
    """Return text so that Plotly shows it as written. Braces stay: they have a meaning in templates only."""
    return lines.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;")
