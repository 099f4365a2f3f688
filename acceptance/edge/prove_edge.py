#!/usr/bin/env python3
"""Prove that the firewall's policy lets the API through and stops attacks: `make prove-edge`.

A real firewall (nginx, ModSecurity, the Core Rule Set) with the policy of `main.waf.tf` stands
before the real service on a real PostgreSQL, all on loopback. Sends the API's whole traffic,
attacks of every class, and bodies on either side of the limit; then takes each exception from the
policy in turn, and each must be missed by somebody. Prints a table; exit 0 when all of it holds,
1 when something does not, 4 when the firewall or the service cannot be had here.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "infra/terraform/scripts"))

import attacks
import firewall
import policy
import psycopg
import traffic
import wire

from canary.errors import MachineError, UsageError
from canary.runtime import database, processes, program
from canary.runtime.waiting import wait_until

EXIT_HOLDS = 0
EXIT_FAILS = 1

GRIDOS = Path(sys.executable).parent / "gridos"
LEAST_ATTACKS = 100


@dataclass(frozen=True)
class Ground:
    """The real service, to be put behind one firewall after another.

    Attributes:
        port: Where the service listens.
        api_key: A key that may write.
        database_url: What it stores into.
        folder: Where logs go.
        found: The firewall's programs.
    """

    port: int
    api_key: str
    database_url: str
    folder: Path
    found: firewall.Programs

    def stored(self) -> int:
        """How many readings there are."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM reading").fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def behind(
        self, wanted: policy.Policy, name: str, *, prevention: bool = True
    ) -> Iterator[firewall.Firewall]:
        """A firewall with a policy before the service."""
        folder = self.folder / name
        rules = firewall.directives(wanted, self.found, folder / "audit.log", prevention=prevention)
        wall = firewall.Firewall(folder, self.port, rules, self.found)
        wall.start()
        try:
            yield wall
        finally:
            wall.stop()


@contextmanager
def ground() -> Iterator[Ground]:
    """Starts the service on a database of its own.

    Raises:
        MachineError: Something of it cannot be had.
    """
    found = firewall.programs()
    api_key = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as scratch, database.running() as url:
        port = processes.free_port()
        variables = {
            **processes.inherited(),
            "GRIDOS_DATABASE_URL": url,
            "GRIDOS_API_KEYS": f"{api_key}:readings+networks",
            "GRIDOS_HOST": "127.0.0.1",
            "PORT": str(port),
        }
        for command in ("migrate", "seed"):
            done = processes.run(
                [GRIDOS, command], env=variables, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise MachineError(f"gridos {command} failed: {done.stderr.strip()}")
        log = Path(scratch) / "service.log"
        child = processes.start("gridos", [str(GRIDOS), "serve"], log, variables)
        try:
            if not wait_until(lambda: _ready(port), 60, lambda: not child.running):
                raise MachineError(f"the service did not start: {child.tail()}")
            yield Ground(port, api_key, url, Path(scratch), found)
        finally:
            child.stop(grace_s=10)


def _ready(port: int) -> bool:
    return (
        not processes.port_is_free(port)
        and wire.send(port, wire.Request(target="/readyz")).status == 200
    )


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        what: What was tried.
        outcome: What came, in numbers.
        complaints: What did not hold; empty if all did.
    """

    what: str
    outcome: str
    complaints: Sequence[str] = ()


def reached(answer: wire.Answer) -> bool:
    """Whether the service was asked at all."""
    return firewall.UPSTREAM_HEADER in answer.headers


def pass_traffic(here: Ground, wall: firewall.Firewall, wanted: policy.Policy) -> Finding:
    """The whole API, through the firewall; the service's answers must be its own."""
    complaints = []
    sent = 0
    for exchange in traffic.exchanges(here.api_key, wanted.body_limit_bytes):
        sent += 1
        complaints += _carry_out(wall, exchange, str(sent))
    return Finding(
        "the API's whole traffic", f"{sent} exchanges, {len(complaints)} amiss", complaints
    )


def _carry_out(wall: firewall.Firewall, exchange: traffic.Exchange, probe: str) -> list[str]:
    answer = wire.send(wall.port, exchange.request, (firewall.PROBE_HEADER, probe))
    if not reached(answer):
        rules = ", ".join(wall.matches().get(probe, ())) or "no rule"
        return [f"{exchange.name}: blocked with {answer.status} by {rules}"]
    if answer.status not in exchange.statuses:
        return [
            f"{exchange.name}: {answer.status} instead of {exchange.statuses}: {answer.body[:99]!r}"
        ]
    if exchange.revalidated:
        return _revalidate(wall, exchange, answer.headers.get("ETag", ""))
    return []


def _revalidate(wall: firewall.Firewall, exchange: traffic.Exchange, tag: str) -> list[str]:
    again = wire.Request(target=exchange.request.target, headers={"If-None-Match": tag})
    answer = wire.send(wall.port, again)
    if answer.status == 304:
        return []
    return [f"{exchange.name}: with its ETag {tag!r} {answer.status} instead of 304"]


def pass_keys(wall: firewall.Firewall) -> Finding:
    """Random keys must reach the service, whatever they look like."""
    answers = [wire.send(wall.port, request) for request in traffic.requests_with_keys()]
    blocked = sum(not reached(answer) for answer in answers)
    complaints = [f"{blocked} random keys looked like attacks"] if blocked else []
    return Finding("random API keys", f"{len(answers)} sent, {blocked} blocked", complaints)


def stop_attacks(here: Ground, wall: firewall.Firewall) -> Iterator[Finding]:
    """Attacks must not reach the service; what our exceptions let through, it must refuse."""
    before = here.stored()
    tried = list(attacks.read(here.api_key))
    answers = [
        wire.send(wall.port, attack.request, (firewall.PROBE_HEADER, f"attack {number}"))
        for number, attack in enumerate(tried)
    ]
    for kind in dict.fromkeys(attack.kind for attack in tried):
        pairs = [(a, b) for a, b in zip(tried, answers, strict=True) if a.kind == kind]
        yield _unread(kind, pairs) if pairs[0][0].unread else _read(kind, pairs)
    total = sum(not attack.unread for attack in tried)
    complaints = [] if total >= LEAST_ATTACKS else [f"fewer than {LEAST_ATTACKS} attacks"]
    stored = here.stored() - before
    if stored:
        complaints.append(f"{stored} readings were stored by attacks")
    yield Finding("all attacks", f"{total} tried, {stored} rows stored", complaints)


def _read(kind: str, pairs: Sequence[tuple[attacks.Attack, wire.Answer]]) -> Finding:
    through = [attack.payload for attack, answer in pairs if reached(answer)]
    return Finding(
        f"{pairs[0][0].owasp.split()[0]} {kind}",
        f"{len(pairs) - len(through)} of {len(pairs)} blocked",
        [f"reached the service: {payload!r}" for payload in through],
    )


def _unread(kind: str, pairs: Sequence[tuple[attacks.Attack, wire.Answer]]) -> Finding:
    wrong = [(a.payload, b.status) for a, b in pairs if not 400 <= b.status < 500]
    return Finding(
        f"{pairs[0][0].owasp.split()[0]} {kind}",
        f"{len(pairs) - len(wrong)} of {len(pairs)} refused by the service",
        [f"answered {status}: {payload!r}" for payload, status in wrong],
    )


def agree_on_bodies(here: Ground, wall: firewall.Firewall, wanted: policy.Policy) -> Finding:
    """The longest body passes both; one byte more is refused by either."""
    complaints = []
    for excess in (0, 1):
        body = b" " * (wanted.body_limit_bytes + excess - 2) + b"{}"
        headers = {"Content-Type": "application/json", "X-API-Key": here.api_key}
        request = wire.Request("POST", "/v1/readings", headers, body)
        through, direct = wire.send(wall.port, request), wire.send(here.port, request)
        if reached(through) != (excess == 0):
            complaints.append(f"{len(body)} bytes: the firewall answered {through.status}")
        if (direct.status == 413) != (excess == 1):
            complaints.append(f"{len(body)} bytes: the service answered {direct.status}")
    return Finding("body limits", f"both {wanted.body_limit_bytes} bytes", complaints)


def need_exceptions(here: Ground, wanted: policy.Policy) -> Iterator[Finding]:
    """Without any one of its exceptions the policy blocks some of our own traffic."""
    for number, exception in enumerate(wanted.exceptions):
        less = wanted.without(exception)
        with here.behind(less, f"without-{number}") as wall:
            blocked = [
                exchange.name
                for exchange in traffic.exchanges(here.api_key, less.body_limit_bytes)
                if not exchange.large and not reached(wire.send(wall.port, exchange.request))
            ]
        complaints = [] if blocked else ["nobody needs it: take it out of main.waf.tf"]
        yield Finding(f"without {exception}", f"{len(blocked)} exchanges blocked", complaints)


def watch_only(here: Ground, wanted: policy.Policy) -> Finding:
    """In detection the same attacks get through: it is prevention that stops them."""
    with here.behind(wanted, "detection", prevention=False) as wall:
        tried = [a for a in attacks.read(here.api_key) if a.kind == "SQL injection"]
        through = sum(reached(wire.send(wall.port, attack.request)) for attack in tried)
    complaints = [] if through == len(tried) else ["something else than the policy stops attacks"]
    return Finding("in detection", f"{through} of {len(tried)} injections get through", complaints)


def prove(here: Ground, wanted: policy.Policy) -> Iterator[Finding]:
    """All of it, a finding at a time."""
    with here.behind(wanted, "policy") as wall:
        yield pass_traffic(here, wall, wanted)
        yield pass_keys(wall)
        yield from stop_attacks(here, wall)
        yield agree_on_bodies(here, wall, wanted)
    yield from need_exceptions(here, wanted)
    yield watch_only(here, wanted)


def main(arguments: Sequence[str]) -> int:
    """Prints a line for each finding."""
    program.parser("prove-edge", description=__doc__).parse_args(arguments)
    failed = 0
    try:
        with ground() as here:
            for finding in prove(here, policy.read()):
                failed += bool(finding.complaints)
                mark = "FAILS" if finding.complaints else "holds"
                print(f"{mark}  {finding.what:<44} {finding.outcome}", flush=True)
                for complaint in finding.complaints:
                    print(f"         {complaint}", flush=True)
    except ValueError as cause:
        raise UsageError(str(cause)) from None
    return EXIT_FAILS if failed else EXIT_HOLDS


if __name__ == "__main__":
    sys.exit(program.run("prove-edge", main))
