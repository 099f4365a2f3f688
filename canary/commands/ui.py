"""`canary ui`: the rehearsals of the past in a browser."""

import argparse
import time

from canary.commands import options
from canary.web.app import App, Source

EPILOG = """\
The command prints an address with a key; open it in a browser on this machine. Its pages list and
filter runs, show the charts of each, compare two, and replay one under other arguments or other
manifests. It runs until Ctrl-C.

exit codes:
  2 the input cannot be used   4 the tool or the machine is at fault   130 interrupted

examples:
  canary ui
  canary ui --out saved-runs --port 9400
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and where."""
    options.runs(parser)
    options.port(parser, None, "the page's port (any free one)")
    options.kustomization(parser)
    options.config(parser)


def run(chosen: argparse.Namespace) -> int:
    """Serves until it is interrupted."""
    app = App(Source(chosen.out, chosen.config, chosen.manifests))
    with app.serve(chosen.port) as server:
        options.say(f"{server.url}\nCtrl-C ends it")
        while True:
            time.sleep(3600)
