"""What a dashboard is made of, as frozen types that know nothing of Grafana."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Grafana's panel types that are used here."""

    TIMESERIES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    LOGS = "logs"


class Unit(StrEnum):
    """Grafana's unit ids."""

    RATIO = "percentunit"
    SECONDS = "s"
    PER_SECOND = "reqps"
    MINUTES = "m"
    COUNT = "short"
    BYTES = "bytes"


class Source(StrEnum):
    """The data source a target asks, by its variable."""

    PROMETHEUS = "prometheus"
    LOKI = "loki"


@dataclass(frozen=True)
class Target:
    """One query and what its series are called (`{{label}}` is Grafana's)."""

    query: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: A few words, the quantity first.
        description: What it shows and what to conclude, for a person who was just woken.
        unit: Of every value in it.
        targets: Its queries.
        kind: How it is drawn.
        limit: A series that is drawn as the threshold line.
        width: Of the 24 columns of a row.
        colours: From which value on which colour; without any a number is only a number.
        needs: What must be there for it to show anything, where a rehearsal has none of it.
    """

    title: str
    description: str
    unit: Unit
    targets: tuple[Target, ...]
    kind: Kind = Kind.TIMESERIES
    limit: str = ""
    width: int = 8
    source: Source = Source.PROMETHEUS
    needs: str = ""
    colours: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: the values of a label of a series."""

    name: str
    series: str
    label: str


@dataclass(frozen=True)
class Annotation:
    """Moments drawn over every panel: the instants at which a query has a value."""

    name: str
    query: str
    text: str


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels, in the order in which a responder asks; `span` is how far back it opens."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    span: str = "1h"
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel, in order."""
        return tuple(panel for _, panels in self.rows for panel in panels)
