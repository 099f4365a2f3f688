"""Canaries in the shapes that public repositories have, made from a line of words each.

A line is its router, its gate, its steps, its pod and how it is scraped. How often each word comes
follows public Rollouts as they were counted (95 in 35 repositories): no router in two of five,
Istio in a quarter; a step that waits for a person in a third; other providers in a fifth. Beside
them are the blueGreens, a fifth of those, whose fields take the place of steps.
"""

from __future__ import annotations

import copy

from canary.argo.manifests import Bundle, read
from canary.argo.model import Measurement, Phase
from canary.yamls import Document

LINES = """
basic             none       timed           plain             none
basic             none       manual          plain             none
basic             none       manual          image-pull        none
basic             none       manual          workload-ref      none
basic             none       no-steps        plain             none
basic             unscoped   timed           plain             service-monitor
basic             unscoped   manual          tcp-probe         service-monitor
basic             unscoped   background      plain             annotations
basic             hash       timed           plain             pod-monitor
basic             hash       timed           config-volume     pod-monitoring
basic             spring     timed           https-probe       service-monitor
basic             grpc       timed           grpc-probe        pod-monitor
basic             unscoped   timed           prestop-sleep     relabelings
basic             job        timed           plain             none
basic             job        manual          plain             none
basic             job        timed           workload-ref      none
basic             web        timed           plain             none
basic             datadog    timed           plain             none
basic             none       experiment      plain             none
basic             none       timed           init-containers   none
services          none       timed           plain             none
services          none       manual          plain             none
services          unscoped   timed           exec-probe        service-monitor
services          by-service timed           plain             service-monitor
services          by-service manual          sidecar           service-monitor
services          job        timed           plain             none
services          hash       timed           downward          pod-monitor
services-alone    unscoped   timed           plain             service-monitor
nginx             none       manual          plain             none
nginx             nginx      timed           tcp-probe         none
nginx             nginx      timed           image-pull        none
nginx             by-service canary-scale    plain             service-monitor
nginx-header      nginx      max-weight      plain             none
istio             none       manual          plain             none
istio             none       timed           sidecar           none
istio             istio      timed           plain             none
istio             istio      timed           config-volume     none
istio             istio      manual          exec-probe        none
istio             istio-p95  timed           plain             none
istio             istio      background      prestop-command   none
istio             istio      dynamic         plain             none
istio             istio      canary-scale    image-pull        none
istio             istio      header          plain             none
istio             istio      mirror          plain             none
istio             by-service timed           plain             relabelings
istio             istio      experiment      plain             none
istio             job        timed           plain             none
istio             kayenta    timed           plain             none
istio-subsets     istio-hash timed           plain             none
istio-subsets     none       manual          plain             none
istio-subsets     istio-hash timed           workload-ref      none
istio-subsets     hash       header          sidecar           pod-monitor
gateway-api       none       timed           plain             none
gateway-api       none       manual          plain             none
gateway-api       traefik    timed           plain             none
gateway-api       envoy      timed           tcp-probe         none
gateway-api       by-service timed           plain             service-monitor
gateway-api       hash       max-weight      plain             pod-monitor
gateway-api       istio      canary-scale    plain             none
alb               none       manual          plain             none
alb               unscoped   timed           image-pull        service-monitor
alb               datadog    timed           plain             none
alb-ping-pong     none       timed           plain             none
traefik           traefik    timed           plain             none
traefik           none       manual          plain             none
smi               linkerd    timed           plain             none
smi               linkerd    background      sidecar           none
app-mesh          envoy      timed           plain             none
ambassador        unscoped   timed           plain             service-monitor
basic             web        manual          plain             none
services          kayenta    timed           plain             none
istio             none       step-plugin     plain             none
blue-green        none       at-once         plain             none
blue-green        none       by-hand         plain             none
blue-green        none       by-hand         image-pull        none
blue-green        none       by-hand         workload-ref      none
blue-green        none       auto            tcp-probe         none
blue-green        none       preview-of-one  sidecar           none
blue-green        job        at-once         plain             none
blue-green        job        preview-of-one  config-volume     none
blue-green        web        by-hand         plain             none
blue-green        unscoped   auto            plain             service-monitor
blue-green        by-service post            plain             service-monitor
blue-green        hash       post            exec-probe        pod-monitor
blue-green        istio      at-once         plain             none
blue-green        datadog    by-hand         plain             none
blue-green        kayenta    post            plain             none
blue-green-alone  none       delays          prestop-sleep     none
"""  # fmt: skip

# Fields that public Rollouts have seldom, all of which are rehearsed.
SELDOM = """
istio-many        istio      hours           native-sidecar    none
gateway-lists     rule       background      plain             none
nginx-many        nginx      timed           plain             none
apisix            none       canary-scale    plain             none
apisix            none       scale-header    plain             none
traefik           exported   timed           plain             none
smi               client     background      plain             none
two-routers       none       manual          plain             none
labels            by-label   timed           plain             labels-monitor
blue-green-labels by-label   by-hand         plain             labels-monitor
contour           envoy      timed           volumes           none
nginx             nginx-any  timed           resources         none
basic             hash       timed           pod-template      azure-monitor
basic             hash       background      prestop-both      port-number
basic             hash       timed           plain             cluster-monitoring
basic             hash       timed           plain             other-namespace
services          by-service timed           plain             vm-scrape
istio             istio      timed           plain             mesh-proxies
services          web-post   timed           plain             none
"""

SHAPES, UNUSUAL = (
    [tuple(line.split()) for line in t.strip().splitlines()] for t in (LINES, SELDOM)
)
# What cannot be rehearsed: the words, and how it is refused.
REFUSED = {
    "datadog": "provider.datadog is not supported",
    "kayenta": "provider.kayenta is not supported",
    "experiment": "steps[1].experiment is not supported",
    "step-plugin": "steps[1].plugin is not supported",
}

LABELS = {"app": "shop"}
SERVICES = {"stableService": "shop-stable", "canaryService": "shop-canary"}
_SPREAD = "preferredDuringSchedulingIgnoredDuringExecution"
# What each word gives a blueGreen, beside its Services and its analyses.
BLUE_GREENS = {
    "at-once": {},
    "post": {"scaleDownDelaySeconds": 600},
    "by-hand": {"autoPromotionEnabled": False},
    "auto": {"autoPromotionSeconds": 30, "antiAffinity": {_SPREAD: {"weight": 1}}},
    "preview-of-one": {"previewReplicaCount": 1, "autoPromotionEnabled": False},
    "delays": {"scaleDownDelayRevisionLimit": 1, "abortScaleDownDelaySeconds": 0},
}
_VIRTUAL_SERVICE = {"virtualService": {"name": "shop", "routes": ["primary"]}}
_SUBSETS = {"name": "shop", "canarySubsetName": "canary", "stableSubsetName": "stable"}
ROUTERS = {
    "basic": {},
    "services": SERVICES,
    "services-alone": SERVICES,
    "nginx": {**SERVICES, "trafficRouting": {"nginx": {"stableIngress": "shop"}}},
    "nginx-header": {
        **SERVICES,
        "trafficRouting": {
            "nginx": {
                "stableIngresses": ["shop"],
                "additionalIngressAnnotations": {"canary-by-header": "X-Canary"},
            }
        },
    },
    "istio": {**SERVICES, "trafficRouting": {"istio": _VIRTUAL_SERVICE}},
    "istio-many": {
        **SERVICES,
        "trafficRouting": {
            "istio": {"virtualServices": [{"name": "shop", "routes": ["a", "b"]}, {"name": "in"}]}
        },
    },
    "istio-subsets": {
        "trafficRouting": {"istio": {**_VIRTUAL_SERVICE, "destinationRule": _SUBSETS}}
    },
    "gateway-api": {
        **SERVICES,
        "trafficRouting": {
            "plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "shop", "namespace": "shop"}}
        },
    },
    "gateway-lists": {
        **SERVICES,
        "trafficRouting": {
            "plugins": {"argoproj-labs/gatewayAPI": {"httpRoutes": [{"name": "a"}, {"name": "b"}]}}
        },
    },
    "nginx-many": {
        **SERVICES,
        "minPodsPerReplicaSet": 2,
        "trafficRouting": {
            "nginx": {"stableIngresses": ["shop", "in"], "annotationPrefix": "custom.example"}
        },
    },
    "apisix": {**SERVICES, "trafficRouting": {"apisix": {"route": {"name": "a", "rules": ["b"]}}}},
    "two-routers": {
        **SERVICES,
        "trafficRouting": {
            "alb": {"ingress": "shop", "servicePort": 443},
            "nginx": {"stableIngress": "in"},
        },
    },
    "alb": {
        **SERVICES,
        "trafficRouting": {
            "alb": {"ingress": "shop", "servicePort": 80, "stickinessConfig": {"enabled": True}}
        },
    },
    "alb-ping-pong": {
        "pingPong": {"pingService": "shop-stable", "pongService": "shop-canary"},
        "trafficRouting": {
            "alb": {"ingress": "shop", "servicePort": 80, "rootService": "shop"}
        },
    },
    "traefik": {
        **SERVICES,
        "trafficRouting": {"traefik": {"weightedTraefikServiceName": "shop"}},
    },
    "smi": {**SERVICES, "trafficRouting": {"smi": {"rootService": "shop"}}},
    "app-mesh": {**SERVICES, "trafficRouting": {"appMesh": {"virtualService": {"name": "shop"}}}},
    "contour": {
        **SERVICES,
        "trafficRouting": {"plugins": {"argoproj-labs/contour": {"httpProxies": ["shop"]}}},
    },
    "labels": {
        "canaryMetadata": {"labels": {"role": "canary"}, "annotations": {"role": "canary"}},
        "stableMetadata": {"labels": {"role": "stable"}},
    },
    "ambassador": {**SERVICES, "trafficRouting": {"ambassador": {"mappings": ["shop"]}}},
}  # fmt: skip

_FIVES = 'http_requests_total{SCOPEstatus=~"5.."}[1m]'
_ALL = "http_requests_total{SCOPE}[1m]"


def _ratio(bad, every, scope=""):
    bad, every = (text.replace("SCOPE", scope) for text in (bad, every))
    return f"sum(rate({bad})) / sum(rate({every}))"


_ISTIO = (
    'istio_requests_total{reporter="source",destination_service_name="{{args.service}}"SCOPE}[2m]'
)
_GOOD = _ISTIO.replace("SCOPE", ',response_code!~"5.*"')
GATES = {
    "unscoped": _ratio(_FIVES, _ALL),
    "hash": _ratio(_FIVES, _ALL, 'rollouts_pod_template_hash="{{args.hash}}",'),
    "by-service": _ratio(_FIVES, _ALL, 'service="{{args.service}}",'),
    "spring": 'sum(rate(http_server_requests_seconds_count{outcome="SERVER_ERROR"}[1m]))',
    "grpc": 'sum(rate(grpc_server_handled_total{grpc_code!="OK"}[1m]))',
    "nginx": (
        'sum(rate(nginx_ingress_controller_requests{ingress="shop",status!~"[4-5].*"}[2m]))'
        ' / sum(rate(nginx_ingress_controller_requests{ingress="shop"}[2m]))'
    ),
    "by-label": _ratio(_FIVES, _ALL, 'role="canary",'),
    "nginx-any": 'sum(rate(nginx_ingress_controller_requests{canary!="",status=~"5.."}[2m]))',
    "istio": _ratio(_GOOD, _ISTIO),
    "istio-p95": (
        "histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{"
        'destination_service=~"{{args.service}}.shop.svc.cluster.local"}[1m])) by (le))'
    ),
    "istio-hash": (
        'sum(rate(istio_requests_total{reporter="destination",'
        'rollouts_pod_template_hash="{{args.hash}}",response_code=~"5.*"}[1m]))'
    ),
    "traefik": (
        'sum(rate(traefik_service_requests_total{service=~"shop-{{args.service}}-.*",'
        'code!~"[45].*"}[1m]))'
    ),
    "envoy": (
        'sum(rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name=~".*{{args.service}}.*",'
        'envoy_response_code_class="5"}[1m]))'
    ),
    "rule": (
        'sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name=~"httproute/shop/.*",'
        'envoy_response_code=~"2.*"}[1m]))'
    ),
    "exported": (
        'sum(rate(traefik_service_requests_total{code!~"5..",'
        'exported_service="shop-{{args.service}}-80@kubernetescrd"}[1m]))'
    ),
    "client": (
        'sum by (service) (increase(response_total{deployment="bot",status_code="500",'
        'direction="outbound",classification="failure",dst_service="{{args.service}}"}[30s]))'
    ),
    "linkerd": (
        'sum(rate(response_total{app="shop",direction="inbound",'
        'classification="success"}[1m])) / sum(rate(response_total{direction="inbound"}[1m]))'
    ),
}
PROVIDERS = {
    "job": {"job": {"spec": {"template": {"spec": {"containers": [{"name": "t"}]}}}}},
    "web": {"web": {"url": "http://shop-canary/health", "jsonPath": "{$.ok}"}},
    "web-post": {
        "web": {
            "url": "http://shop-canary/measure",
            "method": "POST",
            "headers": [{"key": "Accept", "value": "application/json"}],
            "jsonBody": {"service": "{{args.service}}"},
            "jsonPath": "{$.ok}",
        }
    },
    "datadog": {"datadog": {"query": "avg:requests.error.rate{service:shop}"}},
    "kayenta": {"kayenta": {"address": "http://kayenta", "application": "shop"}},
}

_TIMED = [
    {"setWeight": 20},
    {"pause": {"duration": "1m"}},
    {"setWeight": 60},
    {"pause": {"duration": 60}},
]
_MATCH = [{"headerName": "X-Canary", "headerValue": {"exact": "yes"}}]
STEPS = {
    "timed": _TIMED,
    "background": _TIMED,
    "dynamic": _TIMED,
    "no-steps": [],
    "hours": [{"setWeight": 1}, {"pause": {"duration": "1h30m"}}, *_TIMED],
    "manual": [{"setWeight": 20}, {"pause": {}}, *_TIMED[2:]],
    "canary-scale": [{"setCanaryScale": {"replicas": 1}}, *_TIMED, {"setCanaryScale": {"matchTrafficWeight": True}}],
    "max-weight": [{"setWeight": 250}, *_TIMED[1:2], {"setWeight": 1000}],
    "header": [{"setCanaryScale": {"weight": 30}}, {"setHeaderRoute": {"name": "by-header", "match": _MATCH}}, *_TIMED],
    "scale-header": [{"setCanaryScale": {"weight": 30}, "setHeaderRoute": {"name": "by-header", "match": _MATCH}}, *_TIMED],
    "mirror": [
        {"setCanaryScale": {"weight": 30}},
        {"setMirrorRoute": {"name": "copy", "percentage": 35, "match": [{"method": {"exact": "GET"}}]}},
        *_TIMED,
    ],
    "experiment": [_TIMED[0], {"experiment": {"duration": "5m", "templates": [{"name": "a", "specRef": "canary"}]}}],
    "step-plugin": [_TIMED[0], {"plugin": {"name": "example/step", "config": {}}}],
}  # fmt: skip

_PORT = {"name": "http", "containerPort": 8080, "protocol": "TCP"}
_HTTP = {"httpGet": {"path": "/healthz", "port": "http"}}
_MOUNT = {"volumeMounts": [{"name": "files", "mountPath": "/etc/shop"}]}
# What each word adds to the container, and to the pod.
PODS = {
    "plain": ({"livenessProbe": _HTTP, "readinessProbe": _HTTP}, {}),
    "workload-ref": ({"readinessProbe": _HTTP}, {}),
    "pod-template": ({"readinessProbe": _HTTP}, {}),
    "image-pull": ({"imagePullPolicy": "Always"}, {"imagePullSecrets": [{"name": "registry"}]}),
    "tcp-probe": ({"readinessProbe": {"tcpSocket": {"port": 8080}}}, {}),
    "https-probe": ({"readinessProbe": {"httpGet": {"port": 8080, "scheme": "HTTPS"}}}, {}),
    "exec-probe": ({"livenessProbe": {"exec": {"command": ["cat", "/tmp/ok"]}}}, {}),
    "grpc-probe": ({"readinessProbe": {"grpc": {"port": 8080}}}, {}),
    "prestop-sleep": ({"lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "sleep 15"]}}}}, {}),
    "prestop-command": ({"lifecycle": {"preStop": {"exec": {"command": ["/shop", "drain"]}}}}, {}),
    "prestop-both": ({"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 5 && nginx -s quit"]}}}}, {}),
    "resources": (
        {
            "resources": {"limits": {"memory": "1Ti", "ephemeral-storage": "2e9"}},
            "env": [
                {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "DISK", "valueFrom": {"resourceFieldRef": {"resource": "limits.ephemeral-storage"}}},
            ],
        },
        {},
    ),
    "volumes": (
        _MOUNT,
        {
            "volumes": [
                {"name": "files", "projected": {"sources": [{"configMap": {"name": "shop"}}, {"serviceAccountToken": {"path": "token"}}]}},
                {"name": "identity", "csi": {"driver": "csi.spiffe.io", "readOnly": True}},
                {"name": "disk", "iscsi": {"targetPortal": "10.0.0.1"}},
            ]
        },
    ),
    "config-volume": (_MOUNT, {"volumes": [{"name": "files", "configMap": {"name": "shop"}}]}),
    "downward": (_MOUNT, {"volumes": [{"name": "files", "downwardAPI": {"items": []}}]}),
    "native-sidecar": (
        {"restartPolicyRules": [], "resizePolicy": []},
        {
            "initContainers": [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}],
            "hostUsers": False,
            "resources": {"limits": {"cpu": "2"}},
            "volumes": [{"name": "token", "projected": {"sources": []}}],
        },
    ),
    "init-containers": ({}, {"initContainers": [{"name": "wait", "image": "busybox"}]}),
    "sidecar": ({"resources": {"limits": {"cpu": 1, "memory": "128Mi"}}}, {"tolerations": []}),
}  # fmt: skip

_ENDPOINT = {"port": "http", "interval": "5s", "path": "/metrics"}
_SELECTOR = {"selector": {"matchLabels": LABELS}}
MONITORS = {
    "none": None,
    "annotations": None,
    "service-monitor": ("ServiceMonitor", {**_SELECTOR, "endpoints": [_ENDPOINT]}),
    "relabelings": (
        "ServiceMonitor",
        {
            **_SELECTOR,
            "namespaceSelector": {"matchNames": ["shop"]},
            "endpoints": [
                {
                    **_ENDPOINT,
                    "relabelings": [
                        {
                            "sourceLabels": ["__meta_kubernetes_pod_label_app"],
                            "targetLabel": "application",
                        }
                    ],
                }
            ],
        },
    ),
    "pod-monitor": (
        "PodMonitor",
        {
            **_SELECTOR,
            "podMetricsEndpoints": [_ENDPOINT],
            "podTargetLabels": ["rollouts-pod-template-hash"],
        },
    ),
    "labels-monitor": (
        "PodMonitor",
        {**_SELECTOR, "podMetricsEndpoints": [_ENDPOINT], "podTargetLabels": ["role"]},
    ),
    "azure-monitor": (
        "PodMonitor",
        {
            **_SELECTOR,
            "podMetricsEndpoints": [_ENDPOINT],
            "podTargetLabels": ["rollouts-pod-template-hash"],
        },
    ),
    "port-number": (
        "PodMonitor",
        {
            **_SELECTOR,
            "podMetricsEndpoints": [{"portNumber": 8080, "proxyFromEnvironment": True}],
            "podTargetLabels": ["rollouts-pod-template-hash"],
            "nativeHistogramBucketLimit": 100,
        },
    ),
    "other-namespace": (
        "PodMonitor",
        {
            **_SELECTOR,
            "namespaceSelector": {"matchNames": ["shop"]},
            "podMetricsEndpoints": [_ENDPOINT],
            "podTargetLabels": ["rollouts-pod-template-hash"],
        },
    ),
    "vm-scrape": (
        "VMServiceScrape",
        {**_SELECTOR, "endpoints": [{"port": "http", "scrape_interval": "5s"}]},
    ),
    "mesh-proxies": (
        "PodMonitor",
        {**_SELECTOR, "podMetricsEndpoints": [{"port": "http-envoy-prom", "path": "/stats"}]},
    ),
    "cluster-monitoring": (
        "ClusterPodMonitoring",
        {
            **_SELECTOR,
            "endpoints": [{**_ENDPOINT, "tls": {}}],
            "targetLabels": {"fromPod": [{"from": "rollouts-pod-template-hash"}]},
        },
    ),
    "pod-monitoring": (
        "PodMonitoring",
        {
            **_SELECTOR,
            "endpoints": [_ENDPOINT],
            "targetLabels": {"fromPod": [{"from": "rollouts-pod-template-hash"}]},
        },
    ),
}


GROUPS = {
    "azure-monitor": "azmonitoring.coreos.com/v1",
    "PodMonitoring": "monitoring.googleapis.com/v1",
    "ClusterPodMonitoring": "monitoring.googleapis.com/v1",
    "VMServiceScrape": "operator.victoriametrics.com/v1beta1",
}


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
    container, spec = PODS[pod]
    containers = [
        {"name": "shop", "image": "registry.example/shop:1", "ports": [_PORT], **container}
    ]
    if pod == "sidecar":
        containers.append({"name": "proxy", "image": "registry.example/proxy:1"})
    annotations = {"prometheus.io/scrape": "true"} if scrape == "annotations" else {}
    template = {
        "metadata": {"labels": LABELS, "annotations": annotations},
        "spec": {"containers": containers, **spec},
    }
    spec = {"replicas": 5, "selector": {"matchLabels": LABELS}}
    blue_green = steps in BLUE_GREENS
    spec["strategy"] = (
        {"blueGreen": _blue_green(router, gate, steps)}
        if blue_green
        else {"canary": _canary(router, gate, steps)}
    )
    if pod not in ("workload-ref", "pod-template"):
        yield _object(
            "argoproj.io/v1alpha1", "Rollout", "shop", spec={**spec, "template": template}
        )
        return
    if pod == "pod-template":
        spec["workloadRef"] = {"apiVersion": "v1", "kind": "PodTemplate", "name": "shop"}
        yield _object("argoproj.io/v1alpha1", "Rollout", "shop", spec=spec)
        yield _object("v1", "PodTemplate", "shop", template=template)
        return
    del spec["selector"]
    spec["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    yield _object("argoproj.io/v1alpha1", "Rollout", "shop", spec=spec)
    workload = {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": template}
    yield _object("apps/v1", "Deployment", "shop", spec=workload)


def _blue_green(router, gate, steps):
    services = {"activeService": "shop", "previewService": "shop-preview"}
    if router == "blue-green-alone":
        del services["previewService"]
    if router == "blue-green-labels":
        services["previewMetadata"] = {"labels": {"role": "canary"}}
        services["activeMetadata"] = {"labels": {"role": "stable"}}
    found = {**services, **BLUE_GREENS[steps]}
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
    canary = {"steps": list(STEPS[steps]), **ROUTERS[router]}
    canary = copy.deepcopy(canary)
    if gate != "none":
        plain = router in ("basic", "labels")
        analysis = _analysis("shop" if plain else SERVICES["canaryService"])
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
        names += SERVICES.values()
    port = {"name": "http", "port": 80, "targetPort": "http"}
    for name in names:
        yield _object(
            "v1", "Service", name, spec={"type": "NodePort", "selector": LABELS, "ports": [port]}
        )


def _templates(gate):
    if gate == "none":
        return
    provider = PROVIDERS.get(gate) or {
        "prometheus": {"address": "http://prometheus:9090", "query": GATES[gate]}
    }
    metric = {"name": gate, "provider": provider, "successCondition": "result[0] >= 0.95"}
    spec = {"args": [{"name": "service"}, {"name": "hash"}], "metrics": [metric]}
    yield _object("argoproj.io/v1alpha1", "AnalysisTemplate", "gate", spec=spec)
    # One that nothing refers to may hold anything.
    spec = {"metrics": [{"name": "unused", "provider": {"wavefront": {}}}]}
    yield _object("argoproj.io/v1alpha1", "AnalysisTemplate", "unused", spec=spec)


def _monitor(scrape):
    if MONITORS[scrape] is not None:
        kind, spec = MONITORS[scrape]
        group = GROUPS.get(scrape) or GROUPS.get(kind, "monitoring.coreos.com/v1")
        found = _object(group, kind, "shop", spec=spec)
        if scrape == "other-namespace":
            found["metadata"] = {**found["metadata"], "namespace": "monitoring"}
        yield found
