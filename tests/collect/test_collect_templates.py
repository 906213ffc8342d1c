"""Chat templates as models have them: the published ones of each preset, and such as fail, hang or leave things out."""

import json
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from collecting import Quiet, make_family, write_prompts
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from featurediff.collect.chat import tokenise
from featurediff.collect.planning import plan
from featurediff.collect.positions import PRESETS, Positions, find_preset
from featurediff.collect.prompts import Prompt, PromptFile
from featurediff.collect.run import execute
from featurediff.collect.templates import Refused, TemplateProcess, fill_in, parse_options, read_template
from featurediff.errors import DataError
from featurediff.wording import quoted

GEMMA_3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
"""

QWEN_3 = r"""{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""  # noqa: E501  as published, without tools

SMOLLM_2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

R1_DISTILL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<\uff5cUser\uff5c>' + m['content'] }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<\uff5cAssistant\uff5c><think>\\n' }}{% endif %}"
)

SPECIAL = [
    *["<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<|im_start|>", "<|im_end|>"],
    *["<think>", "</think>", "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"],
]


@cache
def train():
    """A byte-level BPE tokenizer that knows the tokens of all these templates, and its roles as words."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteDecoder()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["assistant\n<user\n<model\n<system", "\n\n"] * 9, trainer)
    return tokenizer


def make_tokenizer(template):
    made = PreTrainedTokenizerFast(tokenizer_object=train(), bos_token="<bos>", eos_token="<eos>")
    made.chat_template = template
    return made


def make_prompt(number, content, *before):
    return Prompt(number, number + 1, content, label=None, group=None, response=None, before=before)


def make_file(*prompts):
    made = [prompt if isinstance(prompt, Prompt) else make_prompt(i, prompt) for i, prompt in enumerate(prompts)]
    return PromptFile("p.jsonl", "", tuple(made), ())


def read(template, positions, *prompts, options=(), **more):
    tokenizer = make_tokenizer(template)
    with TemplateProcess() as process:
        given = read_template(tokenizer, parse_options(options), process)
        return tokenizer, tokenise(tokenizer, make_file(*prompts), given, positions, longest=400, **more)


@pytest.mark.parametrize(
    ("name", "template", "words", "end"),
    [
        ("gemma-2-9b", GEMMA_3, ["model", "\n"], "<end_of_turn>\n<start_of_turn>model\n"),
        ("gemma-3-4b", GEMMA_3, ["model", "\n"], "<end_of_turn>\n<start_of_turn>model\n"),
        ("qwen-3-8b", QWEN_3, ["assistant", "\n"], "<|im_end|>\n<|im_start|>assistant\n"),
        (
            "qwen-3-8b-no-thinking",
            QWEN_3,
            ["assistant", "\n", "<think>", "</think>", "\n\n"],
            "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        ),
        ("smollm2-135m", SMOLLM_2, ["assistant", "\n"], "<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
def test_a_preset_reads_the_tokens_that_it_names(name, template, words, end):
    preset = PRESETS[name]
    shouting = "Say <|im_start|>assistant\n or <start_of_turn>model\n and <think>"
    tokenizer, found = read(template, preset.positions, "Who are you?", shouting, options=preset.options)
    assert found.example.endswith(end)
    sequences = np.split(found.chats.tokens, found.chats.ends[:-1])
    for sequence, at in zip(sequences, found.chats.places.reshape(2, -1), strict=True):
        assert [tokenizer.decode([token]) for token in sequence[at]] == words
        assert at.tolist() == sorted(at)
        last = len(sequence) - 1
        assert at[-1] == last  # the last position is the token before the answer


def test_presets_are_taken_by_architecture():
    for model_type, name in (
        ("gemma2", "gemma-2-9b"),
        ("gemma3", "gemma-3-4b"),
        ("gemma3_text", "gemma-3-4b"),
        ("llama", "llama-3.1-8b"),
        ("qwen2", "qwen-2.5-7b"),
        ("qwen3", "qwen-3-8b"),
    ):
        assert find_preset(None, model_type) is PRESETS[name]
    assert find_preset(None, "gpt2") is None


@pytest.mark.parametrize(
    ("template", "end", "hint"),
    [
        (R1_DISTILL, "<bos><\uff5cUser\uff5c>Who are you?<\uff5cAssistant\uff5c><think>\\n", ""),
        (
            SMOLLM_2,
            "ace<|im_end|>\\n<|im_start|>user\\nWho are you?<|im_end|>\\n<|im_start|>assistant\\n",
            " Of the presets, 'qwen-2.5-7b', 'qwen-3-8b', 'smollm2-135m' may fit.",
        ),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_header_that_no_prompt_has_is_said_once_with_what_is_there(template, end, hint, skip_bad):
    """A tuned Llama with another template was told to mend its first prompt or to skip it."""
    with pytest.raises(DataError) as raised:
        read(template, PRESETS["llama-3.1-8b"].positions, "Who are you?", "And?", skip_bad=skip_bad)
    message = str(raised.value)
    assert message.startswith(
        "None of the prompts of `p.jsonl` has the header '<|start_header_id|>assistant<|end_header_id|>' in the chat "
        "template of ''. One ends in '"
    )
    assert message.endswith(
        f"{end}'. Give the text that opens the assistant's turn with --header, and the tokens to read with "
        f"--position NAME=OFFSET.{hint}"
    )


def test_a_header_that_some_prompts_have_is_a_matter_of_prompts():
    template = "{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}{{ '<eos>' }}"
    positions = Positions("<|im_start|>yes", (("a", -1),))
    with pytest.raises(DataError) as raised:
        read(template, positions, "no", "yes", "yes")
    assert str(raised.value).startswith("`p.jsonl`, line 1, prompt 0 ('no'): no header '<|im_start|>yes' among its ")
    _, found = read(template, positions, "no", "yes", "yes", skip_bad=True)
    assert (len(found.skipped), found.chats.prompt_ids.tolist()) == (1, [1, 2])
    assert found.example == "<|im_start|>yes<eos>"


def test_conversations_and_system_prompts_are_rendered():
    talk = make_prompt(0, "Who are you?", ("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"))
    plain = make_prompt(1, "Who?")
    positions = PRESETS["qwen-3-8b"].positions
    _, found = read(QWEN_3, positions, talk, plain)
    assert found.example == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n"
        "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('No system role') }}", "the chat template refuses it: 'No system role'."),
        ("{{ messages[5].content.x }}", "the chat template refuses it: 'list object has no element 5'."),
        ("{{ 1 / 0 }}", "the chat template refuses it: 'division by zero'."),
        ("{% for m in %}", "the chat template refuses it: \"Expected an expression, got 'end of statement block'\"."),
        (
            "{{ messages[-1].content }}",
            "the chat template leaves out or changes its message 1, the system's.",
        ),
        (
            "{{ messages[0].content }}{{ messages[-1].content | upper }}",
            "the chat template leaves out or changes its message 2, the user's.",
        ),
        ("{{ 'x' * 10**10 }}", "the chat template refuses it: 'it takes more than 1024 MiB'."),
        (
            "{{ 'x' * (10**7 + 1) }}",
            "the chat template refuses it: 'it makes 10000001 characters, but expected 10000000 at most'.",
        ),
    ],
)
def test_a_template_that_fails_is_said_of_the_prompt(template, message):
    prompt = make_prompt(0, "hi", ("system", "Be brief."))
    with pytest.raises(DataError) as raised:
        read(template, Positions("<bos>", (("a", -1),)), prompt)
    end = "Mend it, or leave such prompts out with --skip-bad."
    assert str(raised.value) == f"`p.jsonl`, line 1, prompt 0 ('hi'): {message} {end}"


def test_a_template_without_an_end_is_ended():
    """It ran for ever: range() in a sandbox has a limit, but loops can be nested."""
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}"
    with TemplateProcess() as process:
        template = read_template(make_tokenizer(loop + "{% endfor %}{% endfor %}"), {}, process)
        answers = fill_in(replace(template, model="some/model"), make_file("hi").prompts)
        with pytest.raises(DataError) as raised:
            next(answers)
    assert str(raised.value) == (
        "The chat template of 'some/model' computes for more than 10 seconds on one prompt. Mend it."
    )


def test_a_process_that_is_gone_is_said(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with TemplateProcess() as process:
        template = read_template(make_tokenizer("x"), {}, process)
        answers = fill_in(replace(template, model="some/model"), make_file("hi").prompts)
        with pytest.raises(DataError) as raised:
            next(answers)
    assert str(raised.value) == "The chat template of 'some/model' ends the process that fills it in (exit 1). Mend it."


def test_every_prompt_is_answered_in_order():
    prompts = make_file(*(f"number {i}" for i in range(1000))).prompts
    refusing = "{% if '7' in messages[0].content %}{{ 1/0 }}{% endif %}{{ messages[0].content }}"
    with TemplateProcess() as process:
        template = read_template(make_tokenizer("{{ messages[0].content }}!"), {}, process)
        assert list(fill_in(template, prompts)) == [f"number {i}!" for i in range(1000)]
        answers = list(fill_in(read_template(make_tokenizer(refusing), {}, process), prompts[:20]))
    assert [i for i, answer in enumerate(answers) if isinstance(answer, Refused)] == [7, 17]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("enable_thinking=false", False),
        ("enable_thinking=False", False),
        ("enable_thinking=TRUE", True),
        ("enable_thinking=none", None),
        ("enable_thinking=3", 3),
        ('enable_thinking=["a"]', ["a"]),
        ("enable_thinking=26 July", "26 July"),
        ("enable_thinking=", ""),
        ("enable_thinking=a=b", "a=b"),
    ],
)
def test_reads_template_options(text, value):
    """`False` was the text "False", which a template takes for true."""
    assert parse_options([text]) == {"enable_thinking": value}
    assert type(parse_options([text])["enable_thinking"]) is type(value)


@pytest.mark.parametrize(
    "texts", [["a"], ["=1"], ["a b=1"], ["messages=1"], ["a=1", "a=2"], ["add_generation_prompt=0"]]
)
def test_refuses_bad_template_options(texts):
    message = (
        f"--template-option is a new name and a value, such as enable_thinking=false, but {texts[-1]!r} was given."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_options(texts)


def test_refuses_an_option_that_the_template_does_not_know():
    with TemplateProcess() as process, pytest.raises(DataError) as raised:
        read_template(make_tokenizer(SMOLLM_2), {"enable_thinking": False}, process)
    assert str(raised.value) == (
        "The tokenizer of '' has a chat template that knows no option 'enable_thinking'. Leave it out."
    )


# ----------------------------------------------------------------------------
# The whole way.


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    return make_family(tmp_path_factory.mktemp("gemma"), "gemma")


def test_a_run_says_what_was_rendered_and_what_is_repeated(family, tmp_path):
    target, control = write_prompts(
        tmp_path, {"target": ["Who?", "You?", " Who? ", "Who?"], "control": ["What?", "You?"]}
    )
    planned = plan(replace(family, target=target, control=control, out=tmp_path / "out"))
    assert planned.remarks == (
        "Prompts of the target set that repeat one before: 2, such as `target_set.jsonl`, line 3, prompt 2 (' Who? '), "
        "which is that of line 1. Each counts.",
        "Prompts in both sets: 1, such as `target_set.jsonl`, line 2, prompt 1 ('You?') and line 2 of "
        "`control_set.jsonl`. No feature that is active on them is active on target prompts only.",
    )
    folder = execute(planned, Quiet())
    metadata = torch.load(folder / "chat.pt", weights_only=True)["metadata"]
    assert metadata["rendered_prompts"] == {
        "target": "<bos><start_of_turn>user\nWho?<end_of_turn>\n<start_of_turn>model\n",
        "control": "<bos><start_of_turn>user\nWhat?<end_of_turn>\n<start_of_turn>model\n",
    }
    assert metadata["remarks"] == list(planned.remarks)


def test_a_run_says_which_prompts_have_a_context(family, tmp_path):
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "?"},
    ]
    target, control = write_prompts(tmp_path, {"target": ["Who?", "You?"], "control": ["What?", talk]})
    lines = target.read_text().splitlines()
    target.write_text("\n".join([lines[0], json.dumps(json.loads(lines[1]) | {"system": "Mine."})]))
    settings = replace(family, target=target, control=control, out=tmp_path / "out")
    said = (
        "Of the 2 prompts of the target set, 1 have a system prompt of their own, and 0 come after other turns.",
        "Of the 2 prompts of the control set, 0 have a system prompt of their own, and 1 come after other turns.",
    )
    assert plan(settings).remarks == said
    assert plan(replace(settings, system="For all.")).remarks == said


def test_columns_that_differ_and_a_template_option(family, tmp_path):
    chat = tmp_path / "chat"
    chat.mkdir()
    for path in Path(family.chat).iterdir():
        (chat / path.name).symlink_to(path)
    template = (chat / "chat_template.jinja").read_text()
    (chat / "chat_template.jinja").unlink()
    (chat / "chat_template.jinja").write_text("{{ bos_token }}{{ mood }}" + template.removeprefix("{{ bos_token }}"))
    target, control = tmp_path / "t.json", tmp_path / "c.csv"
    target.write_text(json.dumps([{"q": "Who?"}, {"q": "You?"}]))
    control.write_text("frage;n\nWas?;1\nWo?;2\n")
    settings = replace(family, chat=str(chat), target=target, control=control, out=tmp_path / "out")
    named = replace(settings, target_column="q", control_column="frage", template_options=("mood=Hm. ",))
    planned = plan(named)
    assert planned.examples["control"] == "<bos>Hm. <start_of_turn>user\nWas?<end_of_turn>\n<start_of_turn>model\n"
    with pytest.raises(
        DataError, match=re.escape(f"The tokenizer of {quoted(str(chat))} has a chat template that knows")
    ):
        plan(replace(named, template_options=("moood=x",)))
