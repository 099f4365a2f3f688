"""The vulnerability gate.

Trivy cannot be had where these tests are written: the reports are samples made to its published
schema (SchemaVersion 2, https://trivy.dev/latest/docs/configuration/reporting/), not its output.
"""

import json
from datetime import date, timedelta

import pytest
from pipeline import cli, vulnerabilities
from pipeline.errors import PipelineError
from pipeline.vulnerabilities import Ignore

TODAY = date(2026, 11, 24)


def report(*severities, system=("libc6",), python=("flask",)):
    def packages(names):
        return [{"Name": name, "Version": "1.0"} for name in names]

    found = [
        {
            "VulnerabilityID": f"CVE-2026-{n:04}",
            "PkgName": "libc6",
            "InstalledVersion": "1.0",
            "FixedVersion": "1.1",
            "Severity": severity,
            "Title": "an overflow",
        }
        for n, severity in enumerate(severities)
    ]
    return json.dumps(
        {
            "SchemaVersion": 2,
            "ArtifactName": "out/image",
            "ArtifactType": "container_image",
            "Results": [
                {
                    "Target": "debian",
                    "Class": "os-pkgs",
                    "Type": "debian",
                    "Packages": packages(system),
                    "Vulnerabilities": found or None,
                },
                {
                    "Target": "Python",
                    "Class": "lang-pkgs",
                    "Type": "python-pkg",
                    "Packages": packages(python),
                },
            ],
        }
    )


def ignore(number=0, days=30):
    return Ignore(
        f"CVE-2026-{number:04}",
        "libc6",
        "not reached by what the image starts",
        TODAY + timedelta(days=days),
    )


def test_a_clean_scan_is_good():
    verdict = vulnerabilities.judge(report(), [], TODAY)
    assert verdict.good
    assert verdict.packages == 2


@pytest.mark.parametrize("severity", ["HIGH", "CRITICAL"])
def test_high_and_above_fail_with_or_without_a_fix(severity):
    verdict = vulnerabilities.judge(report("LOW", severity), [], TODAY)
    assert not verdict.good
    assert f"FAILS    {severity} CVE-2026-0001 libc6 1.0 (fixed in 1.1)" in vulnerabilities.show(
        verdict
    )


def test_below_high_is_counted_and_does_not_fail():
    verdict = vulnerabilities.judge(report("LOW", "MEDIUM", "UNKNOWN"), [], TODAY)
    assert verdict.good
    assert "3 below HIGH" in vulnerabilities.show(verdict)


def test_an_ignore_covers_its_vulnerability_in_its_package_and_no_other():
    assert vulnerabilities.judge(report("HIGH"), [ignore()], TODAY).good
    assert not vulnerabilities.judge(report("HIGH", "HIGH"), [ignore()], TODAY).good
    elsewhere = Ignore("CVE-2026-0000", "zlib", "not reached by what the image starts", TODAY)
    assert not vulnerabilities.judge(report("HIGH"), [elsewhere], TODAY).good


def test_an_ignore_counts_on_its_last_day_and_fails_on_the_next_even_without_its_vulnerability():
    assert vulnerabilities.judge(report("HIGH"), [ignore(days=0)], TODAY).good
    assert not vulnerabilities.judge(report("HIGH"), [ignore(days=-1)], TODAY).good
    assert not vulnerabilities.judge(report(), [ignore(days=-1)], TODAY).good


def test_an_ignore_that_is_no_longer_needed_is_said():
    assert "unused   CVE-2026-0000" in vulnerabilities.show(
        vulnerabilities.judge(report(), [ignore()], TODAY)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("FATAL: no space left", "is no JSON"),
        ("[]", "not Trivy's schema"),
        ("{}", "not Trivy's schema"),
        ('{"SchemaVersion": 1, "Results": []}', "not Trivy's schema"),
        ('{"SchemaVersion": 2}', "saw no package of the system"),
        ('{"SchemaVersion": 2, "Results": []}', "saw no package of the system"),
        ('{"SchemaVersion": 2, "Results": null}', "saw no package of the system"),
        (report(system=()), "saw no package of the system"),
        (report(python=()), "saw no package of Python"),
        ('{"SchemaVersion": 2, "Results": "none"}', "no list of results"),
        ('{"SchemaVersion": 2, "Results": [null]}', "no list of results"),
        (report("HIGH").replace('"Severity"', '"Sev"'), "has no 'Severity'"),
        (report("SEVERE"), "no severity"),
        (report().replace('"Vulnerabilities": null', '"Vulnerabilities": ["CVE-1"]'), "is none"),
    ],
)
def test_a_scan_that_saw_nothing_or_is_none_is_a_failure(text, said):
    with pytest.raises(PipelineError, match=said):
        vulnerabilities.judge(text, [], TODAY)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            "- {id: CVE-1, package: p, reason: not reached by what we start, expires: 2027-06-01}",
            "90 days",
        ),
        ("- {id: CVE-1, package: p, reason: later, expires: 2026-12-01}", "say why"),
        ("- {id: CVE-1, package: p, reason: not reached by what we start}", "exactly"),
        (
            "- {id: CVE-1, package: p, reason: not reached by what we start, expires: never}",
            "a day such as",
        ),
        ("- CVE-1", "exactly"),
        ("a: [", "cannot be read"),
        ("5", "cannot be read"),
    ],
)
def test_an_ignore_needs_a_reason_and_a_near_day(entry, said):
    with pytest.raises(PipelineError, match=said):
        vulnerabilities.read_ignores(entry, TODAY)


def test_our_own_ignores_can_be_read(root):
    text = (root / ".github/vulnerability-ignores.yaml").read_text()
    vulnerabilities.read_ignores(text, date.today())  # noqa: DTZ011 — the day on the wall, as the gate takes it


def test_the_program_tells_clean_findings_and_nothing_apart(tmp_path, capsys, root):
    ignores = ["--ignores", str(root / ".github/vulnerability-ignores.yaml")]
    codes = []
    for text in (report(), report("CRITICAL"), ""):
        file = tmp_path / "scan.json"
        file.write_text(text)
        codes.append(cli.main(["vulnerabilities", str(file), *ignores]))
    codes.append(cli.main(["vulnerabilities", str(tmp_path / "none.json"), *ignores]))
    assert codes == [0, 1, 2, 2]
    assert "none.json" in capsys.readouterr().err
