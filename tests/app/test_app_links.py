"""What a link asks of the dashboard: it is shown, or said not to be there."""

import pytest
from builders import make_source
from conftest import SAE_FOLDER
from dashboard import held, link, open_app, rows, title, warnings_of

KEPT = 12


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    """A results tree of one source."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


GOOD = [
    ("source", "demo"),
    ("source", f"{SAE_FOLDER}/personal_40"),
    ("metric", "target_sparsity"),
    ("metric", "control_max"),
    ("token_types", "newline"),
    ("exclusivity", "chat"),
    ("consistency", "inconsistent"),
    ("scale", "symlog"),
    ("unit", "percent"),
    ("spread", False),
    ("open", True),
    ("evidence", True),
    ("search", "any *text*"),
    ("ids", "1, 2"),
    ("min_value", 0.5),
    ("min_target", 3.0),
    ("max_control", 2.0),
    ("base_label", "Llama"),
    ("chat_label", "Chat"),
    ("target_label", "Introspective"),
    ("control_label", "Other"),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_link_is_followed_without_a_word(name, value):
    """Links carried what an option is called on the screen: `metric=target_sparsity` was dropped, in silence."""
    asked = str(value).lower() if isinstance(value, bool) else str(value)
    at = open_app(**{name: asked})
    assert not at.exception
    assert not at.warning
    chosen = at.session_state[name]
    assert (chosen[0] if isinstance(chosen, list) else chosen) == value
    assert link(at)[name] == [asked]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("source", "nonsense", f"source=nonsense is not one of {SAE_FOLDER}/personal_40, demo, upload"),
        ("source", "../../etc/passwd", f"source=../../etc/passwd is not one of {SAE_FOLDER}/personal_40, demo, upload"),
        ("source", "/etc", f"source=/etc is not one of {SAE_FOLDER}/personal_40, demo, upload"),
        ("source", "", f"source= is not one of {SAE_FOLDER}/personal_40, demo, upload"),
        (
            "metric",
            "banana",
            "metric=banana is not one of target_all_mean, target_all_std, target_max, target_sparsity, "
            "control_all_mean",
        ),
        ("token_types", "asst", "token_types=asst is not one of model, newline"),
        ("exclusivity", "none", "exclusivity=none is not one of both, base, chat, neither"),
        ("consistency", "yes", "consistency=yes is not one of consistent, inconsistent"),
        ("scale", "log", "scale=log is not one of auto, linear, sqrt, symlog"),
        ("unit", "shares", "unit=shares is not one of prompts, percent"),
        ("spread", "maybe", "spread=maybe is neither true nor false"),
        ("open", "1", "open=1 is neither true nor false"),
        ("evidence", "yes", "evidence=yes is neither true nor false"),
        ("min_value", "much", "min_value=much is not a number"),
        ("min_value", "nan", "min_value=nan is not a number"),
        ("min_value", "inf", "min_value=inf is not a number"),
        ("min_target", "-1", "min_target=-1 is not a number of at least 0"),
        ("min_target", "many", "min_target=many is not a number of at least 0"),
        ("max_control", "nan", "max_control=nan is not a number of at least 0"),
        ("feature", "12", "feature=12 is not written like 12@newline"),
        ("feature", "@newline", "feature=@newline is not written like 12@newline"),
        ("feature", "-1@newline", "feature=-1@newline is not written like 12@newline"),
        ("feature", "٣@newline", "feature=٣@newline is not written like 12@newline"),
        ("feature", "8@newline", "feature=8@newline is not in this source"),
        ("feature", "999999999@newline", "feature=999999999@newline is not in this source"),
        ("feature", "1@asst", "feature=1@asst is not in this source"),
    ],
)
def test_a_value_that_is_not_there_is_said_and_the_default_shown(name, value, fault):
    """Streamlit drops a bad value without a word, so that a reader takes what is shown for what the link meant."""
    at = open_app(**{name: value})
    assert not at.exception
    assert warnings_of(at) == [f"Not used: {fault}."]
    assert len(rows(at)) == KEPT
    assert title(at) == "Active on Target only · Mean activation, Base → Instruct"
    assert held(at).picked is None
    at.run()
    assert warnings_of(at) == [f"Not used: {fault}."], "said once, and until it is settled"


def test_faults_stand_in_a_box_beside_the_filters():
    """A warning took room above the chart, so that chart and table stood 55 px lower."""
    at = open_app(scale="log", metric="banana")
    (box,) = [block for block in at.get("popover") if block.proto.popover.label == ":orange[2 faults in the link]"]
    assert len(box.warning) == len(at.warning) == 2
    assert not [block for block in open_app().get("popover") if "link" in block.proto.popover.label]


def test_of_several_values_the_good_ones_are_used():
    at = open_app(token_types=["newline", "asst"], exclusivity=["base", "x" * 200])
    assert at.session_state["token_types"] == ["newline"]
    assert at.session_state["exclusivity"] == ["base"]
    assert warnings_of(at) == [
        "Not used: token_types=asst is not one of model, newline.",
        f"Not used: exclusivity={'x' * 60} is not one of both, base, chat, neither.",
    ]
    assert link(at)["token_types"] == ["newline"]


def test_reset_takes_back_what_was_said():
    at = open_app(scale="log")
    at.button(key="reset").click().run()
    assert not at.warning


def test_the_link_leaves_defaults_out():
    at = open_app(metric="target_all_mean", scale="auto", unit="prompts", chart="scatter", question="exclusive")
    assert link(at) == {"source": [f"{SAE_FOLDER}/personal_40"]}


def test_the_link_names_what_is_chosen_in_the_sidebar():
    at = open_app()
    at.selectbox(key="metric").set_value("target_max")
    at.pills(key="consistency").set_value(["consistent"]).run()
    assert link(at)["metric"] == ["target_max"]
    assert link(at)["consistency"] == ["consistent"]


def test_labels_do_not_change_the_link():
    """An exclusivity was written into the link by its label, so that another label broke it."""
    asked = {"exclusivity": "chat", "metric": "control_max"}
    plain, named = open_app(**asked), open_app(chat_label="Chat", control_label="Other", **asked)
    assert not named.warning
    assert rows(plain) == rows(named)
    assert link(named)["exclusivity"] == ["chat"]


def test_a_picked_feature_stands_in_the_link():
    at = open_app(feature="2@newline")
    assert link(at)["feature"] == ["2@newline"]
    at.button(key="close").click().run()
    assert "feature" not in link(at)


def test_a_long_label_is_cut():
    at = open_app(base_label="x" * 60)
    assert not at.exception
    assert title(at) == f"Active on Target only · Mean activation, {'x' * 40} → Instruct"


def test_the_comparison_asks_what_the_dashboard_asked():
    """It opened on the published rule, whatever the dashboard showed."""
    at = open_app(question="specific", metric="target_sparsity", alpha="0.2", min_target="2", chat_label="Tuned")
    at.button(key="compare").click().run()
    at.switch_page("featurediff/app/compare.py").run()
    assert not at.exception
    assert at.radio(key="question").value == "specific"
    assert at.segmented_control(key="metric").value == "target_sparsity"
    assert (at.number_input(key="max_q").value, at.number_input(key="min_target").value) == (0.2, 2.0)
    assert at.radio(key="question").options[2] == "Changed on Target more than on Control"


def test_words_are_one_click_away():
    at = open_app()
    assert "**Inconsistent**" not in "".join(text.value for text in at.markdown)
    at.button(key="words").click().run()
    assert not at.exception
    assert "**Inconsistent**: Exclusive in one model" in "".join(text.value for text in at.markdown)
