"""`python -m pipeline`, for jobs that install nothing but its one requirement."""

import sys

from pipeline.cli import main

sys.exit(main())
