"""The scan of the image: what counts as one, and which ignores may be.

Trivy cannot be had where these tests are written: the reports are samples made to its published
schema (SchemaVersion 2, https://trivy.dev/latest/docs/configuration/reporting/), not its output.
"""

import json
import subprocess
from datetime import date, timedelta

import pytest
from pipeline import controls
from pipeline.checkout import Checkout

TODAY = date(2026, 11, 24)


def report(system=("libc6",), python=("flask",), found=()):
    def packages(names):
        return [{"Name": name, "Version": "1.0"} for name in names]

    os = {"Class": "os-pkgs", "Packages": packages(system), "Vulnerabilities": list(found) or None}
    lang = {"Class": "lang-pkgs", "Packages": packages(python)}
    return json.dumps({"SchemaVersion": 2, "Results": [os, lang]})


def scanned(root, tmp_path, text):
    file = tmp_path / "scan.json"
    file.write_text(text)
    return subprocess.run([root / "ci/scanned", file], capture_output=True, text=True, check=False)


def test_a_scan_of_the_image_is_one_and_says_what_has_no_fix(root, tmp_path):
    found = [
        {"VulnerabilityID": "CVE-1", "PkgName": "libc6", "Severity": "HIGH"},
        {"VulnerabilityID": "CVE-2", "PkgName": "libc6", "Severity": "HIGH", "FixedVersion": "2"},
        {"VulnerabilityID": "CVE-3", "PkgName": "libc6", "Severity": "LOW"},
    ]
    done = scanned(root, tmp_path, report(found=found))
    assert (done.returncode, done.stdout) == (
        0,
        "2 packages scanned, without a fix: CVE-1 libc6\n",
    )
    assert "without a fix: nothing" in scanned(root, tmp_path, report()).stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FATAL: no space left",
        "[]",
        "{}",
        '{"SchemaVersion": 1, "Results": []}',
        '{"SchemaVersion": 2}',
        '{"SchemaVersion": 2, "Results": null}',
        '{"SchemaVersion": 2, "Results": "none"}',
        '{"SchemaVersion": 2, "Results": [null]}',
        report(system=()),
        report(python=()),
        report().replace('"SchemaVersion": 2', '"SchemaVersion": 3'),
    ],
)
def test_a_scan_that_saw_nothing_or_is_none_fails(root, tmp_path, text):
    done = scanned(root, tmp_path, text)
    assert done.returncode == 1
    assert "did not see the image" in done.stderr


def entry(days=30, **more):
    statement = "not reached by what the image starts"
    return {"id": "CVE-1", "statement": statement, "expired_at": TODAY + timedelta(days)} | more


@pytest.mark.parametrize(
    ("ignored", "said"),
    [
        (entry(), None),
        (entry(days=90), None),
        (entry(days=91), "90 days"),
        (entry(days=-1), "expired on"),
        (entry(statement="later"), "say why"),
        (entry(expired_at="never"), "a day such as"),
        ({"id": "CVE-1", "statement": entry()["statement"]}, "a day such as"),
        ("CVE-1", "not an entry"),
    ],
)
def test_an_ignore_needs_a_statement_and_a_near_day(ignored, said):
    found = list(controls.ignored({"vulnerabilities": [ignored]}, TODAY))
    assert (found == []) if said is None else (said in found[0])


@pytest.mark.parametrize("kind", ["misconfigurations", "secrets", "licenses", "other"])
def test_nothing_but_vulnerabilities_is_ignored(kind):
    assert list(controls.ignored({kind: [entry()]}, TODAY))


def test_our_own_ignores_are_allowed(root):
    assert list(controls.ignored(Checkout(root).load(controls.IGNORES), TODAY)) == []
