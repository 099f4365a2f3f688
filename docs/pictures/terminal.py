"""Makes docs/pictures/terminal.svg anew: the terminal during a real rehearsal, up to its verdict.

    .venv/bin/python docs/pictures/terminal.py [OPTIONS OF canary rehearse]

Each frame is drawn by rich; here they are only laid over each other, to be shown in turn.
"""

import io
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from canary.commands import rehearse
from canary.rehearse.target import Event, Observation
from canary.rehearse.timeline import Timeline
from canary.rehearse.view import View

PICTURE = Path(__file__).with_suffix(".svg")
ARGUMENTS = sys.argv[1:] or ["--fault", "errors=3%"]
WIDTH = 110
EVERY_S, SHOWN_S, VERDICT_S = 3.0, 1.2, 8.0


class Recorded(View):
    """A view that keeps what it shows now and then, and its verdict."""

    frames: list[str] = []  # noqa: RUF012 — of the one run that a process records
    _kept_at = float("-inf")

    def watch(self, record: Timeline, seen: Observation, fresh: Sequence[Event]) -> None:
        """Keeps a frame, if the last is old enough."""
        super().watch(record, seen, fresh)
        if time.monotonic() - self._kept_at >= EVERY_S:
            self._kept_at = time.monotonic()
            with self._frame() as console:
                console.print(self._picture(record, seen))

    def conclude(self, lines: Iterable[tuple[str, str]], headline: str, exit_code: int) -> None:
        """Keeps the verdict as the last frame, without the paths of this machine."""
        told = [(name, value) for name, value in lines if "/" not in value.partition(" ")[0]]
        with self._frame() as console:
            live, self._console = self._console, console
            super().conclude(told, headline, exit_code)
            self._console = live

    @contextmanager
    def _frame(self) -> Iterator[Console]:
        console = Console(file=io.StringIO(), width=WIDTH, record=True, force_terminal=True)
        yield console
        title = f"canary rehearse {' '.join(ARGUMENTS)}"
        self.frames.append(console.export_svg(title=title, unique_id=f"f{len(self.frames)}"))


def film(frames: Sequence[str]) -> str:
    """The frames as one picture, each visible in its turn; without motion it is the verdict."""
    sizes = [
        tuple(map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', f)[0])) for f in frames
    ]
    width, height = (max(size[axis] for size in sizes) for axis in (0, 1))
    whole_s = SHOWN_S * (len(frames) - 1) + VERDICT_S
    share = 100 * SHOWN_S / whole_s
    until = share * (len(frames) - 1)
    # Only names of fonts: a picture on a page may load nothing.
    plain = [re.sub(r"@font-face \{.*?\}", "", frame, flags=re.DOTALL) for frame in frames]
    # All at the top, so that the picture does not jump.
    head = re.compile(r"(<svg [^>]*)(viewBox)")
    plain = [head.sub(r'\1preserveAspectRatio="xMidYMin" \2', frame, count=1) for frame in plain]
    shown = "".join(
        f'<g class="frame" style="animation-delay:{number * SHOWN_S:.1f}s">{frame}</g>'
        for number, frame in enumerate(plain[:-1])
    )
    last = f'<g class="last" style="animation-delay:0s">{plain[-1]}</g>'
    style = (
        f".frame{{visibility:hidden;animation:turn {whole_s:.1f}s step-end infinite}}"
        f".last{{animation:end {whole_s:.1f}s step-end infinite}}"
        f"@keyframes turn{{0%{{visibility:visible}}{share:.2f}%{{visibility:hidden}}}}"
        f"@keyframes end{{0%{{visibility:hidden}}{until:.2f}%{{visibility:visible}}}}"
        "@media (prefers-reduced-motion:reduce){.frame,.last{animation:none}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">'
        f'<style>{style}</style><rect width="100%" height="100%" rx="8" fill="#292929"/>'
        f"{last}{shown}</svg>\n"
    )


def main() -> int:
    """Rehearses, and writes the picture."""
    from canary import cli  # noqa: PLC0415 — after the view is replaced

    rehearse.View = Recorded  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as out:
        code = cli.main(["rehearse", *ARGUMENTS, "--out", out])
    if code != 1:  # a faulty release is rolled back, or this machine had no time for it
        return code or 4
    PICTURE.write_text(film(Recorded.frames), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
