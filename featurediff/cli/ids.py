"""The features that an option names: their ids, or a file that has them."""

from __future__ import annotations

import re
from pathlib import Path

from featurediff.csv_files import parse_csv, read_header
from featurediff.errors import DataError
from featurediff.features.filters import parse_ids
from featurediff.files import kind_of, read_whole
from featurediff.wording import listed

_COLUMNS = ("feature_id", "feature", "latent", "index", "id")
_ENDINGS = (".csv", ".txt")


def ids_of_option(text: str) -> tuple[int, ...]:
    """
    Read feature ids from an option's text, or from the file that it names.

    Parameters
    ----------
    text : str
        Ids as `parse_ids` takes them; or the path of a CSV with a column such as `feature_id`, as the table, the
        ranking and the stars have it, or of a file of ids alone.

    Returns
    -------
    tuple of int
        Each once, in their order; empty where the text is.

    Raises
    ------
    DataError
        If an id is not a whole number, or the file cannot be read, has no ids or is about several sources.
    """
    path = Path(text.strip())
    if path.suffix.lower() not in _ENDINGS and (not re.search("[A-Za-z]", text) or kind_of(path) != "file"):
        return parse_ids(text)
    data = read_whole(path)
    columns = read_header(data, path.name)
    plain = [re.sub(r"[\s_-]+", "_", column.lower()) for column in columns]
    named = next((columns[plain.index(name)] for name in _COLUMNS if name in plain), None)
    if named is None:
        words = data.decode("utf-8-sig", errors="replace")
    else:
        table = parse_csv(data, path.name, [named, "source"])
        if "source" in table and table["source"].nunique() > 1:
            msg = (
                f"`{path.name}` has features of the sources {listed(table['source'].unique())}, but expected those of "
                "one. Keep its rows alone."
            )
            raise DataError(msg)
        words = " ".join(table[named].str.removesuffix(".0"))
    try:
        ids = parse_ids(words)
    except DataError as error:
        msg = f"`{path.name}`: {error}"
        raise DataError(msg) from error
    if not ids:
        msg = f"`{path.name}` has no feature ids. Expected a column `feature_id`, or ids alone."
        raise DataError(msg)
    return ids
