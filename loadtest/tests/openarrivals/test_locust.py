"""Through a real Locust against a real server: alone, over processes, and through a stall."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import openarrivals
import pytest
import uv
from openarrivals import shapes
from openarrivals.schedule import Plan

SHAPE = "60 for 1500ms"


def planned(shape=SHAPE, seed=1):
    return len(list(Plan(shapes.parse(shape), seed=seed).due()))


def test_every_arrival_of_the_schedule_is_sent_once_and_answered(locust, server):
    run = locust("-u", "20", "-r", "20", "--arrivals-shape", SHAPE)
    code, text = run.finish()
    assert code == 0, text
    assert set(server[1].answered) == set(range(planned()))
    assert len(run.samples) == planned()
    assert run.counts["finished"] == run.counts["due"] == planned()
    assert f"open arrivals: {planned()} due" in text


def test_a_user_of_the_requests_library_is_fed_as_well(locust, server):
    run = locust("-u", "20", "-r", "20", "--arrivals-shape", SHAPE, base="HttpUser")
    code, text = run.finish()
    assert code == 0, text
    assert set(server[1].answered) == set(range(planned()))
    assert all(sample["latency_s"] >= sample["lag_s"] for sample in run.samples)


def test_two_processes_send_the_same_schedule_between_them(locust, server):
    run = locust("-u", "20", "-r", "20", "--arrivals-shape", SHAPE, "--processes", "2")
    code, text = run.finish()
    assert code == 0, text
    assert set(server[1].answered) == set(range(planned()))
    due = sorted(sample["due_s"] for sample in run.samples)
    assert due == pytest.approx(list(Plan(shapes.parse(SHAPE), seed=1).due()))


def test_a_stall_is_measured_from_when_requests_were_due(locust, server):
    _, log = server
    run = locust("-u", "300", "-r", "300", "--arrivals-shape", "60 for 3s")
    assert run.comes_to(lambda: len(log.answered) > 30)
    log.thaw.clear()
    before = len(log.answered)
    assert run.comes_to(lambda: run.out.exists() and run.counts["open"] > 60)
    log.thaw.set()
    run.finish()
    assert len(run.samples) == planned("60 for 3s")
    stalled = [sample["latency_s"] for sample in run.samples if sample["latency_s"] > 0.5]
    assert len(stalled) > 30
    assert len(run.samples) > before


def test_without_enough_users_what_cannot_start_is_counted(locust, server):
    _, log = server
    log.thaw.clear()
    options = ("-u", "4", "-r", "4", "--arrivals-shape", SHAPE, "--arrivals-max-queue-time", "0")
    run = locust(*options)
    assert run.comes_to(lambda: run.out.exists() and run.counts["due"] == planned())
    log.thaw.set()
    run.finish()
    assert run.counts["dropped"] == planned() - 4
    assert run.counts["finished"] == 4


def test_a_shape_that_is_none_is_refused_by_the_command_line(locust):
    code, text = locust("--arrivals-shape", "often").finish()
    assert code == 2
    assert re.search(r"'often' is not a stretch of a shape: write", text)


def test_the_folder_is_a_package_of_its_own(tmp_path):
    folder = Path(openarrivals.__file__).parent
    copy = tmp_path / "openarrivals"
    copy.mkdir()
    for file in filter(Path.is_file, folder.iterdir()):
        shutil.copy(file, copy)
    command = [uv.find_uv_bin(), "build", "--wheel", "--no-build-isolation", "--offline", "--quiet"]
    command += ["--python", sys.executable, "--out-dir", str(tmp_path), str(copy)]
    subprocess.run(command, check=True, timeout=120)
    (wheel,) = tmp_path.glob("openarrivals-*.whl")
    names = {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}
    assert {file.name for file in folder.glob("*.py")} <= names
