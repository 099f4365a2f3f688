"""A run's document as text: for a terminal, a job summary, and a CI's test report."""

from pathlib import Path
from typing import Literal

from canary import junit, tables
from loadtesting.result import Document


def milliseconds(seconds: float | None) -> str:
    """A latency as a person reads it."""
    return "–" if seconds is None else f"{seconds * 1000:,.4g} ms"


def lines(document: Document) -> list[str]:
    """What a terminal shows below the verdict."""
    checks = [f"  {c['result']:<13}{c['message']}" for c in document["checks"]]
    notes = [f"  note         {note}" for note in document["verdict"]["notes"]]
    routes = tables.text(
        ("  route", "requests", "failed", "lost", "p50", "p95", "p99"),
        [(f"  {name}", *_figures(group)) for name, group in groups(document)],
    )
    sides = [f"  {'client/service':<13}{line}" for line in both_sides(document)]
    return [*checks, *notes, *sides, "", *routes]


def both_sides(document: Document) -> list[str]:
    """What clients sent and saw against what the service counted, if its metrics were read."""
    said = document["service"]
    if said is None:
        return []
    lost, unseen = said["lost_before_service"], said["failed_seen"] - said["failed_counted"]
    return [
        f"{said['sent']:,.0f} sent, {said['counted_by_service']:,.0f} counted by the service: "
        f"{lost:,.0f} lost before it",
        f"{said['failed_seen']:,.0f} answers of 5xx, {said['failed_counted']:,.0f} counted by the "
        f"service: {unseen:,.0f} it never saw",
        f"{milliseconds(said['client_mean_s'])} on average, {milliseconds(said['service_mean_s'])} "
        f"in the service: {milliseconds(said['before_service_s'])} before it",
    ]


def groups(document: Document) -> list[tuple[str, Document]]:
    """Each route's requests, and all together."""
    return [*document["routes"].items(), ("all", document["overall"])]


def _figures(group: Document) -> list[str]:
    values = {q["quantile"]: q["value_s"] for q in group["quantiles"]}
    counts = (group["requests"], group["outcomes"].get("failed", 0), group["unseen"])
    latencies = (milliseconds(values.get(quantile)) for quantile in (0.5, 0.95, 0.99))
    return [*(f"{count:,}" for count in counts), *latencies]


def markdown(document: Document) -> str:
    """For a pull request or $GITHUB_STEP_SUMMARY."""
    verdict, counts = document["verdict"], document["counts"]
    rows = [
        f"| {c['result']} | {_cell(c['message'])} | {interval(c)} |" for c in document["checks"]
    ]
    routes = [f"| {' | '.join([name, *_figures(group)])} |" for name, group in groups(document)]
    return "\n".join(
        [
            f"### loadtest {document['profile']['name']}: **{verdict['result']}**",
            "",
            f"{verdict['headline']}",
            "",
            f"`{document['host']}`, {document['shape']} ({document['spacing']}, seed "
            f"{document['seed']}): {counts['due']:,} due, {counts['dropped']:,} dropped.",
            "",
            "| | check | 95 % interval |",
            "|---|---|---|",
            *rows,
            *(f"| note | {_cell(note)} | |" for note in verdict["notes"]),
            "",
            "| route | requests | failed | lost | p50 | p95 | p99 |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *routes,
            "",
            *(f"- client and service: {line}" for line in both_sides(document)),
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def interval(check: Document) -> str:
    """What holds the true value of a check, if it is known."""
    if check["low"] is None:
        return ""
    if check["unit"] == "%":
        return f"{check['low']:.2%} … {check['high']:.2%}"
    if check["unit"] == "s":
        return f"{milliseconds(check['low'])} … {milliseconds(check['high'])}"
    return ""


def junit_xml(document: Document) -> str:
    """A test case a check: failed, skipped (inconclusive), or passed."""
    profile = document["profile"]["name"]
    wrong: dict[str, Literal["failure", "skipped"]] = {"FAIL": "failure", "INCONCLUSIVE": "skipped"}
    cases = (
        junit.Case(profile, check["name"], wrong.get(check["result"], ""), check["message"])
        for check in document["checks"]
    )
    took = {"time": f"{document['seconds']:.1f}", "timestamp": document["started_at"]}
    return junit.suite(f"loadtest {profile}", cases, **took)


def write(document: Document, folder: Path) -> None:
    """Writes summary.md and junit.xml beside result.json."""
    (folder / "summary.md").write_text(markdown(document), encoding="utf-8")
    (folder / "junit.xml").write_text(junit_xml(document), encoding="utf-8")
