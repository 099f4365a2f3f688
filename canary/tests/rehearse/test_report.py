"""The report: complete, self-contained, and safe against what it quotes."""

import base64
import hashlib
import re
from xml.etree import ElementTree as ET

import pytest

from canary.plot import Frame, ticks
from canary.rehearse import report
from canary.rehearse.result import Result
from canary.rehearse.verdict import Outcome


def page_of(document):
    return report.render(Result.model_validate(document))


@pytest.mark.parametrize("outcome", [str(outcome) for outcome in Outcome])
def test_every_outcome_has_a_page(document, outcome):
    document["verdict"]["outcome"] = outcome
    page = page_of(document)
    assert document["verdict"]["headline"].replace("<", "&lt;") in page


def test_the_page_asks_nothing_of_the_network(document):
    page = page_of(document)
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", page)
    (script,) = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "fetch" not in script
    assert not re.findall(r"\sstyle=|\son\w+=", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{sha256(style)}'; "
        f"script-src 'sha256-{sha256(script)}'; base-uri 'none'; form-action 'none'"
    )


def sha256(text):
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_every_picture_is_well_formed_and_named(document):
    pictures = re.findall(r"<svg.*?</svg>", page_of(document), re.DOTALL)
    assert len(pictures) == 3 + len(document["gates"])
    for picture in pictures:
        assert ET.fromstring(picture).get("aria-label")


def test_what_a_message_quotes_is_text_and_never_markup(document):
    document["events"].append({"at_s": 1.0, "kind": "pod", "text": "<img src=x onerror=alert(1)>"})
    document["analysis_runs"][0]["metrics"][0]["measurements"][0]["phase"] = "Failed"
    document["analysis_runs"][0]["name"] = "</svg><script>"
    page = page_of(document)
    assert "<img" not in page
    assert "<script>" not in page


def test_the_numbers_shown_are_those_of_the_result(document):
    page = page_of(document)
    assert f"{document['traffic']['requests']:,}" in page
    assert f"{document['verdict']['requests_seen']:,}" in page
    for gate in document["gates"]:
        assert gate["name"] in page


def test_a_run_that_ended_before_anything_was_recorded_has_a_page_too(document):
    document["series"], document["analysis_runs"], document["events"] = {}, [], []
    document["verdict"] |= {"gate": None, "decided_after_s": None}
    page = page_of(document)
    assert "Nothing was recorded" in page
    assert "<svg" not in page


@pytest.mark.parametrize("number", [None, float("nan"), float("inf")])
def test_a_measurement_without_a_plain_number_is_not_drawn(document, number):
    for run in document["analysis_runs"]:
        for metric in run["metrics"]:
            for measurement in metric["measurements"]:
                measurement["number"] = number
    assert "No measurement returned a number" in page_of(document)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 5, 10]), (0, 0.25, [0, 0.1, 0.2]), (-3, 70, [0, 50]), (0, 1, [0, 0.5, 1])],
)
def test_ticks_are_round_numbers_inside_the_range(low, high, expected):
    assert ticks(low, high, 3) == pytest.approx(expected)


def test_a_threshold_is_drawn_at_its_height():
    frame = Frame((0, 10), (0, 1), height=142)
    frame.level(0.5, "half")
    (line,) = ET.fromstring(frame.svg("p")).findall(".//g[@class='limit']/line")
    assert float(line.get("y1")) == pytest.approx(20 + (142 - 20 - 22) / 2)
