"""What the words on the pages mean, for who reads them for the first time."""

from __future__ import annotations

import streamlit as st

WORDS = {
    "Feature": "One of the directions into which the sparse autoencoder (SAE) takes a model’s state apart. Its id is "
    "its number in that SAE, the same for both models.",
    "Position": "The token of the chat template at which both models were read, by the name that the files give it: "
    "“newline”, or “asst” for the one that opens the assistant’s turn. A feature counts once per position.",
    "Base, Instruct": "The model before and after tuning. “Labels and links” renames them.",
    "Target, Control": "The prompts with the behaviour under study, and all others.",
    "Active": "Above 0 on a prompt. Silent: active on no prompt.",
    "Kept": "What the question leaves of all features. Chart, table and counts are of these.",
    "Exclusive": "Active on at least one Target prompt and on no Control prompt. This is the published rule.",
    "Class": "In which models a feature is exclusive: both, one of them, or neither, where another question keeps it. "
    "It says nothing of how the feature changed.",
    "Inconsistent": "Exclusive in one model, but active on Control prompts in the other.",
    "Change, or effect": "Instruct − Base: of the mean activation over all prompts, or of the share of prompts on "
    "which the feature is active, in percentage points (pp). “More than on Control”, or “Change vs Control”: the "
    "change on Target minus that on Control.",
    "Interval": "The range behind a change. It holds the true change in 95 of 100 such runs, feature by feature. "
    "“Wilson”: the range of one share of prompts.",
    "p, q": "p: how often chance alone gives a change as large as this. q: p corrected for how many features were "
    "tested (after Benjamini and Hochberg). Of the features with q ≤ 0.05, on average at most 5 % are there by chance.",
    "Sign-flip test, exchange test": "Where p comes from. If tuning had done nothing, base and chat could change "
    "places on a prompt, and Target and Control prompts with each other: p is the share of such swaps that give as "
    "much. “Of groups”: prompts of a group change places together.",
    "McNemar’s test, Fisher’s test": "Where p comes from for shares of prompts. McNemar’s takes the prompts on which "
    "one model is active and the other is not; Fisher’s compares on how many prompts of two sets, or models, it is "
    "active.",
    "Welch’s test, test of four frequencies": "Where p comes from where only means, or only counts, are known: whether "
    "means differ, or whether the share of prompts changed more on Target than on Control.",
    "Evidence": "A q of the question of at most 0.05, or what “q at most” says.",
    "Chance alone gives": "How many features the published rule would keep if Target and Control prompts were of one "
    "kind.",
    "Unpaired": "The tests compare counts and means, as no file says what each prompt did. They find less.",
    "L0": "How many features are active at once, on average, in Base and in Instruct. Where the two differ much, the "
    "SAE does not read both models alike.",
    "SAE fit": "How much of each model’s state the SAE explains. Where that is little, its features say little.",
}
"""Word → what it means; `docs/words.md` has the same."""


def show_words_button() -> None:
    """Offer the words in a box over the page."""
    if st.button("Words", key="words", icon=":material/dictionary:", type="tertiary", help="What the words here mean."):
        show_words()


@st.dialog("What the words mean", width="large")
def show_words() -> None:
    """Show every word with its meaning."""
    st.markdown("\n".join(f"- **{word}**: {meaning}" for word, meaning in WORDS.items()))
