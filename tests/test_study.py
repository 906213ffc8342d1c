import os
import re
from hashlib import sha256

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from builders import make_explanations, make_source, model_data
from conftest import LINKED, LINKED_SAE, PAGE, SAE_FOLDER

import featurediff
from featurediff import load
from featurediff.charts.view import View
from featurediff.errors import DataError
from featurediff.export import provenance, title
from featurediff.features.evidence import CAVEAT
from featurediff.features.filters import Filters, filter_table
from featurediff.features.one_feature import statistics
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import Labels
from featurediff.loading import assemble
from featurediff.sources.result_files import parse_results
from featurediff.study import Study
from featurediff.version import package_version

GEMMA = "https://www.neuronpedia.org/gemma-2-9b/"
LABELS = Labels("Pre", "Post", "Introspective", "Plain")


def refuses(message):
    return pytest.raises(DataError, match=f"^{re.escape(message)}$")


def uploaded(base, chat, names=("base.pt", "chat.pt"), template=None):
    """A study of files without a folder."""
    return assemble(parse_results(base.read_bytes(), chat.read_bytes(), *names), None, None, template)


@pytest.fixture
def study(source_dir, explanations_file):  # noqa: ARG001  found beside the results
    return load(source_dir)


# ----------------------------------------------------------------------------
# What is loaded.


def test_a_folder_is_enough(study, source_dir, explanations_file):
    assert isinstance(study, Study)
    assert study.source.folder == source_dir
    assert study.explanations.name == explanations_file.name
    assert study.origin.caption == "gemma · SAE 131k-l0-114 · residual stream after layer 20 · personal_40"


def test_paths_may_be_text(source_dir, tmp_path):
    mine = make_explanations(tmp_path / "mine.csv", [("1", "one")])
    assert load(str(source_dir), str(mine)).explanation(1) == "one"


def test_explanations_inside_or_beside_the_tree(source_dir, tmp_path):
    assert load(source_dir).explanations is None
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv", [("0", "beside")])
    assert load(source_dir).explanation(0) == "beside"
    make_explanations(tmp_path / "results" / "explanations" / f"{SAE_FOLDER}.csv", [("0", "inside")])
    assert load(source_dir).explanation(0) == "inside"
    given = make_explanations(tmp_path / "given.csv", [("0", "given")])
    assert load(source_dir, given).explanation(0) == "given"


def test_explanation_of_a_feature(study):
    assert study.explanation(0) == "the first feature"
    assert study.explanation(3) is None
    assert study.explanation(99) is None


def test_no_explanations_at_all(source_dir):
    study = load(source_dir)
    assert study.explanation(0) is None
    assert study.table()["explanation"].isna().all()
    assert list(study.files) == ["base.pt", "chat.pt"]


def test_explanations_that_cannot_be_used_are_left_out(source_dir, tmp_path):
    """They took the whole source away."""
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    study = load(source_dir, bad)
    assert study.explanations is None
    assert study.unexplained == (
        "`bad.csv` has the columns 'a', 'b', but expected one of `feature_id`, `feature`, `feature_index`, `latent`, "
        "`latent_id`, `latent_index`, `index`, and one of `claude_desc`, `description`, `explanation`, `label`, "
        "`text`, `chat_desc`. So features are shown without explanations."
    )
    assert study.notes()[-1] == study.unexplained
    assert study.table().equals(load(source_dir).table())


def test_explanations_that_may_not_be_read_are_left_out(source_dir, explanations_file):
    explanations_file.write_text("x")
    explanations_file.chmod(0)
    study = load(source_dir)
    if os.access(explanations_file, os.R_OK):  # as root
        assert study.unexplained
    else:
        assert study.unexplained == (
            f"`{explanations_file}` cannot be read (Permission denied). May you read it? "
            "So features are shown without explanations."
        )


def test_a_name_of_no_explanations_is_refused(source_dir, tmp_path):
    missing = tmp_path / "typo.csv"
    with refuses(f"`{missing}` cannot be found (No such file or directory). Does it exist, and may you read it?"):
        load(source_dir, missing)


def test_what_cannot_be_loaded(source_dir):
    template = "https://example.org/"
    with refuses(
        f"The Neuronpedia template {template!r} holds {{feature_id}} 0 times instead of once. "
        f"Give one like {GEMMA}20-gemmascope-res-131k/{{feature_id}}."
    ):
        load(source_dir, template=template)
    (source_dir / "base.pt").unlink()
    with refuses(f"`{source_dir}` has no `base.pt`. Expected a folder with `base.pt` and `chat.pt`."):
        load(source_dir)


# ----------------------------------------------------------------------------
# Whose page a feature has.


def test_folder_names_come_before_the_metadata(tmp_path):
    study = load(make_source(tmp_path / LINKED / "p", model_type="llama", sae_trainer="8x", sae_layer=20))
    assert study.pages.template == f"{PAGE}{{feature_id}}"


def test_the_files_count_where_the_folder_says_nothing(tmp_path):
    study = load(make_source(tmp_path / "mine" / "run", **LINKED_SAE))
    assert study.pages.template == f"{PAGE}{{feature_id}}"
    assert study.origin.prompt_set == "run"


def test_a_page_named_by_the_files_comes_before_both(tmp_path):
    study = load(make_source(tmp_path / LINKED / "p", **LINKED_SAE, neuronpedia_id="mine/15-mine"))
    assert study.pages.template == "https://www.neuronpedia.org/mine/15-mine/{feature_id}"


def test_a_page_named_by_one_file_alone(tmp_path):
    chat = model_data("chat", neuronpedia_id="mine/20-mine")
    study = load(make_source(tmp_path / SAE_FOLDER / "p", chat=chat))
    assert study.pages.template == "https://www.neuronpedia.org/mine/20-mine/{feature_id}"
    names = {"sae_release": "qwen2.5-7b-instruct-andyrdt", "sae_id": "resid_post_layer_15_trainer_1"}
    chat = model_data("chat", **LINKED_SAE | {"model_type": "mine"}, **names)
    study = load(make_source(tmp_path / "mine", chat=chat, **LINKED_SAE | {"model_type": "mine"}))
    assert study.pages.template == f"{PAGE}{{feature_id}}"


def test_files_that_name_different_pages_get_none(tmp_path):
    """The base file's page was linked, whatever the chat file said."""
    chat = model_data("chat", neuronpedia_id="gemma-2-9b/20-gemmascope-res-131k")
    folder = make_source(tmp_path / SAE_FOLDER / "p", chat=chat, neuronpedia_id="gemma-2-9b/20-gemmascope-res-16k")
    page = load(folder).pages
    assert page.template is None
    assert page.reason == (
        "`base.pt` says neuronpedia_id 'gemma-2-9b/20-gemmascope-res-16k', "
        "but `chat.pt` says 'gemma-2-9b/20-gemmascope-res-131k'."
    )
    assert load(folder).table()["neuronpedia_url"].isna().all()
    assert load(folder, template="https://example.org/{feature_id}").pages.url(3) == "https://example.org/3"


def test_a_template_comes_before_everything(tmp_path):
    folder = make_source(tmp_path / SAE_FOLDER / "p", neuronpedia_id="gemma-2-9b/20-gemmascope-res-16k")
    study = load(folder, template="https://example.org/{feature_id}/x")
    assert study.pages.reason == "The template given by the user."
    assert study.table()["neuronpedia_url"].iloc[:2].tolist() == ["https://example.org/0/x", "https://example.org/1/x"]


def test_uploads_go_by_their_metadata(source_dir):
    study = uploaded(source_dir / "base.pt", source_dir / "chat.pt")
    assert study.source is None
    assert study.origin.caption == "gemma · SAE 131k-l0-114 · residual stream after layer 20"
    assert study.table().equals(load(source_dir).table())
    assert len(study.scatter().data) > 1


def test_pages_of_uploads_go_by_their_metadata(linked_dir):
    assert uploaded(linked_dir / "base.pt", linked_dir / "chat.pt").pages.template == f"{PAGE}{{feature_id}}"


def test_uploads_may_be_called_the_same(source_dir):
    """Of two uploads of one name only the second was among the files that a page names."""
    base, chat = source_dir / "base.pt", source_dir / "chat.pt"
    study = uploaded(base, chat, ("stats.pt", "stats.pt"))
    assert study.files == {
        "stats.pt (base)": sha256(base.read_bytes()).hexdigest(),
        "stats.pt (chat)": sha256(chat.read_bytes()).hexdigest(),
    }


# ----------------------------------------------------------------------------
# What a notebook shows.


def test_the_docstring_of_the_package_is_true(source_dir):
    source = featurediff.load(source_dir)
    assert isinstance(source.table(), pd.DataFrame)
    assert isinstance(source.scatter("target_all_mean"), go.Figure)


def test_table_by_hand(study):
    table = study.table()
    assert table[["feature_id", "exclusivity", "inconsistent"]][table["token_type"] == "model"].to_numpy().tolist() == [
        [0, "both", False],
        [1, "base", False],
        [2, "base", True],
        [3, "chat", False],
        [4, "chat", True],
        [7, "both", False],
    ]
    assert table["explanation"].iloc[0] == "the first feature"
    moved = study.table(Thresholds(Threshold(5), Threshold(0.2, share=True)))
    assert moved[moved["token_type"] == "model"]["feature_id"].tolist() == [0, 3, 5, 7]


def points(fig):
    """(token_type, feature_id) of every point drawn."""
    return sorted(
        (trace.legendgroup, int(row[0])) for trace in fig.data if trace.mode == "markers" for row in trace.customdata
    )


def test_scatter_draws_the_table(study):
    table = study.table()
    fig = study.scatter()
    assert points(fig) == sorted(zip(table["token_type"], table["feature_id"], strict=True))
    assert fig.layout.title.text == "Active on Target only"
    assert fig.layout.title.subtitle.text == f"Mean activation, Base → Instruct · {study.origin.caption}"


def test_scatter_takes_every_choice(study):
    filters = Filters(token_types=("newline",), exclusivity=("both",))
    thresholds = Thresholds(Threshold(2))
    fig = study.scatter(
        "target_max", thresholds=thresholds, filters=filters, labels=LABELS, scale="linear", spread=False
    )
    rows = filter_table(study.table(thresholds), filters, "target_max")
    assert points(fig) == sorted(zip(rows["token_type"], rows["feature_id"], strict=True)) != []
    (trace,) = (trace for trace in fig.data if trace.mode == "markers")
    assert trace.name == "Both Introspective"
    assert np.array_equal(trace.x, rows["base_target_max"])
    assert np.array_equal(trace.y, rows["chat_target_max"])
    assert fig.layout.title.text == "Active on Introspective only"


def test_filters_do_not_move_points(study):
    whole, one = study.scatter(), study.scatter(filters=Filters(ids=(3,)))
    places = {(t.name, t.legendgroup, *row): (x, y) for t in whole.data[:-1] for row, x, y in _rows(t)}
    for trace in one.data[:-1]:
        for row, x, y in _rows(trace):
            assert places[trace.name, trace.legendgroup, *row] == (x, y)
    assert one.layout.xaxis.range == whole.layout.xaxis.range


def _rows(trace):
    return zip(map(tuple, trace.customdata), trace.x, trace.y, strict=True)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"metric": "all_mean"},
            "There is no metric 'all_mean' in the files. They have 'target_all_mean', 'target_all_std', 'target_max', "
            "'target_sparsity', 'control_all_mean' and 3 more.",
        ),
        (
            {"filters": Filters(token_types=("model", "asst"))},
            "There is no token type 'asst' in the files. They have 'model', 'newline'.",
        ),
        (
            {"filters": Filters(exclusivity=("instruct",))},
            "There is no exclusivity 'instruct' to choose. There are 'both', 'base', 'chat', 'neither'.",
        ),
        (
            {"filters": Filters(consistency="inconsistant")},
            "There is no consistency 'inconsistant' to choose. There are 'all', 'consistent', 'inconsistent'.",
        ),
        (
            {"scale": "log"},
            "There is no scale 'log' to choose. There are 'auto', 'linear', 'sqrt', 'symlog'.",
        ),
    ],
    ids=str,
)
def test_choices_that_there_are_not(study, choices, message):
    """A mistyped exclusivity drew nothing, a mistyped consistency or scale something else than was asked for."""
    with refuses(message):
        study.scatter(**choices)


# ----------------------------------------------------------------------------
# What is said about it.


def test_a_source_with_nothing_odd_has_no_notes(tmp_path):
    counts = {"num_target_prompts": 9, "num_control_prompts": 7}
    data = [model_data(side, **counts) for side in ("base", "chat")]
    for of_model in data:
        for token_type in ("model", "newline"):
            del of_model[token_type]["target_sparsity"], of_model[token_type]["control_sparsity"]
    folder = make_source(tmp_path / SAE_FOLDER / "p", base=data[0], chat=data[1])
    assert load(folder).notes() == []


def test_notes_of_files_and_explanations(source_dir, explanations_file):
    make_explanations(explanations_file, [("0", "a"), ("8", "b"), ("-1", "c"), ("", "d")])
    assert load(source_dir).notes()[-2:] == [
        f"`{SAE_FOLDER}.csv` has 2 explanations of features that this SAE does not have: left out.",
        f"`{SAE_FOLDER}.csv` has 1 row without a feature id: left out.",
    ]
    assert len(load(source_dir).notes()) == 4


def test_a_folder_that_contradicts_the_files_is_said(tmp_path):
    """Chart and link went by different layers without a word."""
    rest = "links go by the folder's name unless the files name their page, the chart's title by the file."
    study = load(make_source(tmp_path / "gemma_trainer16k-l0-71_layer9" / "p"))
    assert study.notes()[2:] == [
        f"The folder's name says layer 9, `base.pt` says 20: {rest}",
        f"The folder's name says trainer '16k-l0-71', `base.pt` says '131k-l0-114': {rest}",
    ]
    assert len(load(make_source(tmp_path / "any" / "p")).notes()) == 2


def test_rule_in_words():
    assert View().rule() == "active on at least 1 of a model’s Target prompts and on at most 0 of its Control prompts"
    thresholds = Thresholds(Threshold.parse("7.5%"), Threshold.parse("0.05"))
    assert View(thresholds=thresholds, labels=LABELS).rule() == (
        "active on at least 7.5% of a model’s Introspective prompts and on at most 5% of its Plain prompts"
    )


def test_filters_in_words():
    assert View().filters_in_words() == []
    filters = Filters(("model", "newline"), ("both", "base", "chat"), "inconsistent", 0.5, "<b>", (1, 2))
    assert View("target_sparsity", filters=filters, labels=LABELS).filters_in_words() == [
        "position model, newline",
        "exclusive in both models, Pre, Post",
        "inconsistent only",
        "Activation frequency at least 0.5",
        "explanation contains “<b>”",
        "2 feature ids",
    ]
    assert View(filters=Filters(min_value=0.0, ids=(7,))).filters_in_words() == [
        "Mean activation at least 0",
        "1 feature id",
    ]


def test_provenance_says_where_the_numbers_come_from(study, source_dir, explanations_file):
    view = View("target_max", Thresholds(Threshold(2)), Filters(search="first"), LABELS)
    hashes = [sha256(path.read_bytes()).hexdigest() for path in (source_dir / "base.pt", source_dir / "chat.pt")]
    lines = provenance(study, view, rows=2, kept=12_345).lines()
    assert lines[:-1] == [
        ("base.pt", f"SHA-256 {hashes[0]}"),
        ("chat.pt", f"SHA-256 {hashes[1]}"),
        (explanations_file.name, f"SHA-256 {sha256(explanations_file.read_bytes()).hexdigest()}"),
        ("Question", "Active on Introspective only (exclusive)"),
        ("Exclusive means", view.rule()),
        (
            "Tests",
            "all_mean_change: Welch’s test; q ≤ 0.05; corrected for the features of each position, not for several "
            "questions",
        ),
        ("Shown", "2 of 12,345 kept features: explanation contains “first”"),
        ("Metric", "Maximum activation (target_max)"),
        ("Labels", "base: Pre, chat: Post, target: Introspective, control: Plain"),
        ("Evidence", f"{study.sample()}. {CAVEAT}"),
        ("SAE", study.reading_in_words(view)),
        (
            "Neuronpedia",
            "The files have 8 features, but the SAE of gemma-2-9b/20-gemmascope-res-131k is 131k wide.",
        ),
    ]
    assert lines[-1][0] == "Made"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d UTC by featurediff {re.escape(package_version())}", lines[-1][1])
    assert dict(provenance(study, View(), 1, 1).facts)["Shown"] == "1 of 1 kept features: no filter"


def test_title_names_view_and_source(study):
    assert title(study, View("target_sparsity", labels=LABELS)) == (
        "Active on Introspective only · Activation frequency, Pre → Post · "
        "gemma · SAE 131k-l0-114 · residual stream after layer 20 · personal_40"
    )


@pytest.mark.parametrize("labels", [Labels(chat="Base"), Labels(target="x", control="x"), Labels(base="Both")])
def test_labels_that_are_the_same_are_refused(source_dir, labels):
    """Two categories of one chart were called the same, on pages and in figures."""
    said = ", ".join(map(repr, ("Both", labels.base, labels.chat, labels.target, labels.control)))
    with pytest.raises(DataError) as caught:
        load(source_dir).scatter(labels=labels)
    assert str(caught.value) == f"Two of the labels are the same: {said}. Give each its own."


def test_a_volcano_without_standard_deviations_is_refused(tmp_path):
    models = {side: model_data(side) for side in ("base", "chat")}
    for data in models.values():
        for name in data["metadata"]["token_types"]:
            for prompts in ("target", "control"):
                del data[name][f"{prompts}_all_std"]
    study = load(make_source(tmp_path, **models))
    view = View(chart="volcano")
    view.check(study.results)
    with pytest.raises(DataError) as caught:
        study.draw(study.table_of(view), view)
    assert str(caught.value) == (
        "There is no volcano of 'target_all_mean': its changes cannot be tested, as the files hold no means with "
        "standard deviations. Choose another chart or metric."
    )
    shares = View("target_sparsity", chart="volcano")
    assert study.draw(study.table_of(shares), shares)["data"]


def test_models_are_called_what_the_files_call_them(tmp_path):
    """`chat` against `finetuned` was refused, and any other word was shown as Base and Instruct."""
    words = {"base": "chat", "chat": "finetuned <b>"}
    files = {side: model_data(side, model_ver=word) for side, word in words.items()}
    study = load(make_source(tmp_path / SAE_FOLDER / "p", **files))
    assert study.labels == Labels("chat", "finetuned <b>")
    assert study.labelled(Labels(base="Before")) == Labels("Before", "finetuned <b>")
    figure = study.scatter()
    assert figure.layout.xaxis.title.text.startswith("chat")
    assert "finetuned &lt;b&gt;" in figure.layout.yaxis.title.text
    assert list(statistics(study.results, 0, study.labels).columns)[:2] == ["model · chat", "model · finetuned <b>"]


def test_a_token_type_of_line_breaks_is_shown_as_escapes(tmp_path):
    r"""A position called `\n\n` was refused, and one with a line break in it had no name in the chart."""
    study = load(make_source(tmp_path, token_types=("\n\n", "model")))
    figure = study.scatter()
    assert {trace.legendgrouptitle.text for trace in figure.data} >= {r"\n\n", "model"}
    assert next(iter(statistics(study.results, 0, study.labels).columns)) == r"\n\n · Base"
    assert set(study.table()["token_type"]) == {"\n\n", "model"}
    assert View(filters=Filters(token_types=("\n\n",))).filters_in_words() == [r"position \n\n"]


def test_a_file_where_its_folder_belongs_is_said(source_dir):
    with pytest.raises(DataError) as caught:
        load(source_dir / "base.pt")
    assert str(caught.value) == (
        f"`{source_dir / 'base.pt'}` is a file, but expected the folder with `base.pt` and `chat.pt`: "
        f"give `{source_dir}`."
    )
