"""The buttons of the live page on a real cluster, where they change its own Rollout."""

import pytest

from acceptance.rehearsed import result
from acceptance.web import browser
from acceptance.web.rehearsals import running
from canary.runtime.kubectl import connect

ACTS = ["promote", "abort", "retry", "abort"]
ON_A_CLUSTER = ("--target", "cluster", "--time-scale", "3", "--without", "traffic")


@pytest.mark.cluster
@pytest.mark.inside
@pytest.mark.usefixtures("platform")
def test_a_persons_acts_change_the_rollout_itself_once_they_are_confirmed(
    cluster, tmp_path, measured
):
    """Nobody but the person decides: without users no gate has anything to judge."""
    kubectl = connect(None)

    def aborted():
        return bool(kubectl.one("gridos", "rollout", "gridos")["status"].get("abort"))

    with browser.chromium() as chromium:
        page = chromium.new_page()

        def wait_for(text):
            page.wait_for_selector(text, timeout=180_000)

        def press(name):
            page.get_by_role("button", name=name).click()
            wait_for(f"h1 >> text={name} the Rollout gridos in gridos on cluster")
            page.get_by_role("button", name=name).click()

        with running(tmp_path, *ON_A_CLUSTER) as (process, url):
            page.goto(url)
            wait_for("[aria-current=step] >> text=pause")
            page.get_by_role("button", name="Wait for me at the end").click()
            page.get_by_role("button", name="Abort").click()
            page.get_by_role("link", name="Cancel").click()
            assert not aborted()
            press("Promote")
            wait_for("[aria-current=step] >> text=analysis")
            press("Abort")
            wait_for("text=The release has ended and waits for you")
            assert aborted()
            press("Retry")
            wait_for("[aria-current=step] >> text=10 %")
            assert not aborted()
            press("Abort")
            page.get_by_role("button", name="Wait for me at the end").click()
            wait_for("h1 >> text=Aborted by hand")
            page.close()
            assert process.wait(60) == 3
    told = result(tmp_path / "latest")["events"]
    events = [one["text"] for one in told if one["kind"] == "event"]
    measured("a person's acts on the cluster's Rollout", "; ".join(events))
    assert [text.partition("@")[0] for text in events] == ACTS
