"""Whatever a program starts and makes ends with it, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from canary.errors import MachineError
from canary.runtime import processes, scratch
from canary.runtime.waiting import wait_until
from canary.tests.machine import lives

# Ends by itself, so that a red test leaves nothing for long.
SLEEP = "import time; time.sleep(120)"
# Starts a child, which starts one of its own session, and says their numbers and its folder.
OWNER = f"""
import subprocess, sys, time
from pathlib import Path
from canary.runtime import processes, scratch
grandchild = ("import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}],"
              " start_new_session=True).pid, flush=True); {SLEEP}")
with scratch.folder("test") as folder:
    child = processes.popen([sys.executable, "-c", grandchild], stdout=subprocess.PIPE, text=True)
    print(child.pid, child.stdout.readline().strip(), folder, flush=True)
    time.sleep(120)
"""
# Runs a program that is given the like.
RUNNER = "import sys; from canary.runtime import processes; processes.run(sys.argv[1:])"


@contextlib.contextmanager
def started(*command, **options):
    """A program, the processes that it says it started, and the folder that it made."""
    program = subprocess.Popen(
        [sys.executable, "-c", *command], stdout=subprocess.PIPE, text=True, **options
    )
    try:
        *pids, folder = program.stdout.readline().split()
        yield program, [psutil.Process(int(pid)) for pid in pids], Path(folder)
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_a_program_that_is_ended_by_a_signal_leaves_no_process_and_no_folder(number):
    with started(OWNER, stderr=subprocess.DEVNULL) as (program, family, folder):
        assert folder.is_dir()
        program.send_signal(signal.Signals[number])
        program.wait(60)
        assert wait_until(lambda: not any(map(lives, family)), timeout_s=60)
        assert wait_until(lambda: not folder.exists(), timeout_s=60)


def test_a_program_that_is_run_by_one_that_is_killed_ends_with_all_of_its_own():
    with started(RUNNER, sys.executable, "-c", OWNER) as (program, family, folder):
        program.kill()
        assert wait_until(lambda: not any(map(lives, family)), timeout_s=60)
        assert wait_until(lambda: not folder.exists(), timeout_s=60)


def test_a_program_that_ends_in_order_leaves_no_child_that_it_forgot():
    forgetful = OWNER.replace("    time.sleep(120)\n", "")
    with started(forgetful) as (program, family, folder):
        assert program.wait(60) == 0
        assert not any(map(lives, family))
        assert not folder.exists()


def test_what_a_killed_guardian_could_not_remove_is_removed_by_the_next_run_which_says_so(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("tempfile.tempdir", None)
    base = Path("/var/tmp" if len(str(tmp_path)) > scratch.MAX_BYTES else tmp_path)
    monkeypatch.setenv("TMPDIR", str(base))
    with started(OWNER) as (program, family, folder), started(OWNER) as (_, _, in_use):
        for child in psutil.Process(program.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "guardian" in " ".join(child.cmdline()):
                    child.kill()
        program.kill()
        program.wait()
        for process in family:
            process.kill()
        assert folder.is_dir()

        with scratch.folder("next") as fresh:
            assert fresh.parent == base
            assert not folder.exists()
            assert in_use.is_dir()
    assert f"removed {folder}, left by a run that was killed" in capsys.readouterr().err


def test_a_private_folder_is_ours_alone_and_gone_afterwards():
    with scratch.folder("test") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_long_tmpdir_is_passed_over_because_a_sockets_path_must_be_short(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with scratch.folder("test") as folder:
        assert len(os.fsencode(folder)) < 90
    assert list(long.iterdir()) == []


def test_a_tmpdir_that_cannot_be_written_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    with (
        pytest.raises(MachineError, match=r"no folder can be made in /proc: .* — set TMPDIR"),
        scratch.folder("test"),
    ):
        pass


def test_a_child_sees_nothing_of_the_services_settings_in_the_callers_shell(monkeypatch):
    processes.withhold("GRIDOS_")
    monkeypatch.setenv("GRIDOS_DATABASE_URL", "postgresql://production")
    monkeypatch.setenv("GRIDOS_SECRETS_DIR", "/run/secrets/production")
    done = processes.run(["env"], capture_output=True, text=True)
    assert "PATH=" in done.stdout
    assert "GRIDOS_" not in done.stdout


def test_a_run_program_is_told_its_input_and_its_failure_is_raised_where_asked():
    assert processes.run(["cat"], input="said", capture_output=True, text=True).stdout == "said"
    with pytest.raises(subprocess.CalledProcessError):
        processes.run(["false"], check=True)


def test_a_run_program_that_takes_too_long_is_ended_with_its_children():
    with pytest.raises(subprocess.TimeoutExpired) as late:
        processes.run(
            ["sh", "-c", "sleep 120 & echo $!; wait"], capture_output=True, text=True, timeout=5
        )
    child = int(late.value.output)
    assert wait_until(lambda: not psutil.pid_exists(child), timeout_s=60)
