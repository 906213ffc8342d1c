"""Prompt files as people have them: JSON in every layout, tables of spreadsheets, and conversations."""

import gzip
import json

import pytest

from featurediff.collect.prompts import read_prompts
from featurediff.errors import DataError

TWO = [("Who are you?", "a"), ("What, then?", "b")]
OBJECTS = [{"content": content, "label": label} for content, label in TWO]


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path, **options):
    with pytest.raises(DataError) as raised:
        read_prompts(path, **options)
    return str(raised.value)


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".ndjson", ".JSON"])
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("\n".join(map(json.dumps, OBJECTS)), [1, 2]),
        (json.dumps(OBJECTS), [1, 1]),
        (json.dumps(OBJECTS, indent=4), [2, 6]),
        ("\ufeff\n" + json.dumps(OBJECTS, indent=None).replace("}, {", "},\n{"), [2, 3]),
        ("\n".join(json.dumps(record, indent=1) for record in OBJECTS), [1, 5]),
    ],
    ids=["lines", "array", "indented", "array by lines", "indented objects"],
)
def test_json_is_read_by_what_it_is_and_not_by_its_ending(tmp_path, ending, text, lines):
    """JSON lines in a file called .json and an indented array were read as prompts such as `[` and `{"content": …}`."""
    file = read_prompts(write(tmp_path, f"a{ending}", text))
    assert [(prompt.content, prompt.label) for prompt in file.prompts] == TWO
    assert [prompt.line for prompt in file.prompts] == lines
    assert [prompt.prompt_id for prompt in file.prompts] == [0, 1]


@pytest.mark.parametrize(
    "text", ['["One?", "Two\\nlines"]', '[\n  "One?",\n  "Two\\nlines"\n]', '"One?"\n"Two\\nlines"']
)
def test_json_strings_are_prompts(tmp_path, text):
    file = read_prompts(write(tmp_path, "a.json", text), "whatever")
    assert [prompt.content for prompt in file.prompts] == ["One?", "Two\nlines"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'content;label\nWho are you?;a\n"What, then?";b\n'),
        ("a.csv", '"content";"label"\r\n"Who are you?";"a"\r\n"What, then?";"b"\r\n'),
        ("a.csv", "content\tlabel\nWho are you?\ta\nWhat, then?\tb\n"),
        ("a.tsv", "label\tcontent\na\tWho are you?\nb\tWhat, then?\n"),
        ("a.tsv", 'content,label\nWho are you?,a\n"What, then?",b\n'),
        ("a.csv", "sep=;\r\ncontent;label\r\nWho are you?;a\r\nWhat, then?;b\r\n"),
        ("a.csv", ' content , label\nWho are you?,a\n"What, then?",b\n'),
        ("a.csv", 'content,label,,\nWho are you?,a,,\n"What, then?",b,,\n'),
        ("a.csv", 'content,label\nWho are you?,a,\n"What, then?",b, ,\n'),
        ("a.csv", 'n,content,label,\n1,Who are you?,a\n2,"What, then?",b,\n'),
    ],
)
def test_tables_of_spreadsheets_are_read(tmp_path, name, text):
    """Semicolons, tabs, and the empty cells that Excel leaves at the end of rows."""
    file = read_prompts(write(tmp_path, name, text))
    assert [(prompt.content, prompt.label) for prompt in file.prompts] == TWO


def test_a_surplus_cell_that_holds_something_is_no_blank(tmp_path):
    path = write(tmp_path, "a.csv", "content,label\nWho, me?,a\n")
    assert refusal(path) == (
        f"`{path}`, line 2: 3 fields, but the header has 2. Mend it, or leave such prompts out with --skip-bad."
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *[
            ("a.txt", text, "looks like JSON, but .txt is a prompt a line. Give it the ending .json or .jsonl.")
            for text in (
                '{"content": "x"}\n{"content": "y"}\n',
                json.dumps(OBJECTS, indent=2),
                '[\n"One?",',
                '["a", "b"]',
            )
        ],
        *[
            (
                "a.txt",
                text,
                "looks like a table, but .txt is a prompt a line. Give it the ending .csv or .tsv; if these are "
                "prompts, save them as .jsonl.",
            )
            for text in (
                "content,label\nWho are you?,a\n",
                "content\nWho are you?\n",
                "Prompt\nWho are you?\n",
                "Who are you?\ta\nWhat then?\tb\n",
                "question;kind\nWho are you?;a\nWhat then?;b\n",
                "prompt, kind\nWho are you?, a\nWhat then?, b\n",
                'Who are you?,a\n"What, then?",b\n',
            )
        ],
        ("a.csv", json.dumps(OBJECTS), "looks like JSON. Give it the ending .json or .jsonl."),
        ("a.csv", gzip.compress(b"content\nx", mtime=0), "is compressed with gzip. Unpack it."),
        ("a.csv", b"PK\x03\x04rest", "is an Excel file or another archive. Save its table as CSV in UTF-8."),
        ("a.jsonl", "x".encode("utf-16"), "is UTF-16, as Excel and Notepad write it. Save it as UTF-8."),
        *[
            (
                name,
                "x",
                f"ends in {ending!r}, but expected one of .jsonl, .ndjson, .json, .csv, .tsv, .txt, which say "
                "what it is.",
            )
            for name, ending in (("a.md", ".md"), ("a", ""), ("a.xls", ".xls"))
        ],
        ("a.csv", "content,content\nx,y\n", "has the column 'content' twice, but expected different names."),
        ("a.csv", "text;label\nx;y\n", "has no column 'content', but 'text', 'label'. Name the column with --column."),
        (
            "a.json",
            '[\n{"content": "x"}\n{"content": "y"}\n]',
            "is not JSON (Expecting ',' delimiter: line 3 column 1 (char 19)). Expected an array, or a line such as "
            '{"content": "…"} for each prompt.',
        ),
        (
            "a.jsonl",
            "Who are you?\n",
            "is not JSON (Expecting value: line 1 column 1 (char 0)). Expected an array, or a line such as "
            '{"content": "…"} for each prompt.',
        ),
    ],
)
def test_what_is_something_else_is_refused_by_name(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    assert refusal(path, skip_bad=True) == f"`{path}` {message}"


@pytest.mark.parametrize(
    "lines",
    [
        ["Hello, who are you?", "Yes, and why?"],
        ["[INST] tags are text", "{name} too"],
        ["Is 12,345 odd?", "Is 1,000 even?"],
        ["one; two", "three; four"],
        ["Only one line, this"],
    ],
)
def test_sentences_are_no_table_and_no_json(tmp_path, lines):
    file = read_prompts(write(tmp_path, "a.txt", "\n".join(lines)))
    assert [prompt.content for prompt in file.prompts] == lines


def test_a_damaged_line_among_json_lines_is_named_or_skipped(tmp_path):
    path = write(tmp_path, "a.json", '{"content": "x"\n{"content": "y"}\n\n["no", "messages"]\n')
    message = f"`{path}`, line 1: not JSON (Expecting ',' delimiter: line 1 column 16 (char 15)). "
    assert refusal(path).startswith(message)
    file = read_prompts(path, skip_bad=True)
    assert [(prompt.prompt_id, prompt.line, prompt.content) for prompt in file.prompts] == [(1, 2, "y")]
    assert file.skipped[1] == (
        f"`{path}`, line 4: a list, but expected a string, a list of messages or an object with 'content'."
    )


# ----------------------------------------------------------------------------
# Conversations and system prompts.

USER, ANSWER, AGAIN = (
    {"role": role, "content": text} for role, text in (("user", "Hi"), ("assistant", "Yes?"), ("user", "Who are you?"))
)
SYSTEM = {"role": "system", "content": "Be brief."}
BEFORE = (("user", "Hi"), ("assistant", "Yes?"))


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [USER, ANSWER, AGAIN], "label": "a"},
        {"conversation": [USER | {"language": "en"}, ANSWER, AGAIN], "label": "a"},
        {"content": [USER, ANSWER, AGAIN], "label": "a"},
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Yes?"},
                {"from": "human", "value": "Who are you?"},
            ],
            "label": "a",
        },
    ],
)
def test_reads_conversations(tmp_path, record):
    (prompt,) = read_prompts(write(tmp_path, "a.jsonl", json.dumps(record))).prompts
    assert (prompt.content, prompt.before, prompt.label) == ("Who are you?", BEFORE, "a")
    assert prompt.messages == [USER, ANSWER, AGAIN]


def test_reads_conversations_without_a_name_and_in_a_table(tmp_path):
    lists = f"{json.dumps([SYSTEM, AGAIN])}\n{json.dumps([USER, ANSWER, AGAIN])}"
    first, second = read_prompts(write(tmp_path, "a.jsonl", lists)).prompts
    assert (first.before, second.before) == ((("system", "Be brief."),), BEFORE)
    cell = json.dumps([USER, ANSWER, AGAIN]).replace('"', '""')
    (prompt,) = read_prompts(write(tmp_path, "a.csv", f'messages,label\n"{cell}",a\n')).prompts
    assert (prompt.content, prompt.before) == ("Who are you?", BEFORE)


def test_a_system_prompt_stands_before_the_user(tmp_path):
    """Each record's own counts before the one for all."""
    records = [
        {"content": "x"},
        {"content": "y", "system": "Mine."},
        {"messages": [SYSTEM, USER]},
        {"content": "z", "system": ""},
    ]
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, records)))
    read = read_prompts(path, system="For all.").prompts
    assert [prompt.before for prompt in read] == [
        (("system", "For all."),),
        (("system", "Mine."),),
        (("system", "Be brief."),),
        (("system", "For all."),),
    ]
    assert [prompt.before for prompt in read_prompts(path).prompts][::3] == [(), ()]
    table = write(tmp_path, "a.csv", "content,system\nx,Mine.\ny,\n")
    assert [prompt.before for prompt in read_prompts(table).prompts] == [(("system", "Mine."),), ()]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": [USER, ANSWER]}, "the last message of 'messages' is 'assistant', but expected the user's."),
        ({"messages": []}, "the last message of 'messages' is missing, but expected the user's."),
        *[
            (
                {"messages": [message]},
                "message 1 of 'messages' has no role and text, but expected both, and no call of a tool.",
            )
            for message in (
                "Hi",
                {"role": "user"},
                {"content": "Hi"},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": "", "tool_calls": [{}]},
            )
        ],
        ({"role": "assistant", "content": "x"}, "a message of 'assistant', but expected the user's."),
        ({"content": "x", "system": 5}, "'system' is 5, but expected a string."),
        (
            {"messages": [SYSTEM, USER], "system": "x"},
            "two system prompts: one in 'system', and one in the conversation.",
        ),
        ({"content": {"text": "x"}}, "'content' is a dict, but expected a string."),
        ({"content": "x", "label": "\ud800"}, "'label' holds half a surrogate pair, which is no text."),
        (
            {"messages": [{"role": "user", "content": "\ud800"}]},
            "'messages' holds half a surrogate pair, which is no text.",
        ),
    ],
)
def test_refuses_what_is_no_prompt_of_the_user(tmp_path, record, message):
    path = write(tmp_path, "a.jsonl", json.dumps(record))
    end = "Mend it, or leave such prompts out with --skip-bad."
    assert refusal(path) == f"`{path}`, line 1: {message} {end}"


def test_a_named_column_is_not_replaced_by_a_conversation(tmp_path):
    path = write(tmp_path, "a.jsonl", json.dumps({"messages": [USER]}))
    assert refusal(path, column="question").startswith(
        f"`{path}`, line 1: no 'question', only 'messages'. Name another"
    )
