"""What was measured so far: counts and histograms by route, and the run cut into slices of time."""

from collections import Counter
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram
from openarrivals.samples import Batch, Counts, Sample

from loadtesting import histograms, outcomes
from loadtesting.model import Outcome

# A picture needs no more, and a long run no more memory.
MAX_SLICES = 240


@dataclass
class Group:
    """Requests that belong together: a route, a slice of time, or all of them.

    `slow` counts latencies at or above the limit, exactly.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    slow: int = 0
    histogram: HdrHistogram = field(default_factory=histograms.empty)

    def take(self, sample: Sample, outcome: Outcome, limit_s: float) -> None:
        """Counts one request."""
        self.outcomes[outcome] += 1
        if outcome is not Outcome.OK:
            self.reasons[outcomes.reason(sample)] += 1
        self.slow += sample.latency_s >= limit_s
        histograms.record(self.histogram, sample.latency_s)

    @property
    def requests(self) -> int:
        """All that ended, answered or not."""
        return self.outcomes.total()

    @property
    def answered(self) -> int:
        """Those that the service itself answered."""
        return sum(count for outcome, count in self.outcomes.items() if outcome.answered)

    @property
    def unseen(self) -> int:
        """Those that failed without the service's metrics knowing."""
        return self.outcomes[Outcome.LOST] + self.outcomes[Outcome.GATEWAY]


@dataclass
class Slice:
    """A stretch of the run: what was due in it, and what ended in it."""

    due: Group = field(default_factory=Group)
    finished: int = 0
    dropped: int = 0


@dataclass
class RequestMetrics:
    """Everything measured; `limit_s` tells the slow ones, `slice_s` is how long a slice is."""

    limit_s: float
    slice_s: float = 1.0
    overall: Group = field(default_factory=Group)
    routes: dict[str, Group] = field(default_factory=dict)
    slices: dict[int, Slice] = field(default_factory=dict)
    lag: HdrHistogram = field(default_factory=histograms.empty)
    counts: Counts = field(default_factory=Counts)
    last_answer_s: float = 0.0
    lost_in_a_row: int = 0
    first_lost_s: float = 0.0

    def take(self, batch: Batch) -> list[tuple[Sample, Outcome]]:
        """Adds a batch; returns each sample with its outcome."""
        self.counts = batch.counts
        for second in batch.dropped_s:
            self._slice(second).dropped += 1
        return [(sample, self._take(sample)) for sample in batch.samples]

    def _take(self, sample: Sample) -> Outcome:
        outcome = outcomes.of(sample)
        route = self.routes.setdefault(sample.name, Group())
        for group in (self.overall, route, self._slice(sample.due_s).due):
            group.take(sample, outcome, self.limit_s)
        self._slice(sample.due_s + sample.latency_s).finished += 1
        histograms.record(self.lag, sample.lag_s)
        self._watch(sample, outcome)
        return outcome

    def _watch(self, sample: Sample, outcome: Outcome) -> None:
        """Follows whether the target still answers."""
        ended_s = sample.due_s + sample.latency_s
        if outcome is Outcome.LOST:
            self.first_lost_s = self.first_lost_s if self.lost_in_a_row else ended_s
            self.lost_in_a_row += 1
        else:
            self.lost_in_a_row, self.last_answer_s = 0, max(self.last_answer_s, ended_s)

    def _slice(self, second: float) -> Slice:
        return self.slices.setdefault(int(second / self.slice_s), Slice())


def slice_length_s(seconds: float) -> float:
    """Whole seconds, and no more than MAX_SLICES of them."""
    return max(1.0, float(-(-int(seconds) // MAX_SLICES)))


def most_common(reasons: Counter[str], most: int = 3) -> str:
    """The reasons as a person reads them."""
    return ", ".join(f"{count} × {name}" for name, count in reasons.most_common(most))
