"""The `observe` program."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from canary.errors import UsageError
from canary.runtime import program
from observe import (
    cost,
    dashboards,
    filling,
    generate,
    live,
    oncluster,
    promtool,
    proof,
    runbooks,
    walk,
)

EPILOG = """\
exit codes:
  0 good   1 findings   2 the input cannot be used   4 the machine is at fault   130 interrupted

examples:
  observe up                                  the service, watched: http://127.0.0.1:9300
  observe up --faults errors=10%              with a canary that fails
  observe generate --check                    is what is generated as the gates say?
  observe prove-runbooks --only TargetDown    one alert brought about, and its page walked
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("observe", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    return command(chosen)


def _parser() -> argparse.ArgumentParser:
    text = "Rules, alerts, dashboards and logs of GridOS."
    parser = program.parser("observe", description=text, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="command")
    text = "write what is generated from the gates, the objective and the dashboards' code"
    generating = commands.add_parser("generate", help=text, description=text)
    generating.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    generating.set_defaults(command=_generate)
    text = "run the service under gentle load with its Prometheus, Alertmanager and one page to see"
    looking = commands.add_parser("up", help=text, description=text)
    looking.add_argument(
        "--port", type=program.port, default=9300, metavar="N", help="of the page (9300)"
    )
    looking.add_argument(
        "--seconds", type=_seconds, default=live.LONGEST_S, metavar="S", help="then end (8 hours)"
    )
    looking.add_argument("--faults", default="", metavar="F", help='of the canary: "errors=3%%"')
    looking.add_argument("--out", type=Path, default=Path("out/observe"), metavar="DIR")
    looking.set_defaults(command=_look)
    _add_proofs(commands)
    return parser


def _add_proofs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "ask every panel of a rehearsal's data, the design's queries, and what the rules cost"
    proving = commands.add_parser("prove", help=text, description=text)
    proving.add_argument(
        "--recorded", type=Path, metavar="DIR", help="a rehearsal made with --rules"
    )
    proving.add_argument("--out", type=Path, default=Path("out/observability"), metavar="DIR")
    proving.set_defaults(command=_prove)
    text = "bring every alert about on a live stack and walk its runbook (about ten minutes)"
    walking = commands.add_parser("prove-runbooks", help=text, description=text)
    walking.add_argument(
        "--only",
        metavar="TEXT",
        action="append",
        help="scenarios whose name or alerts hold this; may be given several times",
    )
    walking.add_argument("--out", type=Path, default=Path("out/runbooks"), metavar="DIR")
    walking.set_defaults(command=_prove_runbooks)
    text = "on a real cluster: lines reach Loki, and the controllers' panels fill (needs the kit)"
    clustered = commands.add_parser("prove-cluster", help=text, description=text)
    clustered.add_argument("--out", type=Path, default=Path("out/cluster"), metavar="DIR")
    clustered.set_defaults(command=_prove_cluster)


def _generate(chosen: argparse.Namespace) -> int:
    root = Path()
    stale = generate.differing(root) if chosen.check else generate.write(root)
    for path in stale:
        print(f"{path} {'is stale: run make generate' if chosen.check else 'written'}")
    return 1 if chosen.check and stale else 0


def _look(chosen: argparse.Namespace) -> int:
    live.look(chosen.out, chosen.port, chosen.seconds, chosen.faults)
    return 0


def _prove(chosen: argparse.Namespace) -> int:
    _tell("rehearsing a release with the rules loaded" if chosen.recorded is None else "reading")
    record = (
        filling.recorded(chosen.recorded.resolve())
        if chosen.recorded
        else filling.rehearse(chosen.out)
    )
    filled = filling.fill(record, dashboards.ALL)
    print(proof.render_panels(filled))
    for name, query, value in filling.design_answers(record):
        print(f"the design's {name} answers {value:.4g}: {query}")
    drawn = filling.draw(record, chosen.out / "dashboards.html")
    print(f"the dashboards of this run: {drawn}")
    _tell(f"fifty pods of forty routes for {cost.LONG_S:.0f} s")
    # What a cluster runs today is a 3.x; the distribution's is several times slower.
    spent = cost.measure(chosen.out / "cost", promtool.third() or promtool.debian())
    print(proof.render_cost(spent))
    bad = [one for one in filled if not one.good or one.stale]
    return 1 if bad or spent.total_s > cost.ALLOWED_S else 0


def _prove_runbooks(chosen: argparse.Namespace) -> int:
    scenarios = [
        scenario
        for scenario in walk.SCENARIOS
        if not chosen.only or any(text in _words(scenario) for text in chosen.only)
    ]
    if not scenarios:
        raise UsageError(f"no scenario holds {' or '.join(chosen.only)}", "see walk.py for them")
    shutil.rmtree(chosen.out, ignore_errors=True)
    walked = walk.walk(chosen.out, scenarios, runbooks.read(Path("docs/runbooks")), _tell)
    table = proof.lines(walked)
    if chosen.only:
        table = [line for line in table if line.walked is not None]
    text = proof.render(table)
    (chosen.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    found = proof.problems(table)
    for problem in found:
        print(problem)
    return 1 if found else 0


def _prove_cluster(chosen: argparse.Namespace) -> int:
    shutil.rmtree(chosen.out, ignore_errors=True)
    return oncluster.prove(chosen.out)


def _words(scenario: walk.Scenario) -> str:
    return f"{scenario.name} {' '.join(scenario.alerts)}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= live.LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {live.LONGEST_S:g}")
    return value


if __name__ == "__main__":
    sys.exit(main())
