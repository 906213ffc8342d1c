"""Evidence, the other two charts, stars, sharing and pages, without a browser."""

import base64
import itertools

import numpy as np
import pytest
from builders import activation_rows, make_explanations, make_prompts, make_source
from conftest import PAGE
from dashboard import (
    chart_link,
    chips,
    click_header,
    click_row,
    column,
    count,
    draw_box,
    figure,
    held,
    link,
    open_app,
    open_share,
    rows,
    said,
    significant,
    table_of,
    traces,
    unescape,
    warnings_of,
)
from streamlit.testing.v1 import AppTest

from featurediff import load
from featurediff.app.dashboard.stars import parse_stars
from featurediff.features.evidence import CAVEAT
from featurediff.features.evidence_columns import evidence_q
from featurediff.features.listing import list_features
from featurediff.features.questions import Asked
from featurediff.features.ranked import rank, ranking_csv

SOURCE = "gemma_trainer131k-l0-114_layer20"


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    """A results tree with one source, as the dashboard's."""
    folder = make_source(tmp_path / "results" / SOURCE / "personal_40")
    make_explanations(tmp_path / "explanations" / f"{SOURCE}.csv")
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "results"))
    return folder


def test_evidence_narrows_table_counts_and_chart(results):
    at = open_app(evidence="true")
    kept = load(results).table()
    expected = kept[evidence_q(kept) <= 0.05]
    assert sorted(rows(at)) == sorted(zip(expected["token_type"], expected["feature_id"], strict=True))
    assert (count(at), significant(at)) == ("4 of 12 features", 4)
    assert chips(at) == ["q at most 0.05"]
    drawn = [trace["customdata"] for trace in figure(at)["data"] if "customdata" in trace]
    assert sorted(itertools.chain.from_iterable(map(ids_of, drawn))) == sorted(expected["feature_id"])
    at.pills(key="token_types").set_value(["model"]).run()
    assert count(at) == "2 of 12 features"
    at.pills(key="token_types").set_value([])
    at.number_input(key="alpha").set_value(0.001).run()
    assert (count(at), significant(at)) == ("2 of 12 features", 2)
    assert chips(at) == ["q at most 0.001"]
    at.button(key="reset").click().run()
    assert (count(at), significant(at), chips(at)) == ("12 features", 4, [])


def ids_of(customdata):
    """The feature ids of a trace’s points, whichever way Plotly packed them."""
    if isinstance(customdata, list):
        return [row[0] if isinstance(row, list) else row for row in customdata]
    cells = np.frombuffer(base64.b64decode(customdata["bdata"]), customdata["dtype"])
    return cells.reshape(*map(int, customdata.get("shape", "-1").split(",")))[..., 0].astype(int).tolist()


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ({"alpha": "2"}, "alpha=2 is not a number of at least 0 and at most 1"),
        ({"evidence": "0.05"}, "evidence=0.05 is neither true nor false"),
        ({"max_q": "0.05"}, "max_q=0.05, which only the comparison knows"),
    ],
)
def test_evidence_that_is_none_is_said(link, fault):
    at = open_app(**link)
    assert warnings_of(at) == [f"Not used: {fault}."]
    assert (count(at), significant(at)) == ("12 features", 4)


def test_every_p_comes_with_what_it_rests_on():
    at = open_app(feature="0@model")
    (text,) = [text for text in at.main.markdown if "q = " in unescape(text.value)]
    assert unescape(text.value).count("q = ") == 3
    assert text.proto.help == CAVEAT
    assert all(CAVEAT in column(at, name)[1] for name in ("q", "base_q", "chat_q"))
    assert CAVEAT in at.toggle(key="evidence").help
    (effects,) = [frame.value for frame in at.dataframe if "test" in frame.value]
    assert effects.loc["Frequency on Target"].tolist() == [
        "+18.1 pp",
        "0.74",
        "−25 to +53",
        "0.64",
        "fisher",
        "7",
    ]


def test_volcano_shows_the_same_features_and_takes_a_box(results):
    at = open_app(chart="volcano", metric="target_sparsity")
    assert not at.exception
    assert set(traces(at)) == set(traces(open_app()))
    assert "Change of activation frequency" in figure(at)["layout"]["xaxis"]["title"]["text"]
    draw_box(at, [{"customdata": {"0": 3, "1": 0.5}, "legendgroup": "model"}])
    assert rows(at) == [("model", 3)]
    assert count(at) == "1 of 12 features"
    at.toggle(key="evidence").set_value(True).run()
    assert rows(at) == [("model", 3)]
    at.toggle(key="evidence").set_value(False).run()
    at.segmented_control(key="chart").set_value("ranking").run()
    assert rows(at) == [("model", 3)]
    assert load(results).table().shape[0] == 12


def test_ranking_lists_the_largest_changes_and_has_its_own_csv(results):
    at = open_app(chart="ranking", metric="target_sparsity", top="1")
    assert not at.exception
    study = load(results)
    asked = Asked(metric="target_sparsity")
    ranked = rank(study.table(), asked, study.origin, 1)
    drawn = [trace for trace in figure(at)["data"] if "customdata" in trace]
    assert {trace["legendgroup"] for trace in drawn} == {"model", "newline"}
    kinds = [button.proto.label.partition(":")[0] for button in at.get("download_button")]
    assert kinds[:4] == ["CSV", "HTML", "Parquet", "Ranking"]
    assert ranking_csv(ranked, asked).startswith('"rank","token_type","direction","feature","base","chat","difference"')
    assert ranked["rank"].tolist() == [1, 1, 1, 1]
    assert at.toggle(key="spread").disabled


def test_unknown_chart_is_said():
    at = open_app(chart="pie")
    assert warnings_of(at) == ["Not used: chart=pie is not one of scatter, volcano, ranking."]
    assert traces(at) == traces(open_app())


def test_stars_and_notes_outlive_filters_and_a_round_trip_through_csv():
    at = open_app(feature="2@model")
    at.button(key="star").click().run()
    assert held(at).stars == {(f"{SOURCE}/personal_40", 2): ""}
    note(at).set_value("only *here*").run()
    at.selectbox(key="metric").set_value("target_max").run()
    at.text_input(key="search").set_value("commas").run()
    assert sorted(table_of(at).value["mark"]) == sorted("▸★" if key == ("model", 2) else "★" for key in rows(at))
    at.text_input(key="search").set_value("").run()
    at.toggle(key="starred").set_value(True).run()
    assert {feature_id for _, feature_id in rows(at)} == {2}
    assert "starred" in said(at)
    click_row(at, None)

    fresh = open_app(feature="2@model")
    assert note(fresh).value == ""
    text = b"source,feature_id,note\n" + f"{SOURCE}/personal_40,2,only *here*\nother,2,elsewhere\n".encode()
    fresh.file_uploader(key="stars_file").upload("stars.csv", text, "text/csv").run()
    assert held(fresh).stars == parse_stars(text, "stars.csv")
    assert note(fresh).value == "only *here*"
    fresh.button(key="star").click().run()
    assert held(fresh).stars == {("other", 2): "elsewhere"}
    assert note(fresh).value == ""


def test_stars_that_are_none_are_said():
    at = open_app()
    at.file_uploader(key="stars_file").upload("x.csv", b"id\n1\n", "text/csv").run()
    assert not at.exception
    assert "These stars are not used." in said(at)
    assert "`x.csv` has the columns 'id', but expected 'source', 'feature_id' as well." in said(at)
    at.toggle(key="starred").set_value(True).run()
    assert "None of these features is starred." in said(at)


def note(at):
    (box,) = [box for box in at.text_input if box.key.startswith("note_")]
    return box


def test_view_can_be_shared_as_link_citation_and_ids(results):
    at = open_app(metric="target_sparsity", token_types="model", search="commas")
    assert list(at.main.code) == []
    open_share(at)
    link, citation, ids = [code.value for code in at.main.code]
    assert link.endswith("metric=target_sparsity&token_types=model&search=commas&source=" + SOURCE + "%2Fpersonal_40")
    study = load(results)
    lines = citation.splitlines()
    assert lines[0].startswith(
        "Active on Target only · Activation frequency, Base → Instruct · gemma · SAE 131k-l0-114"
    )
    assert lines[1] == link
    assert lines[2] == (
        "sparsity_change: Fisher’s exact test; q ≤ 0.05; corrected for the features of each position, not for several "
        "questions."
    )
    assert lines[3] == (
        "Exclusive means active on at least 1 of a model’s Target prompts and on at most 0 of its Control prompts; "
        "position model; explanation contains “commas”."
    )
    assert lines[4:] == [f"{name}: SHA-256 {digest}" for name, digest in study.files.items()]
    assert ids == "2"


def test_view_can_be_shared_as_a_list_on_neuronpedia(monkeypatch, linked_dir):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(linked_dir.parents[1]))
    at = open_share(open_app(ids="2", token_type="model"))
    (quick,) = [link.proto.url for link in at.get("link_button")]
    assert quick.startswith("https://www.neuronpedia.org/quick-list/?name=")
    assert "%22index%22%3A%222%22" in quick


def test_page_is_shown_over_the_dashboard_when_asked_for(monkeypatch, linked_dir):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(linked_dir.parents[1]))
    at = open_app(feature="2@model")
    url = f"{PAGE}2"
    assert iframes(at) == [], "a page that nobody asked for is not loaded"
    assert url in [link.proto.url for link in at.get("link_button")]
    assert "describe the feature on qwen2.5-7b-it, the model that the SAE was trained on." in said(at)
    at.button(key="show_page").click().run()
    assert iframes(at) == [f"{url}?embed=true&embedtest=false&embedsteer=false"]
    assert "Where the frame stays grey" in said(at)
    at.run()
    assert iframes(at) == []


def iframes(at):
    return [frame.proto.src for frame in at.get("iframe")]


def test_type_of_explanation_can_be_preferred(tmp_path):
    file = tmp_path / "explanations" / f"{SOURCE}.csv"
    file.write_text(
        "feature_id,explanation,type,model\n2,by *acts*,acts,gpt\n2,by logits,logits,gpt\n3,one,logits,gpt\n"
    )
    at = open_app(feature="2@model")
    assert "by logits" in said(at)
    assert "Explanation: logits, gpt" in said(at)
    at.selectbox(key="explanation_type").set_value("acts").run()
    assert "by *acts*" in [text.value for text in at.text]
    assert "Explanation: acts, gpt" in said(at)
    frame = table_of(at).value
    assert dict(zip(frame["feature_id"], frame["explanation_type"], strict=True))[3] == "logits"
    at = open_app(explanation_type="banana")
    assert warnings_of(at) == ["Not used: explanation_type=banana is not one of logits, acts."]


def test_prompts_of_a_feature_are_listed_as_plain_text(results):
    activation_rows(load(results)).to_parquet(results / "activations.parquet")
    make_prompts(results, "*Who* are {}?")
    at = open_app(feature="2@model")
    assert not at.exception
    (listing,) = [frame.value for frame in at.dataframe if "content" in frame.value]
    assert listing[["prompt_set", "base", "chat", "content"]].to_numpy().tolist() == [
        *(["Target", 1.2 + i if i < 4 else 0.0, 1.2 + i, f"*Who* are target {i}?"] for i in (5, 4, 3, 2, 1, 0)),
        *(["Control", 0.0, 1.2 + i, f"*Who* are control {i}?"] for i in (2, 1, 0)),
    ]
    assert "cannot pair 8 target prompts in base with 9 in chat" in said(at)


def test_prompts_are_listed_over_the_dashboard_when_asked_for(results):
    """The strip shows some five, and the toolbar of a table in it lies below the strip's buttons."""
    activation_rows(load(results)).to_parquet(results / "activations.parquet")
    make_prompts(results, "Who are {}?")
    at = open_app(feature="2@model")
    at.button(key="all_prompts").click().run()
    assert not at.exception
    in_strip, at_large = (frame.value for frame in at.dataframe if "content" in frame.value)
    assert in_strip.equals(at_large)
    assert len(at_large) == 9
    assert "Feature 2 at model" in said(at)
    assert len([frame for frame in at.run().dataframe if "content" in frame.value]) == 1


def test_without_activations_there_is_no_button_for_prompts():
    assert "all_prompts" not in {button.key for button in open_app(feature="2@model").button}


@pytest.mark.parametrize("chart", ["scatter", "volcano", "ranking"])
def test_picked_feature_is_ringed_in_every_chart(chart):
    at = open_app(chart=chart, feature="3@model", token_types="model")
    assert not at.exception
    told = chart_link(at)
    left, right, *upright = told["whole"]
    x, y = told["ring"]
    assert left <= x <= right
    assert min(upright) <= y <= max(upright)
    assert "results" not in told["axes"]


def test_feature_that_is_not_drawn_has_no_ring():
    assert chart_link(open_app(chart="ranking", feature="6@model"))["ring"] is None


def test_each_feature_once(results):
    """A switch lists a feature that is kept at several positions at its best one, and names the others."""
    at = open_app(question="any")
    assert link(at).get("by") is None
    each = rows(at)
    at.segmented_control(key="by").set_value("feature").run()
    assert link(at)["by"] == ["feature"]
    table = load(results).table(question="any")
    once = list_features(table, Asked("any", "target_all_mean"), "feature")
    others = once["other_positions"].map(lambda names: f" ({names})", na_action="ignore").fillna("")
    expected = list(zip(once["token_type"].astype("str") + others, once["feature_id"].tolist(), strict=True))
    assert rows(at) == expected
    assert len(expected) == len({feature for _, feature in each}) < len(each)
    assert any("(" in name for name, _ in expected)
    click_row(at, 0)
    assert link(at)["feature"] == [f"{once['feature_id'].iloc[0]}@{once['token_type'].iloc[0]}"]
    again = open_app(question="any", by="feature")
    click_header(again, "feature_id")
    assert [feature for _, feature in rows(again)] == sorted(feature for _, feature in expected)


def test_empty_note_stars_nothing():
    """A feature came back from the comparison with a star that nobody had set."""

    def script():
        import streamlit as st

        from featurediff.app.dashboard.starring import write_note
        from featurediff.app.session import session

        st.session_state["box"] = ""
        write_note(("source", 1), "box")
        st.text(f"stars: {session().stars}")

    at = AppTest.from_function(script).run()
    assert not at.exception
    assert [text.value for text in at.text] == ["stars: {}"]
