"""`canary serve`: one pod of the manifests to try by hand."""

import argparse

from canary.commands import options
from canary.rehearse import plan, serving

PORT = 8000

EPILOG = """\
The command builds the working tree as rehearsal.yaml says, and runs one pod until Ctrl-C, with the
services and fake Secrets of that file.

exit codes:
  2 the input cannot be used   4 the tool or the machine is at fault   130 interrupted
  or the exit code of the first container that ends

examples:
  canary serve --port 8000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pod, and where."""
    options.port(parser, PORT, f"the port for users' requests ({PORT})")
    options.kustomization(parser)
    options.config(parser)


def run(chosen: argparse.Namespace) -> int:
    """The pod's exit code, if it ends by itself."""
    build, _ = plan.choose(None, None, chosen.config, chosen.manifests, options.remark)
    return serving.serve(build, chosen.port)
