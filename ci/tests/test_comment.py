"""The comment that a rehearsal leaves."""

import html
import json
import re

import pytest
from pipeline import comment
from pipeline.errors import PipelineError

from canary.rehearse.verdict import Outcome

RUN = "https://github.com/example/gridos/actions/runs/1"
RESULT = "canary/tests/rehearse/results/rolled-back.json"


@pytest.fixture
def result(root):
    return json.loads((root / RESULT).read_text())


def render(document):
    return comment.render(json.dumps(document), RUN)


def test_a_real_result_gives_verdict_gates_and_plot(result):
    body = render(result)
    assert body.startswith(comment.MARKER)
    assert "### ❌ Rolled back by container-restarts: 4 (limit 0, stable 0)" in html.unescape(body)
    body = html.unescape(body)
    assert re.search(r"\| container-restarts \| <= 0 \| .*\| \*\*4 \(0\)\*\* ❌ \|", body)
    assert re.search(r"\| error-ratio \| < 1 % \| ", body)
    assert "```mermaid\nxychart-beta" in body
    assert f"]({RUN})" in body


def test_what_is_to_blame_stands_below_the_verdict_and_can_do_no_harm(result):
    result["evidence"] = {"cause": ["GET /a: 9 of 9 failed", "`@everyone` <img>", *["x"] * 9]}
    body = render(result)
    assert "\n- GET /a: 9 of 9 failed\n- &#96;&#64;&#8288;everyone&#96; &#60;img&#62;\n" in body


def test_every_outcome_of_a_rehearsal_has_words(result):
    for outcome in Outcome:
        result["verdict"]["outcome"] = str(outcome)
        heading = render(result).splitlines()[2]
        assert re.fullmatch(r"### (✅|❌|⚠️|⛔) .*container-restarts.*", heading), heading


def test_a_gate_that_failed_once_stays_failed_whatever_came_after(result):
    run = next(
        r for r in result["analysis_runs"] if any(m["phase"] == "Failed" for m in r["metrics"])
    )
    calm = json.loads(json.dumps(run).replace('"Failed"', '"Successful"'))
    result["analysis_runs"].append(calm)
    assert re.search(r"\| container-restarts .* ❌ \|", render(result))


@pytest.mark.parametrize(
    "word",
    [
        "@everyone look",
        "[click](https://evil.example)",
        "see https://evil.example or www.evil.example",
        "`` ` ``",
        "<img src=x onerror=alert(1)>",
        "line\nbreak\n# title",
        "a | b | c",
        "\u202ereversed",
        "x" * 5000,
        "<!-- -->",
        "",
    ],
)
def test_nothing_in_a_result_is_html_a_mention_a_heading_or_a_link(result, word):
    result["verdict"]["headline"] = result["verdict"]["outcome"] = word
    for gate in result["gates"]:
        gate["name"] = gate["comparison"] = word
    for metric in (m for run in result["analysis_runs"] for m in run["metrics"]):
        metric["name"] = word
    result |= {"command": word, "target": word}
    result["release"] |= {"faults": [word], "changes": [word]}
    body = render(result).replace(f"[The whole report]({RUN})", "")
    outside = re.sub(r"`[^`\n]*`", "", re.sub(r"```mermaid.*?```", "", body, flags=re.DOTALL))
    assert html.unescape(outside).count("### ") == 1
    for sign in ("@", "](", "<img", "\u202e", "# title", "://", "www."):
        assert sign not in outside
    assert len(body) < 60_000


@pytest.mark.parametrize(
    "hostile",
    [
        {"series": {"at_s": ["<b>", {}], "canary_failed": "x", "canary_requests": [None]}},
        {
            "series": {
                "at_s": [1e999, 2],
                "canary_failed": [1, 1],
                "canary_requests": [0, 0],
                "stable_failed": [0, 0],
                "stable_requests": [1, 1],
            }
        },
        {"gates": "none", "analysis_runs": {"a": 1}, "traffic": [1]},
        {"gates": [1, None, {"name": {}}], "analysis_runs": [{"metrics": [{"measurements": "x"}]}]},
        {"verdict": None},
    ],
)
def test_a_result_of_any_shape_makes_a_comment(result, hostile):
    assert render(result | hostile).startswith(comment.MARKER)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"schema": "other/v1"}', "[" * 100_000])
def test_what_is_no_result_is_refused(text):
    with pytest.raises(PipelineError):
        comment.render(text, RUN)


def test_a_run_without_a_result_is_said_and_linked():
    body = comment.missing(RUN)
    assert body.startswith(comment.MARKER)
    assert RUN in body
