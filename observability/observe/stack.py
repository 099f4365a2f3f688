"""Prometheus, Alertmanager and a receiver on http_stub, with our rules at a faster clock."""

import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml

from canary.errors import MachineError
from canary.runtime.alertmanager import Alertmanager
from canary.runtime.prometheus import Prometheus, ScrapeJob, Target
from canary.runtime.waiting import wait_until
from observe import alertmanager, rules
from observe.receiver import Receiver
from observe.rules import Group

FOLDER = Path("observability")
SCRAPE_S = 1.0
SCRAPES_A_WINDOW = 4
# What fires before Prometheus has found its Alertmanager is sent again after this, not a minute.
RESEND = "2s"


class Stack:
    """A context manager: entered, everything answers; left, everything has ended.

    `factor` divides every window, `for` and wait; thresholds stay as they are. `program` is another
    Prometheus than the distribution's.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[ScrapeJob] = (),
        factor: float = 1.0,
        source: Path = FOLDER,
        program: Path | None = None,
    ) -> None:
        # Alertmanager takes a relative credentials_file from its configuration's folder.
        folder = self.folder = folder.resolve()
        self.factor = factor
        self.receiver = Receiver()
        shipped = yaml.safe_load((source / "alertmanager/alertmanager.yaml").read_text())
        quick = alertmanager.local(shipped, self.receiver, folder / "alertmanager", factor)
        self.alertmanager = Alertmanager(folder / "alertmanager", quick, source / "alertmanager")
        self._groups = rules.read(source / "rules")
        self._jobs = [*jobs]
        self.prometheus = Prometheus(
            folder / "prometheus",
            self._jobs,
            self._extra(),
            [f"--rules.alert.resend-delay={RESEND}", "--web.enable-lifecycle"],
            program,
        )
        own = (("prometheus", self.prometheus.port), ("alertmanager", self.alertmanager.port))
        self._jobs += [
            ScrapeJob(name, "/metrics", SCRAPE_S, [Target(port, {})]) for name, port in own
        ]
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        """Starts everything.

        Raises:
            MachineError: if a part does not come up.
        """
        self._ends.callback(self.receiver.stop)
        try:
            for part in (self.alertmanager, self.prometheus):
                self._ends.callback(part.stop)
                part.start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends everything."""
        self._ends.close()

    def fires(self, alert: str) -> bool:
        """Whether Prometheus holds that an alert is firing now."""
        firing = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
        return self.prometheus.query(firing) != ()

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 180) -> None:
        """Waits for something of the stack.

        Raises:
            MachineError: if it does not happen in time.
        """
        if not wait_until(condition, timeout_s, every_s=0.2):
            raise MachineError(f"{what} did not happen within {timeout_s:.0f} s", str(self.folder))

    def load(self, without: frozenset[str] = frozenset(), more: Sequence[Group] = ()) -> None:
        """Loads the rules again, less some files, plus some groups.

        Raises:
            MachineError: if Prometheus refuses them.
        """
        self._write([g for g in self._groups if g.file.name not in without], more)
        url = f"{self.prometheus.url}/-/reload"
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30).close()
        except OSError as refused:
            raise MachineError(f"prometheus does not load the rules: {refused}", url) from None

    def quick(self, query: str) -> str:
        """A query as it is to be asked here: its windows as much shorter as the rules' are."""
        return rules.scaled_expression(query, self.factor, SCRAPES_A_WINDOW * SCRAPE_S)

    def _write(self, groups: Sequence[Group], more: Sequence[Group] = ()) -> Path:
        quick = rules.scaled(groups, self.factor, SCRAPES_A_WINDOW * SCRAPE_S)
        file = (self.folder / "rules.yaml").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        body = rules.document([*rules.ordered(quick), *more])
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        return file

    def _extra(self) -> dict[str, Any]:
        """The rules and the Alertmanager, for Prometheus's configuration."""
        target = f"127.0.0.1:{self.alertmanager.port}"
        return {
            "global": {"scrape_interval": "15s", "evaluation_interval": "1s"},
            "rule_files": [str(self._write(self._groups))],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [target]}]}]},
        }
