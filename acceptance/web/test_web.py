"""The live page of a real rehearsal, the pages of the past, and who can read and use them."""

import re
import signal
import time
from dataclasses import dataclass, field

import pytest

from acceptance.rehearsed import canary, result
from acceptance.web import browser
from acceptance.web.rehearsals import OBSERVE, ROOT, running
from canary.web.app import App, Source

MAX_SHARE = 0.03


@dataclass
class Rehearsal:
    """A rehearsal with its page open: what the page said meanwhile and at its end."""

    result: dict
    exit_code: int
    said: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    end: dict = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def axe():
    return browser.axe()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def noting(page, complaints):
    """Keeps what the browser says is wrong, such as what the policy refused."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)


# What a screen reader says by itself, in the order in which it changes.
LISTEN = """() => {
  window.heard = [];
  new MutationObserver((changes) => {
    const found = changes.map((one) => (one.target.closest ? one.target : one.target.parentElement)
      ?.closest("[role=status], [role=alert], output:not([aria-live=off])"));
    new Set(found.filter(Boolean)).forEach((one) => window.heard.push(one.textContent.trim()));
  }).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""


def facts(page):
    """The numbers on a run's page, by what they are."""
    found = page.locator("[data-fact]").all()
    return {one.get_attribute("data-fact"): int(one.inner_text().replace(",", "")) for one in found}


def colours(page):
    """Those of everything that is the canary's, at one moment."""
    colour = "one => getComputedStyle(one).backgroundColor"
    return set(page.evaluate(f"[...document.querySelectorAll('.swatch.canary')].map({colour})"))


def gates(page):
    """Each gate's row."""
    rows = page.locator("[data-gate]").all()
    return {row.get_attribute("data-gate"): row.inner_text().split("\t") for row in rows}


@pytest.fixture(scope="module")
def live(chromium, out):
    """A faulty release, rehearsed while somebody looks at its page."""
    seen = Rehearsal({}, -1)
    page = chromium.new_page()
    noting(page, seen.complaints)
    with running(out, "--fault", "errors=3%") as (process, url):
        page.goto(url)
        page.evaluate(LISTEN)
        while page.locator("#actions button").count():
            assert process.poll() is None
            seen.said.append(page.locator("#head .word").inner_text())
            seen.steps += page.locator("[aria-current=step]").all_inner_texts()
            time.sleep(0.5)
        page.locator(".plot canvas").nth(4).wait_for()
        seen.end = {"facts": facts(page), "gates": gates(page), "log": page.inner_text("#log")}
        seen.end["headline"] = page.inner_text("#head h1")
        seen.heard = page.evaluate("window.heard")
        page.close()
        seen.exit_code = process.wait(60)
    seen.result = result(out / "latest")
    return seen


def test_the_live_page_follows_the_steps_of_the_release(live):
    assert "Warming up" in live.said
    assert any(step.startswith("10 %") for step in live.steps)
    assert any(step.startswith("pause") for step in live.steps)
    assert live.complaints == []


def test_a_screen_reader_says_each_step_and_the_verdict_once(live):
    assert any(said.startswith("Step 1 of") for said in live.heard)
    assert live.heard[-1] == live.result["verdict"]["headline"]
    assert len(live.heard) == len(set(live.heard))


def test_the_page_ends_with_the_numbers_of_the_result(live):
    traffic = live.result["traffic"]
    assert live.end["facts"] == {
        "requests": traffic["requests"],
        "failed": traffic["failed"] + traffic["lost"],
        "canary-requests": traffic["canary_requests"],
        "canary-failed": traffic["canary_failed"],
    }
    assert live.end["headline"] == live.result["verdict"]["headline"]


def test_each_gate_is_shown_with_the_phase_of_its_last_measurement(live):
    for gate in live.result["gates"]:
        taken = [
            one
            for run in live.result["analysis_runs"]
            for metric in run["metrics"]
            if metric["name"] == gate["name"]
            for one in metric["measurements"]
        ]
        shown = live.end["gates"][gate["name"]]
        assert shown[-1] == str(len(taken))
        assert shown[-2] == (
            max(taken, key=lambda one: one["at_s"])["phase"] if taken else "not measured"
        )


def test_the_canarys_log_and_nobody_elses_is_shown(live):
    assert live.result["release"]["candidate"]["hash"] in live.end["log"]
    assert live.result["release"]["stable"]["hash"] not in live.end["log"]


def test_the_verdict_is_the_gates_and_the_program_ends_when_the_page_is_closed(live):
    assert live.exit_code == live.result["verdict"]["exit_code"] == 1


def test_the_page_costs_the_rehearsal_little(live, out, measured):
    """The harness with its page, beside the same release without one."""
    canary("rehearse", "--out", out, "--fault", "errors=3%", within=ROOT)
    without = result(out / "latest")
    assert without["verdict"]["outcome"] == live.result["verdict"]["outcome"]
    with_page, bare = (one["machine"]["cpu_seconds"]["harness"] for one in (live.result, without))
    share = (with_page - bare) / without["machine"]["cpu_seconds_total"]
    measured("the page's CPU, of the rehearsal's", f"{share:.1%}", f"<= {MAX_SHARE:.0%}")
    assert share <= MAX_SHARE


def test_a_persons_acts_do_to_the_release_what_they_do_on_a_cluster(chromium, tmp_path):
    """Nobody but the person decides: without users no gate has anything to judge."""
    page = chromium.new_page()

    def press(name):
        page.get_by_role("button", name=name).click()

    def wait_for(text):
        page.wait_for_selector(text, timeout=90_000)

    with running(tmp_path, "--without", "traffic") as (process, url):
        page.goto(url)
        wait_for("[aria-current=step] >> text=pause")
        press("Wait for me at the end")
        press("Promote")
        wait_for("[aria-current=step] >> text=analysis")
        press("Abort")
        wait_for("text=The release has ended and waits for you")
        press("Retry")
        wait_for("[aria-current=step] >> text=10 %")
        press("Abort")
        press("Wait for me at the end")
        wait_for("h1 >> text=Aborted by hand")
        page.close()
        assert process.wait(60) == 3
    events = result(tmp_path / "latest")["events"]
    told = [event["text"].partition("@")[0] for event in events if event["kind"] == "event"]
    assert told == ["promote", "abort", "retry", "abort"]


BOARDS = ("Service", "Canary", "Objective and budget", "Capacity and saturation", "Pipeline")


def test_the_local_stack_has_the_same_pages_and_its_dashboards_live(chromium, axe, tmp_path):
    page = chromium.new_page()
    complaints = []
    noting(page, complaints)
    with running(tmp_path, "--fault", "errors=10%", program=OBSERVE) as (process, url):
        page.goto(url)
        page.wait_for_selector("[aria-current=step] >> text=pause", timeout=90_000)
        wanted = colours(page)
        for name in BOARDS:
            page.get_by_role("link", name=name).click()
            page.wait_for_selector(".panel :text('Nothing'), .panel canvas")
            assert browser.findings(page, axe) == []
            page.set_viewport_size({"width": 400, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
            page.set_viewport_size({"width": 1280, "height": 800})
        page.get_by_role("link", name="Canary").click()
        # The panel had nothing at first: it comes without the page being loaded anew.
        page.wait_for_selector("figure:has-text('Error gate') .swatch.canary", timeout=60_000)
        assert len(wanted) == 1
        assert colours(page) == wanted
        page.get_by_role("link", name="This rehearsal").click()
        page.get_by_role("button", name="Abort").click()
        page.wait_for_selector(".word >> text=Degraded", timeout=30_000)
        page.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert complaints == []


@pytest.fixture(scope="module")
def ui(live, out):
    """`canary ui` over both runs."""
    assert live.exit_code == 1
    with App(Source(out)).serve(None) as server:
        yield server


@pytest.fixture
def page(chromium, ui):
    complaints = []
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    noting(page, complaints)
    page.goto(ui.url)
    yield page
    context.close()
    assert complaints == []


def ids(out):
    return sorted(folder.name for folder in out.iterdir() if not folder.is_symlink())


def test_the_list_shows_every_run_and_filters_them(page, out):
    assert page.locator("tbody tr").count() == len(ids(out))
    page.get_by_label("outcome").select_option("promoted")
    page.get_by_role("button", name="Filter").click()
    assert page.locator("tbody tr").count() == 0


def test_two_runs_are_compared_side_by_side(page, out):
    first, second = ids(out)[:2]
    page.get_by_label(f"compare {first} as A").check()
    page.get_by_label(f"compare {second} as B").check()
    page.get_by_role("button", name="Compare A with B").click()
    outcome = page.locator("tr", has=page.get_by_text("outcome", exact=True)).inner_text()
    assert outcome.split("\t")[1:] == ["rolled-back", "rolled-back"]
    page.wait_for_selector("[data-chart=b-pods] canvas")
    # Both at one moment: drawing moves what is below.
    tops = "side => document.querySelector(`[data-chart=${side}-pods]`).offsetTop"
    assert page.evaluate(f"['a', 'b'].map({tops})") == [page.evaluate(tops, "a")] * 2


def test_a_replay_says_what_another_limit_would_have_done(page, out):
    page.goto(f"{page.url.rpartition('/runs')[0]}/runs/{ids(out)[0]}")
    page.get_by_role("link", name="Replay").click()
    page.get_by_role("button", name="Replay").click()
    page.wait_for_selector("#judged")
    assert page.inner_text(".verdict .word") == "Rolled back"
    page.get_by_label("manifests").fill("nowhere")
    page.get_by_role("button", name="Replay").click()
    assert "nowhere" in page.inner_text("[role=alert]")


PAGES = ("/runs/", "/runs/{}", "/compare?a={}&b={}", "/runs/{}/replay")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("place", PAGES)
def test_no_page_denies_itself_to_anybody_or_is_wider_than_its_window(
    page, ui, out, axe, place, width, scheme
):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(ui.origin + place.format(*ids(out)[:2]))
    assert browser.findings(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(map(int, re.findall(r"\d+", background)[:3])) < 128 * 3
    assert dark is (scheme == "dark")


@pytest.mark.parametrize("width", [1280, 400])
def test_the_report_of_a_run_is_no_wider_than_its_window_and_denies_itself_to_nobody(
    chromium, live, out, axe, width
):
    page = chromium.new_page(viewport={"width": width, "height": 800}, bypass_csp=True)
    page.goto((out / live.result["id"] / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.findings(page, axe) == []
    page.close()


def test_print_keeps_the_colours_that_say_which_line_is_the_canarys(page, ui, out, live):
    kept = (
        "[...document.querySelectorAll('.legend i')].map(i => getComputedStyle(i).printColorAdjust)"
    )
    page.emulate_media(media="print")
    report = (out / live.result["id"] / "report.html").as_uri()
    for address in (report, f"{ui.origin}/runs/{live.result['id']}"):
        page.goto(address)
        page.locator(".legend i").first.wait_for(state="attached")
        assert set(page.evaluate(kept)) == {"exact"}


def test_the_canary_has_one_colour_in_every_chart(page, ui, out):
    page.goto(f"{ui.origin}/runs/{ids(out)[0]}")
    assert page.locator(".swatch.canary").count() > 5
    assert len(colours(page)) == 1


def tab_to(page, name):
    """Presses Tab until what has this name is focused."""
    called = "(document.activeElement.ariaLabel ?? document.activeElement.textContent)"
    for _ in range(60):
        page.keyboard.press("Tab")
        if name in page.evaluate(called):
            return
    raise AssertionError(f"no way to {name!r}")


def test_everything_can_be_done_by_the_keyboard(page, out):
    """From the list to a comparison, and along a chart's values, without a pointer."""
    tab_to(page, "as A")
    page.keyboard.press("Space")
    tab_to(page, "as B")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Compare A with B")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=Compare two runs")
    tab_to(page, "Available pods")
    newest = result(out / ids(out)[-1])["series"]
    for key, at in (("Home", 0), ("ArrowRight", 1), ("End", -1)):
        page.keyboard.press(key)
        wanted = [str(newest[f"{side}_available"][at]) for side in ("stable", "canary")]
        assert page.locator("[data-chart=a-pods] output").all_inner_texts() == wanted
