"""The platform composed: what the charts bring with our values is what our own parts count on.

The contracts are generated from the charts themselves; nothing here has a world of its own. It leaves
out what only a running cluster shows (`test_operator` and `test_root` ask the operator and Argo CD)
and all of Azure's own services.
"""

import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import hcl2
import pytest
import yaml
from observe import alertmanager, cases, promtool, rules

from acceptance.composition import charts, composed, contract
from acceptance.composition.asked import OVERLAYS, selectors
from canary import durations
from canary.lint import check
from canary.lint.contract import load
from canary.runtime import documents, kustomize
from canary.runtime.alertmanager import amtool
from policies import objects

pytestmark = pytest.mark.quick
CONTRACTS = Path(__file__).parent / "contracts"
EVERYWHERE = Path(__file__).with_name("everywhere.yaml")
# Whose kinds AKS brings, by an add-on.
ADDONS = {"secrets-store.csi.x-k8s.io"}
WAVE = "argocd.argoproj.io/sync-wave"
ADDRESS = re.compile(r"\b([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?:(\d+)")


@pytest.fixture(scope="session")
def installed(root):
    return {chart.release: chart for chart in charts.read(root)}


@pytest.fixture(scope="session")
def contracts():
    return contract.load(CONTRACTS)


@pytest.fixture(scope="session")
def cluster(contracts):
    return composed.Composed(contracts)


@pytest.fixture(scope="session")
def groups(root):
    return rules.read(root / "observability/rules")


@pytest.fixture(scope="session")
def about_monitoring(groups):
    """The alerts on monitoring itself; the other groups would cost promtool ten times as long."""
    return [group for group in groups if group.name == "monitoring-alerts"]


@pytest.fixture(scope="session")
def asked(root):
    """(who asks, selector) of every rule, panel, gate and runbook."""
    return selectors(root)


# ------------------------------------------------------------------------------------- the charts


def test_every_chart_has_a_contract_of_its_version_and_of_our_values(installed, contracts):
    """Otherwise all that follows is about another platform: run `make contracts`."""
    told = {c.release: (c.chart, c.repository, c.version, c.values) for c in contracts.values()}
    assert told == {
        c.release: (c.name, c.repository, c.version, c.digest) for c in installed.values()
    }


def test_no_chart_refuses_our_values(contracts):
    refused = {name: c.refused for name, c in contracts.items() if c.refused}
    assert not refused, f"cannot be installed with our values: {refused}"


def test_nothing_is_made_by_a_chart_and_by_us(root, contracts):
    """Whoever writes last would win, until the other writes again."""
    theirs = {(c.release, name) for c in contracts.values() for name in c.config_maps}
    ours = {
        thing["metadata"]["name"]
        for folder in ("deploy/argocd", "deploy/notifications", "observability")
        for thing in objects.of(objects.read(root / folder), "ConfigMap")
    }
    twice = {(release, name) for release, name in theirs if name in ours}
    assert not twice, f"made by a chart and by deploy/: {twice}"


def test_a_chart_rendered_twice_is_the_same_twice(contracts):
    """A password that is made anew at each rendering would be a difference at each sync."""
    restless = {name: c.restless for name, c in contracts.items() if c.restless}
    assert not restless, f"differ at every rendering: {restless}"


def test_a_chart_makes_nothing_outside_of_namespaces_that_its_project_does_not_allow(
    root, contracts
):
    (project,) = objects.read(root / "deploy/argocd/project-platform.yaml")
    allowed = {entry["kind"] for entry in project["spec"]["clusterResourceWhitelist"]}
    for application in charts.applications(root):
        if made := contracts.get(application["metadata"]["name"]):
            more = set(made.cluster_kinds) - allowed
            assert not more, f"Argo CD would refuse {made.release}: its project allows no {more}"


def test_the_root_application_may_make_all_that_it_syncs_and_no_more(root):
    values = yaml.safe_load((root / "infra/terraform/gitops/root-values.yaml").read_text("utf-8"))
    allowed = {e["kind"] for e in values["projects"]["root"]["namespaceResourceWhitelist"]}
    things = list(objects.read(root / "deploy/argocd"))
    for environment in OVERLAYS:
        things += objects.read(root / f"deploy/argocd/application-{environment}.yaml")
    assert {thing["kind"] for thing in things} == allowed
    assert {objects.namespace(thing) for thing in things} == {"argocd"}


def test_every_application_that_a_set_makes_is_one_that_its_project_allows(root):
    projects = {
        thing["metadata"]["name"]: thing["spec"]
        for thing in objects.of(objects.read(root / "deploy/argocd"), "AppProject")
    }
    for application in charts.applications(root):
        spec, name = application["spec"], application["metadata"]["name"]
        project = projects[spec["project"]]
        assert spec["destination"] in project["destinations"], name
        for source in charts.sources(application):
            assert source["repoURL"] in project["sourceRepos"], name


COMPOSED = ("prometheus", "alertmanager", "loki", "grafana")


def test_the_operator_that_is_asked_is_the_one_that_the_chart_brings(root, contracts):
    """`test_operator` builds it, and takes its kinds from the module of the chart's image."""
    images = contracts["kube-prometheus-stack"].images
    (brought,) = (image for image in images if "/prometheus-operator:" in image)
    built = re.search(r"/prometheus-operator/cmd/operator@(\S+)", (root / "ci/tool").read_text())
    assert built[1] == brought.rpartition(":")[2]


def test_the_compose_file_runs_the_versions_that_the_charts_bring(root, contracts):
    compose = yaml.safe_load((root / "observability/compose.yaml").read_text(encoding="utf-8"))
    images = [image for made in contracts.values() for image in made.images]
    for name in COMPOSED:
        here = compose["services"][name]["image"].rpartition(":")[2]
        (there,) = (i for i in images if re.search(rf"/{name}:", i))
        assert here.lstrip("v") == there.rpartition(":")[2].lstrip("v").partition("-")[0], name


# ------------------------------------------------------------------- who names what, and is it there


def test_every_job_that_is_named_is_scraped(asked, cluster):
    for who, selector in asked:
        for matcher in selector.matchers:
            if matcher.label == "job" and matcher.sign == "=" and "/" not in matcher.value:
                assert matcher.value in cluster.jobs, (
                    f"{who} asks for job {matcher.value!r}, and the charts name none so: "
                    f"{sorted(cluster.jobs)}"
                )


def test_every_series_of_an_exporter_has_something_that_scrapes_it(asked, cluster):
    theirs = 0
    for who, selector in asked:
        if selector.metric and selector.metric.startswith(tuple(composed.SERIES)):
            theirs += 1
            assert cluster.scraping(selector.metric), (
                f"{who} asks for {selector.metric}, which nothing scrapes: no Service fits the "
                "ServiceMonitor that is meant for it"
            )
    assert theirs > 20


def test_a_series_about_another_namespace_keeps_the_labels_that_say_which(asked, cluster):
    """Without honorLabels `namespace` and `pod` would be those of the exporter."""
    for who, selector in asked:
        if selector.metric and selector.metric.startswith(
            ("rollout_", "analysis_", "argocd_", "kube_")
        ):
            for target in cluster.scraping(selector.metric):
                assert target.honor_labels, f"{who}: {target.monitor} overwrites the labels"


def test_no_series_that_is_asked_for_is_dropped_by_the_chart(asked, cluster):
    assert any(target.drops for target in cluster.targets)
    for who, selector in asked:
        for target in cluster.scraping(selector.metric or ""):
            for drop in target.drops:
                assert not re.fullmatch(drop, selector.metric), (
                    f"{who} asks for {selector.metric}, which {target.monitor} drops"
                )


def test_every_address_inside_the_cluster_is_a_service_with_that_port(root, cluster):
    known = {(s.name, s.namespace, str(p)) for s in cluster.services for p in s.ports.values()}
    named = {
        (str(file.relative_to(root)), found)
        for folder in ("deploy", "observability")
        for file in sorted((root / folder).rglob("*.yaml"))
        if "overlays/local" not in str(file) and "conformance" not in str(file)
        for found in ADDRESS.findall(file.read_text(encoding="utf-8"))
    }
    assert len(named) > 4
    for file, (name, namespace, port) in named:
        assert (name, namespace, port) in known, (
            f"{file} asks {name}.{namespace}:{port}, no Service"
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_network_policy_admits_pods_that_exist(root, cluster, overlay):
    rendered = objects.read(root / f"deploy/overlays/{overlay}")
    ours = [(group.namespace, dict(group.labels)) for group in objects.pods(rendered)]
    there = ours + [(pods.namespace, pods.labels) for pods in cluster.pods]
    # CoreDNS is the cluster's own.
    there.append(("kube-system", {"k8s-app": "kube-dns"}))
    for policy in objects.of(rendered, "NetworkPolicy"):
        for peer in _peers(policy["spec"]):
            if "podSelector" in peer:
                wanted = peer["podSelector"].get("matchLabels", {})
                place = peer.get("namespaceSelector", {}).get("matchLabels", {})
                namespace = place.get("kubernetes.io/metadata.name", "gridos")
                assert any(
                    namespace == where and wanted.items() <= labels.items()
                    for where, labels in there
                ), f"NetworkPolicy {policy['metadata']['name']} admits no pod: {namespace} {wanted}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_prober_takes_any_certificate_where_the_vault_makes_its_own_and_nowhere_else(
    root, overlay
):
    """An environment with the wrong one of both would be paged for ever, or never."""
    variables = hcl2.loads((root / f"infra/terraform/environments/{overlay}.tfvars").read_text())
    signed = bool({"acme", "certificate_issuer"} & variables.keys())
    (probe,) = objects.of(objects.read(root / f"deploy/overlays/{overlay}"), "Probe")
    values = yaml.safe_load(
        (root / "deploy/argocd/platform/blackbox-exporter-values.yaml").read_text()
    )
    # Beside the chart's own, which asks for one that is signed.
    modules = {"http_2xx": {}} | values["config"]["modules"]
    asked = modules[probe["spec"]["module"]].get("http", {})
    assert asked.get("tls_config", {}).get("insecure_skip_verify", False) is not signed


def _peers(spec):
    for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
        yield from [*rule.get("from", []), *rule.get("to", [])]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gates_of_each_environment_pass_the_lint(root, overlay):
    """What a component adds is judged as the base is."""
    found = documents.read_all([str(root / "deploy/overlays" / overlay)])
    exported = load(str(root / "observability/contract.prom"))
    assert check.lint(found, exported).faults == ()


def test_people_can_log_in_to_argo_cd(contracts):
    settings = contracts["argocd"].settings
    assert "example" not in settings["url"], (
        f"Argo CD's url is {settings['url']}, the chart's example: single sign-on would lead there"
    )


# -------------------------------------------------------------------------------------- the order


def test_kinds_come_before_what_uses_them(root, contracts):
    """Argo CD syncs Applications wave by wave, and asks each one's health in between."""
    waves = {}
    brings = {}
    for application in charts.applications(root):
        name = application["metadata"]["name"]
        waves[name] = int(application["metadata"].get("annotations", {}).get(WAVE, "0"))
        for crd in contracts[name].crds if name in contracts else ():
            brings[crd.partition(".")[2]] = name
    for application in charts.applications(root):
        name = application["metadata"]["name"]
        for kind, group in _custom(root, application, contracts):
            assert group in brings, f"{name} makes {kind}, a kind that no chart brings"
            first = brings[group]
            assert first == name or waves[first] < waves[name], (
                f"{name} makes {kind} in wave {waves[name]}, and {first}, which brings the kind, "
                f"comes in wave {waves[first]}"
            )


def _custom(root, application, contracts):
    """(kind, group) of what an Application makes of kinds that are not Kubernetes' own."""
    made = contracts.get(application["metadata"]["name"])
    if made and made.monitors:
        yield "ServiceMonitor", "monitoring.coreos.com"
    for source in charts.sources(application):
        if "path" in source:
            for thing in objects.read(root / source["path"]):
                group = thing["apiVersion"].rpartition("/")[0]
                if "." in group and not group.endswith(".k8s.io") and group not in ADDONS:
                    yield thing["kind"], group


def test_argo_cd_asks_an_applications_health_between_waves(contracts):
    key = "resource.customizations.health.argoproj.io_Application"
    assert key in contracts["argocd"].settings, "without it a wave does not wait for the one before"


# ------------------------------------------------------------------------------------- the alerts


def test_no_alert_of_a_chart_waits_for_what_aks_does_not_have(contracts):
    """It would fire for ever."""
    for made in contracts.values():
        for alert in made.alerts:
            hidden = composed.NOT_ON_AKS & set(alert.jobs)
            assert not hidden, (
                f"{alert.alert} of {made.release} fires for ever: AKS shows no {hidden}"
            )


def test_no_alert_of_a_chart_has_the_name_of_one_of_ours(contracts, groups):
    ours = {alert.name for alert in rules.alerts(groups)}
    for made in contracts.values():
        twice = sorted(ours & {alert.alert for alert in made.alerts})
        assert not twice, (
            f"{twice} would be told twice, with two texts: switch off {made.release}'s"
        )


# What an alert's severity means to the people who are told; `info` and `none` are nobody's.
TOLD = {"critical": ["pages-platform"], "warning": ["tickets-platform"]}


def test_every_alert_of_a_chart_is_off_or_told_to_who_can_act(root, contracts, tmp_path):
    program = amtool()
    shipped = root / "observability/alertmanager/alertmanager.yaml"
    alerts = [alert for made in contracts.values() for alert in made.alerts]
    assert len(alerts) > 50
    for severity in {alert.severity for alert in alerts}:
        named = [alert.alert for alert in alerts if alert.severity == severity]
        assert severity in TOLD, (
            f"severity {severity!r} wants nothing of anybody: switch off {named}"
        )
        labels = {"alertname": named[0], "namespace": "monitoring", "severity": severity}
        reached = alertmanager.receivers(program, shipped, labels)
        assert reached == TOLD[severity], f"{severity} alerts such as {named[0]} reach {reached}"


def test_every_alert_of_ours_reaches_somebody_by_a_route_of_its_own(root, groups):
    program = amtool()
    shipped = root / "observability/alertmanager/alertmanager.yaml"
    for alert in rules.alerts(groups):
        labels = {"alertname": alert.name, "namespace": "gridos", **alert.labels}
        reached = alertmanager.receivers(program, shipped, labels)
        assert reached, alert.name
        assert all(reached), alert.name


def _promtool(tmp_path, groups, tests):
    return promtool.debian().test_of(cases.of_groups(groups, tests, "30s"), tmp_path)


def _up(cluster, without=""):
    """`up` and the build of every target, as the operator labels them; some of them down."""
    series = []
    for target in cluster.targets:
        there = 0 if without and without in target.job else 1
        labels = f'{{job="{target.job}", endpoint="{target.port}", namespace="{target.namespace}"}}'
        series.append({"series": f"up{labels}", "values": f"{there}+0x60"})
        if there and target.job.endswith("-alertmanager"):
            series.append({"series": f"alertmanager_build_info{labels}", "values": "1+0x60"})
    return series


def test_the_labels_by_which_runbooks_find_pods_are_those_of_pods_that_exist(root, cluster):
    ours = objects.pods(objects.read(root / "deploy/overlays/production"))
    there = [(group.namespace, dict(group.labels)) for group in ours]
    there += [(pods.namespace, pods.labels) for pods in cluster.pods]
    # AKS's add-on.
    there.append(("kube-system", {"app": "secrets-store-csi-driver"}))
    asked = {
        (file.name, *found)
        for file in sorted((root / "docs/runbooks").glob("*.md"))
        for found in re.findall(
            r"kubectl -n (\S+) (?:get pods|logs) -l ([^\s=]+)=(\S+?)[`\s]", file.read_text("utf-8")
        )
    }
    assert len(asked) > 6
    for page, namespace, label, value in asked:
        assert any(namespace == where and labels.get(label) == value for where, labels in there), (
            f"{page} looks for pods with {label}={value} in {namespace}, and there are none"
        )


def test_the_command_by_which_a_runbook_silences_an_alert_names_a_pod_and_an_address_that_exist(
    root, contracts
):
    listed = (root / "docs/runbooks/commands.md").read_text("utf-8")
    typed = shlex.split(re.search(r"^kubectl exec .* amtool silence .*", listed, re.MULTILINE)[0])
    (operand,) = (
        thing
        for thing in contracts["kube-prometheus-stack"].operated
        if thing["kind"] == "Alertmanager"
    )
    named = operand["metadata"]
    pod = f"alertmanager-{named['name']}-0"
    assert typed[2:7] == ["-n", named["namespace"], pod, "-c", "alertmanager"]
    (address,) = (word for word in typed if word.startswith("--alertmanager.url="))
    closed = "--alertmanager.url=http://127.0.0.1:9"
    words = [closed if word == address else word for word in typed[typed.index("amtool") + 1 :]]
    done = subprocess.run([amtool(), *words], capture_output=True, text=True, check=False)
    assert "connection refused" in done.stderr


def test_no_alert_about_monitoring_fires_while_every_target_of_the_charts_is_up(
    tmp_path, about_monitoring, cluster
):
    checks = [
        {"alertname": name, "eval_time": "30m", "exp_alerts": []}
        for name in ("AlertmanagerDown", "TargetDown", "JobAbsent", "PrometheusRuleFailures")
    ]
    tests = [{"interval": "30s", "input_series": _up(cluster), "alert_rule_test": checks}]
    assert _promtool(tmp_path, about_monitoring, tests) == ""


def test_an_alertmanager_that_is_down_is_told_under_the_charts_names(
    tmp_path, about_monitoring, cluster
):
    query = 'count(ALERTS{alertname="AlertmanagerDown", alertstate="firing"})'
    series = _up(cluster, without="-alertmanager")
    samples = [{"labels": "{}", "value": 1}]
    checks = [{"expr": query, "eval_time": "10m", "exp_samples": samples}]
    tests = [{"interval": "30s", "input_series": series, "promql_expr_test": checks}]
    assert _promtool(tmp_path, about_monitoring, tests) == ""


@pytest.mark.parametrize("replicas", [1, 2])
def test_deliveries_that_fail_in_alertmanagers_own_rhythm_are_paged_whatever_the_phase(
    root, tmp_path, about_monitoring, replicas
):
    """A group is tried once in group_interval, and each try that fails counts one. Scrapes lie between
    two evaluations, as they do in a cluster: `_` is a moment without one."""
    shipped = yaml.safe_load((root / "observability/alertmanager/alertmanager.yaml").read_text())
    every = int(durations.parse(shipped["route"]["group_interval"]) // 30)
    # That alert alone: the others of its group would cost promtool five times as long.
    (group,) = about_monitoring
    written = yaml.safe_load(group.file.read_text())
    for each in written["groups"]:
        each["rules"] = [
            r for r in each["rules"] if r["alert"] == "AlertmanagerNotificationsFailing"
        ]
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump(written))
    tests = []
    for phase in range(every):
        values = [sum(1 for _ in range(phase, step + 1, every)) for step in range(120)]
        series = [
            {
                "series": "alertmanager_notifications_failed_total"
                f'{{job="kube-prometheus-stack-alertmanager", integration="slack", instance="{pod}"}}',
                "values": " ".join(f"_ {value}" for value in values),
            }
            for pod in range(replicas)
        ]
        query = 'max_over_time(ALERTS{alertname="AlertmanagerNotificationsFailing", '
        query = f'count(count by (alertname) ({query}alertstate="firing"}}[1h])))'
        samples = [{"labels": "{}", "value": 1}]
        checks = [{"expr": query, "eval_time": "59m", "exp_samples": samples}]
        tests.append({"interval": "15s", "input_series": series, "promql_expr_test": checks})
    said = _promtool(tmp_path, [replace(group, file=alone)], tests)
    missed = said.count("got:")
    assert said == "", f"silent in {missed} of {every} phases while every delivery fails"


def test_the_dead_mans_switch_is_fed_as_often_as_its_watcher_expects(root):
    """Alertmanager looks once in group_interval whether repeat_interval is over: of two equal ones
    the first look comes a moment too early, and the beat is twice as slow."""
    shipped = yaml.safe_load((root / "observability/alertmanager/alertmanager.yaml").read_text())
    route = next(r for r in shipped["route"]["routes"] if r["receiver"] == "dead-mans-switch")
    repeat, look = (durations.parse(route[key]) for key in ("repeat_interval", "group_interval"))
    beat = look * max(1, -(-repeat // look) + (repeat % look == 0))
    assert beat <= 60, f"the watcher is fed every {beat:g} s and expects it every minute"


# -------------------------------------------------------------------------------------- the names


def test_a_config_map_keeps_its_hash_wherever_a_rollout_may_name_it(root, tmp_path):
    shutil.copytree(root / "deploy/base", tmp_path / "base")
    shutil.copy(EVERYWHERE, tmp_path / "kustomization.yaml")
    rendered = list(yaml.safe_load_all(kustomize.build(tmp_path)))
    made = {t["metadata"]["name"] for t in rendered if t["kind"] == "ConfigMap"}
    (rollout,) = (t for t in rendered if t["kind"] == "Rollout")
    text = yaml.safe_dump(rollout["spec"]["template"])
    named = re.findall(r"name: (gridos-config\S*)", text)
    assert len(named) == 5
    for name in named:
        assert name in made, f"a pod would wait for ConfigMap {name} for ever: it is {made}"
