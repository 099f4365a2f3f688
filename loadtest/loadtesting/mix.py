"""Who asks the grid API for what: three kinds of user, their shares and their payloads.

    users       share  what they do
    operators    50 %  read: the list (20 %), a feeder (20 %), its load (60 %)
    meters       20 %  post a batch of 1 to 48 readings: one meter's last minutes to a day's halves
    dashboards   30 %  poll a feeder's series with the ETag of the answer before

Sizes and choices come from the arrival's own seeded randomness, so a run can be repeated exactly.
What a target does not offer yet is left out: the share goes to the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

FEEDER, BUSES = "ieee33", range(2, 34)
OPERATORS, METERS, DASHBOARDS = 50, 20, 30
# Most meters send what has just come; some had no connection and send half a day.
BATCHES, BATCH_WEIGHTS = (1, 4, 12, 48), (70, 20, 8, 2)
# A 33-bus feeder's loads lie between 60 and 420 kW, with a power factor near 0.9.
MIN_KW, MAX_KW, KVAR_PER_KW = 60.0, 420.0, 0.48


@dataclass(frozen=True)
class Ask:
    """A request: `name` is the route as the service's metrics call it."""

    method: str
    name: str
    path: str
    json: Any = None


LOAD = Ask("GET", "/v1/feeders/<feeder_id>/load", f"/v1/feeders/{FEEDER}/load")
READS: Mapping[Ask, int] = {
    Ask("GET", "/v1/feeders", "/v1/feeders"): 20,
    Ask("GET", "/v1/feeders/<feeder_id>", f"/v1/feeders/{FEEDER}"): 20,
    LOAD: 60,
}
SERIES = Ask(
    "GET", "/v1/feeders/<feeder_id>/readings", f"/v1/feeders/{FEEDER}/readings?bucket=15m&limit=100"
)
# Asked for only where the target has them.
NEWER_READS: Mapping[Ask, int] = {
    Ask("GET", "/v1/feeders/<feeder_id>/buses", f"/v1/feeders/{FEEDER}/buses"): 5,
    Ask("GET", "/v1/feeders/<feeder_id>/lines", f"/v1/feeders/{FEEDER}/lines"): 5,
    SERIES: 15,
    Ask(
        "GET", "/v1/buses/<bus_id>/readings", f"/v1/buses/{FEEDER}-7/readings?bucket=raw&limit=100"
    ): 10,
    Ask("GET", "/v1/overloads", "/v1/overloads"): 5,
}


def read(random: Random, reads: Mapping[Ask, int]) -> Ask:
    """What an operator looks at."""
    return random.choices(list(reads), list(reads.values()))[0]


def batch(random: Random, now: datetime | None = None) -> Ask:
    """What a meter sends: readings of one bus, a quarter of an hour apart, ending now."""
    now = now or datetime.now(UTC)
    (size,) = random.choices(BATCHES, BATCH_WEIGHTS)
    bus = f"{FEEDER}-{random.choice(BUSES)}"
    rows = [_reading(random, bus, now - timedelta(minutes=15 * back)) for back in range(size)]
    return Ask("POST", "/v1/readings", "/v1/readings", {"readings": rows})


def _reading(random: Random, bus: str, at: datetime) -> dict[str, Any]:
    kw = round(random.uniform(MIN_KW, MAX_KW), 1)
    measured_at = at.isoformat(timespec="milliseconds")
    return {"bus_id": bus, "measured_at": measured_at, "kw": kw, "kvar": round(kw * KVAR_PER_KW, 1)}


def offered(paths: Sequence[str]) -> Mapping[Ask, int]:
    """The reads, with those newer ones whose paths the target answered."""
    return {**READS, **{ask: weight for ask, weight in NEWER_READS.items() if ask.path in paths}}


def polled(paths: Sequence[str]) -> Ask:
    """What dashboards ask for: the series, or the load where there are none yet."""
    return SERIES if SERIES.path in paths else LOAD
