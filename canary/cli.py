"""The program `canary`: its commands by name; canary.commands has what each takes and does."""

import argparse
from collections.abc import Collection, Sequence
from importlib import import_module

from canary.errors import MachineError
from canary.runtime import program

# Each is a module of canary.commands, imported only when it is called: lint needs no gateway.
COMMANDS = {
    "lint": "check offline which faults Rollouts and AnalysisTemplates cannot detect",
    "power": "compute how likely the gates detect a fault of each size, when, and at what cost",
    "blind": "list the classes of fault: the smallest that the gates detect, and by which gate",
    "history": "compute how often the gates would have rolled back past stable pods (A/A test)",
    "design": "propose weights, pauses, intervals and limits that detect a fault, as a patch",
    "simulate": "judge thousands of releases with a real Prometheus, as the controller would",
    "mutate": "break the gates on purpose, one by one, and check that lint or a release notices",
    "init": "write a first rehearsal.yaml and locustfile for a repository",
    "rehearse": "run a release on real traffic: promoted or rolled back, and why",
    "runs": "list past rehearsals, compare two, remove old ones",
    "ui": "show past rehearsals in a browser: list, compare, replay",
    "replay": "judge a recorded rehearsal by other gates, without running it again",
    "serve": "run one pod of the manifests on this machine, with its database",
}

ABOUT = "Will your canary gates stop a faulty release? Check them, measure them, rehearse them."

EPILOG = """\
exit codes:
  0 success   1 a bad verdict: rolled back, findings   2 the input cannot be used
  3 no verdict: inconclusive, or not measured   4 the tool or the machine is at fault
  130 interrupted

`canary COMMAND --help` lists a command's options and examples.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("canary", _run, arguments)


def _run(given: Sequence[str]) -> int:
    try:
        chosen = parser(given[:1]).parse_args(given, argparse.Namespace(given=given))
    except ModuleNotFoundError as missing:
        remedy = "pip install canary-rehearsal"
        raise MachineError(f"{missing.name} is not installed", remedy) from None
    return int(chosen.run(chosen))


def parser(wanted: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line: every command by name, and the options of those that are wanted."""
    made = program.parser("canary", description=ABOUT, epilog=EPILOG)
    made.add_argument("--completion", action=_Completion, help="print completions for a shell")
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        described = f"{what[0].upper()}{what[1:]}."
        command = commands.add_parser(name, help=what, description=described)
        if name in wanted:
            module = import_module(f"canary.commands.{name}")
            command.epilog = module.EPILOG
            command.set_defaults(run=module.run)
            module.add_arguments(command)
    return made


class _Completion(argparse.Action):
    """Prints the script that completes commands, options and files in a shell."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options, choices=("bash", "zsh"))  # type: ignore[arg-type]

    def __call__(
        self, outer: argparse.ArgumentParser, _: object, shell: object, *__: object
    ) -> None:
        import shtab  # noqa: PLC0415 — for this alone

        print(shtab.complete(parser(), str(shell)))  # noqa: T201 — what was asked for
        outer.exit()
