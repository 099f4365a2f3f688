"""How a program begins and ends: exit codes, signals, and output that cannot be written.

| code | meaning |
|------|---------|
| 0    | good |
| 1    | the verdict is bad: rolled back, findings, limits broken |
| 2    | the input cannot be used: options, manifests, a reference, a port |
| 3    | no verdict: inconclusive, or not measured |
| 4    | the machine or we ourselves failed |
| 130  | interrupted, by SIGINT, SIGTERM or SIGHUP |
| 141  | whoever read the output has gone, as a program says that ends by SIGPIPE |

An exception that carries an `exit_code` is a message for the user and nothing else. Any other is
written with its traceback to a log file, whose path is the message.

The pipeline's jobs install nothing, so this imports only the standard library. The service runs
where nothing else of this repository is, so the file is the service's, and `canary.runtime` has a
link to it.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import functools
import os
import re
import select
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

GOOD, BAD, UNUSABLE, NO_VERDICT, FAULT, INTERRUPTED, UNREAD = 0, 1, 2, 3, 4, 130, 141

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# By these a folder above is known as a checkout.
MARKS = ("deploy/base", "loadtest/rehearsal.yaml")
LAST_PORT = 65_535
# Where a package is not called as what installs it.
DISTRIBUTIONS = {"canary": "canary-rehearsal"}
# When an interruption that was lost is tried again.
AGAIN_S = 0.05
# What a message shows of a text that somebody gave us.
MAX_MESSAGE = 600

# What is wrong with a path, and its remedy. The caller's own, it is unusable input.
_PATH_REMEDIES = {
    errno.ENOENT: "name one that exists",
    errno.ENOTDIR: "name one below a folder",
    errno.EISDIR: "name a file",
    errno.EEXIST: "name another",
    errno.ELOOP: "name one without a circle of links",
    errno.ENAMETOOLONG: "name a shorter one",
    errno.EACCES: "give yourself the right, or name another",
    errno.EPERM: "give yourself the right, or name another",
    errno.EROFS: "name one on a file system that can be written",
    errno.EINVAL: "name another",
    errno.ENXIO: "name a file",
}
_MACHINE_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space of your quota",
    errno.EIO: "look at the device",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "end other programs",
    errno.ENOMEM: "end other programs",
    errno.EAGAIN: "raise the limit of processes: ulimit -u",
}


@dataclass
class _Program:
    """What this process has been told so far."""

    interrupted: bool = False
    put_off: bool = False
    shields: int = 0
    began_in: Path | None = None

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Ends the program once: a second signal must not stop the tearing down."""
        if self.interrupted:
            return
        if self.shields:
            self.put_off = True
            return
        self.interrupted = True
        raise KeyboardInterrupt


_program = _Program()


def run(
    name: str, body: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None
) -> int:
    """Runs a program's body from the top of its checkout, and returns what to exit with.

    Args:
        name: The program's, which begins each of its messages.
        body: Takes the arguments and returns an exit code.
        arguments: Those of the command line if none are given.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _heeding_signals(), _at_the_top():
        _make_printable()
        try:
            try:
                return int(body(given))
            finally:
                sys.stdout.flush()
        except KeyboardInterrupt:
            return fail(name, "interrupted", INTERRUPTED)
        except Exception as failed:  # noqa: BLE001 — the last line of defence: no traceback
            return _explain(name, failed, given)


def fail(name: str, message: str, code: int) -> int:
    """Says in one line on standard error why a program ends, and returns the code."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{name}: {one_line(message)}\n")
        sys.stderr.flush()
    return code


def one_line(text: str) -> str:
    """A text of any kind as one line that a terminal can show."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return line if len(line) <= MAX_MESSAGE else f"{line[:MAX_MESSAGE]}…"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Puts a signal off until the end of what must be done whole, such as tearing down."""
    _program.shields += 1
    try:
        yield
    finally:
        _program.shields -= 1
        if _program.put_off and not _program.shields:
            _program.put_off, _program.interrupted = False, True
            raise KeyboardInterrupt


@contextlib.contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what waits when it is left; its own end would do all of that first."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 — the service needs none

    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def heed() -> None:
    """For work in threads, which hear no signal.

    Raises:
        KeyboardInterrupt: once the program is being ended.
    """
    if _program.interrupted:
        raise KeyboardInterrupt


# ---------------------------------------------------------------------------------- the arguments


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a text but for those of a paragraph, and folds what is too wide."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        whole = re.sub(
            r"(?m)^(\S.*[^:\n])\n(?=\S)", r"\1 ", super()._fill_text(text, width, indent)
        )
        lines = (folded for line in whole.splitlines() for folded in _folded(line, width))
        return "\n".join(lines)


def _folded(line: str, width: int) -> list[str]:
    """A line as several: a code each, or the later ones below the column in which it is cut."""
    if len(line) > width and len(codes := re.split(r" {3,}(?=\d)", line)) > 1:
        return [part for code in codes for part in _folded(f"  {code.strip()}", width)]
    columns = [found.end() for found in re.finditer(r"^ +|\S {2,}", line)]
    below = max((at for at in columns if at < width * 2 // 3), default=0)
    return textwrap.wrap(line, width, subsequent_indent=" " * below) or [line]


class Parser(argparse.ArgumentParser):
    """Refuses in one line, knows no abbreviations, and takes paths from where the user stands."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "formatter_class": _Help,
            "allow_abbrev": False,
        }
        super().__init__(**defaults | options)
        self.register("type", Path, _path)

    def _print_message(self, message: str, file: Any = None) -> None:
        # Help that cannot be written is a failure like any other.
        (file or sys.stderr).write(message)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Refuses what is unknown where it stands, so that a command names its own help."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Ends the program for a command line that cannot be used."""
        self.exit(fail(self.prog, f"{message} — see {self.prog} --help", UNUSABLE))


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{parser.prog} {version()}")  # noqa: T201 — what was asked for
        parser.exit()


def parser(prog: str, **options: Any) -> argparse.ArgumentParser:
    """A program's parser, which knows `--version`."""
    made = Parser(prog=prog, **options)
    made.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    return made


def version() -> str:
    """The one version: of the installed package, the image, or the checkout."""
    from importlib import metadata  # noqa: PLC0415 — for this alone

    own = __name__.partition(".")[0]
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(DISTRIBUTIONS.get(own, own))
    if built := os.environ.get(f"{own.upper()}_VERSION"):
        return built
    import tomllib  # noqa: PLC0415 — same

    # Of canary this file is a link: its own folder comes before the service's.
    for folder in (*Path(__file__).parents, *Path(__file__).resolve().parents):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            file = folder / "pyproject.toml"
            return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"])
    return "unknown"


def port(text: str) -> int:
    """An option's TCP port.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(LAST_PORT))
    if not digits or not 0 < int(text) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to {LAST_PORT}")
    return int(text)


def address(text: str) -> str:
    """An option's URL, which is shown in messages and reports.

    Raises:
        argparse.ArgumentTypeError: if it holds a user name or a password.
    """
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise argparse.ArgumentTypeError(
            "the URL holds a user name or a password, which reports would show: leave it out"
        )
    return text


def place(text: str) -> str:
    """An option's path as text, or "-" for standard input.

    Raises:
        argparse.ArgumentTypeError: if it can be none.
    """
    # argparse sends its mark of what is not given through here too, and compares it by `is`.
    return text if text == "-" or text is argparse.SUPPRESS else str(_path(text))


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a path")
    if _program.began_in is None:
        return Path(text)
    whole = _program.began_in / text
    # Within the checkout as one reads it from its top, which is where we stand now.
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


# ----------------------------------------------------------------------------------- the checkout


def checkout() -> Path | None:
    """The nearest folder, this one or above, that is a checkout of this repository."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return None
    for folder in (here, *here.parents):
        if all((folder / mark).exists() for mark in MARKS):
            return folder
    return None


@contextlib.contextmanager
def _at_the_top() -> Iterator[None]:
    """Works at the top of the checkout, from whichever of its folders the program was called."""
    top = checkout()
    if top is None or top == Path.cwd():
        yield
        return
    _program.began_in = Path.cwd()
    try:
        with contextlib.chdir(top):
            yield
    finally:
        _program.began_in = None


# ------------------------------------------------------------------------------- signals and output


@contextlib.contextmanager
def _heeding_signals() -> Iterator[None]:
    """Turns the first of the ending signals into KeyboardInterrupt, and heeds no further one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _program.interrupted = _program.put_off = False
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGALRM)}
    for number in ENDING:
        # Whoever starts us with nohup wants to outlive the terminal.
        if number is not signal.SIGHUP or before[number] is not signal.SIG_IGN:
            signal.signal(number, _program.interrupt)
    signal.signal(signal.SIGALRM, _interrupt_again)
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_take_unraisable, hook)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        _end_undisturbed()


def _take_unraisable(hook: Callable[[Any], object], lost: Any) -> None:
    """Interrupts anew where Python dropped it: nothing leaves a `__del__` or a hook of fork."""
    if _program.interrupted and issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        hook(lost)


def _interrupt_again(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@functools.cache
def _end_undisturbed() -> None:
    """Has what is registered for the very end, such as the end of the children, done whole."""
    # What is registered last is called first.
    atexit.register(_heed_no_signal)


def _heed_no_signal() -> None:
    for number in ENDING:
        signal.signal(number, lambda *_: None)


def _make_printable() -> None:
    """Has a character that the output's encoding lacks written as its escape."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 — for good
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _is_read_no_more() -> bool:
    """Whether standard output is a pipe whose reader has gone."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _abandon_output() -> None:
    """Has nothing more written to what took no more, at the very end neither."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(name: str, failed: Exception, given: Sequence[str]) -> int:
    """One line about what went wrong, and the code for it."""
    if isinstance(failed, OSError) and not failed.filename:
        unread = _is_read_no_more()
        _abandon_output()
        if unread and isinstance(failed, BrokenPipeError):
            return UNREAD
    code = getattr(failed, "exit_code", None)
    if isinstance(code, int):
        return fail(name, str(failed), code)
    if not isinstance(failed, OSError):
        return fail(name, f"the program itself failed: {_logged(name, failed)}", FAULT)
    about = f"{failed.filename or 'the output'}: {failed.strerror or failed}"
    if failed.errno in _PATH_REMEDIES and _is_named(failed.filename, given):
        return fail(name, f"{about} — {_PATH_REMEDIES[failed.errno]}", UNUSABLE)
    if failed.errno in _MACHINE_REMEDIES:
        return fail(name, f"{about} — {_MACHINE_REMEDIES[failed.errno]}", FAULT)
    return fail(name, f"{about}: {_logged(name, failed)}", FAULT)


def _is_named(file: object, given: Sequence[str]) -> bool:
    """Whether a path is one of the arguments, lies below one, or is on the way to one."""
    if not isinstance(file, str):
        return False
    began, whole = _program.began_in or Path(), Path(file).absolute()
    named = [text.partition("=")[2] if text.startswith("--") else text for text in given]
    paths = [(began / text).absolute() for text in named if text and "\0" not in text]
    return any(whole.is_relative_to(path) or path.is_relative_to(whole) for path in paths)


def _logged(name: str, failed: Exception) -> str:
    """Writes the traceback to a file, within the checkout if there is one; says where it is."""
    import tempfile  # noqa: PLC0415 — where all is well there is nothing to write
    import traceback  # noqa: PLC0415 — same

    what = one_line(f"{type(failed).__name__}: {failed}")[:160]
    text = "".join(traceback.format_exception(failed))
    for folder in [*([Path("out")] if checkout() == Path.cwd() else []), None]:
        with contextlib.suppress(OSError):
            if folder is not None:
                folder.mkdir(exist_ok=True)
            handle, file = tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=folder, text=True)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as log:
                log.write(text)
            return f"{what} — please report {file}"
    return f"{what} — and no log could be written"
