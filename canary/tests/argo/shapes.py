"""Canaries in the shapes that public repositories have, made from a line of words each.

A line of `shapes.yaml` is its router, its gate, its steps, its pod and how it is scraped. How often
each word comes follows public Rollouts as they were counted (95 in 35 repositories): no router in
two of five, Istio in a quarter; a step that waits for a person in a third; other providers in a
fifth. Beside them are the blueGreens, a fifth of those, whose fields take the place of steps.
"""

import copy
from pathlib import Path

import yaml

from canary.argo.manifests import Bundle, read
from canary.argo.model import Measurement, Phase
from canary.yamls import Document

WORDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SHAPES, UNUSUAL = (
    [tuple(line.split()) for line in WORDS[lines].splitlines()] for lines in ("public", "seldom")
)
REFUSED = WORDS["refused"]

LABELS = {"app": "shop"}
_SELECTOR = {"matchLabels": LABELS}
_PORT = {"name": "http", "containerPort": 8080, "protocol": "TCP"}


def manifests(shape):
    """The objects of one line."""
    router, gate, steps, pod, scrape = shape
    return copy.deepcopy([
        *_rollout(router, gate, steps, pod, scrape),
        *_services(router),
        *_templates(gate),
        *_monitor(scrape),
        _object("v1", "ConfigMap", "shop", data={"shop.yaml": "colour: blue"}),
        _object("networking.k8s.io/v1", "Ingress", "shop", spec={}),
        _object("example.org/v1", "Anything", "shop", spec={}),
    ])  # fmt: skip


def bundle(bodies) -> Bundle:
    """What is read of these objects."""
    return read([Document("shape.yaml", body) for body in bodies])


def failing(_metric, now):
    """A measurement that fails at once."""
    return Measurement(Phase.FAILED, now, now + 0.05)


def _object(version, kind, name, **rest):
    metadata = {"name": name, "namespace": "shop", "labels": LABELS}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _rollout(router, gate, steps, pod, scrape):
    added = WORDS["pods"][pod]
    shop = {"name": "shop", "image": "registry.example/shop:1", "ports": [_PORT]}
    containers = [{**shop, **added.get("container", {})}]
    if pod == "sidecar":
        containers.append({"name": "proxy", "image": "registry.example/proxy:1"})
    annotations = {"prometheus.io/scrape": "true"} if scrape == "annotations" else {}
    template = {
        "metadata": {"labels": LABELS, "annotations": annotations},
        "spec": {"containers": containers, **added.get("pod", {})},
    }
    spec = {"replicas": 5, "selector": _SELECTOR}
    blue_green = steps in WORDS["blueGreens"]
    strategy = (_blue_green if blue_green else _canary)(router, gate, steps)
    spec["strategy"] = {"blueGreen" if blue_green else "canary": strategy}
    if pod == "workload-ref":
        del spec["selector"]
        spec["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
        workload = {"replicas": 0, "selector": _SELECTOR, "template": template}
        beside = [_object("apps/v1", "Deployment", "shop", spec=workload)]
    elif pod == "pod-template":
        spec["workloadRef"] = {"apiVersion": "v1", "kind": "PodTemplate", "name": "shop"}
        beside = [_object("v1", "PodTemplate", "shop", template=template)]
    else:
        spec["template"] = template
        beside = []
    return [_object("argoproj.io/v1alpha1", "Rollout", "shop", spec=spec), *beside]


def _blue_green(router, gate, steps):
    services = {"activeService": "shop", "previewService": "shop-preview"}
    if router == "blue-green-alone":
        del services["previewService"]
    if router == "blue-green-labels":
        services["previewMetadata"] = {"labels": {"role": "canary"}}
        services["activeMetadata"] = {"labels": {"role": "stable"}}
    found = {**services, **WORDS["blueGreens"][steps]}
    if gate != "none":
        place = f"{'post' if steps == 'post' else 'pre'}PromotionAnalysis"
        found[place] = _analysis("shop" if steps == "post" else "shop-preview")
    return found


def _analysis(service):
    return {
        "templates": [{"templateName": "gate"}],
        "args": [
            {"name": "service", "value": service},
            {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}},
        ],
    }


def _canary(router, gate, steps):
    canary = copy.deepcopy({"steps": WORDS["steps"][steps], **WORDS["routers"][router]})
    if gate != "none":
        analysis = _analysis("shop" if router in ("basic", "labels") else "shop-canary")
        if steps == "background":
            canary["analysis"] = analysis
        else:
            canary["steps"].insert(2, {"analysis": analysis})
    if steps == "dynamic":
        canary["dynamicStableScale"] = True
    if steps == "max-weight":
        canary["trafficRouting"]["maxTrafficWeight"] = 1000
    if steps in ("header", "mirror", "scale-header"):
        canary["trafficRouting"]["managedRoutes"] = [{"name": "by-header"}, {"name": "copy"}]
    return canary


def _services(router):
    names = [] if router == "services-alone" else ["shop"]
    if router in ("blue-green", "blue-green-labels"):
        names.append("shop-preview")
    elif router not in ("basic", "labels", "istio-subsets", "blue-green-alone"):
        names += ["shop-stable", "shop-canary"]
    port = {"name": "http", "port": 80, "targetPort": "http"}
    for name in names:
        yield _object(
            "v1", "Service", name, spec={"type": "NodePort", "selector": LABELS, "ports": [port]}
        )


def _templates(gate):
    if gate == "none":
        return
    prometheus = {"address": "http://prometheus:9090", "query": WORDS["gates"].get(gate)}
    provider = WORDS["providers"].get(gate, {"prometheus": prometheus})
    metric = {"name": gate, "provider": provider, "successCondition": "result[0] >= 0.95"}
    spec = {"args": [{"name": "service"}, {"name": "hash"}], "metrics": [metric]}
    yield _object("argoproj.io/v1alpha1", "AnalysisTemplate", "gate", spec=spec)
    # One that nothing refers to may hold anything.
    spec = {"metrics": [{"name": "unused", "provider": {"wavefront": {}}}]}
    yield _object("argoproj.io/v1alpha1", "AnalysisTemplate", "unused", spec=spec)


def _monitor(scrape):
    if monitor := WORDS["monitors"][scrape]:
        kind, groups = monitor["kind"], WORDS["groups"]
        group = groups.get(scrape) or groups.get(kind, "monitoring.coreos.com/v1")
        found = _object(group, kind, "shop", spec={"selector": _SELECTOR, **monitor["spec"]})
        if scrape == "other-namespace":
            found["metadata"] = {**found["metadata"], "namespace": "monitoring"}
        yield found
