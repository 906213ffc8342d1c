"""Dashboard: which SAE features a chat model uses differently from its base model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.browser import help_keyboards, meet_browser
from featurediff.app.dashboard.about import show_about
from featurediff.app.dashboard.chart import leave_box, show_chart, take_box
from featurediff.app.dashboard.chips import show_chips, show_count, show_groups
from featurediff.app.dashboard.downloads import show_downloads
from featurediff.app.dashboard.events import follow_link, forget, say_dropped, settle_sort, write_picked
from featurediff.app.dashboard.findings import PATIENCE, UNTESTED, show_finding, wait_for_tests
from featurediff.app.dashboard.kept import count_kept, count_questions, kept_features
from featurediff.app.dashboard.opened import (
    Opened,
    are_tested,
    let_others_if_unread,
    parse_study,
    read_study,
    refer,
    start_tests,
)
from featurediff.app.dashboard.pick import follow_pick, show_nothing
from featurediff.app.dashboard.places import lay_out_places
from featurediff.app.dashboard.room import SIDEBAR
from featurediff.app.dashboard.shown import narrow
from featurediff.app.dashboard.sidebar import choose_view
from featurediff.app.dashboard.starring import choose_stars, stars_here
from featurediff.app.memory import keep_what_is_loaded
from featurediff.app.refusals import accept
from featurediff.app.rerun_lock import turn
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.session import EXPLANATION_TYPE, SOURCE, TEMPLATE, session
from featurediff.app.sources import DEMO, STATIC, UPLOAD, demo_sources, list_sources, settings, short_names, written
from featurediff.app.uploads import MAX_EXPLANATIONS
from featurediff.app.url import COMPARISON, DASHBOARD, come_back, for_comparison, go_to, settle, show_faults
from featurediff.app.words import show_words_button
from featurediff.charts.view import View, nothing_kept
from featurediff.errors import DataError
from featurediff.features.filters import blocking_filter
from featurediff.sources.state import in_one_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurediff.app.dashboard.kept import KeptCounts
    from featurediff.features.questions import Question

# ----------------------------------------------------------------------------
# Set things up.

st.set_page_config("featurediff", str(STATIC / "icon.png"), layout="wide", initial_sidebar_state=SIDEBAR)

dashboard, comparison = st.Page(DASHBOARD, default=True), st.Page(COMPARISON)
if st.navigation([dashboard, comparison], position="hidden") is comparison:
    comparison.run()
    st.stop()

state, here, sidebar = st.session_state, session(), st.sidebar
come_back(DASHBOARD, SOURCE)
follow_link()
config = settings()
try:
    sources, left_out = list_sources(config.results, follow_links=config.follow_links)
except DataError as error:
    show_error("The results folder cannot be shown." if config.results else "There is no demo.", error)
    sources, left_out = {}, []
source_names = list(dict.fromkeys([*([] if config.results else [DEMO]), *sources, DEMO, UPLOAD]))
named = short_names(sources) | {DEMO: "Demo (synthetic)", UPLOAD: "Upload files…"}
if state.get(SOURCE, st.query_params.get(SOURCE, source_names[0])) not in source_names:
    here.subset, here.picked = (), None
    lost = st.query_params.get_all("feature")
    here.url_faults += [f"feature={value[:60]} is of a source that is not here" for value in lost]
settle(SOURCE, source_names, default_in_url=True)

# ----------------------------------------------------------------------------
# Draw the UI.

with sidebar.container(gap=None):
    room = meet_browser()
    help_keyboards()
    if st.button(
        "Compare sources",
        key="compare",
        icon=":material/compare_arrows:",
        width="stretch",
        help="Several sources beside each other: counts, layers, and the features that those of one SAE share.",
    ):
        go_to(DASHBOARD, COMPARISON, for_comparison())
question_place = sidebar.container()
with sidebar:
    source_name = st.selectbox(
        "Source",
        source_names,
        key=SOURCE,
        format_func=lambda name: named[name],
        on_change=forget,
        help="A folder with base.pt and chat.pt: one model pair, one SAE, one prompt set.",
    )
    for note in left_out:
        st.caption(escape_markdown(note))
    uploads: list[Any] = []
    if source_name == UPLOAD:
        uploads = [
            st.file_uploader(
                name, type=kind, key=f"upload_{key}", on_change=forget, max_upload_size=limit, help=help_text
            )
            for name, kind, key, limit, help_text in (
                ("base.pt", "pt", "base", None, "Statistics of the base model, as `torch.save` wrote them."),
                ("chat.pt", "pt", "chat", None, "Statistics of the chat model on the same SAE."),
                (
                    "Explanations (optional)",
                    ["csv", "json", "jsonl", "gz"],
                    "explanations",
                    MAX_EXPLANATIONS,
                    "Columns `feature_id` and `explanation`.",
                ),
            )
        ]

if source_name == UPLOAD and not all(uploads[:2]):
    st.title("featurediff")
    st.info(
        "Upload a base.pt and a chat.pt in the sidebar. Nobody else sees them; your next visit begins without them.",
        icon=":material/upload:",
    )
    st.stop()

try:
    if source_name == UPLOAD:
        files = tuple(file.file_id for file in uploads if file)
        study = accept(parse_study(files, uploads))
    else:
        source = written(sources.get(source_name) or demo_sources()[DEMO])
        files, found = in_one_state(
            source, partial(read_study, _source=source), partial(read_study.clear, _source=source)
        )
        study = accept(found)
except DataError as error:
    show_error("This source cannot be shown.", error)
    st.stop()
types = study.explanations.types if study.explanations else ()
settle(EXPLANATION_TYPE, ["", *types])
preferred = state[EXPLANATION_TYPE] or None
template = state.get(TEMPLATE, config.neuronpedia_template).strip()
try:
    study = refer(files, template, preferred, _study=study)
except DataError as error:
    show_error("The page of a feature is not used.", error)
    template = ""
    study = refer(files, template, preferred, _study=study)
results = study.results
uploaded = f"upload {results.base.sha256[:8]} {results.chat.sha256[:8]}"
here.opened = uploaded if source_name == UPLOAD else source_name
st.set_page_config(f"{uploaded if source_name == UPLOAD else named[source_name]} · featurediff")


def open_for(view: View) -> Opened:
    """Return the source, with its changes tested if they soon are, or must be."""
    let_others_if_unread(study)
    is_needed = view.question != "exclusive" or view.chart != "scatter"
    tests = start_tests(files, view.family, _study=study)
    try:
        if tested := are_tested(tests, None if is_needed else PATIENCE):
            study.take_changes(tests.future.result())
    except DataError as error:
        tested = False
        if is_needed:
            show_error(UNTESTED, error)
            st.stop()
    return Opened(here.opened, files, repr((files, template, preferred, tested)), study, tested)


def show_foot() -> None:
    """Show what is below the first screen: last, as the notes on a large source take longer than its chart."""
    with places.foot:
        if not opened.tested:
            wait_for_tests(opened, view)
        show_about(opened, view)
    keep_what_is_loaded()


def count(view: View) -> tuple[Mapping[Question, int], KeptCounts]:
    """Count what each question keeps, and what this one keeps of each kind."""
    opened = open_for(view)
    return count_questions(opened, view), count_kept(opened, view)


with turn():
    places = lay_out_places(room)
    view = choose_view(study, types, (question_place, places.kinds, places.search), count)
    opened = open_for(view)
    with sidebar:
        only_starred = choose_stars()
    kept = kept_features(opened, view)
    leave_box(opened, view, room.chart)
    take_box(opened, view, room.chart)
    shown = narrow(opened, view, here.subset, tuple(sorted(stars_here())) if only_starred else (), only=only_starred)
    if here.picked:
        token_type, feature_id = here.picked
        if token_type not in results.token_types or feature_id >= results.num_features:
            here.url_faults.append(f"feature={feature_id}@{token_type[:60]} is not in this source")
            here.picked = None
    settle_sort(shown, view)
    write_picked()
    say_dropped()

    with places.head:
        show_finding(opened, view, room)
    with places.chips:
        show_count(shown, opened)
        show_chips(view)
        show_groups(shown)
    with places.words:
        show_faults()
        show_words_button()
    if not len(shown.passing):
        blocking = blocking_filter(kept, view.filters, view.metric, view.question)
        nothing = escape_markdown(f"Nothing to show: {nothing_kept(view)}.")
        if not kept.empty:
            nothing = f"The filter “{blocking}” leaves nothing of {len(kept):,} kept features."
        places.chart.info(nothing, icon=":material/filter_alt_off:")
        show_nothing(places, opened, view, room)
        show_foot()
        st.stop()

    with places.chart:
        screen = show_chart(opened, view, shown, room.chart)
    with places.files:
        show_downloads(screen)
    follow_pick(places, screen, room)
    show_foot()
