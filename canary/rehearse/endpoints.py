"""What Envoy itself counts for each pod, as its admin's address exports it (`per_endpoint_stats`).

Here all pods share one address and differ by port; on a cluster it is the other way round. So the
scrape calls each endpoint as a cluster's Envoy would, and gates can join it with the pods' targets
by address.
"""

import re
from collections.abc import Iterable, Iterator

from canary.argo.dialects import takes
from canary.argo.manifests import Bundle
from canary.argo.promql import Selector
from canary.rehearse.kubelet import LOCALHOST
from canary.rehearse.replica_sets import ReplicaSets
from canary.runtime.gateway import STATS_PATH
from canary.runtime.prometheus import ScrapeJob, Target

PREFIX = "envoy_cluster_endpoint_"
ADDRESS = "envoy_endpoint_address"
# A request counts when it has ended. An error is a 5xx, no connection, or a reset or a time-out
# before the response begins (Envoy's router.cc, chargeUpstreamAbort).
METRICS = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("cx_active", "cx_connect_fail", "cx_total", "healthy", "rq_active", "rq_error"),
        *("rq_pending_active", "rq_success", "rq_timeout", "rq_total"),
    )
)


def are_asked(asked: Iterable[tuple[str, Selector]]) -> bool:
    """Whether a gate queries any of them."""
    return any(selector.metric in METRICS for _, selector in asked)


def unanswered(asked: Iterable[tuple[str, Selector]]) -> Iterator[str]:
    """Gates that ask for what Envoy does not count, or for labels that no manifest tells."""
    for gate, selector in asked:
        if not selector.metric.startswith(PREFIX):
            continue
        if selector.metric not in METRICS:
            there = ", ".join(sorted(METRICS))
            yield f"metric {gate}: Envoy has no {selector.metric} (it has {there})"
        for matcher in selector.matchers:
            if matcher.label != ADDRESS and not takes(matcher, ""):
                yield (
                    f"metric {gate}: no manifest says which {matcher.label} the edge's "
                    f"{selector.metric} has; select by {ADDRESS}"
                )


def job(bundle: Bundle, sets: ReplicaSets, port: int, interval_s: float) -> ScrapeJob:
    """The scrape of the gateway's admin `port`: its endpoints alone, by the pods' addresses."""
    served = bundle.served_port
    number = bundle.rollout.spec.template.spec.owner(served).port(served)
    called = [
        {
            "source_labels": [ADDRESS],
            "regex": re.escape(f"{LOCALHOST}:{slot.port}"),
            "target_label": ADDRESS,
            "replacement": f"{slot.address}:{number}",
        }
        for slot in sets.slots()
    ]
    kept = {"source_labels": ["__name__"], "regex": f"{PREFIX}.*", "action": "keep"}
    targets = [Target(port, {})]
    return ScrapeJob("gateway", STATS_PATH, interval_s, targets, metric_relabel=[kept, *called])
