"""
Fill in chat templates, in a process that its parent may lose: a template is a program, and a stranger wrote it.

It is started by its path, with `python -P`, so that neither torch nor this package is imported: that takes 0.6 seconds.
The first line of the input is a JSON array of the template and its variables, each line after that a conversation. It
is answered by a line: a text, or an array with the reason why there is none.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

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
    """Answer line by line, until the input ends."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template, variables = json.loads(sys.stdin.readline())
    _limit_memory()
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            (answer,), _ = render_jinja_template(
                conversations=[json.loads(line)], chat_template=template, add_generation_prompt=True, **variables
            )
            answer.encode()
            if len(answer) > LONGEST:
                answer = [f"it makes {len(answer)} characters, but expected {LONGEST} at most"]
        except MemoryError:
            answer = [f"it takes more than {MEMORY // 2**20} MiB"]
        except Exception as error:  # noqa: BLE001  a template can make Python raise anything
            answer = [str(error)[:1000] or type(error).__name__]
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)  # noqa: T201  the answer


if __name__ == "__main__":
    main()
