"""Where every program begins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from install import PROGRAMS

# Python imports it at its start. It interrupts its own process when a module is asked for.
INTERRUPT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("late", [False, True], ids=["first", "later"])
def test_ctrl_c_while_a_program_imports_what_it_needs_is_one_line(tmp_path, program, late):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    module = PROGRAMS[program]
    ended = subprocess.run(
        [Path(sys.executable).parent / program, "--help"],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "AT": "argparse" if late else module},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == f"{program}: interrupted\n"
