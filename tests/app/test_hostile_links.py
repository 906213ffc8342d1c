"""Links made to break the app: what is not used is said, nothing else is opened, and the session goes on."""

import os
import re

import pytest
from builders import make_explanations, make_source
from conftest import SAE_FOLDER
from dashboard import count, held, open_app, open_compare, rows, said, shown_of, title, warnings_of
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from featurediff import files

SOURCE = f"{SAE_FOLDER}/personal_40"
CHOICES = {
    "source": (SOURCE, "demo", "upload"),
    "metric": ("target_all_mean", "target_max", "control_max"),
    "token_types": ("model", "newline"),
    "exclusivity": ("both", "base", "chat"),
    "consistency": ("consistent", "inconsistent"),
    "chart": ("scatter", "volcano", "ranking"),
    "scale": ("auto", "linear", "sqrt", "symlog"),
    "unit": ("prompts", "percent"),
    "by": ("position", "feature"),
    "explanation_type": ("acts", "logits"),
}
SWITCHES = ("spread", "open", "evidence")
NUMBERS = ("top", "alpha", "min_value", "min_target", "max_control")
LABELS = ("base_label", "chat_label", "target_label", "control_label")
TEXTS = ("search", "ids", "feature", "sort", *LABELS)
FOREIGN = (
    "picked",
    "session",
    "subset",
    "stars",
    "round",
    "left",
    "upload_base",
    "chart_link",
    "compare",
    "reset",
    "embed_",
    "x[]",
)
HOSTILE = (
    "", " ", "0", "-1", "-0", "1e308", "-1e308", "1e309", "1e-400", "9" * 400, "nan", "inf", "-inf", "٣", "²", "1_0",
    "0x10", "true", "TRUE", "None", "null", "undefined", "[]", "{}", "../../etc/passwd", "/etc/passwd", "..", ".", "/",
    "file:///etc/passwd", "C:\\Windows", "\x00", "\x1b[31m", "\r\nSet-Cookie: a=b", "\u202eevil", "\ufeff",
    "\U0001f600" * 50, "<script>alert(1)</script>", "![x](http://127.0.0.1:9/x.png)", ":red[x]", "javascript:alert(1)",
    "%s%n%{x}", "{feature_id}", "'; DROP TABLE x; --", "=1+1", "a" * 5000, "1," * 3000, "8@newline", "1@", "@model",
    "1@model@newline", "2@newline", "999999999@model", "99999999999@model",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from([value for options in CHOICES.values() for value in options]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),  # half a surrogate pair cannot come out of a URL
    st.floats().map(repr),
    st.floats(0, 1).map(repr),
    st.integers().map(str),
)
NAMES = (*CHOICES, *SWITCHES, *NUMBERS, *TEXTS, *FOREIGN)
LINKS = st.dictionaries(st.sampled_from(NAMES), st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=6)
OF_COMPARISON = (
    "sources",
    "sae",
    "among",
    "first",
    "second",
    "token_types",
    "max_q",
    "unit",
    "min_target",
    "max_control",
)
OLD_WORDS = ("base", "chat", "target", "control", "q", "position", "at_least", "at_most")
COMPARISONS = st.dictionaries(
    st.sampled_from((*OF_COMPARISON, *LABELS, *OLD_WORDS, *FOREIGN)),
    st.lists(st.one_of(VALUES, st.sampled_from([SOURCE, f"{SAE_FOLDER}/other"])), min_size=1, max_size=3),
    min_size=1,
    max_size=6,
)
MANY = {"token_types", "exclusivity", "consistency", "sources"}
MORE = int(os.environ.get("FEATUREDIFF_LINKS", "0"))
FUZZED = settings(
    max_examples=MORE or 20,
    deadline=None,
    derandomize=not MORE,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A results tree of two sources, with explanations of two types; beside it a source that no link may open."""
    root = tmp_path_factory.mktemp("links")
    for name in ("personal_40", "other"):
        make_source(root / "tree" / "results" / SAE_FOLDER / name)
    make_source(root / "secret" / "results" / SAE_FOLDER / "personal_40", source="SECRET", model_type="SECRET")
    file = make_explanations(root / "tree" / "explanations" / f"{SAE_FOLDER}.csv")
    file.write_text("feature_id,explanation,type\n2,by acts,acts\n2,by logits,logits\n3,one,logits\n", encoding="utf-8")
    return root / "tree"


@pytest.fixture(scope="module")
def opened(tree):
    """Point the app to the tree, and remember which files it reads."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATUREDIFF_RESULTS", str(tree))
        read = files.read_whole
        for module in ("sources.result_files", "meaning.explanation_files"):
            patch.setattr(f"featurediff.{module}.read_whole", lambda path: found.append(path) or read(path))
        yield found


def value_of(at, name):
    """What a widget holds; None where it is not drawn."""
    return at.session_state.get(name)


def is_used(at, name, value):
    """Whether a value of the link is what the session holds, for one that it can hold."""
    now = value_of(at, name)
    if name in (*NUMBERS, "max_q"):
        try:
            return now is not None and float(value) == now
        except ValueError:
            return False
    if name in SWITCHES:
        return value.lower() == str(now).lower()
    if name in MANY:
        return value in now if isinstance(now, list) else value == now
    if name == "feature":
        picked = held(at).picked
        return not value if picked is None else value == f"{picked[1]}@{picked[0]}"
    if name == "sort":
        sort = held(at).sort
        return value == (sort.word if sort else "")
    if name.endswith("_label"):
        return now == value[:40]
    return now == value


def is_said(at, name, value):
    """Whether a value that is not used is said, by its name and its beginning."""
    begun = re.sub(r"\s", " ", f"{name}={value[:30]}")
    texts = [re.sub(r"\s", " ", text.replace("\u2060", "")) for text in warnings_of(at)]
    return any(begun in text for text in texts)


def check_link(at, link):
    assert not at.exception, link
    for name, values in link.items():
        if name in FOREIGN or (name == "top" and value_of(at, "chart") != "ranking"):
            continue
        if "source" in link and value_of(at, "source") == "upload":
            continue  # nothing else is drawn
        for value in values if name in MANY else values[-1:]:
            assert is_used(at, name, value) or is_said(at, name, value), (name, value, warnings_of(at))
        if len(values) > 1 and name not in MANY:
            assert f"Not used: all but the last of the {len(values)} values of {name}." in warnings_of(at)


@FUZZED
@given(link=LINKS)
def test_any_link_is_shown_or_said(tree, opened, link):
    opened.clear()
    at = open_app(**link)
    check_link(at, link)
    assert "SECRET" not in said(at)
    assert all(path.is_relative_to(tree) or "featurediff-demo-" in str(path) for path in opened)
    at.selectbox(key="source").set_value(SOURCE).run()
    assert not at.exception
    at.button(key="reset").click().run()
    assert not at.exception
    assert not at.warning or "labels are the same" in said(at)
    assert len(rows(at)) == 12, "the session goes on"


@FUZZED
@given(link=COMPARISONS)
@example(link={"max_q": ["0.25", "0.1"], "min_target": ["2", "3"]})
@example(link={"max_q": ["0"], "max_control": ["1e-2"]})
def test_any_link_to_the_comparison_is_shown_or_said(tree, opened, link):
    """A link whose `max_q` was used counted as one that failed, as a number was held against its text."""
    opened.clear()
    at = open_compare(**link)
    assert not at.exception
    assert "SECRET" not in said(at)
    assert all(path.is_relative_to(tree) for path in opened)
    for name, values in link.items():
        if name in FOREIGN:
            continue
        if len(values) > 1 and name != "sources" and name not in OLD_WORDS:
            assert f"Not used: all but the last of the {len(values)} values of {name}." in warnings_of(at)
        has_a_choice = name in ("sources", *NUMBERS, *OLD_WORDS) or value_of(at, name) is not None
        if has_a_choice:  # where no sources share an SAE, there is nothing to choose of it
            for value in values if name == "sources" else values[-1:]:
                is_good = name not in OLD_WORDS and is_used(at, name, value)
                assert is_good or is_said(at, name, value), (name, value, warnings_of(at))
    at.multiselect(key="sources").set_value([]).run()
    assert not at.exception
    at.button(key="back").click().run()
    assert not at.exception
    assert len(rows(at)) == 12


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ({"top": "3.5"}, "the fraction of top=3.5"),
        ({"top": "0"}, "top=0 is not a number of at least 1 and at most 100"),
        ({"min_value": ["1", "2"]}, "all but the last of the 2 values of min_value"),
        ({"feature": ["1@model", "2@model"]}, "all but the last of the 2 values of feature"),
        ({"source": ["demo", SOURCE]}, "all but the last of the 2 values of source"),
        ({"source": "", "open": ["true", "false"]}, "all but the last of the 2 values of open"),
        ({"base_label": "x" * 41}, "what base_label has beyond 40 characters"),
        ({"metric": ["target_max", "banana"]}, "metric=banana is not one of target_all_mean, target_all_std, "
         "target_max, target_sparsity, control_all_mean"),
    ],
)  # fmt: skip
def test_what_was_dropped_cut_or_passed_over_is_said(opened, link, fault):  # noqa: ARG001  sets the tree
    """Of 3.5 rows 3 were listed, a long label was cut, and of two values one was taken: all without a word."""
    at = open_app(chart="ranking", **link)
    assert not at.exception
    assert f"Not used: {fault}." in warnings_of(at)


def test_type_of_explanation_that_no_source_has_is_said(opened, tree, tmp_path, monkeypatch):  # noqa: ARG001
    """It was said to be none of nothing."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(make_source(tmp_path / "x" / "a")))
    at = open_app(explanation_type="acts")
    assert warnings_of(at) == ["Not used: explanation_type=acts is not one of what can be chosen here."]


@pytest.mark.parametrize(("value", "left"), [("1e308", 0), ("-1e308", 12), ("1e-400", 12)])
def test_number_that_the_files_cannot_hold_narrows_without_a_warning(opened, value, left):  # noqa: ARG001
    """Files of float32 were compared with infinity, behind a warning of numpy's."""
    at = open_app(min_value=value, metric="control_max")
    assert not at.exception
    assert not at.warning
    assert count(at) == shown_of(left, 12)


@pytest.mark.parametrize(
    "link", [{"base_label": "x", "chat_label": "x"}, {"base_label": "Both"}, {"target_label": "Control"}]
)
def test_labels_that_are_the_same_are_not_used_in_the_comparison(opened, link):  # noqa: ARG001
    """The bars of base and chat were called the same, so that nobody could tell them apart."""
    at = open_compare(**link)
    assert not at.exception
    assert warnings_of(at) == ["Not used: labels of which two are the same."]
    assert "Target prompts" in said(at)


def test_blank_labels_of_the_comparison_are_the_default_ones(opened):  # noqa: ARG001
    at = open_compare(base_label="", target_label=" ")
    assert not at.warning
    assert "on at least 1 of a model’s Target prompts" in said(at)


def test_title_is_of_what_is_shown_whatever_the_link(opened):  # noqa: ARG001
    at = open_app(neuronpedia_template="https://evil.example/{feature_id}", base_label="<b>x</b>", metric="target_max")
    assert title(at) == "Active on Target only · Maximum activation, <b>x</b> → Instruct"
    assert not [link for link in at.get("link_button") if "evil" in link.proto.url]


@pytest.mark.usefixtures("opened")
def test_numbers_at_their_ends_are_used_without_a_word():
    at = open_app(chart="ranking", top="100", alpha="1", max_control="0")
    assert not at.warning
    assert (at.session_state["top"], at.session_state["alpha"]) == (100, 1.0)
