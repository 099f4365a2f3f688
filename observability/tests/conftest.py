"""The rules, and the promtools that this machine has."""

from pathlib import Path

import pytest
from observe import promtool, rules

from canary.errors import MachineError
from canary.runtime import alertmanager, documents

FOLDER = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def groups():
    return rules.read(FOLDER / "rules")


@pytest.fixture(scope="session")
def alerts(groups):
    return rules.alerts(groups)


@pytest.fixture(
    scope="session", params=["debian", pytest.param("third", marks=pytest.mark.acceptance)]
)
def tool(request):
    """A promtool of each major; the newer one is skipped, with the remedy, where there is none."""
    if request.param == "debian":
        return promtool.debian()
    found = promtool.third()
    if found is None:
        pytest.skip(f"no promtool 3.x here: {promtool.REMEDY}")
    return found


@pytest.fixture(scope="session")
def or_skip():
    """Finds a program, or skips with the words that say how to get it."""

    def found(find, *name):
        try:
            return find(*name)
        except MachineError as missing:
            pytest.skip(str(missing))

    return found


@pytest.fixture(scope="session")
def amtool_or_skip(or_skip):
    return or_skip(alertmanager.amtool)


@pytest.fixture(scope="session")
def alert_gate(root):
    """A metric of the analyses of firing alerts, by its template's name."""
    file = root / "deploy/components/alerts-abort/analysis-blocking-alerts.yaml"
    bodies = {found.body["metadata"]["name"]: found.body for found in documents.read(file)}

    def metric(name):
        (only,) = bodies[name]["spec"]["metrics"]
        return only

    return metric
