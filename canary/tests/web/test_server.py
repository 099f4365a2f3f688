"""Who the server answers, and with what; what its pages show is asked in a browser, by acceptance."""

import contextlib
import http.client
import json
import re
import shutil
import urllib.parse
from pathlib import Path

import pytest

from canary.argo.model import NO_PODS
from canary.rehearse import plan, runs
from canary.rehearse.cluster import ClusterTarget
from canary.rehearse.plan import Choices
from canary.rehearse.target import Observation
from canary.rehearse.timeline import Timeline
from canary.runtime.kubectl import Kubectl
from canary.web import server as servers
from canary.web.app import App, Source
from canary.web.live import Live

IDS = ("20260101T000000Z-errors-3pct", "20260102T000000Z-healthy")


@pytest.fixture(scope="module")
def out(root, tmp_path_factory):
    """Two runs, and a folder that is none."""
    folder = tmp_path_factory.mktemp("runs")
    record = json.loads((root / "canary/tests/rehearse/results/rolled-back.json").read_text())
    for name in IDS:
        (folder / name).mkdir()
        body = record | {"id": name}
        body["events"] = [*body["events"], {"at_s": 1, "kind": "pod", "text": "</script><b>bold"}]
        (folder / name / "result.json").write_text(json.dumps(body))
    (folder / "latest").symlink_to(IDS[-1])
    (folder / "of-mine").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(out):
    with App(Source(out)).serve(None) as found:
        yield found


def ask(server, path, method="GET", body=None, **headers):
    cookie = {"Cookie": f"canary-{server.port}={server.key}"}
    connection = http.client.HTTPConnection(servers.HOST, server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, cookie | headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def post(server, path, fields=None, **headers):
    body = urllib.parse.urlencode({"token": server.token} | (fields or {}))
    return ask(server, path, "POST", body, **({"Origin": server.origin} | headers))


def test_the_address_with_the_key_gives_a_cookie_that_no_other_site_can_use(server):
    answer, _ = ask(server, f"/?key={server.key}", Cookie="")
    assert answer.status == 303
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))


@pytest.mark.parametrize("path", ["/", "/runs/", f"/runs/{IDS[0]}", "/static/page.js", "/events"])
def test_nothing_is_answered_to_whoever_lacks_the_key(server, path):
    answer, text = ask(server, path, Cookie=f"canary-{server.port}=guess")
    assert answer.status == 403
    assert "the address that the program printed" in text


def test_a_name_that_another_site_had_resolved_to_this_machine_is_refused(server):
    answer, _ = ask(server, "/runs/", Host="example.org")
    assert answer.status == 421


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}, {"Origin": ""}]
)
def test_a_form_of_another_origin_changes_nothing(server, headers):
    answer, _ = post(server, f"/runs/{IDS[0]}/replay", **headers)
    assert answer.status == 403


def test_a_form_without_the_token_changes_nothing(server):
    answer, _ = post(server, f"/runs/{IDS[0]}/replay", {"token": "guess"})
    assert answer.status == 403


@pytest.mark.parametrize(
    "path", ["/", "/runs/", f"/runs/{IDS[0]}", f"/compare?a={IDS[0]}&b={IDS[1]}", "/nowhere"]
)
def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(server, path):
    answer, text = ask(server, path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.findall(
        r"\bstyle=|<style|\bon\w+=|<script(?![^>]*(?:src=|application/json))", text
    )
    assert not re.findall(r"(?:src|href|action)=\"(?!/|#)", text)


def test_our_own_forms_carry_the_origin_that_is_asked_of_them(server):
    answer, _ = ask(server, "/runs/")
    assert answer.headers["Referrer-Policy"] == "same-origin"  # with none a browser sends `null`


def test_what_a_record_quotes_is_text_and_never_markup(server):
    _, text = ask(server, f"/runs/{IDS[0]}")
    assert "</script><b>" not in text
    assert "&lt;/script&gt;&lt;b&gt;bold" in text


@pytest.mark.parametrize(
    "path",
    ["/runs/of-mine", "/runs/latest", "/runs/..%2f", f"/runs/{IDS[0]}/pods", "/static/../server.py",
     "/static/", "/compare?a=x&b=y", f"/runs/{IDS[0]}/report.html"],
)  # fmt: skip
def test_what_is_no_page_is_said_to_be_none(server, path):
    answer, text = ask(server, path)
    assert answer.status == 404
    assert "<h1>Not Found</h1>" in text


def test_the_files_of_a_run_are_downloaded_and_never_shown_as_pages(server):
    answer, text = ask(server, f"/runs/{IDS[0]}/result.json")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="result.json"'
    assert json.loads(text)["id"] == IDS[0]


def test_a_form_that_is_too_long_is_refused_before_it_is_read(server):
    answer, _ = ask(server, "/", "POST", "x", **{"Content-Length": "99999999"})
    assert answer.status == 413


def test_a_run_that_left_no_metrics_is_not_replayed_and_the_page_says_why(server):
    answer, text = post(server, f"/runs/{IDS[0]}/replay")
    assert answer.status == 200
    assert f"{IDS[0]} is not a recording" in text


def test_a_port_that_is_taken_is_said_to_be(server, out):
    with pytest.raises(servers.UsageError, match=f"port {server.port}"):
        App(Source(out)).serve(server.port)


def test_runs_are_listed_newest_first_and_filtered(out):
    assert [run.id for run in runs.listed(out)] == [*reversed(IDS)]
    assert [run.id for run in runs.listed(out, word="errors-3pct", outcome="rolled-back")] == [
        IDS[0]
    ]
    assert runs.listed(out, outcome="promoted") == []


def test_a_run_is_found_by_a_word_that_its_id_alone_holds(out):
    assert runs.find(out, "errors").id == IDS[0]
    assert runs.find(out, "latest").id == IDS[1]
    with pytest.raises(servers.UsageError, match="2 runs"):
        runs.find(out, "2026")


def test_two_runs_are_compared_fact_by_fact(out):
    first, second = (run.result for run in runs.listed(out))
    assert not any(row.differs for row in runs.compare(first, second))
    other = second.model_copy(update={"time_scale": 1.0})
    assert [row.what for row in runs.compare(first, other) if row.differs] == ["time scale"]


def test_all_but_the_newest_runs_are_removed_and_nothing_else(out, tmp_path):
    folder = shutil.copytree(out, tmp_path / "runs", symlinks=True)
    under_way = folder / "20250101T000000Z-under-way"
    under_way.mkdir()
    assert [run.id for run in runs.prune(folder, 1)] == [IDS[0]]
    assert sorted(one.name for one in folder.iterdir()) == [
        under_way.name, IDS[1], "latest", "of-mine",
    ]  # fmt: skip


@pytest.fixture
def on_a_cluster(root, tmp_path):
    """The page of a release that is paused on a cluster, which is not asked anything here."""
    build = plan.read(root / "loadtest/rehearsal.yaml", None)
    made = plan.make(build, build, Choices(time_scale=1, rate=20), "canary rehearse")
    target = ClusterTarget(Kubectl(Path("kubectl"), "kind"), made, tmp_path)
    live = Live(made, target, tmp_path)
    seen = Observation(5, "Paused", "CanaryPauseStep", 1, NO_PODS, NO_PODS)
    live.watch(Timeline(last=seen), seen, ())
    with App(Source(tmp_path), live).serve(None) as found:
        yield found


def test_on_a_cluster_an_act_is_asked_for_once_more_by_the_name_of_what_it_changes(on_a_cluster):
    answer, text = post(on_a_cluster, "/act", {"action": "abort"})
    assert answer.status == 200
    assert "<h1>Abort the Rollout gridos in gridos on cluster kind?</h1>" in text
    answer, _ = post(on_a_cluster, "/act", {"action": "abort", "confirmed": "yes"})
    assert (answer.status, answer.headers["Location"]) == (303, "/")


def test_an_act_that_is_not_possible_now_is_refused_even_if_it_is_confirmed(on_a_cluster):
    answer, text = post(on_a_cluster, "/act", {"action": "retry", "confirmed": "yes"})
    assert answer.status == 409
    assert "retry is not possible now" in text
