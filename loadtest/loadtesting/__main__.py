"""`python -m loadtesting`, where no console script is installed."""

import sys

from loadtesting.cli import main

sys.exit(main())
