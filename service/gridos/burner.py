"""Burns CPU beside the service until the pod's processes together use a given number of cores.

    python burner.py 0.45 90

The second number is after how many seconds it begins.

Short slices keep a container with a CPU limit from being throttled for a whole period; the share
burnt is corrected by what the service itself uses. It ends with its parent.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

SLICE_S = 0.005
ADJUST_S = 0.5
# On a machine that gives no CPU for a while, what is owed is not made up in one long burst.
MAX_OWED_S = 0.05
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def burn(cores: float, after_s: float) -> None:
    """Keeps the parent's process tree at `cores` cores; at most one core is burnt here."""
    parent, begins_at = os.getppid(), time.monotonic() + after_s
    while os.getppid() == parent and time.monotonic() < begins_at:
        time.sleep(min(ADJUST_S, after_s))
    duty, owed_s = min(cores, 1.0), 0.0
    now = adjusted_at = time.monotonic()
    used_s = _others_cpu_s(parent)
    while os.getppid() == parent:
        last, now = now, time.monotonic()
        owed_s = min(owed_s + duty * (now - last), MAX_OWED_S)
        owed_s -= _use_cpu(owed_s)
        time.sleep(SLICE_S)
        if now - adjusted_at >= ADJUST_S:
            last_used_s, used_s = used_s, _others_cpu_s(parent)
            duty = max(0.0, min(1.0, cores - (used_s - last_used_s) / (now - adjusted_at)))
            adjusted_at = now


def _use_cpu(seconds: float) -> float:
    """Uses this much CPU time (not wall time) and returns what was really used."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return time.process_time() - began


def _others_cpu_s(root: int) -> float:
    """CPU seconds so far of the parent and its other children."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        pid = int(stat.parent.name)
        parent, cpu_s = _read(stat)
        if pid == root or (parent == root and pid != os.getpid()):
            total += cpu_s
    return total


def _read(stat: Path) -> tuple[int, float]:
    """(parent's pid, CPU seconds) of a process; see proc(5)."""
    try:
        # The command stands in parentheses and may hold anything; the fields follow it.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_S


if __name__ == "__main__":
    burn(float(sys.argv[1]), float(sys.argv[2]))
