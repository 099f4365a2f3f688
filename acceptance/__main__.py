"""Run the acceptance tests of an area, and print what was measured.

Further options are pytest's, such as `-k stall` for the tests whose name contains it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from canary.runtime import program

HERE = Path(__file__).parent
AREAS = sorted({file.parent.name for file in HERE.glob("*/test_*.py")})
EPILOG = """\
exit codes:
  0 every target is met   1 a target is not met   2 no such test
  4 something that a test needs is not available, or the tests are at fault   130 interrupted

examples:
  python -m acceptance rehearsal -k errors --times 3
  python -m acceptance conformance --part cluster
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
        help="the markers of the tests to run, such as cluster",
    )
    # Ours would refuse what is pytest's.
    chosen, more = argparse.ArgumentParser.parse_known_args(parser, arguments)
    # Its plugin would take the hook by which an interruption that Python dropped is tried again.
    ours = ["-p", "no:unraisableexception"]
    given = ["-s", "-v", *ours, "-m", chosen.part, str(HERE / chosen.area), *more]
    ended = pytest.ExitCode(pytest.main(given))
    if ended == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    code: int = CODES.get(ended, program.FAULT)
    return code


if __name__ == "__main__":
    sys.exit(program.run("acceptance", main))
