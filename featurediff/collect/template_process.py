"""
Fill in chat templates, in a process that its parent may lose: a template is a program, and a stranger wrote it.

It is started by its path, with `python -P`, so that neither torch nor this package is imported. Each line of the input
names a file. There the first line is a JSON array of the template and its variables, each line after that a
conversation. It is answered by a line: a text, or an array with the reason why there is none.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10
"""Of computing, that one conversation may take; a template that takes more ends the process by SIGPROF."""

MEMORY = 2**30
"""Bytes that a template may take."""

LONGEST = 10**7
"""Characters that may come out."""


def _limit_memory() -> None:
    """Let the process grow by so much; where there is no `/proc`, as on macOS, only time is limited."""
    status = Path("/proc/self/statm")
    if status.exists():
        limit = int(status.read_text().split()[0]) * resource.getpagesize() + MEMORY
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def main() -> None:
    """Answer file by file and line by line, until the input ends."""
    from transformers.utils.chat_template_utils import render_jinja_template

    _limit_memory()
    for name in sys.stdin:
        with Path(name.removesuffix("\n")).open() as questions:
            template, variables = json.loads(questions.readline())
            given = {"chat_template": template, "add_generation_prompt": True, **variables}
            for line in questions:
                answer = _answer(partial(render_jinja_template, [json.loads(line)], **given))
                print(json.dumps(answer), flush=True)  # noqa: T201  the answer


def _answer(render: Callable[[], tuple[list[str], object]]) -> str | list[str]:
    """Return what a template makes of a conversation, or an array with the reason why it makes nothing."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        (text,), _ = render()
        text.encode()
    except MemoryError:
        return [f"it takes more than {MEMORY // 2**20} MiB"]
    except Exception as error:  # noqa: BLE001  a template can make Python raise anything
        return [str(error)[:1000] or type(error).__name__]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return text if len(text) <= LONGEST else [f"it makes {len(text)} characters, but expected {LONGEST} at most"]


if __name__ == "__main__":
    main()
