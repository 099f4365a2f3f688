"""Production's two Alertmanagers, real ones that gossip: what one knows, and what is left when one is gone.

Both have the shipped routes, on a quicker clock, and get each alert as Prometheus sends it, which is
to both. Left out: the Service before them, and Prometheus.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from observe import alertmanager
from observe.receiver import Receiver

from acceptance.client import ask
from canary.runtime import documents, processes
from canary.runtime.alertmanager import Alertmanager, amtool
from canary.runtime.waiting import wait_until

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "observability/alertmanager/alertmanager.yaml"
GATE = ROOT / "deploy/components/alerts-abort/analysis-blocking-alerts.yaml"
FACTOR = 60.0
TIMEOUT_S = 30.0
# group_interval on this clock.
LOOK_S = 300 / FACTOR
ALERT = {
    "alertname": "GridosDatabaseDown",
    "namespace": "gridos",
    "severity": "page",
    "team": "service",
    "blocks_release": "true",
}


class Pair:
    """Two Alertmanagers that know of each other, and who is told."""

    def __init__(self, folder: Path) -> None:
        self.receiver = Receiver()
        ports = [processes.free_port(), processes.free_port()]
        peers = [f"--cluster.peer=127.0.0.1:{port}" for port in ports]
        # As long as the second one waits for the first to deliver; 15 s on the clock of production.
        waits = ("--cluster.peer-timeout=1s", "--cluster.gossip-interval=100ms")
        self.members = []
        for port in ports:
            place = folder / str(port)
            quick = alertmanager.local(
                yaml.safe_load(SHIPPED.read_text()), self.receiver, place, FACTOR
            )
            listen = f"--cluster.listen-address=127.0.0.1:{port}"
            self.members.append(
                Alertmanager(place, quick, SHIPPED.parent, (listen, *peers, *waits))
            )

    def tell(self, alertname=ALERT["alertname"]):
        """Post an alert to each that runs, as Prometheus does at every evaluation."""
        now = datetime.now(UTC)
        body = {
            "labels": ALERT | {"alertname": alertname},
            "annotations": {"summary": "s", "description": "d", "runbook_url": "https://r.example"},
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=5)).isoformat(),
        }
        for member in self.running:
            told = json.dumps([body]).encode()
            answer = ask(f"{member.url}/api/v2/alerts", told, {"Content-Type": "application/json"})
            assert answer.status == 200, answer.text

    @property
    def running(self):
        return [member for member in self.members if member.running]

    def blocking(self):
        """What each answers to the gate `release-may-start`."""
        return [
            [a["labels"]["alertname"] for a in get(member.url + asked())] for member in self.running
        ]

    def pages(self, alertname=ALERT["alertname"]):
        return [n for n in self.receiver.about(alertname) if n.receiver == "pages-service"]


def get(url):
    return json.loads(ask(url).text)


def asked():
    """The shipped question's path and query."""
    found = (read.body for read in documents.read(GATE))
    (template,) = (body for body in found if body["metadata"]["name"] == "release-may-start")
    (metric,) = template["spec"]["metrics"]
    url = metric["provider"]["web"]["url"].replace("{{args.alertmanager}}", "http://there")
    parts = urlsplit(url.replace("{{args.despite}}", ""))
    return f"{parts.path}?{parts.query}"


@pytest.fixture
def pair(tmp_path):
    both = Pair(tmp_path)
    try:
        for member in both.members:
            member.start()
        assert wait_until(
            lambda: all(
                len(get(m.url + "/api/v2/status")["cluster"]["peers"]) == 2 for m in both.members
            ),
            TIMEOUT_S,
        )
        yield both
    finally:
        for member in both.members:
            member.stop()
        both.receiver.stop()


def silence(member):
    """As the runbook's command does, in one Alertmanager's own container."""
    command = [amtool(), "silence", "add", f"alertname={ALERT['alertname']}", "--duration=1h"]
    command += ["--author=drill", "--comment=drill", f"--alertmanager.url={member.url}"]
    processes.run(command, check=True, capture_output=True)


def test_both_answer_the_gate_alike_and_a_silence_of_one_is_known_to_the_other(pair):
    pair.tell()
    assert wait_until(lambda: pair.blocking() == [[ALERT["alertname"]]] * 2, TIMEOUT_S)
    silence(pair.members[0])
    assert wait_until(lambda: pair.blocking() == [[], []], TIMEOUT_S)


@pytest.mark.parametrize("gone", [0, 1])
def test_one_page_comes_of_two_and_still_one_when_either_is_gone(pair, gone):
    pair.tell()
    assert wait_until(lambda: len(pair.pages()) > 0, TIMEOUT_S)
    pair.members[gone].stop()
    pair.tell("GridosUnreachable")
    assert wait_until(lambda: len(pair.pages("GridosUnreachable")) > 0, TIMEOUT_S)
    assert pair.blocking() == [sorted([ALERT["alertname"], "GridosUnreachable"])]
    # The next look of each is 5 s later, the repeat a minute.
    assert not wait_until(lambda: len(pair.pages()) > 1, 2 * LOOK_S)
    assert len(pair.pages("GridosUnreachable")) == 1


def test_a_silence_is_kept_by_the_one_that_is_left(pair):
    pair.tell()
    silence(pair.members[0])
    assert wait_until(lambda: pair.blocking() == [[], []], TIMEOUT_S)
    pair.members[0].stop()
    assert pair.blocking() == [[]]
