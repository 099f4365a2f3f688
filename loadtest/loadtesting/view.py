"""What a person sees while a run goes on: one live line, or a line every few seconds in a log."""

import sys
import time

from loadtesting import histograms, output
from loadtesting.model import Outcome
from loadtesting.request_metrics import RequestMetrics

LOG_EVERY_S = 10.0


class LiveLine:
    """Rewrites its line on a terminal; elsewhere prints one now and then."""

    def __init__(self, seconds: float, planned: int) -> None:
        self._seconds = seconds
        self._planned = planned
        self._live = sys.stderr.isatty()
        self._began = self._shown = time.monotonic()

    def show(self, measured: RequestMetrics) -> None:
        """Shows how it stands."""
        now = time.monotonic()
        if self._live:
            sys.stderr.write(f"\r\033[K{self._text(measured, now)}")
        elif now - self._shown >= LOG_EVERY_S:
            self._shown = now
            sys.stderr.write(self._text(measured, now) + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leaves the terminal's line free."""
        if self._live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _text(self, measured: RequestMetrics, now: float) -> str:
        group = measured.overall
        p95 = output.milliseconds(histograms.quantile_s(group.histogram, 0.95))
        return (
            f"{min(now - self._began, self._seconds):5.0f} of {self._seconds:.0f} s  "
            f"{group.requests:,} of {self._planned:,} requests  "
            f"failed {group.outcomes[Outcome.FAILED]}  lost {group.unseen}  "
            f"dropped {measured.counts.dropped}  p95 {p95}"
        )
