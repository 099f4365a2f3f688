"""How common exporters count requests: which label tells an outcome, and in which words.

A gate is written for one exporter, and nothing in its manifest says which. The metric's name does
for most; where one name is used in two ways, the contract of a real scrape decides.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from canary.argo import promql
from canary.argo.promql import Matcher, Selector


class Outcome(StrEnum):
    """What became of a request."""

    GOOD = "good"
    FAILED = "failed"


class UnmodelledError(ValueError):
    """What a query asks is not known here; the text names it."""


@dataclass(frozen=True)
class Dialect:
    """One exporter's metrics of requests.

    Attributes:
        exporter: What its readers call it.
        metrics: A pattern of whole names, with the endings of histograms left off.
        outcomes: Labels that tell outcomes: the value of a good request and of a failed one.
        spread: Labels that divide requests by what clients ask for: no manifest says how many each.
        unit_s: Seconds in one unit of its durations.
        assumed: What is taken for granted about the name, and what would change it.
        zeroed: Whether the series of failures are there before the first failure.
        values: The values that a scrape showed of each label; empty without a scrape.
    """

    exporter: str
    metrics: str
    outcomes: Mapping[str, tuple[str, str]]
    spread: frozenset[str] = frozenset()
    unit_s: float = 1.0
    assumed: str = ""
    zeroed: bool = False
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def takes_all(self, matcher: Matcher) -> bool:
        """Whether a matcher of any value takes every request, because each has a value."""
        asks = may_take(matcher, "\x00any") and not may_take(matcher, "")
        always = self.exporter in _ALWAYS_SET or matcher.label not in TELLING
        return asks and always and matcher.label in self.spread

    def selects(self, matcher: Matcher, outcome: Outcome) -> bool:
        """Whether a request of this outcome has a label value that the matcher takes."""
        good, failed = self.outcomes[matcher.label]
        return takes(matcher, good if outcome is Outcome.GOOD else failed)


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
DIALECTS = tuple(
    Dialect(
        **row
        | {
            "outcomes": {label: tuple(values) for label, values in row["outcomes"].items()},
            "spread": frozenset(row.get("spread", ())),
        }
    )
    for row in _TABLE["dialects"]
)
# Every label that tells an outcome for some exporter.
OUTCOMES = frozenset(label for dialect in DIALECTS for label in dialect.outcomes)
TELLING, SCOPE = frozenset(_TABLE["telling"]), frozenset(_TABLE["scope"])
STATUS = ("200", "500")
CODES = ("OK", "Internal")
_STATUS_LABELS = DIALECTS[-1].outcomes.keys()
# Exporters that always write one of those that tell failures too.
_ALWAYS_SET = {"Istio", "Micrometer"}
_MILLISECONDS = ("_ms", "milliseconds")
_ENDINGS = re.compile(r"_(bucket|count|sum)$")
_ROUTERS = {"Envoy", "HAProxy", "Istio", "Linkerd", "Traefik", "ingress-nginx"}
_SIDES = re.compile("canary|preview")

# Metrics that an exporter of today has under another name (Istio since 1.5).
RENAMED = {"istio_request_duration_seconds": "istio_request_duration_milliseconds"}

# Labels that are the same for canary and stable pods, by exporter: who owns pods owns both.
OWNERS = {
    "Istio": frozenset({"destination_workload", "source_workload"}),
    "Linkerd": frozenset({"deployment", "dst_deployment"}),
}


@dataclass(frozen=True)
class Vocabulary:
    """What is known of the metrics: the dialects, and before them the contract of a scrape.

    `values` maps a sample's name to its labels and the values that each was seen with.
    """

    values: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def of(self, metric: str) -> Dialect | None:
        """The dialect that a metric of requests speaks; None if that is not known."""
        return self._scraped.get(metric) or _spoken(metric)

    def rarely_refuses(self, selector: Selector) -> bool:
        """Whether it selects refused requests alone, of which a scrape shows no series at 0."""
        dialect = self.of(selector.metric)
        shown = dialect.values if dialect else {}
        there = any(
            all(may_take(m, value) for m in selector.matchers if m.label == label)
            for label in selector.labels & shown.keys() & set(_STATUS_LABELS)
            for value in shown[label]
        )
        return picks_refusals(selector) and not there

    @cached_property
    def _scraped(self) -> Mapping[str, Dialect]:
        return {metric: _from_scrape(metric, labels) for metric, labels in self.values.items()}


@lru_cache(maxsize=1024)
def _spoken(metric: str) -> Dialect | None:
    """The known dialect that a name belongs to."""
    base = _ENDINGS.sub("", metric)
    names = ((dialect, name) for name in (base, metric) for dialect in DIALECTS)
    found = next((d for d, name in names if re.fullmatch(d.metrics, name)), None)
    if found and found.assumed and base in RENAMED:
        return None
    return replace(found, unit_s=0.001) if found and base.endswith(_MILLISECONDS) else found


def _outcomes(metric: str, matchers: Iterable[Matcher]) -> frozenset[Outcome] | None:
    """The outcomes that a selector takes; None if the metric's words are not known."""
    dialect = Vocabulary().of(metric)
    if dialect is None:
        return None
    telling = [m for m in matchers if m.label in dialect.outcomes]
    try:
        return frozenset(o for o in Outcome if all(dialect.selects(m, o) for m in telling))
    except UnmodelledError:
        return None


def picks_failures(selector: Selector) -> bool:
    """Whether it selects failed requests and no others."""
    chosen = _outcomes(selector.metric, selector.matchers)
    if chosen is not None:
        return chosen == frozenset({Outcome.FAILED})
    return any(
        m.sign in ("=", "=~") and (m.value.startswith("5") or _is_a_failures(m))
        for m in selector.matchers
    )


def _is_a_failures(matcher: Matcher) -> bool:
    """Whether a label of an unknown metric tells failures in words: much may be `true`."""
    value = matcher.value.lower()
    return value == "error" or (
        value == "true" and re.search("err|fail", matcher.label) is not None
    )


def picks_refusals(selector: Selector) -> bool:
    """Whether it selects requests that a client is to blame for, such as 404, and no others."""
    dialect = Vocabulary().of(selector.metric)
    telling = [m for m in selector.matchers if dialect and dialect.outcomes.get(m.label) == STATUS]
    if not telling or _outcomes(selector.metric, selector.matchers):
        return False
    return any(all(may_take(m, str(status)) for m in telling) for status in range(400, 500))


def picks_successes(selector: Selector) -> bool:
    """Whether it selects good requests and no others."""
    return _outcomes(selector.metric, selector.matchers) == frozenset({Outcome.GOOD})


def owners(metric: str) -> frozenset[str]:
    """The labels of a metric that hold the owner of pods, which is one Rollout for both sides."""
    dialect = _spoken(metric)
    return OWNERS.get(dialect.exporter, frozenset()) if dialect else frozenset()


def misnamed(
    metric: str, matcher: Matcher, hashes: Iterable[str], services: Iterable[str] = ()
) -> str:
    """Why no series of a mesh has a value that a matcher asks for; empty if one may have.

    `services` are names of the release's own Services: those of other hosts may have dots.
    """
    dialect = _spoken(metric)
    if dialect is None or matcher.sign not in ("=", "=~"):
        return ""
    known = _KNOWN.get((dialect.exporter, matcher.label))
    if known and not any(may_take(matcher, value) for value in known):
        return f"it is one of {', '.join(known)}"
    if dialect.exporter != "Istio":
        return ""
    if matcher.label == "destination_service_name" and ".svc" in matcher.value:
        return "it is the Service's name alone"
    parts = next((_parts(matcher, name) for name in services if _parts(matcher, name)), 1)
    if matcher.label == "destination_service_name" and parts > 1:
        return "it is the Service's name alone"
    half = parts == 2 or _NO_HOST.fullmatch(matcher.value)  # noqa: PLR2004 — with its namespace
    if matcher.label == "destination_service" and half:
        return "it is the Service's whole host, such as NAME.NAMESPACE.svc.cluster.local"
    if matcher.label in _OF_LABELS and any(token in matcher.value for token in hashes):
        return "it is a label of the pods' template, which holds no hash"
    return ""


def contradictory(matchers: Iterable[Matcher]) -> tuple[Matcher, Matcher] | None:
    """Two matchers of one label that no value satisfies; None if there are none."""
    found = tuple(matchers)
    for one in (m for m in found if m.sign == "="):
        for other in (m for m in found if m.label == one.label and not may_take(m, one.value)):
            return one, other
    return None


def names_no_hash(matcher: Matcher, hashes: Iterable[str]) -> bool:
    """Whether a matcher is meant for a pod-template hash, but asks for more than the hash."""
    asked = [pod_hash for pod_hash in hashes if pod_hash in matcher.value]
    told = matcher.label.endswith("pod_template_hash") and matcher.sign in ("=", "=~")
    odd = matcher.sign == "=" and _NO_LABEL.search(matcher.value) is not None
    taken = any(may_take(matcher, pod_hash) for pod_hash in asked)
    return bool(asked) and (told or odd) and not taken


# Characters that no name of Kubernetes has, and none that a router makes of one.
_NO_LABEL = re.compile(r"[^\w.|:/@-]")


def _parts(matcher: Matcher, service: str) -> int:
    """Of how many names the host is that a matcher gives a Service; 0 if it is not of this one."""
    found = re.fullmatch(rf"{re.escape(service)}((?:\\?\.[\w-]+)+)", matcher.value)
    return 1 + found[1].count(".") if found and service else 0


# A host without its domain: istio.io/latest/docs/reference/config/metrics.
_NO_HOST = re.compile(r"[\w|()-]+|.*\.svc")

# What a mesh can say, and what it takes from the labels of pods' templates.
_KNOWN = {
    ("Istio", "reporter"): ("source", "destination", "waypoint"),
    ("Linkerd", "direction"): ("inbound", "outbound"),
    ("gRPC", "grpc_type"): ("unary", "client_stream", "server_stream", "bidi_stream"),
}
_OF_LABELS = {
    "destination_app", "destination_canonical_revision", "destination_canonical_service",
    "destination_version",
}  # fmt: skip
# The application of pods, which is one for canary and stable.
APPLICATIONS = frozenset({"destination_app", "destination_canonical_service"})
# The namespace of what is asked, whoever counts the requests.
DESTINATIONS = frozenset(
    {"destination_service_namespace", "destination_workload_namespace", "exported_namespace"}
)


def renamed(metric: str) -> str:
    """By which name an exporter of today has a metric; empty if by this one."""
    base = _ENDINGS.sub("", metric)
    return RENAMED[base] + metric.removeprefix(base) if base in RENAMED else ""


def is_of_owner(metric: str, matcher: Matcher, owner: str) -> bool:
    """Whether a matcher takes the owner of pods, and so canary and stable alike."""
    return matcher.label in owners(metric) and may_take(matcher, owner)


def is_routers(metric: str) -> bool:
    """Whether a metric is of a router or a mesh, which counts what it sends to each destination."""
    dialect = _spoken(metric)
    return dialect is not None and dialect.exporter in _ROUTERS


def is_of_cluster(metric: str) -> bool:
    """Whether a metric is no pod's: a router's, a prober's, a node's, or Kubernetes's own."""
    return is_routers(metric) or _OF_CLUSTER.match(metric) is not None


# Ports of the proxies that a mesh injects into pods, by name and number (istio, linkerd2). No
# manifest declares them, and what is counted there is the mesh's.
PROXIES = frozenset({"http-envoy-prom", "15090", 15090, "linkerd-admin", "4191", 4191})

# The beginnings of their names, as their own documentations have them.
_OF_CLUSTER = re.compile(
    r"(istio|envoy|traefik|nginx_ingress_controller|nginxplus|haproxy|kong|apisix|hubble|cilium"
    r"|contour|gloo|skipper|ambassador|emissary|aws_\w*elb|stackdriver|kube|kubelet|apiserver"
    r"|probe_(dns|duration|http|ip|ssl|success|tcp)|traces_(spanmetrics|service_graph)|argocd"
    r"|node_(boot|cpu|disk|filesystem|load\d+|memory|netstat|network|vmstat)"
    r"|container_(blkio|cpu|file_descriptors|fs|last|memory|network|oom|processes|spec|threads))"
    r"(_|$)"
)


def may_tell_sides(matcher: Matcher, own: Iterable[str]) -> bool:
    """Whether a label may tell canary from stable by a word beside the release's own names.

    Such are labels that canaryMetadata gives to pods, and what a router calls its destinations.
    """
    rest = matcher.value.lower()
    for name in sorted(filter(None, own), key=len, reverse=True):
        rest = rest.replace(name.lower(), "")
    return matcher.label == "canary" or _SIDES.search(rest) is not None


class Nothing(StrEnum):
    """What a query answers instead of a number."""

    EMPTY = "the result is empty"
    NAN = "the result is NaN"


def without_failures(
    tree: Any, rare: Callable[[Selector], bool] = picks_failures
) -> Nothing | None:
    """What a query answers where no request failed, if failures have no series before the first.

    `rare` says of which selectors that is so. None: a number, as far as its text tells.
    """
    tree = promql.bare(tree)
    if isinstance(tree, promql_parser.VectorSelector):
        (selector,) = promql.selectors(tree)
        return Nothing.EMPTY if rare(selector) else None
    parts = [without_failures(part, rare) for part in promql.children(tree)]
    if promql.calls(tree, "scalar"):
        return Nothing.NAN if parts[0] else None
    if isinstance(tree, promql_parser.Call) and tree.func.name.startswith("absent"):
        return None
    if promql.joins(tree, "or", "unless"):
        return parts[1] if parts[0] is Nothing.EMPTY and str(tree.op) == "or" else parts[0]
    return min(filter(None, parts), default=None)


def may_take(matcher: Matcher, value: str) -> bool:
    """Whether a matcher takes a value, as far as it can be read."""
    try:
        return takes(matcher, value)
    except UnmodelledError:
        return True


@lru_cache(maxsize=4096)
def takes(matcher: Matcher, value: str) -> bool:
    """Whether Prometheus's matcher takes a label's value: expressions are anchored on both ends.

    Raises:
        UnmodelledError: if the expression is of a kind that only RE2 reads.
    """
    if matcher.sign in ("=", "!="):
        return (matcher.value == value) is (matcher.sign == "=")
    if _OF_RE2.search(matcher.value):
        raise UnmodelledError(
            f"the expression {matcher.value!r} is not modelled: RE2 alone reads it"
        )
    try:
        plain = _POSIX.sub(lambda found: _CLASSES.get(found[1], found[0]), matcher.value)
        found = re.fullmatch(plain, value) is not None
    except re.error as wrong:
        raise UnmodelledError(
            f"the expression {matcher.value!r} is not modelled: {wrong}"
        ) from None
    return found is (matcher.sign == "=~")


# As Go, Python and Prometheus write numbers.
_BOUND = re.compile(r"(0|[1-9]\d*)(\.\d*[1-9]|\.0)?(e[+-]?\d+)?|\+Inf")


def is_bound(value: str) -> bool:
    """Whether an exporter would write a bucket's bound so."""
    return _BOUND.fullmatch(value) is not None


_OF_RE2 = re.compile(r"\\[pPCQ]|\(\?\w*U|\[\[:\^")
_POSIX = re.compile(r"\[:(\w+):\]")
_CLASSES = {
    "digit": "0-9", "alpha": "A-Za-z", "alnum": "0-9A-Za-z", "lower": "a-z", "upper": "A-Z",
    "word": r"\w", "space": r"\s", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


def _from_scrape(metric: str, labels: Mapping[str, frozenset[str]]) -> Dialect:
    """The dialect of a metric as a scrape showed it."""
    telling = {}
    for label in labels:
        if label in _STATUS_LABELS:
            grouped = any(re.fullmatch(r"\dxx", value) for value in labels[label])
            telling[label] = ("2xx", "5xx") if grouped else STATUS
    failed = any(good_and_failed[1] in labels[name] for name, good_and_failed in telling.items())
    return Dialect(
        "the contract",
        re.escape(metric),
        telling,
        frozenset(labels) - telling.keys() - {"le"},
        unit_s=0.001 if _ENDINGS.sub("", metric).endswith(_MILLISECONDS) else 1.0,
        zeroed=failed,
        values=labels,
    )
