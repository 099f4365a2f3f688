"""How busy the machine was, so that a verdict can say whether it was measured honestly."""

import os
import time
from dataclasses import dataclass, field

import psutil


@dataclass
class MachineWatch:
    """Fed once a loop; remembers how late the loop ran and how busy the cores were."""

    expected_s: float
    _last: float = field(default_factory=time.monotonic)
    _late_ms: list[float] = field(default_factory=list)
    _busy: list[float] = field(default_factory=list)
    _busy_at: float = 0.0

    def tick(self) -> None:
        """Takes note of one turn of the loop."""
        now = time.monotonic()
        self._late_ms.append(max(0.0, now - self._last - self.expected_s) * 1000)
        self._last = now
        if now - self._busy_at >= 1.0:
            self._busy.append(psutil.cpu_percent() / 100)
            self._busy_at = now

    @property
    def cores(self) -> int:
        """Cores this process may use."""
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )

    @property
    def busy_share(self) -> float:
        """Mean share of all cores that was busy, with whatever else the machine did."""
        return sum(self._busy) / len(self._busy) if self._busy else 0.0

    @property
    def lag_p99_ms(self) -> float:
        """How late the loop ran: near 0 on a machine with time to spare."""
        ordered = sorted(self._late_ms)
        return ordered[int(0.99 * (len(ordered) - 1))] if ordered else 0.0

    @property
    def latest_s(self) -> float:
        """How late the loop ran at the worst."""
        return max(self._late_ms, default=0.0) / 1000
