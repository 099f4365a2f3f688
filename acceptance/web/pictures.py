"""`python -m acceptance.web.pictures`: docs/pictures of the pages, anew, from a real rehearsal.

The live page in the middle of a faulty release, the same run's page of the past, and the dashboard
of a canary in the local stack: wide and narrow, light and dark.
"""

import signal
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from acceptance.web import browser
from acceptance.web.rehearsals import OBSERVE, running
from canary.runtime import program
from canary.web.app import App, Source

PICTURES = Path("docs/pictures")
SIZES = {1280: 800, 400: 760}
SCHEMES = ("light", "dark")
ARGUMENTS = ("--fault", "errors=3%")
# The release is at its second step: there is something in every part of the page.
SHOWN_MS = 60_000
GATE = "figure:has-text('Error gate') canvas"
PAUSED = "[aria-current=step] >> text=pause"


def main(_: object) -> int:
    """Takes the pictures."""
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        out = Path(folder) / "rehearsals"
        with running(out, *ARGUMENTS) as (_process, url):
            pages = dict(_open(chromium, url))
            for page in pages.values():
                page.wait_for_selector(PAUSED, timeout=120_000)
            page.wait_for_timeout(3000)  # so that the charts have something to show
            for name, page in pages.items():
                _take(page, f"live-{name}")
                page.close()
        with App(Source(out)).serve(None) as server:
            for name, page in _open(chromium, server.url):
                page.locator("tbody a").click()
                page.wait_for_selector(".plot canvas")
                _take(page, f"run-{name}")
                page.close()
        with running(out, *ARGUMENTS, program=OBSERVE) as (process, url):
            pages = dict(_open(chromium, url))
            for name, page in pages.items():
                page.get_by_role("link", name="Canary").click()
                page.wait_for_selector(GATE, timeout=90_000)
                page.wait_for_timeout(SHOWN_MS if page is next(iter(pages.values())) else 0)
                _take(page, f"dashboard-{name}")
                page.close()
            process.send_signal(signal.SIGINT)
    return 0


def _open(chromium: Browser, url: str) -> list[tuple[str, Page]]:
    opened = []
    for width, height in SIZES.items():
        for scheme in SCHEMES:
            page = chromium.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(url)
            opened.append((f"{width}-{scheme}", page))
    return opened


def _take(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png")
    print(PICTURES / f"{name}.png", flush=True)


if __name__ == "__main__":
    sys.exit(program.run("pictures", main))
