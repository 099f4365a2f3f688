"""Releases in the idioms of public repositories: the shapes of `argo`, and gates of `corpus.yaml`."""

import copy
from pathlib import Path

import yaml

from canary.tests.argo import shapes
from canary.yamls import Document

FILE = Path(__file__).with_name("corpus.yaml")
# What a case says beside its metric, and what the metric says in other words.
_BESIDE = {"as", "expect", "lint", "power", "repo", "routed", "title", "wrong"}
_OTHERWISE = {"failure", "provider", "query", "success"}


def cases():
    """Each case: its name, its objects, what is said of it and how that is judged."""
    for case in yaml.safe_load(FILE.read_text(encoding="utf-8")):
        words = case["as"].split()
        name = "-".join(words)
        if "repo" in case:
            name = f"{case['repo']} {name}"
        yield name, [Document("corpus", body) for body in _bodies(case, words)], case


def _bodies(case, words):
    if "repo" not in case:
        return shapes.manifests(words)
    router, steps, pod, scrape = words
    # Any gate of Prometheus's: its metric is exchanged for the case's own.
    bodies = shapes.manifests((router, "hash", steps, pod, scrape))
    (template,) = (b for b in bodies if b["metadata"]["name"] == "gate")
    template["spec"]["metrics"] = [metric(case)]
    return bodies


def metric(case):
    """The metric of a case, or of one of `foreign.yaml`."""
    query = {"prometheus": {"address": "http://prometheus:9090", "query": case.get("query")}}
    conditions = {"successCondition": case.get("success"), "failureCondition": case.get("failure")}
    return {
        "name": "gate",
        "provider": copy.deepcopy(case.get("provider", query)),
        **{key: text for key, text in conditions.items() if text},
        **{key: value for key, value in case.items() if key not in _BESIDE | _OTHERWISE},
    }
