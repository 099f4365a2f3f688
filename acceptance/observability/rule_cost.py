"""What evaluating every rule costs a real Prometheus that scrapes fifty pods of forty routes.

The thirty days that the budget looks back over are backfilled, and each series that the service
exports is there in every pod, so that no rule is cheap because it finds nothing.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from observe import ranges
from observe.promtool import Promtool
from observe.ranges import Span
from observe.stack import Stack
from werkzeug import Request, Response

from acceptance.answering import answering
from canary.errors import MachineError
from canary.power import backfill
from canary.runtime.prometheus import ScrapeJob, Target

CONTRACT = Path("observability/contract.prom")
PODS, ROUTES = 50, 40
RELEASES = ("bcdfg2456", "hjklm2456")
STATUSES = ("200", "201", "404", "500", "503")
SCRAPE_S = 5.0
# Longer than the longest window that rules ask of raw counters.
LONG_S = 330.0
ALLOWED_S = 1.0
WHOLE = 0.999
DAY_S = 86_400
# What is recorded and looked back on for 30 days, and the interval of its rule in seconds.
PAST = {
    "gridos:http_requests:rate5m": 30,
    "gridos:http_failures:rate5m": 30,
    "gridos:http_slow:rate5m": 30,
    "gridos:slo_bad_minute:bool": 60,
}
LIMITS = {"cpu": 0.5, "memory": 256e6}


@dataclass(frozen=True)
class Cost:
    """Seconds that each group took in the last minute, half of the times and at its slowest."""

    typical: Mapping[str, float]
    slowest: Mapping[str, float]
    series: int
    version: str

    @property
    def total_s(self) -> float:
        """Every group as half of its evaluations were, one after another."""
        return sum(self.typical.values())


def measure(folder: Path, tool: Promtool) -> Cost:
    """What the rules cost the Prometheus beside a promtool, once every window is full.

    Raises:
        MachineError: if the rules had less to read than they should have.
    """
    data = folder / "stack/prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    data.mkdir(parents=True)
    backfill.load(past(time.time()), data, "past")
    names = saved(CONTRACT.read_text(encoding="utf-8"))
    with answering(partial(_pod, names)) as server:
        targets = [Target(server.port, _labels(number)) for number in range(PODS)]
        jobs = [ScrapeJob("gridos/gridos", "/", SCRAPE_S, targets)]
        program = tool.program.with_name("prometheus")
        with Stack(folder / "stack", jobs, program=program) as stack:
            time.sleep(LONG_S)
            _require_work(stack)
            return Cost(
                typical=_durations(stack, "quantile_over_time(0.5, {})"),
                slowest=_durations(stack, "max_over_time({})"),
                series=int(_number(stack, "prometheus_tsdb_head_series")),
                version=tool.version,
            )


def past(now_s: float) -> Iterator[str]:
    """Thirty days of what is recorded, in OpenMetrics."""
    end_s = int(now_s)
    for name, step_s in PAST.items():
        yield f"# TYPE {name} gauge"
        for at_s in range(end_s - 30 * DAY_S, end_s, step_s):
            yield f'{name}{{namespace="gridos"}} {(at_s % DAY_S) / DAY_S:.3f} {at_s}'


def saved(text: str) -> tuple[list[str], list[str]]:
    """The latency's bounds, and the series besides the requests', of the service's saved scrape."""
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if line[:1] not in ("#", "")]
    bounds = [s.split('le="')[1].split('"')[0] for s in samples if "_bucket{" in s]
    bounds = list(dict.fromkeys(bounds))
    others = [s for s in samples if not s.startswith(("http_requests_total", "request_duration"))]
    return bounds, others


def exposition(pod: int, at_s: float, names: tuple[list[str], list[str]]) -> Iterator[str]:
    """A pod's series at an instant: every route steadily busy."""
    bounds, others = names
    count = (at_s % 1e6) * 0.25 * (1 + pod % 3)
    for route in range(ROUTES):
        labels = f'method="GET",route="/v1/route{route}"'
        for status in STATUSES:
            yield f'http_requests_total{{{labels},status="{status}"}} {count:.3f}'
        for rank, bound in enumerate(bounds):
            share = min(1.0, (rank + 1) / (len(bounds) - 4))
            bucket = f'request_duration_seconds_bucket{{{labels},le="{bound}"}}'
            yield f"{bucket} {count * share * len(STATUSES):.3f}"
        yield f"request_duration_seconds_count{{{labels}}} {count * len(STATUSES):.3f}"
    yield from (f"{series} 1" for series in others)
    for name in ("cpu_usage_seconds", "cpu_cfs_periods", "cpu_cfs_throttled_periods"):
        yield f'container_{name}_total{{image="i"}} {count / 10:.3f}'
    yield 'container_memory_working_set_bytes{image="i"} 1e8'
    for resource, limit in LIMITS.items():
        yield f'kube_pod_container_resource_limits{{resource="{resource}"}} {limit}'
    yield "kube_pod_container_status_restarts_total 0"
    yield f"kube_pod_created {1000 + pod}"


def _labels(pod: int) -> dict[str, str]:
    pod_hash = RELEASES[pod % 2]
    return {
        "__metrics_path__": f"/{pod}",
        "namespace": "gridos",
        "pod": f"gridos-{pod_hash}-p{pod}",
        "container": "gridos",
        "rollouts_pod_template_hash": pod_hash,
    }


def _require_work(stack: Stack) -> None:
    """That the rules had every pod, every route and all of the 30 days before them."""
    recorded = "gridos:http_requests:rate5m"
    expected = {
        'count(up{job="gridos/gridos"} == 1)': PODS,
        "count(gridos:http_requests_by_route:rate5m)": ROUTES * len(STATUSES) * len(RELEASES),
        # Less what falls between the past that was written and the first evaluation.
        f"count_over_time({recorded}[29d])": WHOLE * 29 * DAY_S / PAST[recorded],
    }
    for query, least in expected.items():
        if (found := _number(stack, query)) < least:
            raise MachineError(f"{query} is {found:.0f}, and should be {least:.0f}", "run it alone")


def _number(stack: Stack, query: str) -> float:
    answer = stack.prometheus.query(query)
    return answer if isinstance(answer, float) else sum(answer)


def _durations(stack: Stack, over: str) -> dict[str, float]:
    """Prometheus's own word for it, scraped every second, over a minute."""
    now_s = time.time()
    query = over.format("prometheus_rule_group_last_duration_seconds[1m]")
    span = Span(now_s, now_s, 1.0)
    found = ranges.ask(stack.prometheus.port, query, "{{rule_group}}", span)
    return {one.name.rpartition(";")[2]: one.points[0][1] for one in found}


def _pod(names: tuple[list[str], list[str]], request: Request) -> Response:
    """One pod's scrape."""
    lines = exposition(int(request.path.strip("/")), time.time(), names)
    return Response("\n".join([*lines, ""]), content_type="text/plain; version=0.0.4")
