"""A lock that one process holds at a time, and that ends with it."""

import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from featurediff.errors import DataError
from featurediff.locks import alone

ROOT = Path(__file__).parents[1]
HOLD = (
    "import sys; from pathlib import Path; from featurediff.locks import alone\n"
    "with alone(Path(sys.argv[1]), 'run of collect'): print('held', flush=True); sys.stdin.read()"
)


def hold(path):
    """Hold a lock in another process, until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_one_is_told_who_is_at_work_and_since_when(tmp_path):
    lock = tmp_path / "out" / ".lock"
    with hold(lock) as process:
        with pytest.raises(DataError) as raised, alone(lock, "run of collect"):
            pytest.fail("the lock is held")
        found = re.fullmatch(
            rf"Another run of collect is at work in `{re.escape(str(lock.parent))}`, since (.*) "
            r"\(process (\d+) on .+\)\. Wait until it is done, or end it\.",
            str(raised.value),
        )
        assert int(found[2]) == process.pid
        assert abs((datetime.now() - datetime.strptime(found[1], "%Y-%m-%d %H:%M")).total_seconds()) < 600
        process.stdin.close()
        process.wait()
    with alone(lock, "run of collect"):
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert list(lock.parent.iterdir()) == []


def test_what_a_killed_process_left_is_taken_over(tmp_path):
    lock = tmp_path / ".lock"
    with hold(lock) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lock.exists()
    with alone(lock, "run"):
        pass
    assert not lock.exists()


def test_is_given_back_after_an_error(tmp_path):
    lock = tmp_path / ".lock"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), alone(lock, "run"):
            raise KeyboardInterrupt
    assert not lock.exists()


def test_says_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    lock = tmp_path / "file" / ".lock"
    message = f"`{lock}` cannot be written (File exists). Is there room, and may you write there?"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"), alone(lock, "run"):
        pass
