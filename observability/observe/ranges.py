"""Range queries, as a panel asks them: series of points."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from canary.runtime.prometheus import QueryError

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line of a panel: its name and its points (Unix seconds, value)."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Span:
    """What a panel shows: Unix seconds, and the distance of its points."""

    start_s: float
    end_s: float
    step_s: float


def ask(port: int, query: str, legend: str, span: Span) -> list[Series]:
    """The series of a query over a span, named by a legend such as "{{route}}".

    Raises:
        QueryError: if Prometheus refuses it or does not answer.
    """
    asked = {"query": query, "start": span.start_s, "end": span.end_s, "step": span.step_s}
    url = f"http://127.0.0.1:{port}/api/v1/query_range"
    try:
        body = urllib.parse.urlencode(asked).encode()
        with urllib.request.urlopen(url, data=body, timeout=20) as answer:
            found = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as refused:
        raise QueryError(f"prometheus answered {refused.code}") from None
    except (OSError, ValueError) as gone:
        raise QueryError(f"prometheus does not answer: {gone}") from None
    return [Series(named(legend, one["metric"]), _points(one["values"])) for one in found]


def named(legend: str, labels: dict[str, str]) -> str:
    """A legend with its labels filled in, as Grafana does."""
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    return legend


def _points(values: list[tuple[float, str]]) -> tuple[Point, ...]:
    return tuple((float(at), float(value)) for at, value in values)
