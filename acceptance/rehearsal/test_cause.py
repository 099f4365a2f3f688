"""Six kinds of faulty branch, each named in the first screenful of a real rehearsal's report.

The service is the smallest, so that a run costs a few CPU-seconds; test_rehearsal.py has the same
faults in ours.
"""

import html
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from acceptance.git import begin, commit, git
from acceptance.rehearsed import canary, result

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "canary/tests/rehearse/shop"
ROUTE = "GET /item/{id}: "
PLACE = "        with lock:\n"
FAULT = "        if self.path.startswith('/item'):\n            {}\n"
DOCUMENT = {"paths": {path: {"get": {}} for path in ("/basket", "/item/{id}", "/cart", "/help")}}
ADDED = yaml.safe_load(Path(__file__).with_name("cause.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The shop's repository, with three routes and a document that names a fourth."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(SHOP, folder)
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    config = folder / "rehearsal.yaml"
    text, _, _ = config.read_text().partition("  requests:")
    config.write_text(text + ADDED["requests"])
    manifest = folder / "manifests/shop.yaml"
    limit = "image: shop\n          resources: {limits: {memory: 100Mi}}\n"
    manifest.write_text(manifest.read_text().replace("image: shop\n", limit) + ADDED["restarts"])
    (folder / ".gitignore").write_text("out\n")
    begin(folder, "Sell")
    return folder


def rehearse(folder, name, fault, measured):
    """The result and the first screenful of a branch with this in its /item route."""
    git(folder, "switch", "--quiet", "-C", name, "main")
    file = folder / "shop.py"
    file.write_text(file.read_text().replace(PLACE, FAULT.format(fault) + PLACE, 1))
    commit(folder, name)
    git(folder, "switch", "--quiet", "main")
    done = canary("rehearse", "--candidate", name, within=folder)
    latest = folder / "out/rehearsals/latest"
    assert (latest / "result.json").exists(), done.stderr
    found = result(latest)
    measured(name, f"exit {done.returncode}: {found['verdict']['headline']}")
    page = (latest / "report.html").read_text().partition("</header>")[0]
    return found, html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.parametrize(
    ("name", "fault", "named"),
    [
        ("exception", "raise ValueError('no such item')", (ROUTE, "503", "ValueError: no such item", "shop.py:")),
        ("slow", "__import__('time').sleep(0.4)", (ROUTE, "95 % answered within 4", "none below 4")),
        ("leak", "globals().setdefault('HELD', []).append(b'x' * 2**23)", ("out of memory", "shop.py (")),
        ("crash", "os._exit(3)", (ROUTE, "503", "restarted", "container exited with 3")),
        ("storm", "return self.answer(404, 'gone')", (ROUTE, "were answered with 404")),
        ("hang", "__import__('time').sleep(600)", (ROUTE, "no response")),
    ],
)  # fmt: skip
def test_the_report_names_what_is_to_blame(shop, name, fault, named, measured):
    found, first_screenful = rehearse(shop, name, fault, measured)
    assert [words for words in named if words not in first_screenful] == []
    missing = found["evidence"]["coverage"]["missing"]
    # A canary that crashes may end before it was asked for each of the others.
    assert missing == ["GET /help"] or (name == "crash" and "GET /help" in missing)
    assert any(line.startswith("shop.py") for line in found["evidence"]["changed"])
