"""`python -m acceptance AREA`: runs an area's acceptance tests, and says what was measured.

More words are pytest's own, such as `-k stall` for the tests whose name holds it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from canary.runtime import program

HERE = Path(__file__).parent
AREAS = sorted({file.parent.name for file in HERE.glob("*/test_*.py")})
EPILOG = """\
exit codes: 0 every target is met   1 one is not   2 no such test   4 something that a test needs
  is not available here, or our fault   130 interrupted
"""
CODES = {
    pytest.ExitCode.OK: program.GOOD,
    pytest.ExitCode.TESTS_FAILED: program.BAD,
    pytest.ExitCode.NO_TESTS_COLLECTED: program.UNUSABLE,
    pytest.ExitCode.USAGE_ERROR: program.UNUSABLE,
}


def main(arguments: Sequence[str]) -> int:
    """Runs pytest on the area's folder."""
    parser = program.parser("acceptance", description=__doc__, epilog=EPILOG)
    parser.add_argument("area", choices=AREAS)
    parser.add_argument(
        "--part",
        default="acceptance and not (cluster or large)",
        metavar="MARKERS",
        help="a part of it only",
    )
    # Ours would refuse what is pytest's.
    chosen, more = argparse.ArgumentParser.parse_known_args(parser, arguments)
    given = ["-s", "-v", "-m", chosen.part, str(HERE / chosen.area), *more]
    ended = pytest.ExitCode(pytest.main(given))
    if ended == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    code: int = CODES.get(ended, program.FAULT)
    return code


if __name__ == "__main__":
    sys.exit(program.run("acceptance", main))
