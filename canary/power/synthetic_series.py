"""The samples that the pods of one release would have exported, as OpenMetrics text.

What makes real scrapes unlike the textbook is drawn for each release: every pod is scraped at its
own phase with jitter, new pods are found late, clients that keep connections alive load pods
unevenly, a crash sets counters back. Names and labels are those of the service's contract.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from canary.argo.dialects import Dialect
from canary.argo.releases import LATEST, STABLE
from canary.argo.virtual_rollout import PodLifetime
from canary.power.samples import (
    CPU_NOISE,
    FAST_S,
    SKEW,
    SLOW_S,
    Bools,
    Fault,
    Floats,
    Ints,
    Traffic,
)

BOUNDS_S = (0.005, 0.025, 0.05, 0.1, 0.15, 0.2, 0.225, 0.25, 0.275, 0.3, 0.5, 1.0, 2.5)

# The kubelet's cAdvisor looks every 10 s or so, whatever the scrape interval.
CADVISOR_S = 10.0

# The service's own counter of requests.
OWN = "http_requests_total"

# A refusal such as a client would get by its own fault.
REFUSED = "404"

HASH_LABEL = "rollouts_pod_template_hash"


@dataclass(frozen=True)
class ScrapeNoise:
    """How untidy the scrapes are.

    Attributes:
        scrape_s: Between two scrapes of a pod.
        jitter_s: Standard deviation of each scrape's lateness.
        discovery_s: A new pod's first scrape is up to this late.
        skew: Coefficient of variation of the pods' shares of the traffic.
        hashed: Whether the series carry the pod-template hash at all.
    """

    scrape_s: float = 5.0
    jitter_s: float = 0.05
    discovery_s: float = 5.0
    skew: float = SKEW
    hashed: bool = True


@dataclass(frozen=True)
class Names:
    """What the release's objects are called."""

    rollout: str
    namespace: str
    container: str
    latest_hash: str
    stable_hash: str


@dataclass(frozen=True)
class Family:
    """A metric of requests as another exporter writes it, with each ReplicaSet's labels.

    `told` are the labels of outcomes that its series have.
    """

    metric: str
    dialect: Dialect
    told: frozenset[str]
    canary: Mapping[str, str]
    stable: Mapping[str, str]


@dataclass(frozen=True)
class Release:
    """One release to synthesise; `base_s` is its start on Prometheus's clock.

    `asked` are the metrics that somebody reads, and empty for all.
    """

    names: Names
    pods: Sequence[PodLifetime]
    traffic: Traffic
    fault: Fault
    weather: ScrapeNoise
    base_s: float
    end_s: float
    cpu_limit: float = 1.0
    seed: int = 0
    history_s: float = 0.0
    stable: bool = True
    families: tuple[Family, ...] = ()
    asked: frozenset[str] = frozenset()


# A metric, labels, and when it was scraped with which values.
_Series = tuple[str, dict[str, str], Floats, NDArray[np.generic]]


@dataclass
class _Pod:
    life: PodLifetime
    weight: float
    scrapes: Floats
    labels: dict[str, str] = field(default_factory=dict)


def lines(release: Release) -> Iterator[str]:
    """Every sample of a release, series by series, in order of time within each."""
    pods = [_pod(release, life) for life in release.pods if np.isfinite(life.ready_s)]
    ticks = np.arange(-release.history_s, release.end_s + 1.0, 1.0)
    load = _load(pods, ticks)
    out = np.zeros(len(ticks), dtype=bool)
    if release.fault.outage_s:
        began = np.random.default_rng(release.seed).uniform(
            0.0, release.end_s - release.fault.outage_s
        )
        out = (ticks >= began) & (ticks < began + release.fault.outage_s)
    for pod, rate in zip(pods, load, strict=True):
        if len(pod.scrapes) and (release.stable or pod.life.canary):
            per_second = rate * release.traffic.requests_per_s
            for series in _of_pod(release, pod, ticks, per_second, out):
                if series[0] in release.asked or not release.asked:
                    yield from _told(series)


def _chance(release: Release, life: PodLifetime, purpose: str) -> np.random.Generator:
    """A pod's own chance for one purpose.

    What happens later, to it or to others, changes nothing of what was drawn for the time before:
    a release that waits is the same one until it does.
    """
    return np.random.default_rng([release.seed, *f"{life.name} {purpose}".encode()])


def _pod(release: Release, life: PodLifetime) -> _Pod:
    weather, rng = release.weather, _chance(release, life, "scrapes")
    start = -release.history_s if life.ready_s <= 0 else life.ready_s
    end = release.end_s if life.gone_s is None else min(life.gone_s, release.end_s)
    late = rng.uniform(0, weather.scrape_s) + (rng.uniform(0, weather.discovery_s) * (start > 0))
    planned = np.arange(start + late, end, weather.scrape_s)
    scrapes = planned + np.abs(rng.normal(0, weather.jitter_s, len(planned)))
    shape = 1 / weather.skew**2 if weather.skew else 1e9
    names = release.names
    pod_hash = names.latest_hash if life.canary else names.stable_hash
    labels = {
        "namespace": names.namespace,
        "pod": f"{names.rollout}-{pod_hash}-{life.name}",
        "container": names.container,
    }
    share = _chance(release, life, "share").gamma(shape, 1 / shape)
    return _Pod(life, share, scrapes, labels)


def _load(pods: Sequence[_Pod], ticks: Floats) -> list[Floats]:
    """Each pod's share of the traffic in each second, by weight among those that are ready."""
    shares = []
    for pod in pods:
        gone = np.inf if pod.life.gone_s is None else pod.life.gone_s
        ready = pod.life.ready_s if pod.life.ready_s > 0 else -np.inf
        shares.append(np.where((ticks >= ready) & (ticks < gone), pod.weight, 0.0))
    total = np.maximum(np.sum(shares, axis=0), 1e-9)
    return [share / total for share in shares]


def _of_pod(  # noqa: C901, PLR0915 — one draw after the other
    release: Release, pod: _Pod, ticks: Floats, per_second: Floats, out: Bools
) -> Iterator[_Series]:
    """Every series of one pod; `out` are the seconds of an outage, in which all requests fail."""
    sick = pod.life.canary
    begun = sick & (ticks >= release.fault.onset_s)
    chance = partial(_chance, release, pod.life)
    sent = chance("requests").poisson(per_second)
    requests = chance("lost").binomial(sent, 1 - begun * release.fault.lost_share)
    slow_s = release.fault.slow_s if sick else SLOW_S
    failed, slow = (
        chance(what).binomial(requests, np.where(begun, _rate(faulty, usual), usual))
        for what, faulty, usual in (
            ("failed", release.fault.error_rate, release.traffic.error_rate),
            ("slow", release.fault.slow_share, release.traffic.slow_share),
        )
    )
    age_s = np.where(pod.life.ready_s > 0, ticks - pod.life.ready_s, np.inf)
    young = sick & (age_s < release.fault.failing_s)
    failed += chance("young").binomial(requests - failed, young * release.fault.failing_share)
    failed = np.where(out, requests, failed)
    slow = np.where(age_s < release.fault.warm_up_s, requests, slow)
    reset = release.fault.restarts > 0 and sick
    at = np.clip(np.searchsorted(ticks, pod.scrapes, side="right"), 0, len(ticks))
    since = int(np.searchsorted(ticks, _crash_s(release, pod))) if reset else 0

    def counter(name: str, labels: dict[str, str], counts: Ints, *, zeroed: bool = True) -> _Series:
        """A counter's series, there from its first count on where it is not at zero before."""
        sums = np.concatenate([[0], np.cumsum(counts)])
        total = np.where(at >= since, sums[at] - sums[since], sums[at]) if since else sums[at]
        first = 0
        # What stable pods count has begun long ago.
        if not zeroed and pod.life.ready_s > 0:
            first = int(np.argmax(total > 0)) if total.any() else len(total)
        return name, labels, times[first:], total[first:]

    pod_hash = release.names.latest_hash if pod.life.canary else release.names.stable_hash
    hashed = {HASH_LABEL: pod_hash} if release.weather.hashed else {}
    routed = pod.labels | hashed | {"method": "GET", "route": "/"}
    times = release.base_s + pod.scrapes
    good, whole = requests - failed, failed
    shares = release.traffic.routes or (1.0,)
    broken = sick and release.fault.route_broken
    for index, share in enumerate(shares):
        last = index == len(shares) - 1
        part = 1.0 if last else min(share / sum(shares[index:]), 1.0)
        fine = chance(f"good on {index}").binomial(good, part)
        bad = chance(f"failed on {index}").binomial(failed, part)
        good, failed = good - fine, failed - bad
        if broken and last:
            fine, bad = 0 * fine, fine + bad
        told = routed
        if release.traffic.routes:
            # By turns, so that the last route, which may be broken, is no GET.
            method = "GET" if (len(shares) - index) % 2 == 0 else "POST"
            told = routed | {"method": method, "route": f"/v1/{index}"}
        if OWN in {family.metric for family in release.families}:
            continue
        if release.fault.refused_share:
            refused = chance(f"refused on {index}").binomial(
                fine, begun * release.fault.refused_share
            )
            fine = fine - refused
            yield counter(OWN, told | {"status": REFUSED}, refused, zeroed=False)
        # As the service's: its failures stand at zero from the start, and nothing else does.
        yield counter(OWN, told | {"status": "200"}, fine, zeroed=False)
        other = chance(f"status on {index}").binomial(bad, 0.5)
        for status, counts in (("503", other), ("500", bad - other)):
            yield counter(OWN, told | {"status": status}, counts)
    for bound in (*BOUNDS_S, np.inf):
        under = (requests - slow) * (bound >= FAST_S) + slow * (bound >= slow_s)
        le = {"le": "+Inf" if np.isinf(bound) else f"{bound:g}" if bound % 1 else f"{bound:.1f}"}
        yield counter("request_duration_seconds_bucket", routed | le, under)
    yield counter("request_duration_seconds_count", routed, requests)
    for family in release.families:
        for told, counts in _of_family(family, release, pod, (requests, whole, slow, slow_s)):
            yield counter(family.metric, told, counts, zeroed=family.dialect.zeroed)
    yield from _platform(release, pod, reset=reset)


def _of_family(
    family: Family, release: Release, pod: _Pod, answers: tuple[Ints, Ints, Ints, float]
) -> Iterator[tuple[dict[str, str], Ints]]:
    """Each series of a metric that is not the service's own: its labels, and counts a second."""
    requests, failed, slow, slow_s = answers
    names, dialect = release.names, family.dialect
    hashes = {LATEST: names.latest_hash, STABLE: names.stable_hash}
    held = dict(family.canary if pod.life.canary else family.stable)
    for token, found in hashes.items():
        held = {label: value.replace(token, found) for label, value in held.items()}
    labels = {**pod.labels, **held, "pod": pod.labels["pod"]}
    if family.metric.endswith("_bucket"):
        for bound in (*BOUNDS_S, np.inf):
            under = (requests - slow) * (bound >= FAST_S) + slow * (bound >= slow_s)
            le = "+Inf" if np.isinf(bound) else f"{bound / dialect.unit_s:g}"
            yield labels | {"le": le}, under
    elif family.told:
        for place, counts in enumerate((requests - failed, failed)):
            outcome = {label: dialect.outcomes[label][place] for label in family.told}
            yield labels | outcome, counts
    else:
        yield labels, requests


def _platform(release: Release, pod: _Pod, *, reset: bool) -> Iterator[_Series]:
    """What the kubelet and kube-state-metrics say of a pod."""
    usual = release.traffic.cpu
    faulty = release.fault.cpu
    canaries = [life.name for life in release.pods if life.canary]
    if pod.life.name in canaries[1::3] and release.fault.third_cpu is not None:
        faulty = release.fault.third_cpu
    usage = _rate(faulty, usual) if pod.life.canary else usual
    usage *= release.cpu_limit
    first, last = pod.scrapes[0], pod.scrapes[-1]
    measurements = np.arange(first, last + 0.001, CADVISOR_S)
    noise = _chance(release, pod.life, "cpu").standard_normal(len(measurements))
    spent = usage * CADVISOR_S * (1 + CPU_NOISE * noise)
    times = release.base_s + measurements
    image = pod.labels | {"image": "image"}
    yield "container_cpu_usage_seconds_total", image, times, np.cumsum(spent)
    limit = pod.labels | {"resource": "cpu", "unit": "core"}
    full = np.full(len(measurements), release.cpu_limit)
    yield "kube_pod_container_resource_limits", limit, times, full
    restarted = release.fault.restarts if reset else 0.0
    restarts = np.where(measurements > _crash_s(release, pod), restarted, 0.0)
    yield "kube_pod_container_status_restarts_total", pod.labels, times, restarts
    # A proxy beside it, idle and with four times the limit, which dilutes what asks for all.
    beside = {"container": "proxy"}
    idle = np.cumsum(np.full(len(measurements), 0.01 * release.cpu_limit * CADVISOR_S))
    yield "container_cpu_usage_seconds_total", image | beside, times, idle
    yield "kube_pod_container_resource_limits", limit | beside, times, 4 * full
    proxy = release.fault.proxy_restarts if pod.life.canary else 0.0
    restarts = np.where(measurements > _crash_s(release, pod), proxy, 0.0)
    yield "kube_pod_container_status_restarts_total", pod.labels | beside, times, restarts


def _told(series: _Series) -> Iterator[str]:
    name, labels, times, values = series
    head = name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "} "
    for value, at in zip(values.tolist(), times.tolist(), strict=True):
        yield f"{head}{value} {at:.3f}"


def _rate(faulty: float | None, usual: float) -> float:
    return usual if faulty is None else faulty


def _crash_s(release: Release, pod: _Pod) -> float:
    """When a crashing pod dies."""
    return float(pod.scrapes[0]) + release.fault.crash_s
