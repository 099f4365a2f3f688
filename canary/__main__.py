"""`canary`, and `python -m canary`."""

import sys

from canary.start import start


def main() -> int:
    """Runs the program."""
    return start("canary", "canary.cli", "pip install canary-rehearsal")


if __name__ == "__main__":
    sys.exit(main())
