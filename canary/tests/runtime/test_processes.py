"""Ports: given once, on a machine where others choose theirs at the same moment."""

import subprocess
import sys

from canary.runtime import processes

CHOOSE = "from canary.runtime import processes; print([processes.free_port() for _ in range(150)])"


def test_processes_that_choose_at_once_are_never_given_the_same_port():
    command = [sys.executable, "-c", CHOOSE + "; input()"]
    pipe = subprocess.PIPE
    choosing = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    chosen = [eval(each.stdout.readline()) for each in choosing]  # while all of them still run
    for each in choosing:
        each.communicate("\n", timeout=30)
    ports = [port for one in chosen for port in one] + [processes.free_port()]
    assert len(set(ports)) == len(ports) == 451
    assert set(ports) <= set(processes.PORTS)
