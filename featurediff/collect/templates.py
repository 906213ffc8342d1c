"""The chat model's template: its options, and prompts put into it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from featurediff.collect.template_process import SECONDS
from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from featurediff.collect.prompts import Prompt

_OURS = ("messages", "conversations", "chat_template", "add_generation_prompt", "continue_final_message", "tools")
"""What `collect` itself gives to a template."""

_WORDS = {"true": True, "false": False, "none": None, "null": None}


class TemplateProcess:
    """
    A process of its own in which templates run, with limits on time and memory; `template_process.py` is its program.

    It takes some seconds until it is ready. Close it, or use it in a `with`.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("template_process.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait = self._process.wait

    def __enter__(self) -> TemplateProcess:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def ask(self, name: str) -> None:
        """Name a file of questions; a process that has ended answers nothing."""
        with contextlib.suppress(BrokenPipeError):
            print(name, file=self._process.stdin, flush=True)

    def answer(self) -> str:
        """Return the next answer, a line; "" where the process has ended."""
        return self._process.stdout.readline() if self._process.stdout else ""


@dataclass(frozen=True)
class Template:
    """A chat template with everything that it is filled in with but the conversation."""

    model: str
    """The model that it is of."""

    text: str
    """The template itself, in Jinja."""

    variables: dict[str, Any]
    """The tokenizer's special tokens by name, and the options that were asked for."""

    process: TemplateProcess
    """Where it runs."""


class Refused(NamedTuple):
    """Why a prompt cannot be put into the template."""

    reason: str
    """The rest of a sentence."""


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """
    Read `--template-option NAME=VALUE`: true, false, none, what else JSON knows, or else a text.

    Raises
    ------
    DataError
        If one has no name or no value, or names what `collect` itself gives to the template.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals) or name in (*options, *_OURS):
            msg = (
                f"--template-option is a new name and a value, such as enable_thinking=false, but {quoted(text)} was "
                "given."
            )
            raise DataError(msg)
        try:
            options[name] = _WORDS[value.lower()] if value.lower() in _WORDS else json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options


def read_template(
    tokenizer: Any,  # noqa: ANN401  transformers is imported late
    options: dict[str, Any],
    process: TemplateProcess,
) -> Template:
    """
    Take the chat template out of a tokenizer.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The chat model's.
    options : dict
        What the template is to be told besides.
    process : TemplateProcess
        Where the template is to run.

    Raises
    ------
    DataError
        If there is no template, or it does not know an option.
    """
    where = f"The tokenizer of {quoted(tokenizer.name_or_path)}"
    if not getattr(tokenizer, "chat_template", None):
        msg = f"{where} has no chat template. Is --chat the chat model?"
        raise DataError(msg)
    try:
        text = str(tokenizer.get_chat_template())
    except ValueError as error:
        msg = f"{where} has several chat templates, but none by the name of 'default'."
        raise DataError(msg) from error
    for name in options:
        if not re.search(rf"\b{name}\b", text):
            msg = f"{where} has a chat template that knows no option {quoted(name)}. Leave it out."
            raise DataError(msg)
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return Template(tokenizer.name_or_path, text, special | options, process)


def fill_in(template: Template, prompts: Sequence[Prompt]) -> Iterator[str | Refused]:
    """
    Put each prompt into the chat template, followed by the header of the assistant's turn.

    Parameters
    ----------
    template : Template
        Of the chat model.
    prompts : sequence of Prompt
        Which ones. All answers must be taken before others are asked for.

    Yields
    ------
    str or Refused
        For each prompt what the models read, or why there is nothing.

    Raises
    ------
    DataError
        If the template does not come to an end, or takes its process with it.
    """
    process = template.process
    with tempfile.NamedTemporaryFile("w") as questions:
        questions.write(json.dumps([template.text, template.variables]) + "\n")
        questions.writelines(json.dumps(prompt.messages) + "\n" for prompt in prompts)
        questions.flush()
        process.ask(questions.name)
        for prompt in prompts:
            answer = process.answer()
            if not answer:
                raise DataError(_what_ended_it(process.wait(), template.model))
            yield _check(json.loads(answer), prompt)


def _what_ended_it(code: int, model: str) -> str:
    if code == -signal.SIGPROF:
        return f"The chat template of {quoted(model)} computes for more than {SECONDS} seconds on one prompt. Mend it."
    return f"The chat template of {quoted(model)} ends the process that fills it in (exit {code}). Mend it."


def _check(answer: str | list[str], prompt: Prompt) -> str | Refused:
    """Refuse a text that leaves out what the system or the user says: a template is free to do so without a word."""
    if not isinstance(answer, str):
        return Refused(f"the chat template refuses it: {quoted(answer[0])}.")
    for number, message in enumerate(prompt.messages, start=1):
        if message["role"] in ("system", "user") and message["content"].strip() not in answer:
            return Refused(f"the chat template leaves out or changes its message {number}, the {message['role']}'s.")
    return answer
