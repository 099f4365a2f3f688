"""`canary serve`: one pod of the manifests to try by hand."""

from __future__ import annotations

import argparse

from canary.commands import options
from canary.rehearse import plan, serving

PORT = 8000

EPILOG = """\
It runs until Ctrl-C, with a database and what rehearsal.yaml prepares.

examples:
  canary serve --port 8000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pod, and where."""
    options.port(parser, PORT, f"the port of the users ({PORT})")
    options.kustomization(parser)
    options.config(parser)


def run(chosen: argparse.Namespace) -> int:
    """The pod's exit code, if it ends by itself."""
    return serving.serve(plan.read(chosen.config, chosen.manifests), chosen.port)
