"""The options that several commands have: each is named, read and explained here and once."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from canary.lint.contract import Contract, load
from canary.runtime import program

DEFAULT_MANIFESTS = "deploy/base"
DEFAULT_CONTRACT = "observability/contract.prom"
DEFAULT_CONFIG = "rehearsal.yaml, or loadtest/rehearsal.yaml"
# One gateway carries no more, and the arrays of a study outgrow a laptop.
MAX_RATE = 100_000
OUTPUTS = ("table", "json", "markdown")


# What has options: a parser or a group of it.
Container = argparse._ActionsContainer  # noqa: SLF001 — argparse has no public name for it


def manifests(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Manifests to read, as an argument or an option; - is a stream."""
    what = f"a folder, a kustomization, a file, or - for standard input ({DEFAULT_MANIFESTS})"
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "manifests",
        nargs="*" if several else "?",
        type=program.place,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help=what,
    )
    group.add_argument(
        "--manifests",
        action="append" if several else "store",
        type=program.place,
        metavar="PATH",
        help="the same as PATH, as an option",
    )


def kustomization(parser: Container) -> None:
    """Manifests to run."""
    parser.add_argument(
        "--manifests",
        type=Path,
        metavar="PATH",
        help="the manifests to run (those that rehearsal.yaml names)",
    )


def config(parser: Container) -> None:
    """What a rehearsal needs beside the manifests."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration: programs, fake Secrets, users ({DEFAULT_CONFIG})",
    )


def arg(parser: Container) -> None:
    """An argument of the AnalysisTemplates."""
    parser.add_argument(
        "--arg",
        type=_named_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of an AnalysisTemplate's argument, such as window=2m",
    )


def rate(parser: Container, what: str) -> None:
    """Requests a second."""
    parser.add_argument(
        "--rate", type=requests_per_s, metavar="N", help=f"requests a second {what}"
    )


def fault(parser: Container, what: str) -> None:
    """What is wrong with a release."""
    parser.add_argument("--fault", action="append", default=[], metavar="F", help=what)


def port(parser: Container, default: int | None, what: str) -> None:
    """A port on this machine."""
    parser.add_argument("--port", type=program.port, default=default, metavar="N", help=what)


def runs(parser: Container) -> None:
    """Where rehearsals leave their runs."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/rehearsals"),
        metavar="DIR",
        help="the folder of the runs (out/rehearsals)",
    )


def output(parser: Container, choices: Sequence[str] = OUTPUTS) -> None:
    """The format of what is printed."""
    parser.add_argument(
        "-o",
        "--output",
        choices=choices,
        default="table",
        metavar="FORMAT",
        help=f"{', '.join(choices)} (table)",
    )


def contract(parser: Container) -> None:
    """What the service exports."""
    parser.add_argument(
        "--contract",
        metavar="SCRAPE",
        help="the service's metrics: a /metrics address or a saved scrape (for this repository's "
        f"own manifests {DEFAULT_CONTRACT})",
    )


def exported(chosen: argparse.Namespace) -> Contract | None:
    """What the service exports: as given, or for this repository's own gates as saved."""
    own = not chosen.manifests and Path(DEFAULT_CONTRACT).is_file()
    source = chosen.contract or (DEFAULT_CONTRACT if own else None)
    return load(source) if source else None


def say(text: str) -> None:
    """Prints a command's output."""
    print(text)  # noqa: T201 — what the program is for


def remark(text: str) -> None:
    """Tells the user something that is no output."""
    print(f"canary: {text}", file=sys.stderr, flush=True)  # noqa: T201 — what takes long


def progress(what: str) -> Callable[[int, int], None]:
    """A line that rewrites itself, for people only."""
    if not sys.stderr.isatty():
        return lambda _done, _all: None

    def show(done: int, everything: int) -> None:
        end = "\n" if done == everything else ""
        print(f"\r{done} of {everything} {what}", end=end, file=sys.stderr, flush=True)  # noqa: T201 — progress

    return show


def _named_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def count(text: str) -> int:
    """An option's number of things.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def requests_per_s(text: str) -> float:
    """An option's rate.

    Raises:
        argparse.ArgumentTypeError: if nobody can send it.
    """
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value <= MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {MAX_RATE}")
    return value
