"""A blueGreen with real processes: its gates stand before and after the switch of all users."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.calling import TIMEOUT_S
from acceptance.rehearsal import test_routers
from acceptance.rehearsal.test_routers import GIVEN, SHOP, named, rehearse
from acceptance.rehearsed import CANARY, result
from canary.runtime import processes
from canary.runtime.waiting import wait_until

DECIDED = "the candidate is the stable release now"
HASH = 'rollouts_pod_template_hash="{{args.hash}}"'
GOOD_SHARE = (
    'sum(rate(shop_requests_total{status="200",SCOPE}[30s]))'
    " / sum(rate(shop_requests_total{SCOPE}[30s]))"
)
# What a gate after the switch asks about: the pods that the active Service selects, or a hash.
SCOPES = {"active-service": 'service="shop-active"', "hash": HASH}
SMOKE = "import os, urllib.request as u; u.urlopen(os.environ['REHEARSAL_PREVIEW_URL'] + '/basket')"


def manifests(scope: str, **fields: object) -> list[dict[str, Any]]:
    """The shop's: one pod behind the preview is tried by a Job, and a gate is on all users."""
    basic = test_routers.manifests(test_routers.ROUTERS[0])
    rollout, template, service, _, monitor = basic
    hash_of = {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}

    def analysis(name: str) -> dict[str, Any]:
        return {"templates": [{"templateName": name}], "args": [hash_of]}

    rollout["spec"]["strategy"] = {
        "blueGreen": {
            "activeService": "shop-active",
            "previewService": "shop-preview",
            "previewReplicaCount": 1,
            "autoPromotionSeconds": 30,
            "scaleDownDelaySeconds": 60,
            "abortScaleDownDelaySeconds": 30,
            "prePromotionAnalysis": analysis("smoke"),
            "postPromotionAnalysis": analysis("answers"),
            **fields,
        }
    }
    gate = template["spec"]["metrics"][0]
    gate |= {"initialDelay": "1m", "count": 3, "interval": "10s"}
    gate["provider"]["prometheus"]["query"] = GOOD_SHARE.replace("SCOPE", scope)
    job = {"job": {"spec": {"template": {"spec": {"containers": [{"name": "smoke"}]}}}}}
    smoke = {"args": [{"name": "hash"}], "metrics": [{"name": "smoke", "provider": job}]}
    # By which a ServiceMonitor gives each Service's series its own name.
    monitor["spec"]["podTargetLabels"] = ["rollouts-pod-template-hash"]
    services = [named(service, name) for name in ("shop-active", "shop-preview")]
    smoking = {**named(template, "smoke"), "spec": smoke}
    return [rollout, template, smoking, *services, monitor]


def prepare(folder: Path, scope: str, **fields: object) -> Path:
    """The shop as a blueGreen, in a folder of its own."""
    team = folder / "team"
    shutil.copytree(SHOP, team)
    (team / "manifests/shop.yaml").write_text(yaml.safe_dump_all(manifests(scope, **fields)))
    config = yaml.safe_load((team / "rehearsal.yaml").read_text())
    config["jobs"] = {"smoke": ["python3", "-c", SMOKE]}
    (team / "rehearsal.yaml").write_text(yaml.safe_dump(config))
    return team


def released(result: dict[str, Any], column: str, at_s: float) -> Any:
    """A column of the result's series at an instant."""
    series = result["series"]
    return next(v for at, v in zip(series["at_s"], series[column], strict=True) if at >= at_s)


@pytest.mark.parametrize("scope", SCOPES.values(), ids=list(SCOPES))
def test_a_healthy_blue_green_is_tried_behind_the_preview_and_then_has_all_users(
    scope, tmp_path, measured
):
    code, found = rehearse(prepare(tmp_path, scope))
    measured("healthy", found["verdict"]["headline"])
    assert code == 0, found["verdict"]
    names = [run["name"].rpartition("-")[2] for run in found["analysis_runs"]]
    assert names == ["pre", "post"]
    post = found["analysis_runs"][1]["started_s"]
    assert released(found, "canary_requests", post - 2) < 1
    assert released(found, "stable_requests", post + 2) == 0
    assert released(found, "canary_requests", post + 2) > 1
    assert found["traffic"]["failed"] == 0


@pytest.mark.parametrize("scope", SCOPES.values(), ids=list(SCOPES))
def test_a_faulty_blue_green_is_rolled_back_by_its_own_gate_and_users_are_back_on_stable(
    scope, tmp_path, measured
):
    code, found = rehearse(prepare(tmp_path, scope), "--fault", "0.2")
    verdict = found["verdict"]
    measured("faulty", verdict["headline"])
    assert code == 1, verdict
    assert (verdict["gate"]["name"], verdict["weight"]) == ("good-share", 100)
    # Stable is compared by what it did at the moment of the switch.
    assert verdict["gate"]["control"] == 1.0
    back = verdict["decided_after_s"] + 2
    assert released(found, "canary_requests", back) == 0
    assert released(found, "stable_requests", back) > 1


def test_a_preview_that_does_not_answer_is_never_shown_to_users(tmp_path, measured):
    code, found = rehearse(prepare(tmp_path, HASH), "--fault", "1")
    measured("all fail", found["verdict"]["headline"])
    assert code == 1, found["verdict"]
    assert [run["name"].rpartition("-")[2] for run in found["analysis_runs"]] == ["pre"]
    assert found["verdict"]["gate"]["name"] == "smoke"
    assert found["traffic"]["failed"] == 0


def test_a_release_that_nobody_promotes_ends_unjudged_behind_the_preview(tmp_path, measured):
    team = prepare(tmp_path, HASH, autoPromotionEnabled=False)
    code, found = rehearse(team, "--promote", "never")
    measured("never promoted", found["verdict"]["headline"])
    assert (code, found["verdict"]["outcome"]) == (3, "unjudged")
    assert "Step 2 needs a manual promotion" in found["verdict"]["headline"]
    assert found["series"]["canary_requests"][-1] == 0


def test_a_release_that_is_ended_after_its_decision_keeps_the_decision(tmp_path, measured):
    team = prepare(tmp_path, HASH, scaleDownDelaySeconds=600)
    output = team / "output"
    with output.open("w") as log:
        program = processes.popen([CANARY, *GIVEN], cwd=team, stdout=log, stderr=log)
        decided = wait_until(lambda: DECIDED in output.read_text(), TIMEOUT_S)
        program.terminate()
        code = program.wait(timeout=60)
    assert decided, output.read_text()[-2000:]
    verdict = result(team / "out/latest")["verdict"]
    measured("ended after the promotion", verdict["headline"])
    assert (code, verdict["outcome"]) == (0, "promoted")
