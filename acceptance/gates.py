"""The bars of the gates that take longer than a test may: `make prove-gates`.

Thousands of releases of this repository's own Rollout through a real Prometheus, the same computed
by `canary power`, and every broken copy of the gates. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from canary.argo import releases
from canary.power import mutation, simulation, simulation_report
from canary.power.monte_carlo import Outcomes, Study
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.runtime import documents, processes, program

CANARY = Path(sys.executable).parent / "canary"

# 12 of 2,000 leave 95 % confidence that the true rate is below 1 %.
HEALTHY_RELEASES, MOST_FALSE = 2000, 12
BAD = Fault(error_rate=0.02)
LEAST_CAUGHT, MOST_DISTURBED = 0.95, 0.01
RATES = (20.0, 100.0, 500.0)
BASELINES = (0.0005, 0.001, 0.002, 0.005)
BAD_RELEASES, SIMULATED_RELEASES, COMPUTED_RELEASES = 250, 100, 4000


def main(arguments: Sequence[str]) -> int:
    """Runs the bars whose name holds a word, and prints what came."""
    parser = program.parser("prove-gates", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="bars whose name holds it")
    word = parser.parse_args(arguments).only
    began = time.monotonic()
    (release,) = releases.find(documents.read_all(["deploy/base"]))
    subject = mutation.subject_of(release)
    bars: dict[str, Callable[[], bool]] = {"promise": partial(_promise, subject)}
    bars |= {f"{rps:g} requests/s": partial(_table, subject, rps) for rps in RATES}
    bars |= {"mutants": _mutants}
    if not any(word in name for name in bars):
        parser.error(f"give a word of {', '.join(bars)}")
    held = [bar() for name, bar in bars.items() if word in name]
    print(f"\n{sum(held)} of {len(held)} bars held, in {time.monotonic() - began:.0f} s")
    return 0 if all(held) else 1


def _promise(subject: simulation.Subject) -> bool:
    """The stated traffic: healthy releases in number, and bad ones."""
    began = time.monotonic()
    healthy = simulation.simulate(subject, [Scenario("healthy")], HEALTHY_RELEASES)
    bad = simulation.simulate(subject, [Scenario("errors 2 %", BAD)], BAD_RELEASES)
    summary = simulation_report.summarise("gridos", [*healthy, *bad], time.monotonic() - began)
    print(simulation_report.table(summary), flush=True)
    good, faulty = summary.tallies
    false = good.releases - good.promoted
    held = false <= MOST_FALSE and faulty.rolled_back >= LEAST_CAUGHT * faulty.releases
    print(
        f"{'held' if held else 'MISSED'}: {false} of {good.releases} good ones disturbed "
        f"(at most {MOST_FALSE}), {faulty.rolled_back} of {faulty.releases} bad ones stopped\n"
    )
    return held


def _table(subject: simulation.Subject, rps: float) -> bool:
    """One traffic, by baseline: simulated and computed side by side."""
    print(f"{'requests/s':>10}{'baseline':>10}{'good ones disturbed':>36}{'2 % stopped':>36}")
    print(f"{'':>20}{'computed':>12}{'simulated':>24}{'computed':>12}{'simulated':>24}")
    rows = [_row(subject, rps, baseline) for baseline in BASELINES]
    return all(rows)


def _row(subject: simulation.Subject, rps: float, baseline: float) -> bool:
    traffic = Traffic(rps, error_rate=baseline)
    study = Study(subject.rollout, traffic, cpu_limit=subject.cpu_limit, n=COMPUTED_RELEASES)
    scenarios = [Scenario("good", Fault(), traffic), Scenario("bad", BAD, traffic)]
    results = simulation.simulate(subject, scenarios, SIMULATED_RELEASES)
    good, bad = simulation_report.summarise("gridos", results, 0.0).tallies
    healthy, faulty = study.outcomes(Fault()), study.outcomes(BAD)
    computed = (_disturbed(healthy), faulty.rollback_rate)
    counted = (good.releases - good.promoted, bad.rolled_back)
    cells = [
        f"{share:>12.2%}{count:>7} [{low:6.2%}, {high:7.2%}]"
        for share, count in zip(computed, counted, strict=True)
        for low, high in [simulation_report.interval(count, SIMULATED_RELEASES)]
    ]
    print(f"{rps:>10g}{baseline:>10.2%}" + "".join(cells), flush=True)
    return computed[0] <= MOST_DISTURBED and computed[1] >= LEAST_CAUGHT


def _disturbed(outcomes: Outcomes) -> float:
    return outcomes.rollback_rate + outcomes.pause_rate


def _mutants() -> bool:
    print(flush=True)
    return processes.run([CANARY, "mutate"], check=False, timeout=1800).returncode == 0


if __name__ == "__main__":
    sys.exit(program.run("prove-gates", main))
