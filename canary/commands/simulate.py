"""`canary simulate`: releases of some faults through a real Prometheus."""

import argparse
import time
from dataclasses import replace

from canary.argo import releases
from canary.commands import options, study
from canary.errors import UsageError
from canary.power import faults, mutation, simulation, simulation_report

EPILOG = """\
exit codes:
  0 simulated   2 the input cannot be used   4 the tool or the machine is at fault   130 interrupted

examples:
  canary simulate                           500 healthy releases
  canary simulate --fault errors=2%         500 releases of which 2 % of requests fail
"""

RELEASES = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its traffic, and the faults."""
    study.add_arguments(parser)
    study.add_releases(parser, RELEASES, "releases of each fault")
    options.fault(
        parser,
        "a fault as for rehearse, such as errors=2%% or latency=400ms@10%%, or one of healthy, "
        "idle, late-scrapes, prometheus-gone, label-missing; give it several times (healthy)",
    )
    options.output(parser)


def run(chosen: argparse.Namespace) -> int:
    """How each kind of release ended."""
    users = study.traffic(chosen)
    found, release = study.exported_release(chosen)
    scrape_s, _ = study.scrape(chosen, found, release)
    if not any(analysis.metrics for analysis in releases.in_virtual_time(release).analyses):
        what = f"{release.rollout.name} has no gate to simulate: every release is promoted"
        raise UsageError(what, "add an analysis; canary lint lists gates that judge nothing")
    asked = (faults.scenario(given, users) for given in chosen.fault or ["healthy"])
    scenarios = [replace(s, weather=replace(s.weather, scrape_s=scrape_s)) for s in asked]
    began = time.monotonic()
    results = simulation.simulate(
        mutation.subject_of(release), scenarios, chosen.releases, options.progress("releases")
    )
    summary = simulation_report.summarise(release.rollout.name, results, time.monotonic() - began)
    options.say(simulation_report.FORMATS[chosen.output](summary))
    return 0
