"""Prompt files → prompts, each with the place it came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from featurediff.collect.prompt_formats import read_records
from featurediff.collect.prompt_records import CONVERSATIONS, Bad, Record, prompt_key
from featurediff.errors import DataError
from featurediff.files import read_whole
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from pathlib import Path

_Turns = tuple[tuple[str, str], ...]

_ROLES = {"human": "user", "gpt": "assistant"}
"""Roles in ShareGPT's files, where messages have `from` and `value`, and what templates call them."""


@dataclass(frozen=True)
class Prompt:
    """One prompt as a file has it."""

    prompt_id: int
    """Its place among the file's prompts, from 0; those that are skipped count too."""

    line: int
    """Where it begins in the file, from 1."""

    content: str
    """What the user says last; may be empty."""

    label: str | None
    """What the file calls it; None where it says nothing."""

    group: str | None
    """What the file calls the prompts that it belongs to; None for a group of its own."""

    response: str | None
    """What the file says that the model answers; None where that is not asked for."""

    before: _Turns = ()
    """Role and text of what stands before it: a system prompt, and the turns of a conversation."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The whole conversation, as chat templates take it."""
        return [{"role": role, "content": text} for role, text in (*self.before, ("user", self.content))]

    def where(self, file: str) -> str:
        """Say where the prompt is and how it begins, for messages."""
        return f"`{file}`, line {self.line}, prompt {self.prompt_id} ({quoted(self.content)})"


@dataclass(frozen=True)
class PromptFile:
    """The prompts of one set."""

    name: str
    """Name of the file, as messages have it."""

    sha256: str
    """Of the whole file, in hex."""

    prompts: tuple[Prompt, ...]
    """In the file's order."""

    skipped: tuple[str, ...]
    """Why each bad record was left out: a sentence each."""


def read_prompts(
    path: Path,
    column: str = "content",
    *,
    system: str | None = None,
    group: str | None = None,
    response: str | None = None,
    skip_bad: bool = False,
) -> PromptFile:
    """
    Read a file of prompts.

    Parameters
    ----------
    path : Path
        `.jsonl`, `.ndjson` or `.json`: an array of strings or objects, or one of them a line. `.csv` or `.tsv`: a table
        with commas, semicolons or tabs. `.txt`: a prompt a line; a blank line is bad. Objects and tables may have
        `label` and `system`, and a conversation instead of a prompt.
    column : str
        The key or column that holds the prompt.
    system : str or None
        System prompt of each prompt that has none of its own.
    group : str or None
        The key or column that says which prompts belong together; None for none.
    response : str or None
        The key or column that holds what the model answers, in every record; None for none.
    skip_bad : bool
        Leave bad records out and say so, instead of refusing the file.

    Raises
    ------
    DataError
        If the file cannot be read, is not what its ending says, has no such columns or no prompt, or a record of it is
        bad.
    """
    data = read_whole(path)
    prompts: list[Prompt] = []
    skipped: list[str] = []
    asked = _Asked(column, system, group, response)
    for prompt_id, record in enumerate(read_records(path, data, column)):
        made = record if isinstance(record, Bad) else _read_prompt(prompt_id, record, asked)
        if isinstance(made, Prompt):
            prompts.append(made)
            continue
        skipped.append(f"`{path}`, line {made.line}: {made.reason}")
        if not skip_bad:
            msg = f"{skipped[-1]} Mend it, or leave such prompts out with --skip-bad."
            raise DataError(msg)
    if not prompts:
        msg = f"`{path}` has no prompt in it. Expected JSON or a table with {column!r}, or .txt with a prompt a line."
        raise DataError(msg)
    if group is not None and all(prompt.group is None for prompt in prompts):
        msg = f"`{path}` has no {group!r} in any prompt, which --group names."
        raise DataError(msg)
    return PromptFile(path.name, hashlib.sha256(data).hexdigest(), tuple(prompts), tuple(skipped))


class _Asked(NamedTuple):
    """What is read of a record; see `read_prompts`."""

    column: str
    system: str | None
    group: str | None
    response: str | None


def _read_prompt(prompt_id: int, record: Record, asked: _Asked) -> Prompt | Bad:
    """Make a prompt out of what a file says of it."""
    line, fields = record
    key = prompt_key(fields, asked.column)
    if key is None:
        return Bad(line, f"no {asked.column!r}, only {listed(fields)}. Name another with --column.")
    turns = _read_turns(fields[key], key)
    if isinstance(turns, str):
        return Bad(line, turns)
    if fields.get("role") in ("system", "assistant"):
        return Bad(line, f"a message of {fields['role']!r}, but expected the user's.")
    own = fields.get("system")
    if not isinstance(own, str | None):
        return Bad(line, f"'system' is {quoted(own)}, but expected a string.")
    if own and turns[0][0] == "system":
        return Bad(line, "two system prompts: one in 'system', and one in the conversation.")
    given = own or asked.system
    if given and turns[0][0] != "system":
        turns = (("system", given), *turns)
    label = None if fields.get("label") in (None, "") else str(fields["label"])
    more = _read_more(fields, asked)
    if isinstance(more, str):
        return Bad(line, more)
    group, response = more
    texts = [(key, "".join(part for turn in turns for part in turn)), ("label", label)]
    texts += [(asked.group or "", group), (asked.response or "", response)]
    broken = next((name for name, text in texts if not _is_text(text or "")), None)
    if broken:
        return Bad(line, f"{broken!r} holds half a surrogate pair, which is no text.")
    return Prompt(prompt_id, line, turns[-1][1], label, group, response, turns[:-1])


def _read_more(fields: dict[str, Any], asked: _Asked) -> tuple[str | None, str | None] | str:
    """Return the group and the response of a prompt, as far as they are asked for; or what is wrong with them."""
    group = None if asked.group is None or fields.get(asked.group) in (None, "") else fields[asked.group]
    if isinstance(group, bool) or not isinstance(group, str | int | None):
        return f"{asked.group!r} is {quoted(group)}, but expected a text or a whole number."
    response = None if asked.response is None else fields.get(asked.response)
    if asked.response is not None and not (isinstance(response, str) and response.strip()):
        found = quoted(response) if asked.response in fields else "missing"
        return f"its response {asked.response!r} is {found}, but expected a text."
    return None if group is None else str(group), response


def _read_turns(value: Any, key: str) -> _Turns | str:  # noqa: ANN401  JSON
    """Return the roles and texts of a prompt or a conversation, of which the last is the user's; or what is wrong."""
    if isinstance(value, str) and key in CONVERSATIONS:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            return f"{key!r} is not JSON ({error}), but expected a list of messages."
    if isinstance(value, str):
        return (("user", value),)
    if not isinstance(value, list):
        return f"{key!r} is {quoted(value)}, but expected a string."
    turns = []
    for number, message in enumerate(value, start=1):
        turn = _read_message(message)
        if turn is None:
            return f"message {number} of {key!r} has no role and text, but expected both, and no call of a tool."
        turns.append(turn)
    if not turns or turns[-1][0] != "user":
        last = quoted(turns[-1][0]) if turns else "missing"
        return f"the last message of {key!r} is {last}, but expected the user's."
    return tuple(turns)


def _read_message(message: Any) -> tuple[str, str] | None:  # noqa: ANN401  JSON
    if not isinstance(message, dict) or message.get("tool_calls"):
        return None
    role, text = message.get("role", message.get("from")), message.get("content", message.get("value"))
    if not isinstance(role, str) or not isinstance(text, str):
        return None
    return _ROLES.get(role, role), text


def _is_text(content: str) -> bool:
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True
