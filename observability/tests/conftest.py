"""The rules, and the promtools that this machine has."""

from pathlib import Path

import pytest
from observe import promtool, rules

from canary.errors import MachineError

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
def amtool_or_skip():
    from canary.runtime import alertmanager

    try:
        return alertmanager.amtool()
    except MachineError as missing:
        pytest.skip(str(missing))
