"""`canary rehearse`: one release, from its manifests to its verdict.

Exit codes: 0 promoted, 1 rolled back by a gate or the progress deadline, or its migration failed,
2 the input cannot be used, 3 no verdict, 4 the tool or the machine is at fault, 130 interrupted.
"""

import argparse
import contextlib
import itertools
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from canary import durations, faults
from canary.argo import events, manifests
from canary.argo.support import Support
from canary.commands import options
from canary.errors import MachineError, UsageError
from canary.rehearse import (
    meter,
    plan,
    pull_request,
    replay,
    report,
    result,
    runner,
    runs,
    scraping,
    time_compression,
)
from canary.rehearse.cluster import ClusterTarget
from canary.rehearse.local import LocalTarget
from canary.rehearse.plan import Choices, Plan
from canary.rehearse.runner import Watcher
from canary.rehearse.target import Event, Observation, Target
from canary.rehearse.timeline import Timeline
from canary.rehearse.view import View, lines
from canary.runtime import documents, kubectl, program, scratch
from canary.web.app import App, Source
from canary.web.live import Live
from canary.yamls import Document

# A run leaves about 20 MB, most of it Prometheus's; PostgreSQL's folder takes 60 MB while it runs.
NEEDED_BYTES = 200_000_000

# Runs on any cluster without Azure.
DEFAULT_SCALE = {"local": 6.0, "cluster": 1.0}
CLUSTER_MANIFESTS = Path("deploy/overlays/local")

# What only one machine can do, and what is asked of a cluster alone.
LOCAL_ALONE = {"event", "without_metric", "stable", "candidate", "port", "arg", "record", "rules"}
CLUSTER_ALONE = {"context", "url", "image"}

EPILOG = """\
faults (in the candidate's pods; give --fault several times, or separate faults by commas):
  errors=3%             3 % of requests fail with a 500
  status=404@10%        10 % of requests get this status (without @ all of them)
  latency=400ms@10%     10 % of requests take 400 ms more
  hang=1%               1 % of requests are never answered, and each keeps a thread
  reset=1%              for 1 % of requests the connection closes without a response
  cut=1%                the same, after the service has counted the response as it was
  leak=1MiB             each request leaks this memory
  crash=500             the pod crashes after 500 requests
  cpu=90%               the pod uses 90 % of its CPU limit
  warmup=3s             requests take 300 ms more for 3 s after a pod's first request
  slow-start=20s        the pod is not ready for 20 s
  …@/v1/orders          only requests to this route (first seven faults), named as in the metrics
  …,after=90s           the faults begin 90 s after the pod's start
  database-down=2s@40s  stable and candidate lose their database for 2 s, 40 s after the release
--time-scale does not compress these times.

events (WHEN is 30s after the release, step=4 or step=4+5s, in the manifest's time):
  traffic=0             users send this many times the rate (0: nothing, 2: twice)
  prometheus=stop       Prometheus stops; prometheus=start: it starts again, without its data
  replicas=20           spec.replicas changes
  lose-canary=1         this many canary pods disappear, or all
  alert=NAME            an alert of the platform fires; @before: before the release
  promote, promote-full, abort, retry, undo, pause
                        as with kubectl argo rollouts
  release               another release, without the faults, replaces this one

exit codes:
  0 promoted   1 rolled back by a gate or the progress deadline, or its migration failed
  2 the input cannot be used   3 no verdict: paused inconclusive, not measured, or ended by hand
  4 the tool or the machine is at fault
  130 interrupted   (`make rehearse` replaces each of them except 0 by 2: in CI call this program)

examples:
  canary rehearse                            a healthy release, in about a minute and a half
  canary rehearse --fault errors=3%          a faulty release: rolled back at the first step
  canary rehearse --time-scale 1             in real time, with the traffic that the gates expect
  canary rehearse --stable main --candidate fix-42
                                             one branch released over another
  canary rehearse --stable main              this working tree released over main
  canary rehearse -o json | jq .verdict      result.json on stdout, everything else on stderr
  canary rehearse --explain --manifests DIR  which fields of DIR would be enforced, read or refused

Each run writes result.json, report.html, report.md and junit.xml to out/rehearsals/<id>;
out/rehearsals/latest points to the newest run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its gates, how it is run, and where."""
    group = parser.add_argument_group("the release")
    options.fault(group, "make the candidate a faulty release")
    group.add_argument(
        "--stable",
        metavar="REF",
        help="git reference of the release that users have (this checkout; main with --candidate)",
    )
    group.add_argument(
        "--candidate",
        metavar="REF",
        help="git reference of the release to try (this checkout, with uncommitted changes)",
    )
    options.config(group)
    group.add_argument(
        "--explain",
        action="store_true",
        help="print which fields of the manifests a rehearsal enforces, and run nothing",
    )
    group = parser.add_argument_group("its gates")
    options.kustomization(group)
    options.arg(group)
    group.add_argument(
        "--without-metric",
        action="append",
        default=[],
        metavar="NAME",
        help="do not judge this metric, such as one of a provider that is not available here",
    )
    _add_run(parser.add_argument_group("the run"))
    _add_cluster(
        parser.add_argument_group(
            "on a cluster",
            "The cluster's own Argo Rollouts runs the release, in real time. docs/install.md says "
            "how to set up a cluster.",
        )
    )


def _add_run(group: options.Container) -> None:
    group.add_argument(
        "--time-scale",
        type=time_compression.factor,
        metavar="N",
        help="how much faster than real time the steps run (6; on a cluster 1)",
    )
    group.add_argument(
        "--promote",
        type=_promotion,
        default=0.0,
        metavar="after=TIME|never",
        help="when a person promotes a step that waits for it, in the manifest's time (at once)",
    )
    group.add_argument(
        "--event",
        type=_event,
        action="append",
        default=[],
        metavar="WHAT@WHEN",
        help="something that happens during the release, see below; give it several times",
    )
    options.rate(group, "that users send (what the gates need at this scale)")
    group.add_argument(
        "--without",
        choices=("traffic", "prometheus"),
        action="append",
        default=[],
        help="send no requests, or kill Prometheus halfway through the first pause",
    )
    group.add_argument(
        "--rules",
        type=Path,
        metavar="DIR",
        help="rule files that the run's Prometheus evaluates too, such as observability/rules",
    )
    options.runs(group)
    group.add_argument(
        "--keep",
        type=options.count,
        default=runs.KEPT,
        metavar="N",
        help=f"the number of runs to keep, with this one; older runs are removed ({runs.KEPT})",
    )
    group.add_argument(
        "--record", type=Path, metavar="FILE", help="write the run's Prometheus data to one file"
    )
    options.port(group, None, "the gateway's port (any free one)")
    options.output(group, ("table", "json"))
    group.add_argument(
        "--web",
        action="store_true",
        help="show the rehearsal live in a browser too; ends when its page is closed",
    )


def _add_cluster(group: options.Container) -> None:
    group.add_argument(
        "--target",
        choices=("local", "cluster"),
        default="local",
        help="processes on this machine, or a Kubernetes cluster (local)",
    )
    group.add_argument(
        "--context", metavar="NAME", help="kube context (the current one, if it is not production)"
    )
    group.add_argument(
        "--url",
        type=program.address,
        metavar="URL",
        help="the gateway's address (a port-forward to it)",
    )
    group.add_argument("--image", metavar="REF", help="the candidate's image (the overlay's)")


def run(chosen: argparse.Namespace) -> int:
    """Runs one rehearsal, or says what it would make of the manifests."""
    if chosen.explain:
        given: Path | None = chosen.manifests
        shipped = (given, tuple(documents.read(given))) if given else plan.shipped(chosen.config)
        return _explain(*shipped, chosen)
    _refuse_contradictions(chosen)
    if chosen.target == "cluster":
        chosen.manifests = chosen.manifests or CLUSTER_MANIFESTS
    chosen.time_scale = chosen.time_scale or DEFAULT_SCALE[chosen.target]
    if chosen.rules is not None and not any(chosen.rules.rglob("*.yaml")):
        raise UsageError(f"{chosen.rules} contains no rule file", "name a folder with *.yaml")
    stable, candidate = plan.choose(
        chosen.stable,
        chosen.candidate,
        chosen.config,
        chosen.manifests,
        options.remark,
        chosen.without_metric,
        dict(chosen.arg) if chosen.target == "local" else None,
        chosen.rules,
    )
    choices = Choices(
        time_scale=chosen.time_scale,
        faults=tuple(chosen.fault),
        arguments=tuple(chosen.arg),
        rate=chosen.rate,
        without=frozenset(chosen.without),
        port=chosen.port,
        rules=chosen.rules,
        image=chosen.image or "",
        url=chosen.url or "",
        promote_s=chosen.promote,
        events=tuple(chosen.event),
        without_metrics=tuple(chosen.without_metric),
    )
    rehearsed = plan.make(stable, candidate, choices, shlex.join(["canary", *chosen.given]))
    rehearsed, folder = _make(chosen.out, rehearsed)
    try:
        target: Target = (
            ClusterTarget(kubectl.connect(chosen.context), rehearsed, folder)
            if chosen.target == "cluster"
            else LocalTarget(rehearsed, folder)
        )
    except BaseException:
        folder.rmdir()  # nothing was rehearsed
        raise
    title = f"rehearsing {rehearsed.rollout.name} · {rehearsed} · ×{chosen.time_scale:g}"
    json = chosen.output == "json"
    view = View(title, rehearsed.scaled, sys.stderr if json else None)
    with _pages(chosen, rehearsed, target, folder) as live:
        with view:
            run = runner.rehearse(target, _both(view.watch, live.watch) if live else view.watch)
        made = result.build(rehearsed, target, run)
        file = result.write(made, folder)
        if rehearsed.other_gates is not None and chosen.target == "local" and made.released_at:
            made = replay.judged_by_both(made, folder, rehearsed.other_gates, stable.name)
            file = result.write(made, folder)
        page = report.write(made, folder / "report.html")
        pull_request.write(made, folder)
        if chosen.record:
            replay.pack(folder, chosen.record)
        told = list(lines(made, file, page))
        if old := runs.prune(chosen.out, max(1, chosen.keep)):
            many = f"{len(old)} older runs, down to {old[-1].id} (--keep N keeps more)"
            told.append(("removed", many))
        view.conclude(told, made.verdict.headline, made.verdict.exit_code)
        if json:
            options.say(file.read_text(encoding="utf-8").rstrip())
        if live:
            live.conclude(made)
            with contextlib.suppress(KeyboardInterrupt):
                live.wait_until_closed()
    return made.verdict.exit_code


def _event(text: str) -> events.Event:
    try:
        return events.parse(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None


def _promotion(text: str) -> float | None:
    """After how long a person promotes; None is never."""
    if text == "never":
        return None
    if not text.startswith("after="):
        raise argparse.ArgumentTypeError(f"{text!r} is neither never nor such as after=10s")
    try:
        return durations.parse(text.removeprefix("after="))
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None


def _both(first: Watcher, second: Watcher) -> Watcher:
    def watch(record: Timeline, seen: Observation, fresh: Sequence[Event]) -> None:
        first(record, seen, fresh)
        second(record, seen, fresh)

    return watch


@contextlib.contextmanager
def _pages(
    chosen: argparse.Namespace, what: Plan, target: Target, folder: Path
) -> Iterator[Live | None]:
    """Serves the run's page while it lasts, if one is asked for."""
    if not chosen.web:
        yield None
        return
    live = Live(what, target, folder)
    source = Source(chosen.out, chosen.config, chosen.manifests)
    with App(source, live).serve(None) as server:
        options.say(f"live at {server.url}")
        yield live


def _explain(source: Path, found: Sequence[Document], chosen: argparse.Namespace) -> int:
    """Prints each field under its word, and which gates cannot be judged; 2 if any refuses."""
    rows = manifests.explain(found, chosen.without_metric)
    groups = {word: [str(row) for row in rows if row.support is word] for word in Support}
    refused = groups[Support.NOT_SUPPORTED]
    for word in (Support.NOT_SUPPORTED, Support.NOT_ENFORCED, Support.ENFORCED):
        _tell(word, groups[word])
    try:
        bundle = manifests.take(found, str(source), chosen.without_metric)
    except UsageError as wrong:
        if str(wrong) == manifests.listing(refused):
            return program.UNUSABLE
        raise
    rollout, unresolved = manifests.judged(bundle, dict(chosen.arg))
    others = [line for line in bundle.refused if line not in refused]
    others += unresolved
    others += meter.refusals(bundle, rollout, rules=chosen.rules is not None)
    others += scraping.refusals(rollout, bundle)
    _tell("gates and users that stand in the way", others)
    return program.UNUSABLE if refused or others else 0


def _tell(heading: str, items: Sequence[str]) -> None:
    if items:
        print(f"{heading} ({len(items)}):", *(f"  {item}" for item in items), sep="\n")  # noqa: T201 — what was asked for


def _refuse_contradictions(chosen: argparse.Namespace) -> None:
    """Options that mean nothing beside each other.

    Raises:
        UsageError: if some were given: an option that is passed over in silence misleads.
    """
    given = {name for name, value in vars(chosen).items() if value not in (None, [])}

    def refuse(names: set[str], why: str, remedy: str) -> None:
        if wrong := sorted(given & names):
            named = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise UsageError(f"{named} {why}", remedy)

    if chosen.target == "cluster":
        refuse(LOCAL_ALONE, "is not possible on a cluster", "name the candidate by --image")
        if any(map(faults.is_world, ",".join(chosen.fault).split(","))):
            raise UsageError("database-down is not possible on a cluster", "leave it out")
        if "prometheus" in chosen.without:
            raise UsageError("--without prometheus is not possible on a cluster", "leave it out")
    else:
        refuse(CLUSTER_ALONE, "is for a cluster", "add --target cluster, or leave it out")
    if "traffic" in chosen.without:
        refuse({"rate"}, "contradicts --without traffic", "give one of the two")
    if not all(word.strip() for fault in chosen.fault for word in fault.split(",")):
        raise UsageError("--fault is empty", "leave it out for a healthy release")


def _make(out: Path, what: Plan) -> tuple[Plan, Path]:
    """Makes the run's folder; what began within the same second is told apart by a number.

    Raises:
        MachineError: if there is too little disk space for a run.
    """
    scratch.make_ignored(out)
    free = shutil.disk_usage(out).free
    if free < NEEDED_BYTES:
        raise MachineError(
            f"{out} has {free // 1_000_000} MB free and a run needs {NEEDED_BYTES // 1_000_000}",
            "free some, or choose another folder with --out",
        )
    names = itertools.chain([what.id], (f"{what.id}-{number}" for number in itertools.count(2)))
    for name in names:
        with contextlib.suppress(FileExistsError):
            (out / name).mkdir()
            return replace(what, id=name), out / name
    raise AssertionError("there is always another number")
