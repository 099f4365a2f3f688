"""Locust's command line and environment, taught about open arrivals by importing the package."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from openarrivals import session, shapes
from openarrivals.schedule import SPACINGS, Plan

DEFAULT_SHAPE = "10 for 30s"


def plan(options: Namespace) -> Plan:
    """The plan that the command line asks for."""
    return Plan(
        shapes.parse(options.arrivals_shape),
        options.arrivals_spacing,
        options.arrivals_seed,
        options.arrivals_max_queue_time,
    )


def _checked(text: str) -> str:
    """A shape that can be read; kept as text, for Locust sends it to the workers."""
    try:
        shapes.parse(text)
    except ValueError as wrong:
        raise ArgumentTypeError(str(wrong)) from None
    return text


@events.init_command_line_parser.add_listener
def _add(parser: ArgumentParser, **_: Any) -> None:
    group = parser.add_argument_group("open arrivals", "for user classes with OpenArrivals")
    group.add_argument(
        "--arrivals-shape",
        default=DEFAULT_SHAPE,
        type=_checked,
        help='requests a second over time, such as "100 for 30s, 100..400 for 1m"',
    )
    group.add_argument(
        "--arrivals-spacing", choices=SPACINGS, default="poisson", help="how they are spread"
    )
    group.add_argument("--arrivals-seed", type=int, default=1, help="of the whole schedule")
    group.add_argument(
        "--arrivals-max-queue-time",
        type=float,
        default=1.0,
        help="seconds that an arrival waits for a free user before it is dropped",
    )


@events.init.add_listener
def _init(environment: Environment, **_: Any) -> None:
    here = session.of(environment)
    if isinstance(environment.runner, WorkerRunner):
        return
    started = False

    def begin(**_: Any) -> None:
        nonlocal started
        options = environment.parsed_options
        if started or options is None:
            return
        if any(session.is_open(c) for c in environment.user_classes):
            started = True
            here.begin(plan(options))

    environment.events.spawning_complete.add_listener(begin)
