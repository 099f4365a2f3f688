"""Manifests: the shipped ones are understood whole, and what is not understood is refused."""

import copy
import json
import re
import shutil
import typing

import pytest
import yaml

from canary import durations, yamls
from canary.argo import manifests, objects, quantities, support
from canary.argo.model import Analysis, Pause, ReplicaSetName, SetWeight
from canary.errors import UsageError
from canary.runtime import documents, kustomize
from canary.tests.argo import shapes
from canary.yamls import Document


@pytest.fixture
def deploy(root, tmp_path):
    """A copy of the shipped manifests that a test may spoil."""
    return shutil.copytree(root / "deploy/base", tmp_path / "base")


def spoil(folder, file, before, after):
    path = folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_the_shipped_steps_are_ten_a_quarter_and_a_half_each_judged(rollout):
    shape = [
        (step.weight if isinstance(step, SetWeight) else None)
        or (step.duration_s if isinstance(step, Pause) else "judged")
        for step in rollout.steps
    ]
    assert shape == [10, 60, "judged", 25, 120, "judged", 50, 180, "judged", 100, "judged"]


def test_each_inline_window_leaves_out_the_first_ten_seconds_of_the_pause_before_it(rollout):
    for before, step in zip(rollout.steps, rollout.steps[1:], strict=False):
        if isinstance(before, Pause):
            windows = {w for m in step.metrics for w in durations.ranges_s(m.query)}
            assert windows == {before.duration_s - 10}


def test_an_inline_metric_is_asked_for_ten_minutes_until_it_passes_and_then_pauses(rollout):
    *steps, last = [step for step in rollout.steps if isinstance(step, Analysis)]
    assert {m.consecutive_success_limit for step in steps for m in step.metrics} == {1}
    assert {m.consecutive_success_limit for m in last.metrics} == {5}
    for metric in (m for step in (*steps, last) for m in step.metrics):
        assert metric.count * metric.interval_s == 600
        assert metric.inconclusive_limit == metric.count


def test_the_guard_looks_from_the_first_weight_to_the_end_and_never_stops_for_want_of_data(rollout):
    background = rollout.background
    assert background.starting_step == 0
    assert {m.effective_count for m in background.metrics} == {None}
    assert {m.interval_s for m in background.metrics} == {10}
    assert {m.inconclusive_limit for m in background.metrics} == {1000}
    hashes = {"canary-hash": ReplicaSetName.LATEST, "stable-hash": ReplicaSetName.STABLE}
    assert background.arguments == hashes


def test_our_own_reading_of_the_kustomization_is_kustomizes(root):
    built = kustomize.build(root / "deploy/base")
    # A generated ConfigMap's hash is left out here: what names it is not rewritten either.
    built = re.sub(r"(gridos-config)-[a-z0-9]{10}\b", r"\1", built)
    theirs = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(built)}
    ours = {(d.kind, d.name): d.body for d in documents.read(root / "deploy/base")}
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        (
            "helmCharts: [{name: shop}]",
            "must specify --enable-helm",
            "kustomize build --enable-helm",
        ),
        ("resources: ['https://127.0.0.1:9/a.yaml']", "a.yaml", "it lists remote resources"),
        ("resources: ['https://127.0.0.1:9/a//b?ref=v1']", "a//b", "it lists remote resources"),
        ("bases: [gone]", "gone", "correct it"),
    ],
)
def test_what_kustomize_refuses_is_one_line_with_what_to_do(tmp_path, text, said, remedy):
    (tmp_path / "kustomization.yaml").write_text(text)
    with pytest.raises(UsageError) as refused:
        list(documents.read(tmp_path))
    assert "\n" not in str(refused.value)
    assert "Warning" not in str(refused.value)
    assert said in refused.value.cause
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("file", "before", "after", "complaint"),
    [
        (
            "rollout.yaml",
            "maxSurge: 25%",
            "maxSurge: 25%\n      dynamicStableScale: true",
            ": Rollout field spec.strategy.canary.dynamicStableScale is not supported",
        ),
        (
            "rollout.yaml",
            "- setWeight: 25",
            "- setCanaryScale: {replicas: 3}",
            "spec.strategy.canary.steps[3].setCanaryScale is not supported",
        ),
        (
            "rollout.yaml",
            "periodSeconds: 1\n",
            "periodSeconds: often\n",
            "spec.template.spec.containers[0].startupProbe.periodSeconds",
        ),
        (
            "analysis-release-gates.yaml",
            "prometheus:\n          address",
            "datadog:\n          address",
            "spec.metrics[0].provider",
        ),
        (
            "service.yaml",
            "kind: Service",
            "kind: Servce",
            "Servce field kind is not supported — apiVersion v1 has no kind 'Servce'",
        ),
        ("service.yaml", "spec:", "spec: [", "is not YAML"),
        ("kustomization.yaml", "  - service.yaml", "  - missing.yaml", "does not exist"),
        ("kustomization.yaml", "  - rollout.yaml", "", "contains 0 Rollouts"),
        # -- what is understood and cannot be planned, or what the controller refuses of it
        (
            "rollout.yaml",
            "templateName: release-gates",
            "templateName: gone",
            "'gone' is referenced",
        ),
        (
            "analysis-release-gates.yaml",
            '    - name: min-requests\n      value: "80"\n',
            "",
            "metric canary-requests: argument 'min-requests' has no value",
        ),
        (
            "analysis-release-guard.yaml",
            'name: without-data\n      value: "1000"',
            'name: without-data\n      value: "often"',
            "'often' is not a whole number",
        ),
        (
            "analysis-release-comparison.yaml",
            "    - name: interval\n      value: 20s\n",
            "    - name: interval\n      value: 30s\n",
            "argument 'interval' has two values, '20s' and '30s'",
        ),
        ("rollout.yaml", "- setWeight: 25", "- {setWeight: 25, pause: {}}", "make 2 steps"),
        (
            "rollout.yaml",
            "duration: 1m}",
            "duration: 1d}",
            "steps[1].pause.duration is not supported — the controller refuses it: pause '1d' is not",
        ),
        (
            "analysis-release-gates.yaml",
            '      interval: "{{args.interval}}"',
            "      interval: 1d",
            "interval '1d' is not a duration: hours, minutes and seconds, such as 90s, so that the",
        ),
        (
            "rollout.yaml",
            "progressDeadlineSeconds: ",
            "minReadySeconds: 9000\n  progressDeadlineSeconds: ",
            "the controller refuses it: minReadySeconds is not below progressDeadlineSeconds",
        ),
        (
            "rollout.yaml",
            "        - analysis:\n",
            "        - analysis:\n            dryRun: [{metricName: p99}]\n",
            "dryRun 'p99' matches no metric, so that the controller ends its run in Error",
        ),
        (
            "analysis-release-gates.yaml",
            'count: "{{args.measurements}}"',
            'count: "{{args.canary-hash}}"',
            "has no value in the template, so that the controller refuses the Rollout",
        ),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_with_its_place(deploy, file, before, after, complaint):
    spoil(deploy, file, before, after)
    with pytest.raises(UsageError) as caught:
        manifests.rollout(manifests.read(documents.read(deploy)))
    said = str(caught.value)
    assert complaint in said
    assert "\n" not in said or " things stand in the way:\n" in said


def test_a_field_that_is_not_understood_is_named_with_its_line(deploy):
    spoil(deploy, "rollout.yaml", "maxSurge: 25%", "maxSurge: 25%\n      dynamicStableScale: true")
    lines = (deploy / "rollout.yaml").read_text().splitlines()
    (line,) = (i for i, text in enumerate(lines, 1) if "dynamicStableScale" in text)
    with pytest.raises(UsageError, match=rf"rollout\.yaml line {line}: Rollout field"):
        manifests.read(documents.read(deploy))


def test_a_list_stands_for_its_items_each_with_its_place():
    text = "kind: List\nitems:\n- kind: A\n- kind: B\n  spec: {x: [1, {name: y}]}\n"
    first, second = yamls.objects("file", text)
    assert (first.kind, second.kind, second.file) == ("A", "B", "file")
    assert second.position() == (4, 3)
    assert second.position("spec.x[1].name") == (5, 18)
    assert second.position("spec.x[7].name") == (5, 10)


def test_a_tab_that_is_no_indentation_is_a_space_as_for_kubernetes():
    (plain,) = yamls.objects("file", "kind: A\t# a remark\nspec:\t{x:\t1}\t\n")
    (json_,) = yamls.objects("file", '{\n\t"kind": "A",\n\t"spec": {\n\t\t"x": 1\n\t}\n}\n')
    assert plain.body == json_.body == {"kind": "A", "spec": {"x": 1}}
    with pytest.raises(UsageError, match="line 2 is not YAML"):
        list(yamls.objects("file", "spec:\n\tx: 1\n"))


def test_an_argument_that_the_template_does_not_declare_is_dropped_in_silence_as_argo_does(deploy):
    spoil(deploy, "rollout.yaml", "name: in-a-row", "name: in-arow")
    last = manifests.rollout(manifests.read(documents.read(deploy))).steps[-1]
    assert {m.consecutive_success_limit for m in last.metrics} == {1}


@pytest.mark.parametrize(
    ("kind", "bounds", "asked", "replicas"),
    [
        ("HorizontalPodAutoscaler", {"minReplicas": 5, "maxReplicas": 12}, None, 5),
        ("HorizontalPodAutoscaler", {"minReplicas": 5, "maxReplicas": 12}, 30, 12),
        ("HorizontalPodAutoscaler", {"maxReplicas": 12}, 8, 8),
        ("ScaledObject", {"minReplicaCount": 3}, 2, 3),
    ],
)
def test_a_rollout_begins_with_as_many_replicas_as_its_autoscaler_lets_it_have(
    deploy, kind, bounds, asked, replicas
):
    spoil(deploy, "rollout.yaml", "  replicas: 10\n", f"  replicas: {asked}\n" if asked else "")
    target = {"kind": "Rollout", "name": "gridos"}
    body = {"kind": kind, "metadata": {"namespace": "gridos"}}
    scaler = yamls.Document("scaler", {**body, "spec": {"scaleTargetRef": target, **bounds}})
    others = [d for d in documents.read(deploy) if d.kind != "HorizontalPodAutoscaler"]
    assert manifests.read([*others, scaler]).rollout.spec.replicas == replicas
    assert manifests.rollout(manifests.read([*others, scaler])).replicas == replicas


@pytest.mark.parametrize(
    ("port", "more", "said"),
    [
        ({"name": "grpc"}, {}, "port grpc of the users' Service is gRPC"),
        ({"name": "grpc-web"}, {}, None),
        ({"appProtocol": "grpc"}, {}, "of the users' Service is gRPC"),
        ({"appProtocol": "http"}, {}, None),
        ({}, {"kind": "GRPCRoute"}, "GRPCRoute/it is gRPC"),
        ({}, {"kind": "Ingress", "annotations": "GRPCS"}, "Ingress/it is gRPC"),
        ({}, {"kind": "Ingress", "annotations": "HTTPS"}, None),
    ],
)
def test_users_of_grpc_are_refused_by_what_says_so(root, port, more, said):
    found = list(documents.read(root / "deploy/base"))
    (service,) = [d for d in found if (d.kind, d.name) == ("Service", "gridos")]
    service.spec["ports"][0].update(port)
    protocol = {"nginx.ingress.kubernetes.io/backend-protocol": more.get("annotations", "")}
    body = {"kind": more.get("kind", "Probe"), "metadata": {"name": "it", "annotations": protocol}}
    if said is None:
        assert manifests.read([*found, yamls.Document("it", body)]).service
        return
    with pytest.raises(UsageError, match=said):
        manifests.read([*found, yamls.Document("it", body)])


def test_beside_a_port_of_grpc_users_come_by_the_one_that_speaks_http(root):
    found = list(documents.read(root / "deploy/base"))
    (service,) = [d for d in found if (d.kind, d.name) == ("Service", "gridos")]
    service.spec["ports"].insert(0, {"name": "grpc", "port": 9000, "targetPort": "grpc"})
    bundle = manifests.read(found)
    assert (bundle.port.name, bundle.served_port) == ("http", "http")
    (said,) = [line for line in bundle.unenforced if "no user calls it" in line]
    assert "spec.ports[0].port" in said


def test_what_one_machine_cannot_enforce_is_listed(bundle):
    listed = "Rollout/gridos spec.template.spec.containers[0].securityContext", "Namespace objects"
    assert set(listed) <= set(bundle.unenforced)


# Providers that nobody answers here, and what a rehearsal would do otherwise than a cluster.
NOT_SUPPORTED = {
    "spec.metrics[].provider": {
        "cloudWatch", "datadog", "graphite", "influxdb", "kayenta", "newRelic", "plugin",
        "skywalking", "wavefront",
    },
    "spec.metrics[].provider.prometheus": {"rangeQuery"},
    "spec.strategy.canary.steps[]": {"experiment", "plugin"},
    "spec.template.spec.containers[].env[].valueFrom": {"fileKeyRef"},
}  # fmt: skip


def refused_fields(schema, kind, path):
    """The fields of a schema that a type refuses by name, by the path of what holds them."""
    while schema.get("type") == "array":
        schema, path = schema["items"], f"{path}[]"
    if kind is None or "properties" not in schema:
        return
    known = {}
    for name, field in kind.model_fields.items():
        others = getattr(field.validation_alias, "choices", [])
        known |= dict.fromkeys((field.alias or name, *others), field.annotation)
    for name, inner in schema["properties"].items():
        below = f"{path}.{name}".lstrip(".")
        if name in known:
            yield from refused_fields(inner, type_within(known[name]), below)
        elif name not in {*kind.NOT_ENFORCED, "metadata", "status"}:
            yield path, name


def type_within(annotation):
    if isinstance(annotation, type) and issubclass(annotation, objects.Manifest):
        return annotation
    return next(filter(None, map(type_within, typing.get_args(annotation))), None)


def test_of_all_fields_that_the_controller_knows_few_are_refused_and_by_name(root):
    refused = {}
    for file, kind in (
        ("rollout", objects.Rollout),
        ("analysistemplate", objects.AnalysisTemplate),
    ):
        schema = json.loads((root / f"canary/lint/schemas/{file}.json").read_text())
        for path, name in refused_fields(schema, kind, ""):
            refused.setdefault(path, set()).add(name)
    assert refused == NOT_SUPPORTED
    providers = refused.pop("spec.metrics[].provider")
    assert frozenset().union(*refused.values()) - providers <= support.UNSUPPORTED
    assert frozenset().union(*refused.values()) >= support.UNSUPPORTED


def refused_of(change):
    """The fields that refuse a shape of which a part was changed, and why."""
    (rollout, *others) = shape()
    change(rollout.body["spec"])
    rows = manifests.explain([rollout, *others])
    return [
        str(row).partition(": Rollout field ")[2] for row in rows if row.support == "not supported"
    ]


def test_a_field_that_is_missing_is_said_to_be_once_beside_all_else():
    def change(spec):
        del spec["template"]
        spec["strategy"]["canary"]["steps"].append({"plugin": {"name": "example/step"}})

    plugin, template = refused_of(change)
    assert template == "spec.template is missing — Rollout objects need it: add it"
    assert plugin.startswith("spec.strategy.canary.steps[5].plugin is not supported — leave it out")


def test_a_body_that_the_controller_would_not_send_is_refused():
    found = shape()
    (template,) = [d for d in found if d.kind == "AnalysisTemplate" and d.name == "gate"]
    web = {"url": "http://shop/state", "jsonBody": {"a": 1}}
    template.body["spec"]["metrics"][0]["provider"] = {"web": web}
    with pytest.raises(
        UsageError, match=r"web\.jsonBody is not supported — the controller takes one"
    ):
        manifests.read(found)
    web["method"] = "POST"
    assert manifests.read(found)


def test_two_strategies_are_told_beside_what_is_in_one_of_them():
    def change(spec):
        spec["strategy"]["blueGreen"] = {"activeService": "shop"}
        spec["strategy"]["canary"]["steps"][1] = {"experiment": {}}

    experiment, both = refused_of(change)
    assert experiment.startswith("spec.strategy.canary.steps[1].experiment is not supported")
    assert both.startswith("spec.strategy is not supported — the controller takes one of canary")


def test_a_field_that_no_controller_has_is_to_be_corrected():
    (said,) = refused_of(lambda spec: spec["strategy"]["canary"].update(autoPromotionEnabled=True))
    field = "spec.strategy.canary.autoPromotionEnabled is not supported"
    assert said.startswith(f"{field} — the controller has no such field")


@pytest.mark.parametrize(
    ("quoted", "path", "said"),
    [
        ({"setWeight": "20"}, "setWeight", "a valid integer"),
        ({"setCanaryScale": {"replicas": "2"}}, "setCanaryScale.replicas", "a valid integer"),
        ({"setCanaryScale": {"matchTrafficWeight": "yes"}}, "setCanaryScale.matchTrafficWeight", "a valid boolean"),
    ],
)  # fmt: skip
def test_a_number_in_quotes_is_none_as_for_an_api_server(quoted, path, said):
    def change(spec):
        spec["strategy"]["canary"]["steps"][1] = quoted

    first, *_ = refused_of(change)
    assert first.startswith(f"spec.strategy.canary.steps[1].{path} is not supported")
    assert first.endswith(said)


def test_a_rollout_without_replicas_releases_nothing():
    (said,) = refused_of(lambda spec: spec.update(replicas=0))
    assert said.startswith("spec.replicas is not supported — no pod is released: rehearse it with")


def test_a_template_of_helm_is_to_be_rendered():
    with pytest.raises(UsageError, match="it is a template: render it with helm template CHART"):
        list(yamls.objects("rollout.yaml", "kind: A\nname: {{ .Values.name }}\n{{- if x }}\n"))


def test_the_pod_template_may_be_that_of_a_pod_template_and_is_asked_for_where_it_is_missing():
    found = shape()
    spec = found[0].body["spec"]
    template = {"kind": "PodTemplate", "apiVersion": "v1", "template": spec.pop("template")}
    template["metadata"] = {"name": "pods", "namespace": "shop"}
    spec["workloadRef"] = {"apiVersion": "v1", "kind": "PodTemplate", "name": "pods"}
    with pytest.raises(
        UsageError, match=r"spec\.template is missing — workloadRef takes it from PodTem"
    ):
        manifests.read(found)
    assert manifests.read([*found, Document("pods.yaml", template)]).rollout.spec.template.spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("256Mi", 2**28), ("1.5G", 1_500_000_000), (1048576, 2**20), ("64k", 64_000)),
        *(("2Ti", 2**41), ("129e6", 129_000_000), ("1E3", 1000), ("1E", 10**18), (".5", 0.5)),
        *(("250m", 0.25), ("100u", 0.0001), ("0", 0)),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text, expected):
    assert float(quantities.parse(text)) == expected


def test_what_is_no_quantity_is_refused_by_its_path():
    def change(spec):
        container = spec["template"]["spec"]["containers"][0]
        container["resources"] = {"limits": {"memory": "plenty", "cpu": "1"}}

    field = "spec.template.spec.containers[0].resources.limits.memory"
    expected = f"{field} is not supported — 'plenty' is not a quantity, such as 500m or 256Mi"
    assert refused_of(change) == [expected]


def test_no_volume_is_refused_and_those_without_files_here_are_listed():
    kinds = ("iscsi", "cephfs", "flexVolume", "nfs", "ephemeral", "image", "emptyDir", "hostPath")
    volumes = [{"name": f"v{i}", kind: {}} for i, kind in enumerate(kinds)]
    volumes.append({"name": "spiffe", "csi": {"driver": "csi.spiffe.io", "readOnly": True}})
    found = shape()
    found[0].body["spec"]["template"]["spec"]["volumes"] = volumes
    bundle = manifests.read(found)
    assert not any(v.holds_files for v in bundle.rollout.spec.template.spec.volumes)
    listed = [line for line in bundle.unenforced if ".volumes[" in line]
    assert len(listed) == len(volumes)
    assert "volumes[8].csi.driver: none of its files is written" in listed[-1]


SHAPE = ("basic", "hash", "timed", "plain", "pod-monitor")


def shape(*more, namespace=""):
    """A shape's objects, in another namespace if one is given, and more."""
    bodies = copy.deepcopy(shapes.manifests(SHAPE))
    for body in bodies:
        if namespace:
            body["metadata"] = {**body["metadata"], "namespace": namespace}
    return [Document("shape.yaml", body) for body in (*bodies, *more)]


def test_an_object_of_one_name_in_another_namespace_is_not_taken_for_the_rollouts_own():
    template = next(b for b in shapes.manifests(SHAPE) if b["kind"] == "AnalysisTemplate")
    other = copy.deepcopy(template)
    other["metadata"] = {**other["metadata"], "namespace": "elsewhere"}
    other["spec"]["metrics"][0]["provider"]["prometheus"]["query"] = "vector(9)"
    for found in (shape(other), shape(other)[::-1]):
        planned = manifests.rollout(manifests.read(found))
        queries = {metric.query for run in planned.analyses for metric in run.metrics}
        assert template["spec"]["metrics"][0]["provider"]["prometheus"]["query"] in queries
        assert "vector(9)" not in queries
    notes = [row.note for row in manifests.explain(shape(other))]
    assert "it lies in another namespace than the Rollout" in notes


def test_a_rollout_that_is_given_twice_is_to_be_left_out_once():
    with pytest.raises(
        UsageError, match=r"2 Rollouts \(shop/shop, shop/shop\) — leave all but one"
    ):
        manifests.read([*shape(), *shape()])


def test_a_deployment_of_another_namespace_stays_among_what_a_cluster_is_given():
    metadata = {"name": "prometheus", "namespace": "monitoring"}
    other = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    bundle = manifests.read(shape(other))
    assert "Deployment/prometheus" in map(str, bundle.documents)


def test_two_rollouts_of_one_name_are_told_apart_by_their_namespaces():
    both = [*shape(namespace="east"), *shape(namespace="west")]
    with pytest.raises(UsageError, match=r"2 Rollouts \(east/(.*), west/\1\)"):
        manifests.read(both)


@pytest.mark.parametrize("name", ["Größe", "../../etc/x", "a" * 254, "-a"])
def test_a_name_that_no_api_server_takes_is_refused(name):
    rollout, *others = shape()
    rollout.body["metadata"]["name"] = name
    with pytest.raises(UsageError, match=r"metadata.name is not supported — a name has at most"):
        manifests.read([rollout, *others])


def test_a_field_without_a_value_is_none_as_the_api_server_has_it():
    rollout, *others = shape()
    rollout.body["spec"]["strategy"]["canary"] |= {"steps": None, "maxSurge": None}
    rollout.body["spec"]["template"]["spec"]["volumes"] = None
    assert manifests.rollout(manifests.read([rollout, *others])).steps == ()
