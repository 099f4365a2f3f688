"""The process: how it starts, what it says when it cannot, and how it ends."""

import contextlib
import os
import signal
import threading
import time

import psutil
import psycopg
import pytest

from acceptance.services import PROGRAM
from canary.runtime import processes
from canary.runtime.waiting import wait_until

AWAY = "postgresql://127.0.0.1:1/x"


def run(command, **variables):
    environment = {"PATH": os.environ["PATH"], **variables}
    pipes = {"capture_output": True, "text": True, "timeout": 30}
    return processes.run([PROGRAM, *command], env=environment, **pipes)


@pytest.mark.parametrize(
    ("command", "variables", "code", "words"),
    [
        (["serve"], {}, 2, "set GRIDOS_DATABASE_URL"),
        (["migrate"], {"GRIDOS_DATABASE_URL": AWAY}, 4, "cannot be reached"),
        (["seed"], {"GRIDOS_DATABASE_URL": "nonsense"}, 2, "cannot be used"),
        (["faults", "rain=1%"], {}, 2, "'rain=1%' is not a fault"),
    ],
)
def test_what_keeps_it_from_working_is_one_line_with_its_own_exit_code(
    command, variables, code, words
):
    done = run(command, **variables)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_database_that_cannot_hold_every_text_is_refused_before_anything_is_made(fresh):
    with fresh(encoding="LATIN1") as url:
        done = run(["migrate"], GRIDOS_DATABASE_URL=url)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "encoding is LATIN1" in done.stderr
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT to_regclass('migration')").fetchone() == (None,)


def test_help_lists_the_settings():
    assert "GRIDOS_DATABASE_URL" in run(["--help"]).stdout


def test_help_of_the_faults_shows_their_per_cent_signs():
    assert "errors=3%," in run(["faults", "--help"]).stdout


def test_a_request_under_way_is_answered_before_the_process_ends(serve):
    with serve(GRIDOS_FAULTS="latency=1s") as server:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.ask("/v1/feeders")[0]))
        asking.start()
        in_flight = psutil.Process(server.process.pid)
        assert wait_until(lambda: connected(in_flight, server.port), timeout_s=60)
        server.process.terminate()
        asking.join()
        assert answers == [200]
        assert server.process.wait(60) == 0


def connected(process, port):
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(
            c.status == psutil.CONN_ESTABLISHED and c.laddr.port == port
            for p in (process, *process.children())
            for c in p.net_connections("tcp")
        )
    return False


def test_a_worker_that_dies_takes_the_container_with_it_and_the_next_one_counts_that(
    serve, tmp_path
):
    # A pod's port and temporary directory outlive its containers.
    pod = {"PORT": str(processes.free_port()), "TMPDIR": str(tmp_path)}
    with serve(**pod) as server:
        assert server.metric("gridos_worker_exits_total") == 0
        (worker,) = psutil.Process(server.process.pid).children()
        os.kill(worker.pid, signal.SIGKILL)
        assert server.process.wait(60) == 1
        assert "the container ends with it" in server.log.read_text()
    with serve(**pod) as server:
        assert server.metric("gridos_worker_exits_total") == 1
        server.process.terminate()
        assert server.process.wait(60) == 0
    with serve(**pod) as server:
        exits = server.metric("gridos_worker_exits_total")
        assert exits == 1, "a worker that was told to end is no failure"


def test_a_crash_fault_ends_the_pod_abruptly_after_so_many_requests(serve):
    with serve(GRIDOS_FAULTS="crash=5") as server:
        assert [server.ask("/v1/feeders")[0] for _ in range(5)] == [200] * 5
        assert server.ask("/v1/feeders")[0] == 0
        assert server.process.wait(60) == -signal.SIGKILL


def test_a_slow_start_is_alive_and_not_ready(serve):
    with serve(wait=False, GRIDOS_FAULTS="slow-start=1h") as server:
        assert wait_until(lambda: server.ask("/livez")[0] == 200, timeout_s=60)
        assert server.ask("/readyz")[0] == 503


def test_a_cpu_fault_fills_the_pods_limit_and_no_more(serve):
    with serve(GRIDOS_FAULTS="cpu=60%", GRIDOS_CPU_LIMIT_MILLICORES="500") as server:
        root = server.process.pid
        assert wait_until(lambda: len(psutil.Process(root).children()) == 2, timeout_s=60)

        def share():
            """CPU-seconds against the same machine's clock."""
            used, began = processes.cpu_seconds([root])[root], time.monotonic()
            time.sleep(3)
            return (processes.cpu_seconds([root])[root] - used) / (time.monotonic() - began)

        shares = [share()]
        # A machine that is busy with something else gives it less for a while, and never more.
        while shares[-1] <= 0.15 and len(shares) < 20:
            shares.append(share())
        assert shares[-1] > 0.15
        assert max(shares) < 0.36


def test_a_database_that_is_gone_is_503_with_retry_after_and_the_process_stays_alive(serve):
    url = f"postgresql://127.0.0.1:{processes.free_port()}/gone"
    with serve(wait=False, GRIDOS_DATABASE_URL=url) as server:
        assert wait_until(lambda: server.ask("/livez")[0] == 200, timeout_s=60)
        assert server.ask("/readyz")[0] == 503
        status, _, headers = server.ask("/v1/feeders")
        assert (status, headers["Retry-After"]) == (503, "5")
