import functools
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from builders import activation_rows, as_nobody, make_explanations, make_source, model_data
from conftest import PAGE, SAE_FOLDER
from typer.testing import CliRunner

from featurediff import cli, load
from featurediff.cli import app
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT, NOT_CORRECTED
from featurediff.features.evidence_columns import evidence_q
from featurediff.features.filters import parse_ids
from featurediff.features.listing import list_features
from featurediff.features.questions import QUESTIONS, Asked
from featurediff.features.ranked import rank, ranking_csv

SHARE = "target_sparsity"

WHY = "Is there room, and may you write there?"


def run(*words):
    """Run a command that succeeds, and return its (stdout, stderr)."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def refuse(*words):
    """Run a command that a user can fix, and return its message."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, DataError), result.output
    return str(result.exception)


def misuse(*words):
    """Run a command whose options are wrong, and return what it says on one line."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2
    return " ".join(result.stderr.split())


def export_table(source, *words):
    """Export as CSV and return what is in it, in the order of `Study.table`."""
    path = source.parent / "table.csv"
    run("export", source, "--csv", path, *words)
    return pd.read_csv(path).sort_values(["token_type", "feature_id"], ignore_index=True)


def keys(table):
    return list(zip(table["token_type"], table["feature_id"], strict=True))


def in_subprocess(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "featurediff", *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )


def run_main(monkeypatch, capsys, *words):
    """Run the installed command in this process, and return its exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["featurediff", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, *capsys.readouterr()


def spoken(value):
    """Id of a parametrized command line; other parameters get their numbers."""
    return (" ".join(value) or "nothing") if isinstance(value, list) and isinstance((value or [""])[0], str) else None


# ----------------------------------------------------------------------------
# As a process of its own.


def test_a_process_exports_and_says_what_it_wrote(source_dir, tmp_path):
    done = in_subprocess("export", source_dir, "--csv", tmp_path / "new" / "out.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("out.csv: 12 rows\n")
    listed = list_features(load(source_dir).table(), Asked("exclusive", "target_all_mean"))
    assert keys(pd.read_csv(tmp_path / "new" / "out.csv")) == keys(listed)


def test_a_process_refuses_with_exit_code_2_and_writes_nothing(source_dir, tmp_path):
    (source_dir / "chat.pt").write_bytes(b"no torch file")
    done = in_subprocess("export", source_dir, "--csv", tmp_path / "out.csv", "--html", tmp_path / "out.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("`chat.pt` ")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


def test_a_process_prints_what_its_output_cannot_encode(tmp_path):
    """Names and dashes ended in a UnicodeEncodeError where standard output is not UTF-8, as in a pipe on Windows."""
    make_source(tmp_path / "漢字 → é")
    done = in_subprocess("list", tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u6f22\\u5b57 \\u2192 \\xe9" in done.stdout


def test_a_message_is_one_line_whatever_its_length(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a b" / ("long " * 40).strip() / "[bold]x[/bold]"
    folder.mkdir(parents=True)
    code, out, err = run_main(monkeypatch, capsys, "check", folder)
    assert (code, out) == (2, "")
    lacking = f"`{folder}` has no `base.pt` and no `chat.pt`."
    assert err == f"{lacking} Expected a folder with `base.pt` and `chat.pt`.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a single process")
def test_ctrl_c_ends_a_process_with_a_sentence_and_how_to_go_on():
    """It ended without a word. The tests may themselves run where it is ignored, as in the background of a shell."""
    heeds = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeds}; runpy.run_module('featurediff', run_name='__main__')", "app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            for line in process.stdout:
                if "You can now view" in line:
                    break
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.endswith(f"{cli.STOPPED}\n")


@pytest.mark.parametrize("command", ["list", "check", "export", "explain", "compare", "demo", "cache"])
def test_ctrl_c_ends_every_command_alike(command, monkeypatch, capsys, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    (found,) = [one for one in app.registered_commands if one.name == command]
    monkeypatch.setattr(found, "callback", functools.wraps(found.callback)(stop))
    code, _, said = run_main(monkeypatch, capsys, command, *([] if command == "cache" else [tmp_path]))
    assert (code, said) == (130, f"{cli.STOPPED}\n")


def test_success_has_exit_code_0(source_dir, monkeypatch, capsys):
    code, out, err = run_main(monkeypatch, capsys, "list", source_dir)
    assert (code, err) == (0, "")
    assert SAE_FOLDER in out


def test_without_a_command_the_commands_are_listed():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Show which SAE features a chat model uses differently from its base model." in result.output
    for command in ("list", "export", "demo", "check"):
        assert re.search(rf"^  {command} +[A-Z]", result.output, re.MULTILINE)


def test_help_names_every_option():
    said = run("export", "--help")[0]
    options = """--question --alpha --family
        --metric --explanations --csv --html --parquet --offline --cdn --token-type --exclusivity --consistency
        --min-target --max-control --min-value --max-q --search --ids --chart --by --top --scale --spread --no-spread
        --base-label --chat-label
        --target-label --control-label --neuronpedia-template"""
    assert [option for option in options.split() if option not in said] == []


# ----------------------------------------------------------------------------
# export: what is written.


def test_csv_is_the_feature_table_with_the_difference(source_dir, explanations_file):
    written = export_table(source_dir)
    table = load(source_dir).table()
    assert list(written) == [*table, "difference"]
    assert keys(written) == keys(table)
    assert written["difference"].tolist() == pytest.approx(
        (table["chat_target_all_mean"] - table["base_target_all_mean"]).tolist()
    )
    assert written["explanation"].dropna().tolist() == table["explanation"].dropna().tolist()
    assert explanations_file.is_file()


def test_csv_has_the_pages_of_features(linked_dir):
    written = export_table(linked_dir)
    assert written["neuronpedia_url"].iloc[0] == f"{PAGE}{written['feature_id'].iloc[0]}"


def test_metric_decides_the_difference(source_dir):
    written = export_table(source_dir, "--metric", "target_sparsity")
    assert written["difference"].tolist() == pytest.approx(
        (written["chat_target_sparsity"] - written["base_target_sparsity"]).tolist()
    )


def test_parquet_has_the_same_rows(source_dir, tmp_path):
    run("export", source_dir, "--parquet", tmp_path / "t.parquet", "--csv", tmp_path / "t.csv", "--ids", "0,3")
    parquet, csv = pd.read_parquet(tmp_path / "t.parquet"), pd.read_csv(tmp_path / "t.csv")
    assert list(parquet) == list(csv)
    assert keys(parquet) == keys(csv) != []


def test_page_is_offline_unless_asked(source_dir, tmp_path):
    page = tmp_path / "page.html"
    sizes = {}
    for words in ((), ("--offline",), ("--cdn",)):
        run("export", source_dir, "--html", page, *words)
        sizes[words] = len(page.read_text(encoding="utf-8"))
        has_cdn = 'src="https://cdn.plot.ly/' in page.read_text(encoding="utf-8")
        assert has_cdn == (words == ("--cdn",))
    assert sizes[()] == sizes["--offline",] > 3_000_000
    assert sizes["--cdn",] < 100_000


def test_page_says_what_it_shows(linked_dir, tmp_path):
    words = ["--search", "first <b>", "--min-target", "25%", "--target-label", "Introspective", "--chat-label", "A<b>"]
    make_explanations(tmp_path / "mine.csv", [("0", "the FIRST <B> of all")])
    run("export", linked_dir, "--html", tmp_path / "p.html", "--cdn", "--explanations", tmp_path / "mine.csv", *words)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    for part in (
        "<title>Active on Introspective only · Mean activation, Base → A&lt;b&gt; · qwen",
        "<dt>base.pt</dt><dd>SHA-256 ",
        "<dt>mine.csv</dt><dd>SHA-256 ",
        "active on at least 25% of a model’s Introspective prompts and on at most 0 of its Control prompts",
        "explanation contains “first &lt;b&gt;”",
        "base: Base, chat: A&lt;b&gt;, target: Introspective, control: Control",
        f'window.open("{PAGE}{{feature_id}}"',
    ):
        assert part in page
    assert "A<b>" not in page


def test_scale_and_spread_reach_the_page(source_dir, tmp_path):
    def page(*words):
        run("export", source_dir, "--html", tmp_path / "p.html", "--cdn", *words)
        text = (tmp_path / "p.html").read_text(encoding="utf-8")
        return "silent on Instruct" in text, text[text.index("Plotly.newPlot(") : text.index("<footer>")]

    is_spread, spread = page("--spread")
    assert is_spread
    assert page()[0]
    is_spread, exact = page("--no-spread")
    assert not is_spread
    assert '"tickvals"' not in exact
    assert '"tickvals"' in page("--no-spread", "--scale", "sqrt")[1]
    drawn = [page("--scale", scale)[1] for scale in ("linear", "sqrt", "symlog")]
    without_ids = {re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", text) for text in [*drawn, exact]}
    assert len(without_ids) == 4
    assert len(spread) > 1000


def test_labels_reach_the_page(source_dir, tmp_path):
    words = [f"--{name}-label={name.upper()}!" for name in ("base", "chat", "target", "control")]
    run("export", source_dir, "--html", tmp_path / "p.html", "--cdn", *words)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "base: BASE!, chat: CHAT!, target: TARGET!, control: CONTROL!" in page
    for name in ("Both TARGET!", "BASE! TARGET! + CHAT! CONTROL!", "CHAT! TARGET! + BASE! CONTROL!"):
        assert f'"name":"{name}"' in page


def test_explanations_given_come_before_those_found(source_dir, explanations_file, tmp_path):
    assert "the first feature" in set(export_table(source_dir)["explanation"])
    mine = make_explanations(tmp_path / "mine.csv", [("0", "mine")])
    assert set(export_table(source_dir, "--explanations", mine)["explanation"].dropna()) == {"mine"}
    assert explanations_file.is_file()


def test_template_replaces_the_known_page(source_dir):
    written = export_table(source_dir, "--neuronpedia-template", "https://example.org/{feature_id}?x=1")
    expected = [f"https://example.org/{feature_id}?x=1" for feature_id in written["feature_id"]]
    assert written["neuronpedia_url"].tolist() == expected


# ----------------------------------------------------------------------------
# export: filters and thresholds.


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ([], lambda _: True),
        (["--token-type", "newline"], lambda row: row.token_type == "newline"),
        (["--token-type", "newline", "--token-type", "model"], lambda _: True),
        (["--exclusivity", "both"], lambda row: row.exclusivity == "both"),
        (["--exclusivity", "base", "--exclusivity", "chat"], lambda row: row.exclusivity != "both"),
        (["--consistency", "all"], lambda _: True),
        (["--consistency", "inconsistent"], lambda row: row.inconsistent),
        (["--consistency", "consistent"], lambda row: not row.inconsistent),
        (["--min-value", "105"], lambda row: max(row.base_target_all_mean, row.chat_target_all_mean) >= 105),
        (["--search", "COMMAS, AND"], lambda row: row.feature_id == 2),
        (["--max-q", "0.05"], lambda row: evidence_q(pd.DataFrame([row]))[0] <= 0.05),
        (["--ids", "3; 0,0 99"], lambda row: row.feature_id in (0, 3)),
        (
            ["--token-type", "model", "--exclusivity", "chat", "--ids", "3"],
            lambda row: row[2:4] == ("model", "chat") and row.feature_id == 3,
        ),
    ],
    ids=spoken,
)
@pytest.mark.usefixtures("explanations_file")
def test_filters(source_dir, words, kept):
    table = load(source_dir).table()
    wanted = [row.Index for row in table.itertuples() if kept(row)]
    assert 0 < len(wanted) <= len(table)
    assert keys(export_table(source_dir, *words)) == keys(table.loc[wanted])


@pytest.mark.parametrize(
    ("words", "features"),
    [  # counts are in builders.py; n is 8 and 7 in base, 9 and 6 in chat
        ([], [0, 1, 2, 3, 4, 7]),
        (["--min-target", "3"], [0, 2, 3, 4, 7]),
        (["--min-target", "7"], [3, 7]),
        (["--min-target", "50%"], [0, 2, 3, 7]),
        (["--min-target", "0.5"], [0, 2, 3, 7]),
        (["--min-target", "100%"], [7]),
        (["--max-control", "1"], [0, 1, 2, 3, 4, 5, 7]),
        (["--max-control", "15%", "--min-target", "6"], [3, 5, 7]),
    ],
    ids=spoken,
)
def test_thresholds(source_dir, words, features):
    written = export_table(source_dir, "--token-type", "model", *words)
    assert written["feature_id"].tolist() == features


def test_moved_control_threshold_moves_inconsistency(source_dir):
    """Feature 2 fires on three control prompts in chat, feature 4 on two in base."""
    written = export_table(source_dir, "--token-type", "model", "--max-control", "2", "--consistency", "inconsistent")
    assert written["feature_id"].tolist() == [2]


def test_a_filter_that_leaves_nothing_is_named(source_dir, tmp_path):
    """An empty file was written without a word."""
    outputs = ["--csv", tmp_path / "t.csv", "--html", tmp_path / "t.html", "--parquet", tmp_path / "t.parquet"]
    title = "Active on Target only · Mean activation, Base → Instruct · gemma · SAE 131k-l0-114"
    title = f"{title} · residual stream after layer 20 · personal_40"
    out, err = run("export", source_dir, *outputs, "--search", "nowhere", "--exclusivity", "both")
    written = "".join(f"{path}: 0 rows\n" for path in (outputs[1], outputs[3], outputs[5]))
    assert (out, err) == ("", f"Note: {title}: no feature is left by the filter on search.\n{written}")
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(pd.read_parquet(tmp_path / "t.parquet")) == 0
    assert "Shown</dt><dd>0 of 12 kept features" in (tmp_path / "t.html").read_text(encoding="utf-8")
    err = run("export", source_dir, *outputs, "--min-target", "9", "--max-control", "0", "--search", "x")[1]
    assert err == f"Note: {title}: no feature is left by the filter on search.\n{written}"
    err = run("export", source_dir, *outputs, "--min-target", "10", "--search", "x")[1]
    rule = "active on at least 10 of a model’s Target prompts and on at most 0 of its Control prompts"
    assert err == f"Note: {title}: no feature is exclusive, that is {rule}.\n{written}"


# ----------------------------------------------------------------------------
# export: what is refused.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--metric", "all_mean"],
            "There is no metric 'all_mean' in the files. They have 'target_all_mean', 'target_all_std', 'target_max', "
            "'target_sparsity', 'control_all_mean' and 3 more.",
        ),
        (
            ["--metric", "target_num_active"],
            "There is no metric 'target_num_active' in the files. They have 'target_all_mean', 'target_all_std', "
            "'target_max', 'target_sparsity', 'control_all_mean' and 3 more.",
        ),
        (
            ["--token-type", "model", "--token-type", "asst", "--token-type", "[b]"],
            "There is no token type 'asst', '[b]' in the files. They have 'model', 'newline'.",
        ),
        (["--ids", "1,two,-3"], "Feature ids are whole numbers such as 12, 345, but 'two' was given (2 such)."),
        (["--ids", "1.0"], "Feature ids are whole numbers such as 12, 345, but '1.0' was given (1 such)."),
        (
            ["--min-target", "x"],
            "A threshold is a count such as 3, or a share such as 7.5% or 0.075, but 'x' was given.",
        ),
        (
            ["--max-control", "101%"],
            "A threshold is a count such as 3, or a share such as 7.5% or 0.075, but '101%' was given.",
        ),
        (
            ["--min-target", "0"],
            "The least number of target prompts must be above 0, but is 0: "
            "at 0, features that never fire would count as exclusive.",
        ),
        (
            ["--neuronpedia-template", "https://example.org/"],
            "The Neuronpedia template 'https://example.org/' holds {feature_id} 0 times instead of once. "
            "Give one like https://www.neuronpedia.org/gemma-2-9b/20-gemmascope-res-131k/{feature_id}.",
        ),
    ],
    ids=spoken,
)
def test_bad_options(source_dir, tmp_path, words, message):
    assert refuse("export", source_dir, "--csv", tmp_path / "out.csv", *words) == message
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["--exclusivity", "nowhere"], ["'both'", "'base'", "'chat'", "'neither'"]),
        (["--question", "unchanged"], ["'exclusive'", "'changed'", "'specific'", "'any'"]),
        (["--family", "model"], ["'position'", "'source'"]),
        (["--consistency", "maybe"], ["'all'", "'consistent'", "'inconsistent'"]),
        (["--scale", "log"], ["'auto'", "'linear'", "'sqrt'", "'symlog'"]),
        (["--max-q", "1.5"], ["Invalid value for '--max-q'"]),
        (["--min-value", "much"], ["Invalid value for '--min-value'"]),
        (["--colour", "red"], ["No such option: --colour"]),
    ],
    ids=spoken,
)
def test_misused_options_list_the_choices(source_dir, tmp_path, words, choices):
    said = misuse("export", source_dir, "--csv", tmp_path / "out.csv", *words)
    assert [choice for choice in choices if choice not in said] == []


def test_nothing_to_write(source_dir):
    assert refuse("export", source_dir) == "Nothing to write: name at least one of --csv, --html and --parquet."


def test_missing_half(source_dir, tmp_path):
    (source_dir / "chat.pt").unlink()
    message = f"`{source_dir}` has no `chat.pt`. Expected a folder with `base.pt` and `chat.pt`."
    assert refuse("export", source_dir, "--csv", tmp_path / "out.csv") == message
    assert refuse("check", source_dir) == message


def test_not_a_source(tmp_path):
    nowhere = tmp_path / "nowhere"
    both = f"`{nowhere}` has no `base.pt` and no `chat.pt`. Expected a folder with `base.pt` and `chat.pt`."
    assert refuse("export", nowhere, "--csv", tmp_path / "out.csv") == both
    assert refuse("check", nowhere) == both
    nowhere.mkdir()
    assert refuse("export", nowhere, "--csv", tmp_path / "out.csv").startswith(f"`{nowhere}` has no `base.pt` or")
    assert not (tmp_path / "out.csv").exists()


def test_explanations_that_are_not_there(source_dir, tmp_path):
    missing = tmp_path / "none.csv"
    message = f"`{missing}` cannot be found (No such file or directory). Does it exist, and may you read it?"
    assert refuse("export", source_dir, "--csv", tmp_path / "o.csv", "--explanations", missing) == message


def test_output_that_cannot_be_written(source_dir, tmp_path):
    """A folder in the file's place, or a file in the folder's, ended in a traceback."""
    taken = tmp_path / "taken"
    taken.mkdir()
    assert refuse("export", source_dir, "--csv", taken) == f"`{taken}` cannot be written (Is a directory). {WHY}"
    assert list(taken.iterdir()) == []
    (taken / "file").touch()
    below = taken / "file" / "deeper" / "out.csv"
    assert refuse("export", source_dir, "--csv", below) == f"`{below}` cannot be written (Not a directory). {WHY}"
    long = taken / ("x" * 300)
    assert refuse("export", source_dir, "--csv", long) == f"`{long}` cannot be written (File name too long). {WHY}"
    assert [path.name for path in taken.iterdir()] == ["file"]


def test_a_pipe_is_written_to_and_not_replaced(source_dir, tmp_path):
    """Run as root, `--csv /dev/full` put a file in the device's place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        run("export", source_dir, "--csv", pipe, "--ids", "0")
        assert os.read(reader, 100_000).startswith(b'"feature_id","token_type",')
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "results"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_full_disk_is_said_in_words(source_dir):
    message = f"`/dev/full` cannot be written (No space left on device). {WHY}"
    assert refuse("export", source_dir, "--csv", "/dev/full") == message


# ----------------------------------------------------------------------------
# export of a tree.


@pytest.fixture
def tree(tmp_path):
    """Three sources, of which the second is broken."""
    results = tmp_path / "results"
    make_source(results / "gemma_trainer131k-l0-114_layer9" / "p", sae_layer=9)
    make_source(results / SAE_FOLDER / "[red]broken[/red]")
    make_source(results / SAE_FOLDER / "group" / "naïve set")
    (results / SAE_FOLDER / "[red]broken[/red]" / "chat.pt").unlink()
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv", [("0", "of layer 20")])
    return results


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_tree_is_exported_source_by_source(tree, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    words = ["--csv", out / "tables", "--html", out / "pages", "--parquet", out / "tables", "--cdn"]
    code, said, err = run_main(monkeypatch, capsys, "export", tree, *words)
    assert (code, said) == (2, "")
    broken = tree / SAE_FOLDER / "[red]broken[/red]"
    lines = err.splitlines()
    assert (
        f"{SAE_FOLDER}/[red]broken[/red]: `{broken}` has no `chat.pt`. Expected a folder with `base.pt` and `chat.pt`."
        in lines
    )
    assert lines[-1] == "1 of the sources could not be exported; the others are written."
    assert "Exporting" in err
    assert "3/3" in err
    assert files_in(out) == [
        f"pages/{SAE_FOLDER}/group/naïve set.html",
        "pages/gemma_trainer131k-l0-114_layer9/p.html",
        f"tables/{SAE_FOLDER}/group/naïve set.csv",
        f"tables/{SAE_FOLDER}/group/naïve set.parquet",
        "tables/gemma_trainer131k-l0-114_layer9/p.csv",
        "tables/gemma_trainer131k-l0-114_layer9/p.parquet",
    ]
    layer_20 = pd.read_csv(out / "tables" / SAE_FOLDER / "group" / "naïve set.csv")
    assert set(layer_20["explanation"].dropna()) == {"of layer 20"}
    layer_9 = pd.read_csv(out / "tables" / "gemma_trainer131k-l0-114_layer9" / "p.csv")
    assert layer_9["explanation"].isna().all()


def test_the_folder_above_the_tree_names_files_the_same(tree, tmp_path):
    (tree / SAE_FOLDER / "[red]broken[/red]" / "base.pt").unlink()
    run("export", tree, "--csv", tmp_path / "a")
    run("export", tmp_path, "--csv", tmp_path / "b")
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b") != []


def test_a_wrong_metric_is_said_for_every_source_of_a_tree(tree, tmp_path):
    result = CliRunner().invoke(app, ["export", str(tree), "--csv", str(tmp_path / "out"), "--metric", "x"])
    assert str(result.exception) == "3 of the sources could not be exported; the others are written."
    assert result.stderr.count("There is no metric 'x' in the files.") == 2
    assert not (tmp_path / "out").exists()


def test_a_tree_whose_outputs_cannot_be_written(tree, tmp_path):
    (tmp_path / "out").touch()
    result = CliRunner().invoke(app, ["export", str(tree), "--csv", str(tmp_path / "out")])
    assert isinstance(result.exception, DataError)
    assert result.stderr.count("cannot be written (Not a directory)") == 2


def test_names_that_are_not_utf8(tmp_path):
    """A folder whose name is not UTF-8 ended in a UnicodeEncodeError on the way to the terminal or into the page."""
    try:
        source = make_source(tmp_path / os.fsdecode(b"bad\xff"))
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert "bad\\udcff" in run("list", tmp_path)[0]
    assert "bad\\udcff" in run("check", source)[0]
    run("export", source, "--html", tmp_path / "p.html", "--cdn")
    assert "bad\\udcff" in (tmp_path / "p.html").read_text(encoding="utf-8")


# ----------------------------------------------------------------------------
# export: questions.


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_is_exported(source_dir, question):
    found = export_table(source_dir, "--question", question)
    assert keys(found) == keys(load(source_dir).table(question=question))
    if question != "any":
        assert all(question in names.split(";") for names in found["kept_by"])


@pytest.mark.parametrize("by", ["position", "feature"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_has_evidence_is_written_first(source_dir, tmp_path, question, by):
    csv, parquet = tmp_path / "t.csv", tmp_path / "t.parquet"
    run("export", source_dir, "--question", question, "--by", by, "--csv", csv, "--parquet", parquet)
    table = load(source_dir).table(question=question)
    listed = list_features(table, Asked(question, "target_all_mean"), by)
    assert keys(pd.read_csv(csv)) == keys(pd.read_parquet(parquet)) == keys(listed)
    assert ("other_positions" in pd.read_csv(csv)) == (by == "feature")
    if by == "feature":
        assert len(listed) == table["feature_id"].nunique()


def test_by_feature_is_after_the_filters(source_dir, tmp_path):
    """A position that is filtered out is neither the best nor another one."""
    csv, html = tmp_path / "t.csv", tmp_path / "t.html"
    said = run("export", source_dir, "--by", "feature", "--token-type", "newline", "--csv", csv, "--html", html)[1]
    assert said.splitlines() == [f"{csv}: 6 rows", f"{html}: 6 rows"]
    found = pd.read_csv(csv)
    assert set(found["token_type"]) == {"newline"}
    assert found["other_positions"].isna().all()


def test_a_metric_that_nothing_tests_has_no_volcano(source_dir, tmp_path):
    """It was drawn with the q of another quantity."""
    page = tmp_path / "v.html"
    assert refuse("export", source_dir, "--html", page, "--chart", "volcano", "--metric", "target_max") == (
        "There is no volcano of 'target_max': nothing tests its changes. Choose another chart, or a metric whose "
        "changes are tested: 'target_all_mean', 'target_sparsity'."
    )
    assert not page.exists()


def test_default_question_is_the_published_rule(source_dir):
    assert keys(export_table(source_dir)) == keys(export_table(source_dir, "--question", "exclusive"))
    assert len(export_table(source_dir)) == 12


def test_metric_and_alpha_decide_what_has_changed(source_dir):
    study = load(source_dir)
    for metric, name in (("target_sparsity", "sparsity_change_q"), ("target_max", "all_mean_change_q")):
        for alpha in ("0.01", "0.3", "1"):
            found = export_table(source_dir, "--question", "changed", "--metric", metric, "--alpha", alpha)
            whole = study.table(question="changed", metric=metric, alpha=1)
            assert keys(found) == keys(whole[whole[name] <= float(alpha)])


def test_family_of_all_positions(source_dir):
    at_position, of_source = (
        export_table(source_dir, "--question", "any", "--alpha", "1", "--family", family)
        for family in ("position", "source")
    )
    assert keys(at_position) == keys(of_source)
    for value, is_same in (("p", True), ("q", False)):
        one, other = (table[f"all_mean_change_{value}"].to_numpy() for table in (at_position, of_source))
        assert np.allclose(one, other, equal_nan=True) == is_same


def test_neither_is_a_choice_of_exclusivity(source_dir):
    found = export_table(source_dir, "--question", "any", "--alpha", "1", "--exclusivity", "neither")
    assert set(found["exclusivity"]) == {"neither"}
    assert not found["inconsistent"].any()
    assert export_table(source_dir, "--exclusivity", "neither").empty


@pytest.mark.parametrize("alpha", ["-0.1", "1.5", "most"])
def test_alpha_is_a_share(source_dir, tmp_path, alpha):
    result = CliRunner().invoke(app, ["export", str(source_dir), "--csv", str(tmp_path / "t.csv"), "--alpha", alpha])
    assert result.exit_code == 2
    assert "--alpha" in result.output


# ----------------------------------------------------------------------------
# list.


def test_list_shows_a_source_a_line(tmp_path):
    """Where output is no terminal it was broken at 80 columns, so that no line had a whole name for grep."""
    results = tmp_path / "results"
    for name in (f"{SAE_FOLDER}/p_10", f"{SAE_FOLDER}/p_9", "gemma_trainer131k-l0-114_layer9/p_1"):
        make_source(results / name)
    make_source(results / "été 2" / ("long " * 30).strip())
    (results / SAE_FOLDER / "p_9" / "base.pt").unlink()
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    out, err = run("list", results)
    assert err == ""
    rows = [re.split(r" {2,}", line.rstrip()) for line in out.splitlines()]
    assert rows == [
        ["source", "model", "SAE", "layer", "prompts", "explanations", "missing"],
        ["gemma_trainer131k-l0-114_layer9/p_1", "gemma", "131k-l0-114", "9", "p_1", "–"],
        [f"{SAE_FOLDER}/p_9", "gemma", "131k-l0-114", "20", "p_9", f"{SAE_FOLDER}.csv", "base.pt"],
        [f"{SAE_FOLDER}/p_10", "gemma", "131k-l0-114", "20", "p_10", f"{SAE_FOLDER}.csv"],
        [f"été 2/{('long ' * 30).strip()}", "–", "–", "–", ("long " * 30).strip(), "–"],
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[red]x[/red]", "[red]x[/red]"),
        ("[/]", "[/]"),
        (":smile: `x`", ":smile: `x`"),
        ("漢字 é", "漢字 é"),
        ("a\x1b[31mb\nc", r"a\x1b[31mb\nc"),
        ("a\u202eb", r"a\u202eb"),
    ],
)
def test_names_are_shown_as_written(tmp_path, name, shown):
    """Escape sequences in a folder's name reached the terminal, and a line break in it broke the row."""
    make_source(tmp_path / name / "p")
    lines = run("list", tmp_path)[0].splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"{shown}/p  ")


def test_list_of_nothing(tmp_path):
    assert refuse("list", tmp_path / "x") == (
        f"`{tmp_path / 'x'}` is not a folder. Expected a results tree or a folder with `base.pt` and `chat.pt`."
    )
    assert refuse("list", tmp_path).startswith(f"`{tmp_path}` has no `base.pt` or `chat.pt` in it")


def test_ranking_is_drawn_and_written(source_dir, tmp_path):
    csv, html = tmp_path / "r.csv", tmp_path / "r.html"
    said = run("export", source_dir, "--csv", csv, "--html", html, "--chart", "ranking", "--top", 1, "--metric", SHARE)[
        1
    ]
    assert said.splitlines() == [f"{csv}: 4 rows", f"{html}: 12 rows"]
    study = load(source_dir)
    assert csv.read_text("utf-8") == ranking_csv(
        rank(study.table(), Asked(metric=SHARE), study.origin, 1), Asked(metric=SHARE)
    )
    assert "more in Instruct" in html.read_text("utf-8")


def test_volcano_is_drawn(source_dir, tmp_path):
    run("export", source_dir, "--html", tmp_path / "v.html", "--chart", "volcano", "--max-q", 0.2)
    page = (tmp_path / "v.html").read_text("utf-8")
    assert "Change of mean activation" in page
    assert "q = 0.05" in page


# ----------------------------------------------------------------------------
# check.


def test_check_says_what_is_there(source_dir, explanations_file):
    assert explanations_file.is_file()
    out, err = run("check", source_dir)
    assert err == ""
    assert [re.split(r" {2,}", line.rstrip()) for line in out.splitlines()] == [
        [
            "5 features changed on Target more than on Control (q ≤ 0.05), 5 up and 0 down. "
            "12 are active on Target only; chance alone gives at least 1."
        ],
        [""],
        ["source", "gemma · SAE 131k-l0-114 · residual stream after layer 20 · personal_40"],
        ["features", "8"],
        ["base.pt", "base: 8 target and 7 control prompts"],
        ["chat.pt", "chat: 9 target and 6 control prompts"],
        [
            "metrics",
            "target_all_mean, target_all_std, target_max, target_sparsity, "
            "control_all_mean, control_all_std, control_max, control_sparsity",
        ],
        ["all_std", "divides by n − 1"],
        [
            "evidence",
            "8 and 9 target prompts and 7 and 6 control prompts; unpaired tests",
        ],
        ["inconsistent", "2 at model, 2 at newline"],
        ["explained", f"2 of 7 kept features ({SAE_FOLDER}.csv)"],
        [
            "Neuronpedia",
            "The files have 8 features, but the SAE of gemma-2-9b/20-gemmascope-res-131k is 131k wide.",
        ],
        [
            "SAE",
            "L0 3.5 and 3.8 on Target at model (by name 114) · L0 3.5 and 3.8 at newline; SAE fit unknown",
        ],
        [""],
        ["What each question finds, and how much of it would be there by chance"],
        ["question", "position", "found", "up", "down", "unchanged", "by chance", "prompts", "groups", "test"],
        ["exclusive", "model", "6", "5", "1", "0", "≥ 0.6", "8/9 + 7/6", "–"],
        ["exclusive", "newline", "6", "5", "1", "0", "≥ 0.6", "8/9 + 7/6", "–"],
        ["changed", "model", "4", "4", "0", "0", "0.2", "8/9 + 7/6", "–", "welch"],
        ["changed", "newline", "2", "2", "0", "0", "0.1", "8/9 + 7/6", "–", "welch"],
        ["specific", "model", "3", "3", "0", "0", "0.2", "8/9 + 7/6", "–", "welch"],
        ["specific", "newline", "2", "2", "0", "0", "0.1", "8/9 + 7/6", "–", "welch"],
        ["any", "model", "6", "5", "1", "0", "–", "8/9 + 7/6", "–", "welch"],
        ["any", "newline", "6", "5", "1", "0", "–", "8/9 + 7/6", "–", "welch"],
        [""],
        ["The published rule: active on target prompts only"],
        ["position", "exclusive in", "kept", "target over control: q at most 0.05"],
        ["model", "both", "2", "1"],
        ["model", "base", "2", "0"],
        ["model", "chat", "2", "1"],
        ["newline", "both", "2", "1"],
        ["newline", "base", "2", "0"],
        ["newline", "chat", "2", "1"],
        ["all", "12", "4"],
        [""],
        ["The published rule against chance, and against its mirror: active on control prompts only"],
        ["position", "kept", "by chance", "q at most 0.05", "by chance", "mirror"],
        ["model", "6", "≥ 0.6", "2", "≥ 0.0", "0"],
        ["newline", "6", "≥ 0.6", "2", "≥ 0.0", "0"],
        [""],
        ["How well the SAE reads both models: base · chat"],
        ["position", "prompts", "explained", "missed", "cosine", "norm", "L0", "apart", "features carry"],
        ["model", "target", "– · –", "– · –", "– · –", "– · –", "3.5 · 3.78", "–", "–"],
        ["model", "control", "– · –", "– · –", "– · –", "– · –", "0.429 · 0.833", "–", "–"],
        ["newline", "target", "– · –", "– · –", "– · –", "– · –", "3.5 · 3.78", "–", "–"],
        ["newline", "control", "– · –", "– · –", "– · –", "– · –", "0.429 · 0.833", "–", "–"],
        [""],
        [f"{CAVEAT} {NOT_CORRECTED}"],
        [
            "Note: `base.pt` has 8 target prompts, `chat.pt` has 9: each rate is a share of its own model's prompts.",
        ],
        [
            "Note: `base.pt` has 7 control prompts, `chat.pt` has 6: each rate is a share of its own model's prompts.",
        ],
    ]


def test_check_names_pairs_groups_and_tests(tmp_path):
    folder = make_source(tmp_path / "source", num_target_prompts=9, num_control_prompts=7)
    activation_rows(load(folder), 1).to_parquet(folder / "activations.parquet", index=False)
    rows = [(p, i, "Same?", f"{p} {i // 2}") for p, n in (("target", 9), ("control", 7)) for i in range(n)]
    texts = pd.DataFrame(rows, columns=["prompt_set", "prompt_id", "content", "group"])
    for grouped, said, groups, tests in (
        (
            True,
            "9 target prompts in 5 groups and 7 control prompts in 4 groups; fewer than 6 groups can show no change",
            "5 + 4",
            ["", "sign-flip-grouped", "exchange-grouped", "sign-flip-grouped, exchange-grouped"],
        ),
        (
            False,
            "9 target and 7 control prompts; 16 prompts are the same as another but for case, spaces and "
            "punctuation: say with `group` which belong together",
            "–",
            ["", "sign-flip", "exchange", "sign-flip, exchange"],
        ),
    ):
        (texts if grouped else texts.drop(columns="group")).to_parquet(folder / "prompts.parquet", index=False)
        lines = [re.split(r" {2,}", line.rstrip()) for line in run("check", folder)[0].splitlines()]
        assert ["evidence", said] in lines
        at = next(i for i, line in enumerate(lines) if line[0] == "question")
        for question, test, line in zip(QUESTIONS, tests, lines[at + 1 : at + 9 : 2], strict=True):
            assert line[:2] == [question, "model"]
            assert line[7:] == ["9 + 7", groups, *filter(None, [test])]
            assert line[6].startswith("≥") is False, "with pairs the expectation is exact"


def test_check_of_the_demo_notes_its_l0_only(tmp_path):
    folder = run("demo", tmp_path, "--features", 600, "--prompts", 10)[0].strip()
    out = run("check", folder)[0]
    (note,) = [line for line in out.splitlines() if line.startswith("Note")]
    assert note.startswith("Note: At 'model' on target prompts the SAE has an L0 of ")
    assert "Neuronpedia   No Neuronpedia pages are known for the SAEs of model 'demo'" in out
    assert "base: 10 target and 7 control prompts" in out


def test_check_of_the_demo_says_how_many_planted_features_it_finds(tmp_path):
    folder = run("demo", tmp_path)[0].strip()
    lines = [re.split(r" {2,}", line.rstrip()) for line in run("check", folder)[0].splitlines()]
    at = lines.index(["The published rule: active on target prompts only"])
    head = ["position", "exclusive in", "kept", "target over control: q at most 0.05"]
    assert lines[at + 1 : at + 9] == [
        [*head, "planted", "planted, q at most 0.05"],
        ["model", "both", "8", "6", "6", "6"],
        ["model", "base", "49", "13", "12", "12"],
        ["model", "chat", "313", "86", "12", "12"],
        ["newline", "both", "7", "6", "6", "6"],
        ["newline", "base", "63", "12", "12", "12"],
        ["newline", "chat", "300", "39", "12", "12"],
        ["all", "740", "162", "60", "60"],
    ]


def test_check_of_an_odd_source_says_what_is_odd(source_dir, explanations_file):
    make_explanations(explanations_file, [("0", "x"), ("8", "outside"), ("", "lost")])
    data = model_data("chat", ["[b]", "newline"], model_type="gemma[/]")
    data["[b]"]["target_sparsity"] = 1 - data["[b]"]["target_sparsity"]
    make_source(source_dir, token_types=["[b]", "newline"], chat=data)
    out = run("check", source_dir)[0]
    assert "\ninconsistent  2 at [b], 2 at newline" in out
    assert "\n[b]       both          2 " in out
    notes = [line for line in out.splitlines() if line.startswith("Note: ")]
    name = explanations_file.name
    assert notes == [
        "Note: `base.pt` says model_type 'gemma', `chat.pt` says 'gemma[/]'.",
        "Note: `base.pt` has 8 target prompts, `chat.pt` has 9: each rate is a share of its own model's prompts.",
        "Note: `base.pt` has 7 control prompts, `chat.pt` has 6: each rate is a share of its own model's prompts.",
        "Note: `chat.pt`: token type '[b]', 'target_sparsity' is 1 − num_active / n, "
        "the share of prompts on which the feature is NOT active.",
        f"Note: `{name}` has 1 explanation of features that this SAE does not have: left out.",
        f"Note: `{name}` has 1 row without a feature id: left out.",
    ]


def test_check_of_a_broken_source(source_dir):
    data = model_data("chat")
    data["newline"]["target_num_active"] = data["newline"]["target_num_active"] + 9
    torch.save(data, source_dir / "chat.pt")
    assert refuse("check", source_dir).startswith(
        "`chat.pt`: token type 'newline', 'target_num_active' is above the number of prompts"
    )


def test_check_of_a_source_with_nothing_exclusive(tmp_path):
    base, chat = model_data("base"), model_data("chat")
    for data in (base, chat):
        for token_type in ("model", "newline"):
            for name in ("target_num_active", "target_sparsity"):
                data[token_type][name] = data[token_type][name] * 0
    source = make_source(tmp_path / "a" / "b", base=base, chat=chat)
    out = run("check", source)[0]
    assert "inconsistent  0 at model, 0 at newline\n" in re.sub(" +\n", "\n", out)
    assert re.search(r"\nall +0 +0\n", re.sub(" +\n", "\n", out))
    assert "0 of 0 kept features (no explanations file)" in out


# ----------------------------------------------------------------------------
# demo and ids.


def test_demo_prints_the_folder_it_made(tmp_path):
    out, err = run("demo", tmp_path / "d", "--features", "700", "--prompts", "12", "--seed", "3")
    assert err == ""
    study = load(out.strip())
    assert study.results.num_features == 700
    assert study.results.base.metadata.num_target_prompts == 12
    assert study.results.base.metadata.source == "synthetic demo, seed 3, base"


def test_demo_that_cannot_be_made(tmp_path):
    """A negative seed ended in a traceback."""
    assert refuse("demo", tmp_path / "d", "--seed", "-1") == "The demo's seed must be 0 or more, but is -1."
    assert refuse("demo", tmp_path / "d", "--features", "599").startswith("The demo needs at least 600 features")
    assert not (tmp_path / "d").exists()
    (tmp_path / "d").touch()
    message = refuse("demo", tmp_path / "d", "--features", "600", "--prompts", "10")
    folder = tmp_path / "d" / "results" / "demo_trainer16k_layer12" / "synthetic_40"
    assert message == f"`{folder}` cannot be written (Not a directory). {WHY}"


@pytest.mark.parametrize(
    ("text", "ids"),
    [("", ()), (" , ;\n", ()), ("1", (1,)), ("3,1; 2\t3", (3, 1, 2)), ("007", (7,)), ("999999999", (999999999,))],
)
def test_ids_are_read_however_they_are_separated(text, ids):
    assert parse_ids(text) == ids


@pytest.mark.parametrize("word", ["x", "-1", "1.5", "1e3", "٣", "²", "1234567890", "[b]", "x" * 60])
def test_what_is_no_id(word):
    message = f"Feature ids are whole numbers such as 12, 345, but {word[:40]!r} was given (1 such)."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_ids(f"1, {word}")


def test_two_outputs_of_one_name_are_refused(source_dir, tmp_path):
    """`--csv F --html F` wrote the page over the table, and said nothing."""
    out = tmp_path / "out"
    message = "--csv and --html name the same file. Give each its own."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        run("export", source_dir, "--csv", out, "--html", out)
    assert not out.exists()


# ----------------------------------------------------------------------------
# What is left out is said.


def test_explanations_that_are_left_out_are_said(source_dir, explanations_file, tmp_path):
    """`compare` dropped the whole source, and `export` and `check` refused it."""
    explanations_file.write_text("feature_id;claude_desc\n1;x\n")
    note = f"`{explanations_file.name}` has semicolons between its columns, but expected commas."
    tree = source_dir.parents[1]
    assert note in run("export", source_dir, "--csv", tmp_path / "t.csv")[1]
    assert note in run("export", tree, "--csv", tmp_path / "tables")[1]
    assert note in run("compare", tree)[1]
    assert note in run("check", source_dir)[0]
    assert pd.read_csv(tmp_path / "t.csv")["explanation"].isna().all()


def test_folders_that_cannot_be_read_are_said(open_folder):
    """One such folder took the whole list away."""
    make_source(open_folder / SAE_FOLDER / "p")
    closed = open_folder / "lost+found"
    closed.mkdir()
    closed.chmod(0)
    note = f"Note: `{closed}` cannot be read (Permission denied). It is left out."
    for command in ("list", "compare"):
        run(command, open_folder)  # what a command imports, nobody may be unable to read
        with as_nobody():
            said = run(command, open_folder)
        assert note in said[1]
        assert f"{SAE_FOLDER}/p" in said[0]
