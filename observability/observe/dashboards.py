"""The dashboards: six, each with few panels, in the order in which a responder asks.

Ratios, rates per release and the budget are recorded series, so that a panel, an alert and a gate
can never disagree. Raw counters appear where a reader wants them split by route.
"""

from __future__ import annotations

from observe.panels import (
    Annotation,
    Dashboard,
    Kind,
    Panel,
    Source,
    Target,
    Unit,
    Variable,
)

_NS = 'namespace="gridos"'
CONTROLLER = "the Argo Rollouts controller's metrics"
CADVISOR = "a kubelet's cAdvisor"
STATE = "kube-state-metrics"
_ARGO_CD = "Argo CD's metrics"
_LOKI = "Loki"
_LOAD_TEST = "a load test, scraped at its --metrics-port"

_ROUTE = Variable("route", f"http_requests_total{{{_NS}}}", "route")
_PODS_OF = f'{_NS}, container="gridos"'

_RELEASES = (
    Annotation(
        "Phase",
        f"changes(rollout_info_replicas_updated{{{_NS}}}[1m]) > 0",
        "{{name}}: the canary was scaled",
    ),
    Annotation(
        "Abort",
        f'max by (name) (rollout_info{{{_NS}, phase="Abort"}}) > 0',
        "{{name}} was rolled back",
    ),
)


def _by_track(series: str) -> str:
    """A per-release series with the release's track."""
    return (
        f"{series} * on (namespace, rollouts_pod_template_hash) group_left (track) "
        "gridos:release_track:info"
    )


def _delta(series: str) -> str:
    """Canary less stable, of a per-release series."""
    tracked = _by_track(series)
    return (
        f"sum by (namespace) (({tracked}) and on (rollouts_pod_template_hash) "
        'gridos:release_track:info{track="canary"}) - '
        f"sum by (namespace) (({tracked}) and on (rollouts_pod_template_hash) "
        'gridos:release_track:info{track="stable"})'
    )


def _clients(series: str, legend: str) -> Target:
    """What a load test's clients met, a second."""
    return Target(f"sum(rate({series}[$__rate_interval]))", legend)


def _p95(buckets: str, legend: str) -> Target:
    """The 95th percentile of a histogram."""
    rate = f"sum by (le) (rate({buckets}[$__rate_interval]))"
    return Target(f"histogram_quantile(0.95, {rate})", legend)


SERVICE = Dashboard(
    uid="gridos-service",
    title="GridOS / Service",
    description="Rate, errors and duration, of the whole, by route and by release.",
    variables=(_ROUTE,),
    annotations=_RELEASES,
    rows=(
        (
            "What users meet",
            (
                Panel(
                    "Requests a second",
                    "All responses but probes and scrapes. A fall without a release is a problem "
                    "before the service: the gateway, or whoever sends.",
                    Unit.PER_SECOND,
                    (Target(f"gridos:http_requests:rate5m{{{_NS}}}", "requests"),),
                ),
                Panel(
                    "Failing share",
                    "Responses 5xx of all, over 5 minutes, against what a release may have.",
                    Unit.RATIO,
                    (Target(f"gridos:http_failures:ratio_rate5m{{{_NS}}}", "failing"),),
                    limit="gridos:gate_error_ratio:max",
                ),
                Panel(
                    "95th percentile of the duration",
                    "From arrival to the last byte, over 5 minutes, against what a release may take.",
                    Unit.SECONDS,
                    (Target(f"gridos:http_p95_latency_seconds:rate5m{{{_NS}}}", "p95"),),
                    limit="gridos:gate_p95_latency_seconds:max",
                ),
            ),
        ),
        (
            "A load test's clients beside the service",
            (
                Panel(
                    "Requests a second, client and service",
                    "Clients above the service: lost before it. Dropped: the generator could not "
                    "send them in time.",
                    Unit.PER_SECOND,
                    (
                        _clients("loadtest_requests_total", "clients: ended"),
                        _clients(
                            'loadtest_requests_total{outcome=~"lost|gateway"}',
                            "clients: without the service's answer",
                        ),
                        _clients("loadtest_dropped_total", "clients: dropped"),
                        Target(
                            f"sum(rate(http_requests_total{{{_NS}}}[$__rate_interval]))",
                            "service: counted",
                        ),
                    ),
                    width=12,
                    needs=_LOAD_TEST,
                ),
                Panel(
                    "95th percentile, client and service",
                    "Clients count from when a request was due. What they wait longer than the "
                    "service takes is spent before it: gateway, network, queue.",
                    Unit.SECONDS,
                    (
                        _p95("loadtest_request_duration_seconds_bucket", "clients"),
                        _p95(f"request_duration_seconds_bucket{{{_NS}}}", "service"),
                    ),
                    width=12,
                    needs=_LOAD_TEST,
                ),
            ),
        ),
        (
            "By route",
            (
                Panel(
                    "Requests a second by route",
                    "Requests by route and method.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            "sum by (route, method) (rate(http_requests_total"
                            f'{{{_NS}, route=~"$route"}}[$__rate_interval]))',
                            "{{method}} {{route}}",
                        ),
                    ),
                ),
                Panel(
                    "Failures a second by route and status",
                    "Zero everywhere is drawn: failures stand at zero from the first scrape.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            "sum by (route, status) (rate(http_requests_total"
                            f'{{{_NS}, route=~"$route", status=~"5.."}}[$__rate_interval]))',
                            "{{status}} {{route}}",
                        ),
                    ),
                ),
                Panel(
                    "95th percentile by route",
                    "A slow route hides in the whole's percentile until it is asked often.",
                    Unit.SECONDS,
                    (
                        Target(
                            "histogram_quantile(0.95, sum by (le, route) (rate("
                            f'request_duration_seconds_bucket{{{_NS}, route=~"$route"}}'
                            "[$__rate_interval])))",
                            "{{route}}",
                        ),
                    ),
                    limit="gridos:gate_p95_latency_seconds:max",
                ),
            ),
        ),
        (
            "Canary and stable, and what they depend on",
            (
                Panel(
                    "Requests in flight",
                    "Begun and not answered. It rises when something below is slow.",
                    Unit.COUNT,
                    (
                        Target(
                            f"sum by (namespace) (http_requests_in_flight{{{_NS}}})", "in flight"
                        ),
                    ),
                ),
                Panel(
                    "Failing share, canary and stable",
                    "1-minute rate, without the gate's confidence margin.",
                    Unit.RATIO,
                    (
                        Target(
                            _by_track(
                                "(gridos:release_failures:increase1m / "
                                "(gridos:release_requests:increase1m > 0))"
                            ),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                    limit="gridos:gate_error_ratio:max",
                ),
                Panel(
                    "Share of pods that reach the database",
                    "Below one for all pods it is the database; for one pod it is that pod.",
                    Unit.RATIO,
                    (Target(f"avg by (namespace) (gridos_db_up{{{_NS}}})", "reach it"),),
                ),
                Panel(
                    "Readings a second",
                    "Stored and refused, as the ingest counts them.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            "sum by (namespace) (rate(gridos_ingest_rows_stored_total"
                            f"{{{_NS}}}[$__rate_interval]))",
                            "stored",
                        ),
                        Target(
                            "sum by (reason) (rate(gridos_ingest_rows_refused_total"
                            f"{{{_NS}}}[$__rate_interval]))",
                            "refused: {{reason}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)

CANARY = Dashboard(
    uid="gridos-canary",
    title="GridOS / Canary",
    description="The release loop itself: who serves, what the gates see, canary against stable.",
    annotations=_RELEASES,
    rows=(
        (
            "Who serves",
            (
                Panel(
                    "Requests a second, canary and stable",
                    "On a basic canary the share of traffic is the share of ready pods.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            f"({_by_track('gridos:release_requests:increase1m')}) / 60",
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                ),
                Panel(
                    "Pods, canary and stable",
                    "Scraped pods of the canary and of stable.",
                    Unit.COUNT,
                    (
                        Target(
                            _by_track(
                                "count by (namespace, rollouts_pod_template_hash) "
                                f'(up{{{_NS}, rollouts_pod_template_hash!=""}} == 1)'
                            ),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                ),
                Panel(
                    "Phase and replicas",
                    "What the controller says: a phase, and updated of desired replicas.",
                    Unit.COUNT,
                    (
                        Target(f"rollout_info{{{_NS}}}", "{{phase}}"),
                        Target(f"rollout_info_replicas_updated{{{_NS}}}", "updated"),
                        Target(f"rollout_info_replicas_desired{{{_NS}}}", "desired"),
                    ),
                    needs=CONTROLLER,
                ),
            ),
        ),
        (
            "What the gates see, against their thresholds",
            (
                Panel(
                    "Requests in a gate's minute",
                    "Below the line the gates are inconclusive, and the release pauses for a manual decision.",
                    Unit.COUNT,
                    (
                        Target(
                            _by_track("gridos:release_requests:increase1m"),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                    limit="gridos:gate_requests:min",
                ),
                Panel(
                    "Error gate",
                    "Lower bound of the failing share (the gate's confidence margin taken off). Above the line: rolled back.",
                    Unit.RATIO,
                    (
                        Target(
                            _by_track("gridos:release_error_ratio:rate1m"),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                    limit="gridos:gate_error_ratio:max",
                ),
                Panel(
                    "Latency gate",
                    "95th percentile of a minute. Above the line: rolled back.",
                    Unit.SECONDS,
                    (
                        Target(
                            _by_track("gridos:release_p95_latency_seconds:rate1m"),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                    limit="gridos:gate_p95_latency_seconds:max",
                ),
                Panel(
                    "CPU gate",
                    "Usage of the limit, of all the release's pods. Above the line: rolled back.",
                    Unit.RATIO,
                    (
                        Target(
                            _by_track("gridos:release_cpu_saturation:ratio_rate1m"),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                    limit="gridos:gate_cpu_saturation_ratio:max",
                ),
                Panel(
                    "Restarts",
                    "Of the release's containers since they exist. One is too many.",
                    Unit.COUNT,
                    (
                        Target(
                            _by_track("gridos:release_container_restarts:sum"),
                            "{{track}} {{rollouts_pod_template_hash}}",
                        ),
                    ),
                    limit="gridos:gate_container_restarts:max",
                ),
                Panel(
                    "Gate phases",
                    "Which gate of which analysis run is in which phase.",
                    Unit.COUNT,
                    (
                        Target(
                            "max by (name, metric, phase) "
                            f"(analysis_run_metric_phase{{{_NS}}} == 1)",
                            "{{metric}} {{phase}}",
                        ),
                    ),
                    needs=CONTROLLER,
                ),
            ),
        ),
        (
            "Canary less stable",
            (
                Panel(
                    "Error gate, canary less stable",
                    "Above zero the canary fails more than the release that it replaces.",
                    Unit.RATIO,
                    (Target(_delta("gridos:release_error_ratio:rate1m"), "canary − stable"),),
                ),
                Panel(
                    "95th percentile, canary less stable",
                    "Above zero the canary is slower.",
                    Unit.SECONDS,
                    (
                        Target(
                            _delta("gridos:release_p95_latency_seconds:rate1m"), "canary − stable"
                        ),
                    ),
                ),
                Panel(
                    "CPU of the limit, canary less stable",
                    "Above zero the canary costs more.",
                    Unit.RATIO,
                    (
                        Target(
                            _delta("gridos:release_cpu_saturation:ratio_rate1m"), "canary − stable"
                        ),
                    ),
                ),
            ),
        ),
    ),
)

BUDGET = Dashboard(
    uid="gridos-budget",
    title="GridOS / Objective and budget",
    span="30d",
    description="99.9 % of requests in rolling 30 days: what is spent, and how fast.",
    rows=(
        (
            "What is left",
            (
                Panel(
                    "Availability, 30 days",
                    "Of requests, not of minutes.",
                    Unit.RATIO,
                    (Target(f"gridos:http_availability:ratio_rate30d{{{_NS}}}", "availability"),),
                    kind=Kind.STAT,
                    width=6,
                ),
                Panel(
                    "Budget left",
                    "Below 50 % no release starts but fixes; below 0 the objective is not met.",
                    Unit.RATIO,
                    (Target(f"gridos:slo_budget_remaining:ratio{{{_NS}}}", "left"),),
                    kind=Kind.STAT,
                    colours=((-1, "red"), (0, "orange"), (0.5, "green")),
                    width=6,
                ),
                Panel(
                    "Budget left, in minutes",
                    "Of a total outage at the month's average traffic.",
                    Unit.MINUTES,
                    (Target(f"gridos:slo_budget_remaining:minutes{{{_NS}}}", "left"),),
                    kind=Kind.STAT,
                    colours=((-1, "red"), (0, "green")),
                    width=6,
                ),
                Panel(
                    "Bad minutes, 30 days",
                    "Minutes in which the failing share was above a release's limit, or nobody got in; the budget in time, which "
                    "does not bind.",
                    Unit.COUNT,
                    (Target(f"gridos:slo_bad_minutes:count30d{{{_NS}}}", "bad minutes"),),
                    kind=Kind.STAT,
                    colours=((0, "green"), (1, "orange")),
                    width=6,
                ),
            ),
        ),
        (
            "How fast it goes",
            (
                Panel(
                    "Burn rate, short windows",
                    "1 spends the budget in 30 days. 14.4 over an hour pages, 6 over six hours too.",
                    Unit.COUNT,
                    tuple(
                        Target(
                            f"gridos:http_failures:ratio_rate{window}{{{_NS}}} / on () "
                            "group_left () gridos:slo_error_budget:ratio",
                            window,
                        )
                        for window in ("5m", "30m", "1h")
                    ),
                ),
                Panel(
                    "Burn rate, long windows",
                    "3 over a day and 1 over three days are tickets.",
                    Unit.COUNT,
                    tuple(
                        Target(
                            f"gridos:http_failures:ratio_rate{window}{{{_NS}}} / on () "
                            "group_left () gridos:slo_error_budget:ratio",
                            window,
                        )
                        for window in ("6h", "1d", "3d")
                    ),
                ),
                Panel(
                    "Budget spent",
                    "By requests, which binds, and by time.",
                    Unit.RATIO,
                    (
                        Target(f"gridos:slo_budget_consumed:ratio{{{_NS}}}", "by requests"),
                        Target(f"gridos:slo_time_budget_consumed:ratio{{{_NS}}}", "by time"),
                    ),
                ),
            ),
        ),
        (
            "Slow requests",
            (
                Panel(
                    "Share of slow requests",
                    "Slower than the latency gate allows; the gate wants less than one in twenty.",
                    Unit.RATIO,
                    (
                        Target(f"gridos:http_slow:ratio_rate5m{{{_NS}}}", "5m"),
                        Target(f"gridos:http_slow:ratio_rate1h{{{_NS}}}", "1h"),
                        Target(f"gridos:http_slow:ratio_rate30d{{{_NS}}}", "30d"),
                    ),
                    width=12,
                ),
                Panel(
                    "Blocking alerts",
                    "Firing alerts that keep releases from being shipped.",
                    Unit.COUNT,
                    (Target("gridos:release_blockers:count", "blocking"),),
                    width=12,
                ),
            ),
        ),
    ),
)

CAPACITY = Dashboard(
    uid="gridos-capacity",
    title="GridOS / Capacity and saturation",
    description="Usage, saturation and errors of each resource, per pod.",
    annotations=_RELEASES,
    rows=(
        (
            "CPU",
            (
                Panel(
                    "CPU of the limit",
                    "Of all pods together, against what a release may use.",
                    Unit.RATIO,
                    (Target(f"gridos:cpu_saturation:ratio_rate5m{{{_NS}}}", "all pods"),),
                    limit="gridos:gate_cpu_saturation_ratio:max",
                ),
                Panel(
                    "CPU of the limit, by pod",
                    "One pod above the others has an uneven share of the load, or burns.",
                    Unit.RATIO,
                    (Target(f"gridos:pod_cpu_saturation:ratio_rate5m{{{_NS}}}", "{{pod}}"),),
                    limit="gridos:gate_cpu_saturation_ratio:max",
                ),
                Panel(
                    "Throttled periods",
                    "Share of the kernel's periods in which a pod was stopped at its limit.",
                    Unit.RATIO,
                    (Target(f"gridos:pod_cpu_throttled:ratio_rate5m{{{_NS}}}", "{{pod}}"),),
                    needs=CADVISOR,
                ),
            ),
        ),
        (
            "Memory, restarts, replicas",
            (
                Panel(
                    "Memory of the limit, by pod",
                    "At one the kernel ends the pod.",
                    Unit.RATIO,
                    (Target(f"gridos:pod_memory_saturation:ratio{{{_NS}}}", "{{pod}}"),),
                    needs=CADVISOR,
                ),
                Panel(
                    "Restarts and worker exits",
                    "A worker that ends takes its server along, so both are counted.",
                    Unit.COUNT,
                    (
                        Target(
                            f"max by (pod) (kube_pod_container_status_restarts_total{{{_PODS_OF}}})",
                            "restarts {{pod}}",
                        ),
                    ),
                ),
                Panel(
                    "Replicas against the autoscaler's maximum",
                    "At the line the autoscaler cannot add pods.",
                    Unit.COUNT,
                    (
                        Target(
                            "max by (horizontalpodautoscaler) "
                            f"(kube_horizontalpodautoscaler_status_desired_replicas{{{_NS}}})",
                            "desired",
                        ),
                    ),
                    limit=f"max(kube_horizontalpodautoscaler_spec_max_replicas{{{_NS}}})",
                    needs=STATE,
                ),
            ),
        ),
        (
            "Database connections",
            (
                Panel(
                    "Connections in use",
                    "Of the pool's maximum. At one, requests wait.",
                    Unit.RATIO,
                    (Target(f"gridos:db_pool_saturation:ratio{{{_NS}}}", "busy"),),
                ),
                Panel(
                    "Requests waiting for a connection",
                    "More than a moment of it is a slow query or a lock.",
                    Unit.COUNT,
                    (Target(f"sum by (pod) (gridos_db_pool_waiting{{{_NS}}})", "{{pod}}"),),
                ),
                Panel(
                    "Connection waits given up a second",
                    "Each is a 503.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            "sum by (namespace) (rate(gridos_db_pool_timeouts_total"
                            f"{{{_NS}}}[$__rate_interval]))",
                            "given up",
                        ),
                    ),
                ),
            ),
        ),
    ),
)

_PAGES = 'alertname=~"GridosErrorBudgetBurn(1h|6h)"'


def _events(reasons: str) -> str:
    """The controller's events of these reasons."""
    return f'rollout_events_total{{{_NS}, reason=~"{reasons}"}}'


PIPELINE = Dashboard(
    uid="gridos-pipeline",
    title="GridOS / Pipeline",
    span="30d",
    description="Releases over weeks: how many, how many failed, how long until users were well.",
    rows=(
        (
            "Now",
            (
                Panel(
                    "Phase of the Rollout",
                    "Abort: rolled back, and Git still names the release. Paused for long: a manual decision is needed.",
                    Unit.COUNT,
                    (
                        Target(
                            f"max by (name, phase) (rollout_info{{{_NS}}})", "{{name}} {{phase}}"
                        ),
                    ),
                    kind=Kind.TABLE,
                    needs=CONTROLLER,
                ),
                Panel(
                    "Argo CD",
                    "Whether what runs is what git says.",
                    Unit.COUNT,
                    (
                        Target(
                            "max by (name, sync_status, health_status) "
                            '(argocd_app_info{dest_namespace="gridos"})',
                            "{{name}} {{sync_status}}",
                        ),
                    ),
                    kind=Kind.TABLE,
                    needs=_ARGO_CD,
                ),
                Panel(
                    "Blocking alerts",
                    "No release starts while one fires that is not silenced.",
                    Unit.COUNT,
                    (Target("gridos:release_blockers:count", "blocking"),),
                    kind=Kind.STAT,
                    colours=((0, "green"), (1, "red")),
                ),
            ),
        ),
        (
            "Over 30 days",
            (
                Panel(
                    "Releases and aborts",
                    "Finished releases, and those that a gate or a person rolled back.",
                    Unit.COUNT,
                    (
                        Target(
                            f"sum(increase({_events('RolloutCompleted')}[30d]))",
                            "completed",
                        ),
                        Target(
                            f"sum(increase({_events('RolloutAborted')}[30d]))",
                            "aborted",
                        ),
                    ),
                    needs=CONTROLLER,
                ),
                Panel(
                    "Change-failure rate",
                    "Aborted of all begun. DORA's elite teams stay below 5 %; gates that never stop "
                    "anything do not show quality.",
                    Unit.RATIO,
                    (
                        Target(
                            f"sum(increase({_events('RolloutAborted')}[30d])) / (sum(increase("
                            f"{_events('RolloutAborted|RolloutCompleted')}[30d])) > 0)",
                            "failed",
                        ),
                    ),
                    kind=Kind.STAT,
                    colours=((0, "green"), (0.05, "orange"), (0.15, "red")),
                    needs="a second abort: a counter's first, since its controller's start, does not count as an increase",
                ),
                Panel(
                    "Aborts by gate",
                    "Which gate ended the analysis runs that failed.",
                    Unit.COUNT,
                    (
                        Target(
                            f"sum by (metric, phase) (analysis_run_metric_phase{{{_NS}, "
                            'phase=~"Failed|Error|Inconclusive"})',
                            "{{metric}} {{phase}}",
                        ),
                    ),
                    needs=CONTROLLER,
                ),
                Panel(
                    "Time to restore",
                    "Average stretch in which an availability page fired; rules are evaluated every "
                    "30 s.",
                    Unit.SECONDS,
                    (
                        Target(
                            f"sum(count_over_time(ALERTS{{{_PAGES}, alertstate='firing'}}[30d])) "
                            f"* 30 / (sum(changes(ALERTS_FOR_STATE{{{_PAGES}}}[30d]) + 1) > 0)",
                            "per incident",
                        ),
                    ),
                    kind=Kind.STAT,
                    needs="a page that has fired",
                ),
                Panel(
                    "Age of the release on its way",
                    "Since the canary's first pod. A whole release takes 6 minutes of pauses; the "
                    "way from a commit to here is the pipeline's to measure, not the cluster's.",
                    Unit.SECONDS,
                    (
                        Target(
                            "time() - (gridos:release_oldest_pod:timestamp_seconds and on "
                            '(rollouts_pod_template_hash) gridos:release_track:info{track="canary"})',
                            "{{rollouts_pod_template_hash}}",
                        ),
                    ),
                    kind=Kind.STAT,
                    colours=((0, "green"), (600, "orange")),
                ),
            ),
        ),
    ),
)

_LINES = '{app="gridos", namespace="gridos"}'

LOGS = Dashboard(
    uid="gridos-logs",
    title="GridOS / Logs",
    description="The service's own lines: one JSON object each, one line a response.",
    rows=(
        (
            "How much, and how bad",
            (
                Panel(
                    "Failures a second by route",
                    "From the access lines, to be compared with the counters.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            f"sum by (route) (rate({_LINES} | json status, route "
                            '| status=~"5.." [$__auto]))',
                            "{{route}}",
                        ),
                    ),
                    source=Source.LOKI,
                    needs=_LOKI,
                    width=12,
                ),
                Panel(
                    "Lines a second, canary and stable",
                    "Canary against stable.",
                    Unit.PER_SECOND,
                    (
                        Target(
                            f"sum by (rollouts_pod_template_hash) (rate({_LINES} [$__auto]))",
                            "{{rollouts_pod_template_hash}}",
                        ),
                    ),
                    source=Source.LOKI,
                    needs=_LOKI,
                    width=12,
                ),
            ),
        ),
        (
            "The lines",
            (
                Panel(
                    "Errors",
                    "Every line at level ERROR and every response 5xx; a line's request id finds "
                    "the others of its request.",
                    Unit.COUNT,
                    (Target(f'{_LINES} | json level, status | level="ERROR" or status=~"5.."'),),
                    kind=Kind.LOGS,
                    source=Source.LOKI,
                    needs=_LOKI,
                    width=24,
                ),
            ),
        ),
    ),
)

ALL = (SERVICE, CANARY, BUDGET, CAPACITY, PIPELINE, LOGS)
