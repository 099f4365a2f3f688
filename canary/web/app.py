"""What the server answers: the run under way, if there is one, and those of the past."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from markupsafe import escape

from canary.argo import manifests
from canary.errors import RehearsalError
from canary.rehearse import plan, replay, runs, time_compression
from canary.rehearse.result import Result
from canary.rehearse.runs import Run
from canary.rehearse.verdict import Outcome
from canary.web.charts import Board
from canary.web.live import Live
from canary.web.pages import PHASES, Now, Pages, View, as_data, as_json
from canary.web.server import Events, Refused, Request, Response, Server, see_other

FILES = ("report.html", "report.md", "result.json", "junit.xml")
LOG_LINES, LOG_BYTES, LOG_WIDTH = 40, 16_000, 400
# Dozens of queries at a time.
BOARD_S = 5


@dataclass(frozen=True)
class Source:
    """Where the runs are, and the gates that a replay begins with."""

    out: Path
    config: Path | None = None
    manifests: Path | None = None


@dataclass(frozen=True)
class Boards:
    """Dashboards beside the run under way: their titles by name, and how one is read."""

    titles: Mapping[str, str]
    read: Callable[[str], Board]


@dataclass
class App:
    """Answers each page; `live` is the run under way, and `boards` its dashboards."""

    source: Source
    live: Live | None = None
    boards: Boards = field(default_factory=lambda: Boards({}, _none))
    _replaying: threading.Lock = field(default_factory=threading.Lock)
    _pages: Pages = field(default_factory=lambda: Pages({}))

    def serve(self, port: int | None) -> Server:
        """The server of these pages, not started yet."""
        server = Server(self._answer, self._refusal, port)
        live, boards = self.live is not None, self.boards.titles
        self._pages = Pages({"live": live, "boards": boards, "token": server.token})
        return server

    def _refusal(self, status: HTTPStatus, reason: str) -> bytes:
        return self._pages.render("notice", title=status.phrase, text=reason)

    def _answer(self, request: Request) -> Response:
        place = [part for part in request.path.split("/") if part]
        return (self._act if request.posted else self._show)(request, place)

    def _show(self, request: Request, place: Sequence[str]) -> Response:
        match place:
            case []:
                return self._show_live(self.live) if self.live else see_other("/runs/")
            case ["events"] if self.live:
                return Response(events=_changes(self.live, partial(self._fresh, self.live), 1))
            case ["events", name] if self.live and name in self.boards.titles:
                fresh = partial(self._fresh_board, name)
                return Response(events=_changes(self.live, fresh, BOARD_S))
            case ["dashboards", name] if name in self.boards.titles:
                board = self.boards.read(name)
                data = as_json(map(as_data, board.charts))
                page = self._pages.render("board", here=name, board=board, chart_data=data)
                return Response(page)
            case ["runs"]:
                return self._list(request.fields)
            case ["compare"]:
                return self._compare(request.fields)
            case ["runs", name]:
                run, made = self._find(name)
                return Response(self._pages.render("run", view=_view(run.folder, made, None)))
            case ["runs", name, "replay"]:
                return self._replay(self._find(name), {})
            case ["runs", name, file] if file in FILES:
                return _download(self._find(name)[0].folder / file)
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _act(self, request: Request, place: Sequence[str]) -> Response:
        match place:
            case ["act"] if self.live:
                return self._act_on(self.live, request.fields)
            case ["runs", name, "replay"]:
                return self._replay(self._find(name), request.fields, posted=True)
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such form")

    # ------------------------------------------------------------------------- the run under way

    def _show_live(self, live: Live) -> Response:
        view = _view(live.folder, *live.state())
        return Response(self._pages.render("run", here="live", view=view))

    def _act_on(self, live: Live, fields: Mapping[str, str]) -> Response:
        """Does what a button of the live page says; what others share, once it was confirmed.

        Raises:
            Refused: where it is not possible now.
        """
        now, action = live.state()[1], fields.get("action", "")
        possible = {one.name: one for one in (now.buttons if now else ()) if one.possible}
        if action not in possible:
            raise Refused(HTTPStatus.CONFLICT, f"{action or 'nothing'} is not possible now")
        button = possible[action]
        if live.shared and button.pressed is None and "confirmed" not in fields:
            page = self._pages.render("confirm", here="live", button=button, shared=live.shared)
            return Response(page)
        live.act(action)
        return see_other("/")

    def _fresh(self, live: Live) -> dict[str, Any]:
        def render() -> dict[str, Any]:
            view = _view(live.folder, *live.state())
            drawn = [as_data(one) for one in (*view.gate_charts, *view.charts)]
            return {**self._pages.sections(view), "style": view.style, "charts": drawn}

        return live.rendered(render)

    def _fresh_board(self, name: str) -> dict[str, Any]:
        board = self.boards.read(name)
        drawn = [as_data(chart) for chart in board.charts]
        return {**self._pages.panels(board), "status": escape(board.status), "charts": drawn}

    # ------------------------------------------------------------------------ the runs of the past

    def _find(self, name: str) -> tuple[Run, Result]:
        found = [run for run in runs.listed(self.source.out) if run.id == name]
        if not found or found[0].result is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no run {name} with a result")
        return found[0], found[0].result

    def _list(self, fields: Mapping[str, str]) -> Response:
        word, outcome = fields.get("word", ""), fields.get("outcome", "")
        page = self._pages.render(
            "runs",
            here="runs",
            runs=runs.listed(self.source.out, word, outcome),
            word=word,
            outcome=outcome,
            outcomes=[str(one) for one in Outcome],
            out=self.source.out,
            kept=runs.KEPT,
        )
        return Response(page)

    def _compare(self, fields: Mapping[str, str]) -> Response:
        values: dict[str, Any] = {"a": None, "b": None, "rows": [], "pairs": [], "chart_data": ""}
        found = {key: self._find(fields[key]) for key in ("a", "b") if fields.get(key)}
        values |= {key: run for key, (run, _) in found.items()}
        if len(found) == 2:  # noqa: PLR2004 — A and B
            first, second = found["a"][1], found["b"][1]
            values["rows"] = runs.compare(first, second)
            pairs = list(_paired(View(first), View(second)))
            tops = [max(map(_top, pair)) for pair in pairs]
            values["pairs"] = pairs
            values["chart_data"] = as_json(
                as_data(chart, prefix, top)
                for pair, top in zip(pairs, tops, strict=True)
                for chart, prefix in zip(pair, ("a-", "b-"), strict=True)
            )
        listed = runs.listed(self.source.out)
        return Response(self._pages.render("compare", runs=listed, **values))

    def _replay(
        self, found: tuple[Run, Result], fields: Mapping[str, str], *, posted: bool = False
    ) -> Response:
        run, made = found
        given = {
            name.removeprefix("arg:"): value.strip()
            for name, value in fields.items()
            if name.startswith("arg:") and value.strip()
        }
        named = fields.get("manifests", "").strip()
        values: dict[str, Any] = {"judged": None, "refused": "", "arguments": []}
        values["manifests"] = named
        try:
            own = plan.read(self.source.config, Path(named) if named else self.source.manifests)
            values["manifests"] = own.bundle.source
            templates = own.bundle.templates.values()
            usual = {name: value for one in templates for name, value in one.literals.items()}
            values["arguments"] = [
                SimpleNamespace(name=name, usual=value, value=given.get(name, ""))
                for name, value in usual.items()
            ]
            if posted:
                values["judged"] = self._judge(run, own, given)
        except RehearsalError as refused:
            values["refused"] = str(refused)
        words = ", ".join(f"{name}={value}" for name, value in given.items())
        return Response(self._pages.render("replay", run=made, given=words, **values))

    def _judge(self, run: Run, own: plan.Build, given: Mapping[str, str]) -> SimpleNamespace:
        """What these gates say of a recorded run.

        Raises:
            Refused: while a rehearsal or another replay needs the machine.
            RehearsalError: if the run cannot be judged by them.
        """
        if self.live and self.live.running:
            raise Refused(HTTPStatus.CONFLICT, "a rehearsal is under way: replay when it has ended")
        if not self._replaying.acquire(blocking=False):
            raise Refused(HTTPStatus.CONFLICT, "another replay is under way: wait for its end")
        try:
            rollout = manifests.rollout(own.bundle, given)
            with replay.opened(run.folder) as recording:
                scaled = time_compression.scale(rollout, recording.result.time_scale)
                judged = replay.replay(recording, scaled)
                said = replay.decide(recording, judged)
                rows = [row.cells for row in replay.compared(recording, judged)]
        finally:
            self._replaying.release()
        outcome = str(said.outcome)
        return SimpleNamespace(
            outcome=outcome.replace("-", " ").capitalize(),
            style=PHASES.get(outcome, "plain"),
            headline=said.headline,
            at_s=judged.last.at_s,
            rows=rows,
        )


def _none(name: str) -> Board:
    raise Refused(HTTPStatus.NOT_FOUND, f"there is no dashboard {name}")


def _changes(live: Live, read: Callable[[], Mapping[str, Any]], every: int) -> Events:
    """What changed on a page, every so many seconds, until the browser leaves."""
    sent: dict[str, Any] = {}
    with live.opened():
        while True:
            changed = {key: value for key, value in read().items() if sent.get(key) != value}
            sent |= changed
            yield f"data: {json.dumps(changed)}\n\n" if changed else ": nothing new\n\n"
            for _ in range(every):
                live.wait()


def _view(folder: Path, made: Result, now: Now | None) -> View:
    shown = [file for file in FILES if (folder / file).is_file()]
    return View(made, now, canary_log(folder, made), shown)


def canary_log(folder: Path, made: Result) -> list[str]:
    """The last lines that the canary's pods wrote, the newest first."""
    lines: list[str] = []
    name = made.release.candidate.replica_set
    for file in sorted(
        (folder / "pods").glob(f"{name}-*.log"), key=lambda log: log.stat().st_mtime
    ):
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - LOG_BYTES))
            lines += log.read().decode("utf-8", "replace").splitlines()[1:]
    return [line[:LOG_WIDTH] for line in lines[: -LOG_LINES - 1 : -1]]


def _paired(first: View, second: View) -> Iterator[tuple[Any, Any]]:
    """The charts that both runs have, if one has something to show."""
    others = {chart.id: chart for chart in (*second.gate_charts, *second.charts)}
    for chart in (*first.gate_charts, *first.charts):
        other = others.get(chart.id)
        if other and (chart.at_s or other.at_s):
            yield chart, other


def _top(chart: Any) -> float:
    return max((value for line in chart.lines for value in line.values if value), default=0.0)


def _download(file: Path) -> Response:
    if not file.is_file():
        raise Refused(HTTPStatus.NOT_FOUND, "the run left no such file")
    return Response(
        file.read_bytes(),
        "application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{file.name}"'},
    )
