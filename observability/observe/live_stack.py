"""`observe up`: a release that nobody ends, in the rehearsal's pages, with the dashboards."""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from canary.argo.model import Analysis, Pause, Rollout, SetWeight
from canary.commands import options
from canary.rehearse import plan, runs
from canary.rehearse.local import LocalTarget
from canary.rehearse.plan import Choices
from canary.rehearse.timeline import Timeline
from canary.runtime import program, scratch
from canary.runtime.prometheus import QueryError
from canary.web.app import App, Boards, Source
from canary.web.charts import Board
from canary.web.live import Live
from observe import dashboards, page, queries, ranges
from observe.ranges import Series, Span

REHEARSAL = Path("loadtest/rehearsal.yaml")
RUNS = Path("out/rehearsals")
SHOWN_S, STEP_S = 300.0, 5.0
# As often as in a rehearsal gates measure and Prometheus scrapes.
TIME_SCALE = 6.0
STABLE, WEIGHT, RATE = 4, 25, 20.0
# As long as the load lasts at the most.
TIMEOUT_S = 3600.0
NAMES = {dashboard.uid: dashboard for dashboard in dashboards.ALL}


def show(out: Path, port: int | None, seconds: float, faults: Sequence[str]) -> None:
    """Runs until Ctrl-C, or for so many seconds; the page is at the port, or any free one.

    Raises:
        UsageError: if the port is taken, or the faults are none.
        MachineError: if a part does not come up.
    """
    stable, candidate = plan.choose(None, None, REHEARSAL, None, options.remark)
    choices = Choices(TIME_SCALE, tuple(faults), rate=RATE, promote_s=None, alerts=True)
    command = shlex.join(["observe", "up", *(f"--fault={fault}" for fault in faults)])
    made = plan.make(stable, candidate, choices, command)
    made = replace(made, rollout=unended(made.rollout))
    scratch.make_ignored(out)
    folder = out / made.id
    folder.mkdir()
    target = LocalTarget(made, folder)
    live = Live(made, target, folder, seconds)
    names = {uid: dashboard.title.rpartition("/ ")[2] for uid, dashboard in NAMES.items()}
    boards = Boards(names, partial(_board, target))
    with App(Source(RUNS, REHEARSAL), live, boards).serve(port) as server:
        options.say(f"live at {server.url}\nCtrl-C ends everything")
        _follow(target, live)
    runs.prune(out, 1)


def _follow(target: LocalTarget, live: Live) -> None:
    """Lets it go on; there is no verdict to give on what gates do not end."""
    record = Timeline()
    try:
        for seen in target.prepare():
            live.watch(record, seen, record.take(seen))
        record.rebase()
        for seen in target.rehearse():
            live.watch(record, seen, record.take(seen))
    finally:
        with program.undisturbed():
            target.tear_down()


def unended(rollout: Rollout) -> Rollout:
    """The same with its canary beside stable until somebody acts: gates measure and end nothing."""
    own = {metric.name: metric for analysis in rollout.analyses for metric in analysis.metrics}
    most = sys.maxsize
    metrics = [
        replace(
            metric,
            dry_run=True,
            count=0,
            failure_limit=most,
            inconclusive_limit=most,
            consecutive_success_limit=0,
        )
        for metric in own.values()
    ]
    arguments = {name: a for analysis in rollout.analyses for name, a in analysis.arguments.items()}
    return replace(
        rollout,
        replicas=STABLE,
        steps=(SetWeight(WEIGHT), Pause(None)),
        background=Analysis(("all gates, in dry run",), tuple(metrics), arguments),
    )


def _ask(target: LocalTarget, span: Span, query: str, legend: str) -> Sequence[Series]:
    """A panel's query over a span; nothing where Prometheus cannot answer it."""
    if target.prometheus is None:
        return ()
    try:
        return ranges.ask(target.prometheus.port, queries.filled(query, rate="30s"), legend, span)
    except QueryError:
        return ()


def _board(target: LocalTarget, uid: str) -> Board:
    now = time.time()
    span = Span(now - SHOWN_S, now, STEP_S)
    ask = partial(_ask, target, span)
    firing = {one.name for one in ask('ALERTS{alertstate="firing"}', "{{alertname}}")}
    status = f"Alerts that fire: {', '.join(sorted(firing)) or 'none'}."
    return page.board(NAMES[uid], ask, span, status)
