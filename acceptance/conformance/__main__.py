"""`python -m acceptance.conformance`."""

import sys

from acceptance.conformance.cli import main

sys.exit(main())
