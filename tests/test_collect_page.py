"""The table of `docs/files.md` on what `featurediff collect` reads is held to the code, phrase by phrase."""

import gzip
import json
import re
from pathlib import Path

import pytest

from featurediff.collect.prompts import read_prompts
from featurediff.errors import DataError

ROOT = Path(__file__).parents[1]
USER, ANSWER = {"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}
TALK = [USER, ANSWER, USER]
CELL = json.dumps(TALK).replace('"', '""')

# Row → phrase → a file of that kind; each holds prompts such as "One?".
FORGIVEN = {
    ".jsonl": {
        "an array or a value a line, whatever the ending": [
            (f"a.{ending}", text)
            for ending in ("jsonl", "ndjson", "json")
            for text in ('[{"content": "One?"}, {"content": "Two?"}]', '{"content": "One?"}\n{"content": "Two?"}')
        ],
        "indented values": [
            ("a.json", json.dumps([{"content": "One?"}], indent=2)),
            ("a.jsonl", '{\n"content": "One?"\n}'),
        ],
        "bare strings": [("a.json", '["One?"]'), ("a.jsonl", '"One?"\n"Two?"')],
        "bare lists of messages": [("a.jsonl", f"{json.dumps(TALK)}\n{json.dumps(TALK)}")],
        "messages with `from` and `value`": [("a.json", '{"conversations": [{"from": "human", "value": "One?"}]}')],
        "other keys": [("a.json", '[{"content": "One?", "n": 1}]')],
    },
    ".csv": {
        "commas, semicolons or tabs": [
            (f"a.{ending}", f"content{mark}n\nOne?{mark}1\n") for ending in ("csv", "tsv") for mark in ",;\t"
        ],
        "a first line such as `sep=;`": [("a.csv", "sep=;\ncontent;n\nOne?;1\n")],
        "blanks around names": [("a.csv", " content , n\nOne?,1\n")],
        "empty cells behind the last column": [("a.csv", "content,n,,\nOne?,1,,\n"), ("a.csv", "content,n\nOne?,1,\n")],
        "blank lines": [("a.csv", "content,n\n\nOne?,1\n\n")],
        "a conversation as JSON in a cell": [("a.csv", f'messages,n\n"{CELL}",1\n')],
        "other columns": [("a.csv", "n,content\n1,One?\n")],
    },
    ".txt": {
        "line ends of Windows": [("a.txt", "One?\r\nTwo?\r\n")],
        "a last line without an end": [("a.txt", "One?\nTwo?")],
    },
    "any prompt file": {
        "a byte order mark": [("a.txt", "\ufeffOne?"), ("a.csv", "\ufeffcontent\nOne?"), ("a.json", '\ufeff["One?"]')],
        "the ending in capitals": [("a.TXT", "One?"), ("a.CSV", "content\nOne?"), ("a.JSON", '["One?"]')],
    },
}
REFUSED = {
    ".jsonl": {
        "what is not JSON": [("a.json", "One?"), ("a.json", '[\n"One?",\n')],
        "a record without the key": [("a.json", '[{"text": "One?"}]')],
        "a prompt that is not a text": [("a.json", '[{"content": 1}]'), ("a.json", "[1]")],
        "a conversation that does not end with the user": [("a.json", json.dumps({"messages": [USER, ANSWER]}))],
        "messages with parts or tool calls": [
            ("a.json", json.dumps({"messages": [message]}))
            for message in ({"role": "user", "content": [{"text": "One?"}]}, USER | {"tool_calls": [{}]})
        ],
        "two system prompts": [
            ("a.json", json.dumps({"system": "x", "messages": [{"role": "system", "content": "y"}, USER]}))
        ],
        "half a surrogate pair": [("a.json", '["\\ud800"]')],
    },
    ".csv": {
        "no such column": [("a.csv", "text,n\nOne?,1\n")],
        "two columns of one name": [("a.csv", "content,content\nOne?,Two?\n")],
        "a row with more or fewer cells": [("a.csv", "content,n\nOne?,1,2\n"), ("a.csv", "content,n\nOne?\n")],
        "a quote that does not close": [("a.csv", 'content,n\n"One?,1\n')],
        "JSON": [("a.csv", '[{"content": "One?"}]')],
    },
    ".txt": {
        "a blank line": [("a.txt", "One?\n\nTwo?\n")],
        "JSON": [("a.txt", '["One?"]'), ("a.txt", '{"content": "One?"}\n{"content": "Two?"}')],
        "a table": [("a.txt", "content,n\nOne?,1\n"), ("a.txt", "One?\t1\nTwo?\t2\n")],
    },
    "any prompt file": {
        "an unknown ending": [("a.md", "One?"), ("a", "One?")],
        "gzip, Excel, Parquet and UTF-16, by what they are": [
            ("a.csv", data) for data in (gzip.compress(b"One?"), b"PK\x03\x04", b"PAR1", "One?".encode("utf-16"))
        ],
        "no UTF-8": [("a.txt", b"One\xff")],
        "no prompt at all": [("a.jsonl", ""), ("a.csv", "content\n")],
    },
}

# What needs models and SAEs is shown by tests in `tests/collect/`: the phrase, and the one that shows it.
SHOWN_BY = {
    "a block's name in transformers": "test_a_block_of_transformers_means_its_output",
    "the residual stream before a block": "test_places_an_sae_by_its_hook_or_by_layer",
    "no name, with `--layer`": "test_places_an_sae_by_its_hook_or_by_layer",
    "another model's name, with a note": "test_says_that_the_sae_is_of_another_model_and_does_not_refuse_it",
    "a model that was loaded in another way, with a note": (
        "test_says_how_the_model_of_the_sae_was_loaded_and_refuses_centred_weights"
    ),
    "an MLP, attention or another place": "test_what_is_no_residual_stream_is_refused_by_name",
    "centred weights": "test_says_how_the_model_of_the_sae_was_loaded_and_refuses_centred_weights",
    "a scaling that is not known": "test_refuses_an_sae_whose_scale_is_not_known",
    "an SAE that reads all tokens before": "test_refuses_an_sae_that_reads_all_tokens_before",
    "weights that are not numbers": "test_weights_that_are_no_numbers_are_refused",
    "a damaged file": "test_a_damaged_folder_is_one_message test_damaged_files_are_one_message",
    "no `submodule_name`": "test_places_a_dictionary",
    "the input of a block": "test_places_a_dictionary",
    "another class": "test_refuses_a_dictionary_that_it_does_not_know",
    "weights of another class": "test_refuses_a_dictionary_that_it_does_not_know",
    "an MLP or attention": "test_refuses_a_dictionary_of_something_else",
    "a pickle that wants to run code": (
        "test_a_damaged_dictionary_is_one_message_and_its_code_is_not_run test_runs_no_code_of_weights"
    ),
    "weights of later blocks, which are not read": "test_does_not_load_later_blocks_or_the_output_layer",
    "code that need not be run": "test_runs_no_code_of_a_model_that_transformers_knows",
    "code that must be run": "test_runs_no_code_of_a_configuration test_runs_no_code_of_a_tokenizer",
    "missing weights": "test_refuses_a_checkpoint_that_lacks_weights test_refuses_an_adapter_that_lacks_weights",
    "no chat template": "test_refuses_a_tokenizer_without_a_chat_template",
    "another width than the SAE's, or too few blocks": "test_refuses_what_does_not_belong_together",
    "no tokenizer: its base's is taken": "test_an_adapter_may_bring_its_tokenizer",
    "another kind of adapter": "test_refuses_an_adapter_that_it_cannot_merge",
    "no base": "test_refuses_an_adapter_that_it_cannot_merge",
    "a whole model beside it": "test_refuses_an_adapter_whose_files_are_not_clear",
    "a system prompt, where it has one": "test_conversations_and_system_prompts_are_rendered",
    "options that it names (`--template-option`)": "test_columns_that_differ_and_a_template_option",
    "an option that it does not name": "test_refuses_an_option_that_the_template_does_not_know",
    "what raises an error": "test_a_template_that_fails_is_said_of_the_prompt",
    "a message that it leaves out or changes": "test_a_template_that_fails_is_said_of_the_prompt",
    "more than 10 seconds, 1 GiB or 10 million characters": (
        "test_a_template_without_an_end_is_ended test_a_template_that_fails_is_said_of_the_prompt"
    ),
}


def rows():
    """Every row of the table: its file, and the phrases on what is forgiven and what is refused."""
    text = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    section = text.split("## Prompt files, SAE folders and models that collect reads\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    for line in lines:
        file, _, forgiven, refused = (cell.strip() for cell in line.split("|")[1:-1])
        yield file, forgiven.split("; "), refused.split("; ")


ROWS = list(rows())


def of_row(table, file):
    return next((phrases for name, phrases in table.items() if name in file), None)


def cases(table):
    return [
        pytest.param(name, content, id=f"{file}: {phrase}")
        for file, phrases in table.items()
        for phrase, files in phrases.items()
        for name, content in files
    ]


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_phrase_of_the_page_is_shown():
    assert len(ROWS) == 9
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests/collect").glob("test_*.py"))
    for file, forgiven, refused in ROWS:
        for phrases, table in ((forgiven, FORGIVEN), (refused, REFUSED)):
            shown = of_row(table, file)
            if shown is not None:
                assert phrases == list(shown), file
                continue
            for phrase in phrases:
                assert all(f"def {name}(" in tests for name in SHOWN_BY[phrase].split()), phrase
    named = {phrase for _, forgiven, refused in ROWS for phrase in (*forgiven, *refused)}
    assert SHOWN_BY.keys() <= named


@pytest.mark.parametrize(("name", "content"), cases(FORGIVEN))
def test_what_is_forgiven_is_read(tmp_path, name, content):
    file = read_prompts(write(tmp_path, name, content))
    assert file.prompts[0].content == "One?"
    assert file.skipped == ()


@pytest.mark.parametrize(("name", "content"), cases(REFUSED))
def test_what_is_refused_is_one_message_with_its_name(tmp_path, name, content):
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=re.escape(f"`{path}`")):
        read_prompts(path)
