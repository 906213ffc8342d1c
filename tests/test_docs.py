"""README and the pages in `docs/` say what the code does; each check is shown to notice a wrong page."""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
from builders import make_explanations, make_source

import featurediff
from featurediff.app.dashboard.stars import COLUMNS as STARS
from featurediff.app.words import WORDS
from featurediff.cli import app
from featurediff.collect.difference import DIFFERENCE
from featurediff.collect.output import ACTIVATIONS
from featurediff.collect.positions import PRESETS
from featurediff.collect.prompt_table import PROMPT_TEXTS
from featurediff.compare.counts import counts
from featurediff.features.listing import list_features
from featurediff.features.questions import Asked
from featurediff.features.ranked import rank, ranking_csv
from featurediff.labels import test_in_words as words_of_test
from featurediff.meaning import columns as explanation_columns
from featurediff.sources import demo
from featurediff.sources.metadata import Metadata

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

OF_OTHERS = {"--server.headless", "--server.address"}
"""Options of Streamlit that a page may name."""

OF_THE_SCRIPT = {"--results", "--neuronpedia-template", "--follow-links"}
"""Options of the dashboard's script, which `test_options_of_the_script` holds to it."""

OPTION = re.compile(r"--[a-z][\w.-]*")
PATH = re.compile(
    r"(?:[\w.-]+/)*[\w*-]*\.?[\w*-]+\.(?:py|md|toml|tsv|js|yml|png)(?:::\w+)?|requirements[\w-]*\.txt|(?:[\w.-]+/)+"
)
COLUMN = re.compile(r"(?:(?:base|chat)_)?(?:target|control)_\w*…?")


def test_words_are_those_of_the_screen():
    said = re.sub(r"\n  ", " ", (ROOT / "docs/words.md").read_text("utf-8"))
    assert dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", said, flags=re.MULTILINE)) == WORDS


@pytest.mark.parametrize(
    "test", ["sign-flip", "sign-flip-grouped", "mcnemar", "exchange", "exchange-grouped", "fisher", "welch", "counts"]
)
def test_words_explain_every_test_that_evidence_names(test):
    """A reader met “McNemar’s exact test” beside a q, and nothing on the screen said what it is."""
    said = "\n".join(f"{word}: {meaning}" for word, meaning in WORDS.items())
    name = words_of_test(test).removesuffix(" of groups")
    assert name.replace(" exact", "").lower() in said.lower()


# ----------------------------------------------------------------------------
# What a page names.


def spans(text):
    """What stands in backticks within sentences; a fenced block is none."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


def shell_lines(text):
    """Lines that a reader types: indented blocks and spans, continued lines joined, notes after them left out."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", prose).splitlines()
    typed = [line.strip() for line in lines if line.startswith("    ")] + spans(text)
    return [part.strip() for line in typed for part in re.split(r" {3,}| # ", line)[0].split("&&")]


def commands(text):
    """Words after `featurediff` in what a reader types."""
    called = [match[1] for line in shell_lines(text) if (match := re.match(r"(?:\S*/)?featurediff ([a-z-].*)", line))]
    return [shlex.split(re.sub(r"[][…]", "", line)) for line in called]


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def column_tables(text):
    """Names in the first column of every table whose heading is `column`."""
    tables = re.findall(r"^\| column \|.*\n\|[-| :]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [[name for row in table.splitlines() for name in spans(row.split("|")[1])] for table in tables]


def slug(heading):
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# ----------------------------------------------------------------------------
# What is wrong with it: a list of faults, empty where all is well.


def command_faults(text):
    group = typer.main.get_command(app)
    faults = []
    for name, *words in commands(text):
        if name not in group.commands:
            known = {option for parameter in group.params for option in parameter.opts}
            faults += [] if name in known | {"--help"} else [f"no command {name}"]
            continue
        given = {option for word in words for option in OPTION.findall(word.partition("=")[0])}
        unknown = sorted(given - options(group.commands[name]))
        faults += [f"{name} has no {option}" for option in unknown]
        arguments = sum(parameter.param_type_name == "argument" for parameter in group.commands[name].params)
        positional = 0 if unknown else count_arguments(group.commands[name], words)
        faults += [f"{name} takes {arguments} arguments, not {positional}"] * (positional > arguments)
    return faults


def options(command):
    names = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return {name for name in names if name.startswith("--")} | {"--help"}


def count_arguments(command, words):
    """How many words are arguments, and not options or their values."""
    by_name = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    number, rest = 0, iter(words)
    for word in rest:
        if word.startswith("--"):
            option = by_name.get(word)
            if option is not None and not getattr(option, "is_flag", False) and "=" not in word and word != "--ray":
                next(rest, None)
        else:
            number += 1
    return number


def option_faults(text):
    """Options that stand alone: some command has them."""
    known = OF_OTHERS | OF_THE_SCRIPT | {"--version"}
    known = known.union(*(options(command) for command in typer.main.get_command(app).commands.values()))
    alone = {word for span in spans(text) if span.startswith("--") for word in OPTION.findall(span)}
    return [f"no option {option}" for option in sorted(alone - known)]


def target_faults(text):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {word for line in shell_lines(text) for word in re.findall(r"^make (?:[A-Z]+=\S+ )?([a-z][\w-]*)", line)}
    return [f"no make {target}" for target in sorted(named - targets)]


def path_faults(text):
    """Names of files and folders of the repository, and of tests in them."""
    faults = []
    for span in spans(text):
        if not PATH.fullmatch(span):
            continue
        name, _, test = span.partition("::")
        first = name.split("/")[0]
        ours = "/" not in name or (ROOT / first).exists() or (ROOT / "featurediff" / first).exists()
        if not ours or name in ("cfg.json",):
            continue
        found = [*ROOT.glob(name), *(ROOT / "featurediff").glob(name)]
        if "/" not in name:
            found += [
                path for folder in ("featurediff", "tests", "bench", "scripts") for path in (ROOT / folder).rglob(name)
            ]
        if not found:
            faults.append(f"no file {name}")
        elif test and f"def {test}(" not in found[0].read_text(encoding="utf-8"):
            faults.append(f"no test {span}")
    return faults


def member_faults(text):
    """Functions and classes that are said to be in a module: "`find` in `featurediff/x.py`"."""
    flat = " ".join(text.split())
    named = re.findall(r"`(\w+)` in `([\w/]+\.py)`", flat)
    return [
        f"no {name} in {path}"
        for name, path in named
        if (ROOT / path).exists()
        and not re.search(rf"^(?:def|class) {name}\b|^{name}\b.* =", (ROOT / path).read_text("utf-8"), re.MULTILINE)
    ]


def name_faults(text):
    """Python names such as featurediff.load."""
    named = {match for span in spans(text) for match in re.findall(r"\bfeaturediff(?:\.[A-Za-z_]\w*)+", span)}
    return [f"no {name}" for name in sorted(named) if not is_there(name)]


def is_there(name):
    """Whether a dotted name is a module, or what stands in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            is_module = importlib.util.find_spec(".".join(parts[:end])) is not None
        except ModuleNotFoundError:
            continue
        if is_module:
            if end == len(parts):
                return True
            found = importlib.import_module(".".join(parts[:end]))
            for part in parts[end:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
            return True
    return False


def column_faults(text, known):
    """Columns that no table has; `…` at the end stands for any ending."""
    named = {name for table in column_tables(text) for name in table}
    named |= {span for span in spans(text) if COLUMN.fullmatch(span)}
    return [f"no column {name}" for name in sorted(named) if not any(fits(name, column) for column in known)]


def fits(name, column):
    return column.startswith(name[:-1]) if name.endswith("…") else column == name


def link_faults(text, folder):
    faults = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        path = (folder / name).resolve() if name else None
        if path is not None and not path.exists():
            faults.append(f"no page {target}")
        elif anchor:
            inside = text if path is None else path.read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.*)$", inside, flags=re.MULTILINE)
            faults += [] if anchor in map(slug, headings) else [f"no heading {target}"]
    return faults


def machine_faults(text):
    """Paths of somebody's machine."""
    return re.findall(r"(?<![\w.:/])/(?:home|root|tmp|usr|var|opt|work|mnt|Users)/[\w./-]*", text)


# ----------------------------------------------------------------------------
# The pages.


@pytest.fixture(params=PAGES, ids=NAMES)
def page(request):
    return request.param


@pytest.fixture
def text(page):
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A source with every column that a table can have."""
    folder = tmp_path_factory.mktemp("docs")
    source = make_source(folder / "results" / "gemma_trainer131k-l0-114_layer20" / "personal_40")
    file = make_explanations(folder / "explanations.csv")
    lines = file.read_text(encoding="utf-8").splitlines()
    typed = [f"{lines[0]},type,model", *(f"{line},some_type,some_model" for line in lines[1:])]
    file.write_text("\n".join(typed) + "\n", encoding="utf-8")
    return featurediff.load(source, file)


@pytest.fixture(scope="module")
def table_columns(study):
    table = list_features(study.table(), Asked("exclusive", "target_all_mean"), "feature")
    return [*table.columns, "difference"]


@pytest.fixture(scope="module")
def columns(study, table_columns):
    """Every column of every file that is read or written."""
    asked = Asked()
    ranked = ranking_csv(rank(study.table(), asked, study.origin), asked).splitlines()[0].replace('"', "").split(",")
    return {
        *table_columns,
        *study.results.vector_names,
        *(f"{prompts}_{name}" for prompts in ("target", "control") for name in ("all_std", "max")),
        *ranked,
        *counts([]).columns,
        *ACTIVATIONS.names,
        *DIFFERENCE.names,
        *PROMPT_TEXTS.names,
        "group",
        *(f"{side}{name}" for side in ("", "base_", "chat_") for name in ("response", "tokens_said")),
        *STARS,
    }


def test_commands_are_there(text):
    assert command_faults(text) == []


def test_options_are_there(text):
    assert option_faults(text) == []


def test_make_targets_are_there(text):
    assert target_faults(text) == []


def test_files_and_tests_are_there(text):
    assert path_faults(text) == []


def test_functions_are_where_they_are_said_to_be(text):
    assert member_faults(text) == []


def test_python_names_are_there(text):
    assert name_faults(text) == []


def test_columns_are_there(text, columns):
    assert column_faults(text, columns) == []


def test_links_lead_somewhere(page, text):
    assert link_faults(text, page.parent) == []


def test_no_path_of_a_machine(text):
    assert machine_faults(text) == []


def test_python_blocks_run(text, tmp_path, monkeypatch):
    """One after the other, in a folder with the demo under the names that the pages use."""
    blocks = python_blocks(text)
    if blocks:
        monkeypatch.chdir(tmp_path)
        made = demo.make_demo().write(tmp_path)
        named = tmp_path / "results" / "gemma_trainer131k-l0-114_layer20" / "personal_40"
        named.parent.mkdir()
        made.rename(named)
    space = {"__name__": "docs"}
    for block in blocks:
        exec(compile(block, "docs", "exec"), space)


def test_example_of_files_makes_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in python_blocks((ROOT / "docs/files.md").read_text(encoding="utf-8")):
        exec(compile(block, "docs/files.md", "exec"), {"__name__": "docs"})
    assert featurediff.load(tmp_path).results.num_features == 16


# ----------------------------------------------------------------------------
# What must be said.


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/decisions.md"])
def test_functions_and_classes_are_in_the_code(name):
    """The way of a click went through a function that had another name by then."""
    files = [file for ending in ("py", "js") for file in (ROOT / "featurediff").rglob(f"*.{ending}")]
    files.append(ROOT / "streamlit_app.py")
    words = {word for file in files for word in re.findall(r"\w+", file.read_text("utf-8"))}
    named = {
        span for span in spans((ROOT / name).read_text("utf-8")) if re.fullmatch(r"[a-z]+(_[a-z]+)+|[A-Z]\w+", span)
    }
    assert named
    assert named - words == set()


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_readme_leads_to_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES[1:] if f"]({name})" not in readme] == []


def test_readme_lists_every_command():
    named = {words[0] for words in commands((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert set(typer.main.get_command(app).commands) - named == set()


def test_every_column_of_the_table_is_described(table_columns):
    tables = column_tables((ROOT / "docs/files.md").read_text(encoding="utf-8"))
    described = [name for name in max(tables, key=len) if name != "base_…" and name != "chat_…"]
    likewise = [f"{side}_{prompts}_" for side in ("base", "chat") for prompts in ("target", "control")]
    missing = [name for name in table_columns if not any(fits(d, name) for d in described)]
    assert [name for name in missing if not name.startswith(tuple(likewise))] == []


def test_every_field_of_the_metadata_is_described():
    described = spans((ROOT / "docs/files.md").read_text(encoding="utf-8"))
    assert [name for name in Metadata.__dataclass_fields__ if name not in described] == []


def test_presets_are_those_of_the_code():
    text = (ROOT / "docs/collect.md").read_text(encoding="utf-8").replace("\\|", "|")
    for name, preset in PRESETS.items():
        where = ", ".join(f"`{position}` {offset}" for position, offset in preset.positions.offsets).replace("-", "−")
        assert f"| `{name}` | `{preset.positions.header}` | {where} |" in text


def test_options_of_the_script():
    from featurediff.app.sources import settings

    assert {f"--{name.replace('_', '-')}" for name in vars(settings())} == OF_THE_SCRIPT


def test_demo_is_as_docs_say(tmp_path):
    """The table of `docs/evidence.md` and the sentence of README are of the demo as it is."""
    from featurediff.features.evidence_columns import count_evidence
    from featurediff.sources.demo_features import is_planted

    study = featurediff.load(demo.make_demo().write(tmp_path))
    kept = study.table()
    found, planted = (
        count_evidence(rows).drop(index="neither", level="exclusivity")
        for rows in (kept, kept[is_planted(kept["explanation"])])
    )
    rows = [
        f"| {token_type} | {exclusivity} | {n} | {significant} | {known} | {both} |"
        for (token_type, exclusivity, n, significant), (known, both) in zip(
            found.reset_index().itertuples(index=False), planted.itertuples(index=False), strict=True
        )
    ]
    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    assert [row for row in rows if row not in text] == []
    chance = study.by_chance()["either_expected"].sum()
    said = f"the published rule keeps {found['kept'].sum()}; at least {chance:.0f} of them would be there by chance"
    assert said in " ".join((ROOT / "README.md").read_text("utf-8").split())


def test_explanation_columns_are_those_of_the_code():
    """The table names every column that is read, in the order that counts."""
    text = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    rows = dict(
        re.findall(
            r"^\| (the feature|the text|how it.*?|which model.*?|of which SAE.*?) \| (.*?) \|", text, re.MULTILINE
        )
    )
    assert [tuple(spans(cells)) for cells in rows.values()] == [
        explanation_columns.ID_COLUMNS,
        explanation_columns.TEXT_COLUMNS,
        explanation_columns.TYPE_COLUMNS,
        explanation_columns.MODEL_COLUMNS,
        explanation_columns.SAE_COLUMNS,
    ]


# ----------------------------------------------------------------------------
# Each check notices what is wrong.


@pytest.mark.parametrize(
    ("check", "text", "faults"),
    [
        (command_faults, "Run `featurediff chekc DIR`.", ["no command chekc"]),
        (command_faults, "    featurediff export DIR --cvs f    write\n", ["export has no --cvs"]),
        (command_faults, "    featurediff export DIR \\\n        --cvs f\n", ["export has no --cvs"]),
        (command_faults, "    featurediff demo A && featurediff chekc B\n", ["no command chekc"]),
        (command_faults, "    .venv/bin/featurediff list A B    two\n", ["list takes 1 arguments, not 2"]),
        (command_faults, "    featurediff list RESULTS          the sources\n", []),
        (command_faults, "`featurediff --verzion`", ["no command --verzion"]),
        (option_faults, "Say `--max-z`, or `--max-q`.", ["no option --max-z"]),
        (target_faults, "    make tset     # all\n    make PYTHON=python3.12 rnu\n", ["no make rnu", "no make tset"]),
        (target_faults, "`make test-fast` makes no tset", []),
        (path_faults, "See `featurediff/nowhere.py`, `tests/test_docs.py`.", ["no file featurediff/nowhere.py"]),
        (path_faults, "`sources/nowhere.py` and `sources/tree.py`", ["no file sources/nowhere.py"]),
        (path_faults, "`nowhere.py`, `tree.py`, `base.pt`", ["no file nowhere.py"]),
        (path_faults, "`featurediff/nowhere/`, `featurediff/sources/`", ["no file featurediff/nowhere/"]),
        (path_faults, "`tests/test_docs.py::test_nothing`", ["no test tests/test_docs.py::test_nothing"]),
        (path_faults, "`tests/test_docs.py::test_readme_is_short`", []),
        (member_faults, "`read` in\n`featurediff/errors.py`", ["no read in featurediff/errors.py"]),
        (member_faults, "`DataError` in `featurediff/errors.py`", []),
        (name_faults, "`featurediff.laod(…)`, `featurediff.load`", ["no featurediff.laod"]),
        (name_faults, "`featurediff.compare.nothing.read`", ["no featurediff.compare.nothing.read"]),
        (name_faults, "`featurediff.study.Study.tabel`", ["no featurediff.study.Study.tabel"]),
        (machine_faults, "in /home/me/results, or https://a.b/home/c, or path/to/home/d", ["/home/me/results"]),
    ],
)
def test_wrong_page_is_noticed(check, text, faults):
    assert check(text) == faults


def test_wrong_column_is_noticed(columns):
    text = "| column | what |\n| --- | --- |\n| `feature_id`, `p_base` | x |\n| `base_target_…` | y |\n\n`target_men`\n"
    assert column_faults(text, columns) == ["no column p_base", "no column target_men"]


def test_wrong_link_is_noticed():
    text = "# One\n\n[a](nowhere.md) [b](README.md#start) [c](README.md#nothing) [d](#one) [e](#two) [f](https://x.y)"
    assert link_faults(text, ROOT) == ["no page nowhere.md", "no heading README.md#nothing", "no heading #two"]


def test_python_blocks_are_found():
    assert python_blocks("a\n```python\nx = 1\n```\nb\n```\nno\n```\n```python\ny\n```\n") == ["x = 1\n", "y\n"]
