"""What models and prompts are called, and what explanations and pages a reader prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.session import EXPLANATION_TYPE, TEMPLATE
from featurediff.app.sources import settings
from featurediff.app.url import MOST_LABEL
from featurediff.labels import Labels

if TYPE_CHECKING:
    from featurediff.study import Study


def choose_labels_and_links(study: Study, types: tuple[str, ...]) -> Labels:
    """Draw the widgets of labels, explanations and pages, and return the labels: the default ones if two are alike."""
    with st.expander("Labels and links", icon=":material/label:"):
        labels = study.labelled(choose_labels())
        choose_links(types)
    if labels.are_alike:
        st.warning("Two labels are the same, so the default ones are used.", icon=":material/label_off:")
        return Labels()
    return labels


def choose_labels() -> Labels:
    """Draw the widgets of what models and prompts are called; an empty one means the default."""
    words = {
        name: st.text_input(
            text,
            getattr(Labels, name),
            key=f"{name}_label",
            bind="query-params",
            max_chars=MOST_LABEL,
            help="What charts, table and exported pages call it. Where a model has the default word or none, it is "
            "called what its file calls it.",
        )
        for name, text in (
            ("base", "Base model"),
            ("chat", "Chat model"),
            ("target", "Target prompts"),
            ("control", "Control prompts"),
        )
    }
    return Labels(**{name: word.strip() or getattr(Labels, name) for name, word in words.items()})


def choose_links(types: tuple[str, ...]) -> None:
    """Draw the widgets of explanations and pages; the script has read their values already, to open the source."""
    if len(types) > 1:
        st.selectbox(
            "Explanations preferred",
            ["", *types],
            key=EXPLANATION_TYPE,
            format_func=lambda name: name or "any type",
            help="Where a feature has several explanations, the one of this type is shown.",
        )
    st.text_input(
        "Page of a feature",
        settings().neuronpedia_template,
        key=TEMPLATE,
        placeholder="https://…/{feature_id}",
        help="Opens this page instead of the Neuronpedia page that is known for the SAE.",
    )
