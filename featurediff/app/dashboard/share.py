"""What is shown, as a link, a citation, ids, and a list on Neuronpedia."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from featurediff import export
from featurediff.app.dashboard.rows import MOST_ROWS
from featurediff.app.safe_text import escape_markdown
from featurediff.meaning.pages import MOST_LISTED, quick_list_url
from featurediff.wording import plural

if TYPE_CHECKING:
    from featurediff.charts.view import View
    from featurediff.study import Study


def show_share(listed: list[int], found: int, study: Study, view: View) -> None:
    """
    Offer the view as a link and as a citation, and its features as ids and as a list on Neuronpedia.

    Parameters
    ----------
    listed : list of int
        The features in the order of the table.
    found : int
        How many rows the table would have without its limit.
    study, view : Study, View
        What is shown.
    """
    help_text = "Link, citation, ids and a list on Neuronpedia."
    box = st.popover("Share", icon=":material/ios_share:", help=help_text, key="share", on_change="rerun")
    if not box.open:  # what nobody sees is a tenth of a rerun
        return
    ids = listed
    query = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
    link = f"{st.context.url or ''}?{query}"
    with box:
        st.markdown("**Link to this view** (without box and stars)")
        st.code(link, language=None, wrap_lines=True)
        st.markdown("**Cite this view**")
        st.code(export.citation(study, view, link), language=None, wrap_lines=True)
        first = (
            f"the {MOST_ROWS:,} rows that the table lists"
            if found > MOST_ROWS
            else plural(len(ids), "different feature")
        )
        st.markdown(f"**Feature ids** ({first})")
        if not ids:
            st.caption("The table lists none.")
            return
        st.code(", ".join(map(str, ids)), language=None, wrap_lines=True)
        listed_ids = ids[:MOST_LISTED]
        url = quick_list_url(study.pages, listed_ids, export.title(study, view))
        if url:
            which = f"the first {MOST_LISTED} in the table" if len(ids) > MOST_LISTED else "all of them"
            st.link_button("Quick list on Neuronpedia", url, icon=":material/open_in_new:", help=f"Shows {which}.")
        else:
            st.caption("There is no list on Neuronpedia: " + escape_markdown(study.pages.reason))
