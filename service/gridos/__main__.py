"""`python -m gridos`: what the image runs."""

import sys

from gridos.cli import main

sys.exit(main())
