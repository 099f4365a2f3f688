"""A service behind each router: promoted if healthy, rolled back by the router's own figures if not."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.rehearsed import canary, result

SHOP = Path(__file__).parents[2] / "canary/tests/rehearse/shop"
GIVEN = ("rehearse", "--config", "rehearsal.yaml", "--out", "out")

SERVICES = {"stableService": "shop-stable", "canaryService": "shop-canary"}


@dataclass(frozen=True)
class Router:
    """A router, and the share of good requests as its gate reads it, in the router's own words."""

    name: str
    routing: dict[str, Any]
    metric: str
    good: str
    scope: str

    @property
    def query(self) -> str:
        """The gate's."""
        good = f"{self.metric}{{{self.scope},{self.good}}}"
        return f"sum(rate({good}[1m])) / sum(rate({self.metric}{{{self.scope}}}[1m]))"


FILE = Path(__file__).with_name("routers.yaml")
ROUTERS = [Router(**given) for given in yaml.safe_load(FILE.read_text("utf-8"))]


def manifests(router: Router) -> list[dict[str, Any]]:
    """The shop's own, behind a router; two pods of which the canary's weight is none of."""
    shipped = (SHOP / "manifests/shop.yaml").read_text()
    rollout, service, monitor, template = yaml.safe_load_all(shipped)
    rollout["spec"]["replicas"] = 2
    canary = rollout["spec"]["strategy"]["canary"]
    canary |= {**SERVICES, "trafficRouting": router.routing}
    canary["steps"][0]["setWeight"] = 40
    metric = {
        "name": "good-share",
        "successCondition": "result[0] >= 0.95",
        "provider": {"prometheus": {"address": "http://prometheus", "query": router.query}},
    }
    template["spec"]["metrics"] = [metric]
    # Found by its Services, whose names some gates ask for.
    service["metadata"]["labels"] = selector = service["spec"]["selector"]
    endpoints = [{"port": "http", "interval": "5s"}]
    spec = {"selector": {"matchLabels": selector}, "endpoints": endpoints}
    return [
        rollout,
        template,
        *(named(service, name) for name in SERVICES.values()),
        {**monitor, "kind": "ServiceMonitor", "spec": spec},
    ]


def named(thing: dict[str, Any], name: str) -> dict[str, Any]:
    """The same object under another name."""
    return {**thing, "metadata": {**thing["metadata"], "name": name}}


def rehearse(team: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a rehearsal of the shop, and its result."""
    done = canary(*GIVEN, *more, within=team)
    latest = team / "out/latest"
    assert (latest / "result.json").exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return done.returncode, result(latest)


@pytest.mark.parametrize("router", ROUTERS, ids=[router.name for router in ROUTERS])
@pytest.mark.parametrize(
    ("fault", "code"), [((), 0), (("--fault", "0.2"), 1)], ids=["healthy", "faulty"]
)
def test_a_release_behind_a_router_is_judged_by_its_own_gate(
    router, fault, code, tmp_path, measured
):
    team = tmp_path / "team"
    shutil.copytree(SHOP, team)
    (team / "manifests/shop.yaml").write_text(yaml.safe_dump_all(manifests(router)))
    ended, found = rehearse(team, *fault)
    measured(router.name, found["verdict"]["headline"])
    assert ended == code, found["verdict"]
    if code:
        assert found["verdict"]["gate"]["name"] == "good-share"
    weights = [step["share"] for step in found["rollout"]["steps"] if step["kind"] == "setWeight"]
    assert weights == [0.4]
