"""Every profile's verdict, as often as it takes to trust it, and each gate rehearsed beside it."""

import re
import shutil
import statistics
from contextlib import ExitStack
from pathlib import Path

import pytest
from loadtesting import limits, profiles

from acceptance.load.runs import OUT, is_out_of_cpu, loadtest, watching
from acceptance.rehearsed import canary, result
from canary.runtime import program

ROOT = Path(__file__).parents[2]
TIMES, MAX_REPEATS = 10, 3
# Less than the profile's own, for a scrape a second fills the window sooner; not less than that
# window's least, or it would reach back to before the pod's first scrape, and see too little.
CPU_SECONDS = "20"
# Of half an hour: a leak shows soon, and that there is none takes longer.
STEADY_SECONDS, LEAKING_SECONDS = "900", "240"
LEAK = """
import threading
import time

held = []


def leak():
    while True:
        held.append(b"x" * 10_000)
        time.sleep(0.1)


threading.Thread(target=leak, daemon=True).start()
"""

CATALOGUE = profiles.catalogue(limits.read(ROOT / "deploy/base", ROOT / "loadtest/rehearsal.yaml"))
GATED = [profile for profile in CATALOGUE.values() if profile.gate]
NAMES = [profile.name for profile in GATED]


@pytest.mark.parametrize("profile", [p for p in GATED if p.fault], ids=lambda p: p.name)
def test_a_release_on_one_side_of_a_gate_gets_its_verdict_each_time(
    serve, key_file, measured, times, profile
):
    runs = [judged(serve, key_file, profile, number) for number in range(times(TIMES))]
    verdicts, ratios, seconds, repeats = zip(*runs, strict=True)
    numbers = [ratio for ratio in ratios if ratio is not None]
    spread = f", {profile.gate} {min(numbers):.2%} … {max(numbers):.2%}" if numbers else ""
    right = verdicts.count(profile.expected)
    measured(
        f"{profile.name} with {profile.fault}",
        f"{profile.expected} {right} of {len(runs)}{spread}, {statistics.median(seconds):.0f} s "
        f"each, {sum(repeats)} repeated since the machine was busy",
    )
    assert right == len(runs)


def judged(serve, key_file, profile, number):
    """(verdict, the ratio behind it, seconds, how often the machine was too busy for one).

    A run whose generator had no CPU is no verdict on the release, and repeated.
    """
    for repeats in range(MAX_REPEATS + 1):  # noqa: B007 — how often it came to that
        document, said = once(serve, key_file, profile, number)
        headline = document["verdict"]["headline"] if document["folder"] else said.strip()
        if not is_out_of_cpu(headline):
            break
    if not document["folder"]:
        return headline, None, 0.0, repeats
    verdict = document["verdict"]["result"]
    if verdict != profile.expected:
        print(f"{profile.name} {number}: {headline}", flush=True)
    return verdict, deciding(document), document["seconds"], repeats


def once(serve, key_file, profile, number):
    with ExitStack() as stack:
        # Another pod's name draws other requests to fail.
        pod = f"gridos-load-{number}"
        service = stack.enter_context(serve(GRIDOS_FAULTS=profile.fault, GRIDOS_POD=pod))
        more = []
        if "cpu-saturation" in profile.judges:
            address = stack.enter_context(watching(service, pod))
            more = ["--prometheus", address, "--seconds", CPU_SECONDS]
        _, said, document = loadtest(
            *("run", profile.name, "--host", service.url, "--seed", str(number + 1)),
            *("--api-key-file", key_file, *more),
        )
    return document, said


def deciding(document):
    """The ratio that the profile is about."""
    checks = {check["name"]: check["value"] for check in document["checks"]}
    kind = document["profile"]["name"].partition("-")[0]
    if kind == "latency":
        return document["overall"]["slow"] / document["overall"]["requests"]
    return checks.get({"errors": "error-ratio", "cpu": "cpu-saturation"}.get(kind, ""))


def test_idle_runs_at_the_same_time_are_inconclusive(serve, measured, times):
    count = times(TIMES)
    with serve() as service, program.threads(count) as pool:
        arguments = ("run", "idle", "--host", service.url)
        runs = [pool.submit(loadtest, *arguments) for _ in range(count)]
        codes = [run.result()[0] for run in runs]
    measured("INCONCLUSIVE", f"{codes.count(3)} of {count}")
    assert codes == [3] * count


@pytest.mark.parametrize(
    ("leaks", "seconds", "wanted"),
    [(False, STEADY_SECONDS, "PASS"), (True, LEAKING_SECONDS, "FAIL")],
    ids=["steady", "leaking"],
)
def test_a_soak_tells_a_leak_of_100_kb_per_second_from_none(
    serve, key_file, tmp_path, measured, leaks, seconds, wanted
):
    # Python imports this by itself, before the service.
    (tmp_path / "sitecustomize.py").write_text(LEAK)
    variables = {"PYTHONPATH": str(tmp_path)} if leaks else {}
    with serve(**variables) as service, watching(service, "pod-1") as address:
        _, said, document = loadtest(
            *("run", "soak", "--host", service.url, "--api-key-file", key_file),
            *("--rate", "20", "--seconds", seconds, "--prometheus", address),
        )
    assert document["folder"], said
    grown = next(c["message"] for c in document["checks"] if c["name"] == "memory-growth")
    measured("memory", grown)
    assert document["verdict"]["result"] == wanted, document["verdict"]["headline"]


def core(number):
    """What keeps a command, and all that it starts, to one core."""
    return ("taskset", "-c", str(number))


@pytest.mark.parametrize("profile", ["spike", "capacity"])
def test_a_healthy_service_takes_a_spike_and_has_a_capacity(serve, key_file, measured, profile):
    """Capacity: the highest rate of one pod on a core, the generator having the other.

    On shared cores the generator is late first, and there is no answer. A key may write as often as
    it likes there, for it is the pod's end that is looked for and not the key's.
    """
    cores, variables = ((), ()), {}
    if profile == "capacity":
        cores, variables = (core(0), core(1)), {"GRIDOS_KEY_REQUESTS_PER_SECOND": "100000"}
    with serve(prefix=cores[0], **variables) as service:
        run = ("run", profile, "--host", service.url, "--api-key-file", key_file)
        metrics = ("--service-metrics", f"{service.url}/metrics")
        code, said, document = loadtest(*run, *metrics, prefix=cores[1])
    print(said, flush=True)
    assert code == 0
    measured(profile, document["verdict"]["headline"])


@pytest.mark.parametrize("profile", GATED, ids=NAMES)
def test_a_profiles_fault_rehearsed_is_decided_by_its_own_gate_and_no_other(profile, measured):
    folder = OUT / "rehearsals"
    how = ["--fault", profile.fault] if profile.fault else ["--without", "traffic"]
    smaller = halved() if "cpu-saturation" in profile.judges else []
    code = canary("rehearse", *how, *smaller, "--out", folder).returncode
    found = result(folder / "latest")
    verdict = found["verdict"]
    measured(" ".join(how), f"exit {code}: {verdict['headline']}")
    if profile.expected == "INCONCLUSIVE":
        # Without requests no ratio has a value either; the count is the one that decides.
        assert (code, verdict["gate"]["name"]) == (3, profile.gate)
        return
    flipped = {
        metric["name"]
        for run in found["analysis_runs"]
        for metric in run["metrics"]
        if metric["phase"] == "Failed"
    }
    expected = set() if profile.expected == "PASS" else {profile.gate}
    assert (code, flipped) == (1 if expected else 0, expected)


def halved():
    """Half the pods at half the rate.

    Ten pods that burn 40 % of half a core each would take this machine whole, and what is scraped
    of them would come too late for any gate.
    """
    folder = OUT / "fewer-pods"
    shutil.copytree(ROOT / "deploy/base", folder, dirs_exist_ok=True)
    rollout = folder / "rollout.yaml"
    text, found = re.subn(r"(?m)^  replicas: 10$", "  replicas: 5", rollout.read_text())
    assert found, "deploy/base/rollout.yaml no longer asks for ten replicas: halve what it asks"
    rollout.write_text(text)
    return ["--manifests", str(folder), "--rate", "200"]
