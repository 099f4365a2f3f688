"""The `observe` program."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from canary.commands import options
from canary.runtime import program
from observe import generate, live_stack

EPILOG = """\
exit codes:
  0 success   1 findings   2 the input cannot be used   4 the machine is at fault   130 interrupted

examples:
  observe up                                  stable and a healthy canary, in a browser
  observe up --fault errors=10%               stable and a faulty canary
  observe generate --check                    do the generated files match the gates?
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
    text = "write the files that come from the gates, the objective and the dashboards' YAML"
    generating = commands.add_parser("generate", help=text, description=text)
    generating.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    generating.set_defaults(command=_generate)
    text = "run stable and a canary under low load, with alerts and dashboards in a browser"
    looking = commands.add_parser("up", help=text, description=text)
    options.port(looking, None, "the page's port (any free one)")
    options.fault(looking, "make the canary a faulty release")
    looking.add_argument(
        "--seconds",
        type=_seconds,
        default=live_stack.TIMEOUT_S,
        metavar="S",
        help="end after this time (an hour)",
    )
    looking.add_argument("--out", type=Path, default=Path("out/observe"), metavar="DIR")
    looking.set_defaults(command=_show)
    return parser


def _generate(chosen: argparse.Namespace) -> int:
    root = Path()
    stale = generate.differing(root) if chosen.check else generate.write(root)
    for path in stale:
        print(f"{path} {'is stale: run make generate' if chosen.check else 'written'}")
    return 1 if chosen.check and stale else 0


def _show(chosen: argparse.Namespace) -> int:
    live_stack.show(chosen.out, chosen.port, chosen.seconds, chosen.fault)
    return program.GOOD


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= live_stack.TIMEOUT_S:
        raise argparse.ArgumentTypeError(
            f"{text} is not above 0 and at most {live_stack.TIMEOUT_S:g}"
        )
    return value


if __name__ == "__main__":
    sys.exit(main())
