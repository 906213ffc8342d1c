"""
Put many people in front of one server: sessions that speak Streamlit's protocol over loopback.

    python bench/load.py
    python bench/load.py --sessions 5 --seconds 20
    python bench/load.py --sessions 20 --every 10 --results results/wide   the first source of this tree instead

Each changes the metric, a filter or the picked feature once every five seconds on a source of 131,072 features. At half
time one of them opens a source with 20 million activations, which nobody has opened before, and clicks through its
features, whose prompts are listed. One that still waits for its answer makes its next change when that has come.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from activations import TOKEN_TYPES, add_activations
from processes import processor_time, resident
from report import publish, table
from server import Answer, Server, Session, running, wait_for
from sources import SMALL, make
from websockets.exceptions import WebSocketException

import featurediff
from featurediff.labels import Labels
from featurediff.sources.tree import find_sources

METRICS = [
    Labels().metric(f"{prompts}_{name}")
    for prompts in ("target", "control")
    for name in ("all_mean", "all_std", "max", "sparsity")
]
KINDS = ("metric", "filter", "pick")
BEFORE, SINCE = "any change, before one clicks", "any change of the others, from then on"
OF_MANY = "among 20 million activations"
SMALLEST_CLOUD = 690
"""MB, of Streamlit's Community Cloud."""

ALONE = 15
"""Changes of each kind that one person makes alone."""

SETTLING = 10
"""Seconds over which sessions arrive, and for which a server is left alone before its idle memory is read."""


@dataclass
class Record:
    """What happened while the sessions were there."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """Kind of change → answers."""

    changes: dict[str, list[Answer]] = field(default_factory=dict)
    """Before one clicks through many activations, and from then on: changes of the others."""

    errors: list[str] = field(default_factory=list)
    """Exceptions, error boxes, and lost connections."""

    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and resident MB of the server."""

    spent: dict[str, float] = field(default_factory=dict)
    """Kind of change → milliseconds of the server's processor time for one, with nobody else there."""

    processor: tuple[float, float, float] = (0, 0, 0)
    """While all were there: seconds, and processor seconds of the server and of the sessions, which share a process."""

    def add(self, kind: str, answer: Answer) -> None:
        """Keep an answer."""
        self.answers.setdefault(kind, []).append(answer)
        self.errors += answer.errors


def change(session: Session, rng: random.Random, keys: list[tuple[str, int]], kind: str = "") -> str:
    """Change one widget, and return which kind of change it is; without a chart there is nothing to pick."""
    kind = kind or rng.choice(KINDS if session.has_chart else KINDS[:-1])
    if kind == "metric":
        session.set("metric", string_value=rng.choice(METRICS))
    elif kind == "pick":
        token_type, feature_id = rng.choice(keys)
        session.trigger("chart_link", "picked", {"token_type": token_type, "feature_id": feature_id})
    else:
        name = rng.choice(("token_types", "exclusivity", "search", "min_value"))
        if name == "min_value":
            session.set(name, double_value=rng.choice((0.0, 0.05, 0.1)))
        elif name == "search":
            session.set(name, string_value=rng.choice(("", "nor", "bin", "l")))
        else:
            choices = ("model", "newline") if name == "token_types" else ("Both", "Base", "Instruct")
            session.set(name, string_array_value={"data": rng.sample(choices, rng.randint(0, len(choices) - 1))})
    return kind


async def person(
    server: Server, number: int, plan: argparse.Namespace, keys: list[tuple[str, int]], to: Record
) -> None:
    """Open the app, and change something every few seconds until the time is over."""
    rng, began = random.Random(number), time.perf_counter()
    await asyncio.sleep(SETTLING * number / plan.sessions)
    turn, ends = began + (SETTLING + plan.seconds) / 2, time.perf_counter() + plan.seconds
    clicks = False
    try:
        session = await Session.open(server)
        to.add("opening", await session.run())
        due = time.perf_counter() + plan.every * rng.random()
        while due < ends:
            await asyncio.sleep(max(0, due - time.perf_counter()))
            if plan.clicked and number == 0 and due >= turn and not clicks:
                clicks = True
                session.set("source", string_value=plan.clicked)
                kind = f"opening {OF_MANY}"
            elif clicks:
                kind = f"click {OF_MANY}"
                picked = {"token_type": rng.choice(TOKEN_TYPES), "feature_id": rng.randrange(SMALL.features)}
                session.trigger("chart_link", "picked", picked)
            else:
                kind = change(session, rng, keys)
            answer = await session.run()
            to.add(kind, answer)
            if kind in KINDS:
                to.changes.setdefault(BEFORE if due < turn else SINCE, []).append(answer)
            due = max(due + plan.every, time.perf_counter())
        await session.close()
    except (WebSocketException, OSError, TimeoutError) as error:
        to.errors.append(f"session {number}: {type(error).__name__} {error}")


async def watch(server: Server, to: Record) -> None:
    """Note the server's memory every second."""
    began = time.perf_counter()
    while True:
        to.memory.append((time.perf_counter() - began, await asyncio.to_thread(resident, server.pid)))
        await asyncio.sleep(1)


async def alone(server: Server, keys: list[tuple[str, int]], to: Record) -> None:
    """Make the changes of one person with nobody else there."""
    session = await Session.open(server)
    to.add("opening, the first of all", await session.run())
    rng = random.Random(-1)
    for kind in KINDS[::-1]:
        before = processor_time(server.pid)
        for _ in range(ALONE):
            change(session, rng, keys, kind)
            to.add("any, with nobody else there", await session.run())
        to.spent[kind] = 1000 * (processor_time(server.pid) - before) / ALONE
    await session.close()


async def measure(server: Server, plan: argparse.Namespace, keys: list[tuple[str, int]]) -> tuple[Record, float]:
    """Let everybody in, and return what happened and the idle memory before."""
    record = Record()
    await alone(server, keys, record)
    await asyncio.sleep(SETTLING)
    idle = resident(server.pid)
    watching = asyncio.create_task(watch(server, record))
    before = time.perf_counter(), processor_time(server.pid), time.process_time()
    await asyncio.gather(*(person(server, number, plan, keys, record) for number in range(plan.sessions)))
    after = time.perf_counter(), processor_time(server.pid), time.process_time()
    seconds, served, ours = (end - start for start, end in zip(before, after, strict=True))
    record.processor = seconds, served, ours
    watching.cancel()
    log = re.sub(r"\x1b\[[0-9;]*m", "", server.log.read_text(encoding="utf-8", errors="replace"))
    record.errors += [line.strip() for line in log.splitlines() if "Error:" in line]
    return record, idle


def times(record: Record) -> str:
    """Return the table of answers."""
    rows = []
    for kind, answers in {**record.changes, **record.answers}.items():
        took = [answer.seconds for answer in answers]
        late = f"{quantiles(took, n=20)[-1]:.2f}" if len(took) > 1 else ""
        sent = f"{sum(answer.sent for answer in answers) / len(answers) / 1e6:.2f}"
        chart = f"{sum(answer.chart for answer in answers) / len(answers) / 1e6:.2f}"
        reach = "p95 ≤ 0.5" if kind in (BEFORE, SINCE) else ""
        rows.append([kind, str(len(took)), f"{median(took):.2f}", late, sent, chart, reach])
    header = ["change", "reruns", "median s", "p95 s", "MB sent each", "of it chart", "to reach"]
    return table(header, rows)


def processor(record: Record) -> str:
    """Say what took the processors, and return the table of one change by kind."""
    seconds, served, ours = record.processor
    rows = [[kind, f"{spent:.0f}"] for kind, spent in record.spent.items()]
    said = (
        f"In {seconds:.0f} s the server used {served:.0f} s of processor time, and the sessions, all in one process on "
        f"the same machine, {ours:.0f} s. Python lets a server use little more than one processor."
    )
    return f"{said}\n\n" + table(["one change with nobody else there", "ms of the server's processor time"], rows)


def memory(record: Record, idle: float, sessions: int) -> str:
    """Return the table of the server's memory."""
    last = record.memory[-1][0]
    marks = sorted({*range(0, int(last), 15), int(last)})
    at = {mark: median(mb for when, mb in record.memory if abs(when - mark) <= 3) for mark in marks}
    middle, end = (
        median(mb for when, mb in record.memory if low * last <= when <= high * last)
        for low, high in ((0.45, 0.6), (0.85, 1))
    )
    rows = [
        ["idle with the source loaded", f"{idle:,.0f}", f"≤ {SMALLEST_CLOUD}"],
        *([f"after {mark} s", f"{mb:,.0f}", ""] for mark, mb in at.items()),
        ["most", f"{max(mb for _, mb in record.memory):,.0f}", ""],
        ["growth from the middle to the end", f"{end - middle:+,.0f}", "flat"],
        ["a session, at the end", f"{(end - idle) / sessions:.1f}", "≤ 10"],
    ]
    return table(["resident memory of the server", "MB", "to reach"], rows)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120, help="that each session stays")
    parser.add_argument("--every", type=float, default=5, help="seconds from one change to the next")
    parser.add_argument("--folder", type=Path, help="where generated sources are kept")
    parser.add_argument("--results", type=Path, help="a results tree to use instead of the generated source")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    args = parser.parse_args()
    args.clicked = None
    tree, folder = args.results, args.results and next(iter(find_sources(args.results))).folder
    if tree is None:
        made = make(SMALL, args.folder)
        tree, folder = made.tree, made.folder
        args.clicked = add_activations(tree, SMALL)
    kept = featurediff.load(folder).table()
    keys = list(zip(kept["token_type"].astype("str"), kept["feature_id"].tolist(), strict=True))
    with running(tree) as server:
        wait_for(server)
        record, idle = asyncio.run(measure(server, args, keys))
    unlike = list(dict.fromkeys(record.errors))
    said = "".join(f"\n- `{error}`" for error in unlike[:10])
    text = (
        f"`python bench/load.py`: {args.sessions} sessions on one server over websockets, each changing metric, filter "
        f"or picked feature once every {args.every:g} s for {args.seconds:g} s; {args.results or SMALL}. The "
        f"sessions run on the same machine.\n\nErrors: {len(record.errors)}{said}\n\n{times(record)}\n\n"
        f"{processor(record)}\n\n{memory(record, idle, args.sessions)}"
    )
    publish("load", "Many people at once", text, write=not args.no_write)


if __name__ == "__main__":
    main()
