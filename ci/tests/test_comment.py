"""The comment that a rehearsal leaves."""

import json
import re

import pytest
from pipeline import cli, comment
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
    assert "### Rehearsal: ❌ Rolled back" in body
    assert "`Rolled back by container-restarts: 4 (limit 0, stable 0)`" in body
    assert re.search(r"\| `container-restarts` \| 4 \| 0 \| `<=` 0 \| ❌ \|", body)
    assert re.search(r"\| `error-ratio` .* \| `<` 1 % \| ✅ \|", body)
    assert "```mermaid\nxychart-beta" in body
    assert f"]({RUN})" in body


def test_what_is_to_blame_stands_below_the_verdict_and_can_do_no_harm(result):
    result["evidence"] = {"cause": ["GET /a: 9 of 9 failed", "`@everyone` <img>", *["x"] * 9]}
    body = render(result)
    assert "\n- `GET /a: 9 of 9 failed`\n- `'@everyone' <img>`\n" in body
    assert body.count("\n- ") == 5


def test_a_run_of_another_workflow_than_mains_has_no_verdict_whatever_it_left(tmp_path, capsys):
    forged = tmp_path / "result.json"
    forged.write_text('{"schema": "canary.rehearsal/1", "verdict": {"outcome": "promoted"}}')
    assert cli.main(["comment", str(forged), "--run-url", RUN, "--untrusted"]) == 0
    body = capsys.readouterr().out
    assert "no verdict" in body
    assert "Promoted" not in body


def test_every_outcome_of_a_rehearsal_has_words(result):
    for outcome in Outcome:
        result["verdict"]["outcome"] = str(outcome)
        assert f"`{outcome}`" not in render(result)


def test_a_gate_that_failed_once_stays_failed_whatever_came_after(result):
    run = next(
        r for r in result["analysis_runs"] if any(m["phase"] == "Failed" for m in r["metrics"])
    )
    calm = json.loads(json.dumps(run).replace('"Failed"', '"Successful"'))
    result["analysis_runs"].append(calm)
    assert re.search(r"\| `container-restarts` .* \| ❌ \|", render(result))


@pytest.mark.parametrize(
    "word",
    [
        "@everyone look",
        "[click](https://evil.example)",
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
def test_nothing_in_a_result_reaches_outside_its_code_span(result, word):
    result["verdict"]["headline"] = result["verdict"]["outcome"] = word
    for gate in result["gates"]:
        gate["name"] = gate["comparison"] = word
        gate["threshold"] = word
    body = render(result).replace(f"[The whole report]({RUN})", "")
    outside = re.sub(r"`[^`\n]*`", "", re.sub(r"```mermaid.*?```", "", body, flags=re.DOTALL))
    for sign in ("@", "](", "<img", "\u202e", "# title", "evil"):
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
