"""What a run left behind to find the cause in: requests, logs and restarts, canary beside stable.

`blame` says in plain sentences where the canary differs from stable; the rest is what it says so
from. Nothing here judges: the gates have.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from canary.rehearse.load import Refusal
from canary.rehearse.units import milliseconds as ms
from canary.runtime.gateway import Access

CANARY, STABLE = "canary", "stable"
HERE = Path()
# A client that left without an answer after less time than this was stopped with the run.
UNANSWERED_MS = 1000
# A pod's times count from so long after its first request on.
WARM_UP_S = 3.0
# By this factor a route of the canary must be worse than stable's to be named, and slower by this.
WORSE, SLOWER_MS = 3.0, 20.0
# Where most requests are as quick as stable's, a few may have waited for a core: the 95th
# percentile alone must be slower by what users notice, as the gate against stable asks too.
SLOWER_P95_MS = 50.0
# Fewer requests have no median, and fewer than so many no 95th percentile.
FEW, FEW_FOR_P95 = 8, 20
# A route stands out of the others if it were so bad by chance in one run of a thousand at most;
# from so many failures on that is computed as of a normal distribution.
CHANCE, MANY = 0.001, 50.0
# In a second that is shared, so much of what stable was asked fails, and so many requests, and the
# canary's share is at most so many times as large. What waits for it may have come a second earlier
# or later.
SHARED_SHARE, SHARED_FEWEST, SHARED_FACTOR, SHARED_SPREAD_S = 0.2, 2, 2.0, 1
MAX_NAMED, MAX_EXCEPTIONS, MAX_BODIES = 3, 5, 5
TOGETHER = "all routes together"
# What the gateway says of a connection that the pod closed before it had answered.
BROKEN_OFF = "UC"
MAX_LINES, MAX_TEXT = 14, 300


class Part(BaseModel):
    """A part of the record; runs of before may lack what was added since."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class Figures(Part):
    """What one release did with the requests of one route.

    `failed` counts 5xx and broken connections, `refused` 4xx, `unanswered` what the client gave up.
    """

    requests: int = 0
    failed: int = 0
    refused: int = 0
    unanswered: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    fastest_ms: float | None = None
    longest_ms: float | None = None
    statuses: dict[str, int] = Field(default_factory=dict)

    @property
    def bad(self) -> int:
        """What users got no good answer to, but for 4xx."""
        return self.failed + self.unanswered


class Route(Part):
    """A route, canary beside stable; both since the release."""

    route: str
    canary: Figures
    stable: Figures


class Raised(Part):
    """A kind of exception or error in the canary's logs: where it is first, and how often."""

    text: str
    place: str
    count: int
    pod: str
    log: str
    line: int
    lines: list[str]


class Response(Part):
    """The body of one error response of the canary."""

    route: str
    status: int
    body: str


class Restart(Part):
    """A container's end that its kubelet restarted it for, with its last log lines."""

    release: str
    pod: str
    because: str
    log: str
    lines: list[str]


class Coverage(Part):
    """Which of the known routes some request to the canary came to; some are left out on purpose.

    Nothing is known of a route that is missing: an exception there would be promoted.
    """

    known: int = 0
    missing: list[str] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list)

    def __str__(self) -> str:
        """As one sentence."""
        if not self.known:
            return ""
        exercised = f"{self.known - len(self.missing)} of {self.known} routes exercised"
        without = f"; not exercised: {', '.join(self.missing)}" if self.missing else ""
        return f"{exercised}{without}"


class Evidence(Part):
    """All of it; empty where the target keeps no such records.

    `routes` are of the time before the decision, but for the seconds that `shared` tells of.
    """

    cause: list[str] = Field(default_factory=list)
    shared: str = ""
    routes: list[Route] = Field(default_factory=list)
    gateway: dict[str, dict[str, int]] = Field(default_factory=dict)
    clients: dict[str, int] = Field(default_factory=dict)
    exceptions: list[Raised] = Field(default_factory=list)
    responses: list[Response] = Field(default_factory=list)
    restarts: list[Restart] = Field(default_factory=list)
    coverage: Coverage = Coverage()
    changed: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Log:
    """A canary pod's log; `name` is its path from the run's folder."""

    pod: str
    name: str
    lines: Iterable[str]


_IN_URL = re.compile(r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)")
_NAMED = re.compile(
    r"(?i)((?:password|passwd|secret|token|authorization|api[-_]?key)[\"']?\s*[:=]\s*"
    r"(?:bearer\s+|basic\s+)?[\"']?)[^\s\"',;&]+"
)


@dataclass(frozen=True)
class Redaction:
    """What no report may hold: the run's secrets, and where this machine keeps things."""

    secrets: Sequence[str] = ()
    folders: Sequence[Path] = ()

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        for folder in self.folders:
            text = text.replace(f"{folder}/", "")
        return _NAMED.sub(r"\1***", _IN_URL.sub("***", text))


# ---------------------------------------------------------------------------------------- requests


def apart(accesses: Sequence[Access], release_of: Callable[[int], str]) -> tuple[list[Access], str]:
    """Without the seconds in which canary and stable failed alike, and a sentence about these.

    What both suffer from tells them not apart: no route is to blame for it, and who has the more
    requests then would seem the worse.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for access in accesses:
        if (release := release_of(access.port)) and not _cut_off(access):
            second = counts[int(access.at)]
            second[release] += 1
            second[f"failed {release}"] += not access.status or access.status >= 500  # noqa: PLR2004 — HTTP's classes
    alike = [second for second, count in counts.items() if _failed_alike(count)]
    if not alike:
        return list(accesses), ""
    total = sum((counts[second] for second in alike), Counter[str]())
    spread = range(-SHARED_SPREAD_S, SHARED_SPREAD_S + 1)
    left_out = {second + away for second in alike for away in spread}
    figures = " and ".join(
        f"{total[f'failed {release}']:,} of the {total[release]:,} requests to {release}"
        for release in (CANARY, STABLE)
    )
    return (
        [access for access in accesses if int(access.at) not in left_out],
        f"{figures} failed in {len(alike)} s in which both releases failed; "
        "no route is judged by these",
    )


def _failed_alike(count: Mapping[str, int]) -> bool:
    """Whether stable failed in a second, and the canary not much more than it."""
    failed = count[f"failed {STABLE}"]
    if not count[CANARY] or failed < SHARED_FEWEST or failed < SHARED_SHARE * count[STABLE]:
        return False
    ours = count[f"failed {CANARY}"] / count[CANARY]
    return 0 < ours <= SHARED_FACTOR * failed / count[STABLE]


def compare(
    accesses: Iterable[Access],
    release_of: Callable[[int], str],
    name: Callable[[str, str], str],
) -> tuple[list[Route], Route]:
    """(routes, all of them as one) of requests.

    Args:
        accesses: The requests.
        release_of: Whose pod listens on a port; nothing for nobody's.
        name: The route of a method and a path.
    """
    seen: dict[str, dict[str, list[Access]]] = defaultdict(lambda: {CANARY: [], STABLE: []})
    warm_at: dict[int, float] = {}
    for access in accesses:
        release = release_of(access.port)
        # What a pod loads on first use is no route's; stable's pods had done so before the release.
        warm_at.setdefault(access.port, access.at + WARM_UP_S)
        if release and not _cut_off(access):
            seen[name(access.method, access.path)][release].append(access)
    routes = [
        Route(
            route=route,
            canary=_figures(of[CANARY], warm_at),
            stable=_figures(of[STABLE], warm_at),
        )
        for route, of in sorted(seen.items(), key=lambda pair: pair[0].partition(" ")[::-1])
    ]
    both = [
        _figures([access for of in seen.values() for access in of[release]], warm_at)
        for release in (CANARY, STABLE)
    ]
    canary = [(access, route) for route, of in seen.items() for access in of[CANARY]]
    return routes, Route(route=_together(canary), canary=both[0], stable=both[1])


def statuses(
    accesses: Iterable[Access], release_of: Callable[[int], str]
) -> dict[str, dict[str, int]]:
    """The statuses that the gateway met, by release."""
    met: dict[str, Counter[str]] = defaultdict(Counter)
    for access in accesses:
        if not _cut_off(access):
            met[release_of(access.port) or "no pod"][_status(access)] += 1
    return {release: dict(sorted(c.items())) for release, c in met.items()}


def _together(canary: Sequence[tuple[Access, str]]) -> str:
    """What all routes are called: with the one that is to blame, where most got no answer.

    A pod that has ended or hangs answers nobody, and the first to get no answer knows why. One that
    crashes breaks off whatever it was answering: the route that it was answering most often.
    """
    silent = sorted(
        (a.at, route, a.flags)
        for a, route in canary
        if not a.status or (a.status >= 500 and a.flags)  # noqa: PLR2004 — HTTP
    )
    if not silent or 2 * len(silent) < len(canary):
        return TOGETHER
    _, first, flags = silent[0]
    if flags != BROKEN_OFF:
        return f"{TOGETHER}, first of all {first}"
    broken = Counter(route for _, route, flags in silent if flags == BROKEN_OFF)
    return f"{TOGETHER}, broken off in {broken.most_common(1)[0][0]}"


def _cut_off(access: Access) -> bool:
    """Whether the run's end is why there was no answer."""
    return access.status == 0 and access.ms < UNANSWERED_MS


def _status(access: Access) -> str:
    # A client that leaves once it has its answer (DC) is no failure.
    flags = "" if access.status and access.flags == "DC" else access.flags
    return f"{access.status or 'no response'} {flags}".strip()


def _figures(accesses: Sequence[Access], warm_at: Mapping[int, float]) -> Figures:
    """The figures of one release's requests; the times are those after each pod's warm-up."""
    warm = [access.ms for access in accesses if access.at >= warm_at[access.port]]
    times = sorted(warm or [access.ms for access in accesses])
    return Figures(
        requests=len(accesses),
        failed=sum(access.status >= 500 for access in accesses),  # noqa: PLR2004 — HTTP's classes
        refused=sum(400 <= access.status < 500 for access in accesses),  # noqa: PLR2004 — same
        unanswered=sum(access.status == 0 for access in accesses),
        fastest_ms=times[0] if times else None,
        p50_ms=_percentile(times, 0.50),
        p95_ms=_percentile(times, 0.95),
        p99_ms=_percentile(times, 0.99),
        longest_ms=times[-1] if times else None,
        statuses=dict(Counter(map(_status, accesses)).most_common()),
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def cover(known: Iterable[str], left_out: Iterable[str], routes: Iterable[Route]) -> Coverage:
    """Which of the known routes the canary was asked for."""
    apart = set(left_out)
    asked = {route.route for route in routes if route.canary.requests}
    every = list(dict.fromkeys(known))
    wanted = [route for route in every if route not in apart]
    return Coverage(
        known=len(wanted),
        missing=[route for route in wanted if route not in asked],
        left_out=[route for route in every if route in apart],
    )


# -------------------------------------------------------------------------------------------- logs

_TRACEBACK = "Traceback (most recent call last)"
_SEVERE = frozenset({"ERROR", "CRITICAL", "FATAL", "PANIC"})
_SEVERE_WORD = re.compile(r'"(?:error|critical|fatal|panic)"', re.IGNORECASE)
_PLAIN = re.compile(r"^(?:panic:|fatal\b|FATAL\b|.*\b(?:ERROR|CRITICAL)\b|Exception in )")
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


def exceptions(
    logs: Iterable[Log], redact: Callable[[str], str], folder: Path = HERE
) -> list[Raised]:
    """The kinds of exceptions and errors that logs hold, the most frequent first.

    Args:
        logs: The logs.
        redact: Takes out what no report may hold.
        folder: The checkout whose own files are told from its packages'.
    """
    first: dict[str, Raised] = {}
    counts: Counter[str] = Counter()
    for log in logs:
        for number, lines in _blocks(log.lines):
            text = redact(lines[-1].strip())[:MAX_TEXT]
            kind = _kind(text)
            counts[kind] += 1
            if kind not in first:
                first[kind] = Raised(
                    text=text,
                    place=redact(_place(lines, folder)),
                    count=0,
                    pod=log.pod,
                    log=log.name,
                    line=number,
                    lines=[redact(line)[:MAX_TEXT] for line in lines[-MAX_LINES:]],
                )
    return [
        first[kind].model_copy(update={"count": count})
        for kind, count in counts.most_common(MAX_EXCEPTIONS)
    ]


def _blocks(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, its lines) of each exception or error of a log."""
    trace: list[str] = []
    began = 0
    for number, line in enumerate(map(str.rstrip, lines), start=1):
        if trace:
            trace.append(line)
            if line.startswith((" ", "\t")):
                continue
            yield began, trace
            trace = []
        elif line.startswith("{"):
            if block := _from_json(line):
                yield number, block
        elif line.startswith(_TRACEBACK):
            trace, began = [line], number
        elif _PLAIN.match(line):
            yield number, [line]
    # One that is cut off was being written when the run ended its pod, and names no exception.
    if trace and not trace[-1].startswith((" ", "\t", _TRACEBACK)):
        yield began, trace


def _from_json(line: str) -> list[str]:
    """The lines of what a structured log line says went wrong; none where it does not."""
    # Parsing each access line would cost seconds.
    if "exc_info" not in line and not _SEVERE_WORD.search(line):
        return []
    try:
        said = json.loads(line)
    except ValueError:
        return []
    level = str(said.get("level") or said.get("severity") or "").upper()
    trace = said.get("exc_info") or said.get("exception") or said.get("stack") or ""
    if not trace and level not in _SEVERE:
        return []
    text = str(trace or said.get("message") or said.get("msg") or line)
    return text.strip().splitlines() or [line]


def _place(lines: Sequence[str], folder: Path) -> str:
    """The file, line and function of a traceback's last frame in the program's own code."""
    frames = _FRAME.findall("\n".join(lines))
    own = [(mine, *rest) for file, *rest in frames if (mine := _own(file, folder))]
    if not frames:
        return ""
    file, line, function = (own or frames)[-1]
    return f"{file}:{line} in {function}"


def _own(file: str, folder: Path) -> str:
    """A file of the checkout, also where its package is installed; nothing for any other."""
    _, installed, inside = file.rpartition("/site-packages/")
    path = Path(inside if installed else file)
    if path.is_absolute():
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else ""
    found = next(folder.glob(f"*/{path}"), None)
    return str(found.relative_to(folder)) if found else ""


def responses(refusals: Iterable[Refusal], redact: Callable[[str], str]) -> list[Response]:
    """The first different errors that clients were answered with."""
    kept: dict[tuple[int, str], Response] = {}
    for refusal in refusals:
        route = f"{refusal.method} {refusal.path.partition('?')[0]}"
        body = redact(refusal.body)[:MAX_TEXT]
        kept.setdefault(
            (refusal.status, _kind(body)), Response(route=route, status=refusal.status, body=body)
        )
    return list(kept.values())[:MAX_BODIES]


def _kind(text: str) -> str:
    """What two errors share that differ by nothing but numbers and ids."""
    return re.sub(r"[0-9a-f-]{8,}|\d+", "#", text)


# ------------------------------------------------------------------------------------------- cause


def blame(
    routes: Sequence[Route],
    total: Route,
    raised: Sequence[Raised],
    restarts: Sequence[Restart],
    *,
    timed: bool = True,
) -> list[str]:
    """Where the canary differs from stable, a sentence each, the worst first.

    Where times say nothing, since the machine was busy, none is in a sentence.
    """
    failing = [r for r in routes if _worse(r, lambda figures: figures.bad)]
    refusing = [r for r in routes if _worse(r, lambda figures: figures.refused)]
    slow = [r for r in routes if timed and _slower(r)]
    found = [_failing(r) for r in _standing_out(failing, total, lambda figures: figures.bad)]
    if raised and found:
        found[0] += f": {_said(raised[0])}"
    found += [_refusing(r) for r in _standing_out(refusing, total, lambda figures: figures.refused)]
    found += _restarting(restarts)
    # Where requests fail or pods restart, others wait: only what is slow by itself counts.
    found += [_slow(r) for r in _slowest(slow, total) if not found or _slow_by_itself(r)]
    if raised and not failing:
        found.append(f"the canary's log: {_said(raised[0])}")
    return found


def worse(route: Route, *, timed: bool = True) -> bool:
    """Whether the canary failed, refused or, where times count, was slow more than stable."""
    failing = _worse(route, lambda figures: figures.bad)
    return failing or _worse(route, lambda figures: figures.refused) or (timed and _slower(route))


def _worse(route: Route, bad: Callable[[Figures], int]) -> bool:
    """Whether the canary's share is a multiple of stable's, and no single chance."""
    canary, stable = route.canary, route.stable
    if bad(canary) < 2:  # noqa: PLR2004 — one proves nothing
        return False
    usual = (bad(stable) + 0.5) / (stable.requests + 1)
    return bad(canary) / canary.requests > WORSE * usual or bad(stable) == 0


def _slower(route: Route) -> bool:
    canary, stable = route.canary, route.stable
    if min(canary.requests, stable.requests) < FEW:
        return False
    compared = [(canary.p50_ms, stable.p50_ms, SLOWER_MS)]
    if canary.requests >= FEW_FOR_P95:
        compared.append((canary.p95_ms, stable.p95_ms, SLOWER_P95_MS))
    return any((c or 0.0) > WORSE * (s or 0.0) + least_ms for c, s, least_ms in compared)


def _standing_out(
    worse: Sequence[Route], total: Route, bad: Callable[[Figures], int]
) -> list[Route]:
    """The routes that are worse than the rest by more than chance; else all of them as one."""
    if len(worse) < 2:  # noqa: PLR2004 — one has nothing to be compared with
        return list(worse)

    def chance(route: Route) -> float:
        """How likely it would be as bad, if it were like the others."""
        canary, every = route.canary, total.canary
        rest = (bad(every) - bad(canary)) / max(1, every.requests - canary.requests)
        return _at_least(bad(canary), rest * canary.requests)

    found = [route for route in sorted(worse, key=chance) if chance(route) < CHANCE]
    return found[:MAX_NAMED] or [total]


def _at_least(count: int, expected: float) -> float:
    """How likely a Poisson count is so many or more."""
    if expected > MANY:
        return math.erfc((count - 0.5 - expected) / math.sqrt(2 * expected)) / 2
    below = (math.exp(-expected) * expected**k / math.factorial(k) for k in range(min(count, 170)))
    return max(0.0, 1 - sum(below))


def _slowest(slow: Sequence[Route], total: Route) -> list[Route]:
    """The routes that are slow by themselves; else the slowest, all as one where many are."""
    ordered = sorted(slow, key=lambda r: r.canary.fastest_ms or 0.0, reverse=True)
    own = [route for route in ordered if _slow_by_itself(route)]
    if own and not _slow_by_itself(total):
        return own[:MAX_NAMED]
    return [total] if len(ordered) > MAX_NAMED else ordered


def _slow_by_itself(route: Route) -> bool:
    """Whether not even the fastest request was quick: the others of a pod only wait for it."""
    canary, stable = route.canary.fastest_ms, route.stable.fastest_ms
    return (canary or 0.0) > WORSE * (stable or 0.0) + SLOWER_MS


def _failing(route: Route) -> str:
    canary, stable = route.canary, route.stable
    words = _top(canary, lambda status: status[:1] in ("5", "n"))
    patience = f" after up to {(canary.longest_ms or 0) / 1000:.0f} s" if canary.unanswered else ""
    return (
        f"{route.route}: {canary.bad:,} of {canary.requests:,} requests failed with "
        f"{words}{patience} (stable {stable.bad:,} of {stable.requests:,})"
    )


def _refusing(route: Route) -> str:
    canary, stable = route.canary, route.stable
    return (
        f"{route.route}: {canary.refused:,} of {canary.requests:,} requests were answered with "
        f"{_top(canary, lambda status: status.startswith('4'))} "
        f"(stable {stable.refused:,} of {stable.requests:,})"
    )


def _slow(route: Route) -> str:
    canary, stable = route.canary, route.stable
    return (
        f"{route.route}: 95 % answered within {ms(canary.p95_ms)} (stable {ms(stable.p95_ms)}), "
        f"half within {ms(canary.p50_ms)} (stable {ms(stable.p50_ms)}), "
        f"none below {ms(canary.fastest_ms)} (stable {ms(stable.fastest_ms)})"
    )


def _restarting(restarts: Sequence[Restart]) -> Iterator[str]:
    """How often the canary's containers ended, by reason."""
    reasons: dict[str, list[Restart]] = defaultdict(list)
    for restart in restarts:
        if restart.release == CANARY:
            reasons[restart.because.partition(":")[0]].append(restart)
    for found in sorted(reasons.values(), key=len, reverse=True):
        times = "once" if len(found) == 1 else f"{len(found)} times"
        yield f"canary containers were restarted {times}: {found[-1].because} ({found[-1].log})"


def _top(figures: Figures, wanted: Callable[[str], bool]) -> str:
    """The most frequent of the statuses that are wanted."""
    return next((status for status in figures.statuses if wanted(status)), "no response")


def _said(raised: Raised) -> str:
    return f"{raised.text} at {raised.place}" if raised.place else raised.text
