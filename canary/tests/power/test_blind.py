"""What gates see and do not see is said by class of fault, and nothing that is not modelled is."""

import functools
import itertools
import json
from pathlib import Path

import pytest

from acceptance.calling import call
from canary import cli
from canary.argo import releases
from canary.argo.virtual_rollout import PAUSED
from canary.power import blind, mutation, simulation
from canary.power.blind import Budget, Sight
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.runtime import documents

# A release whose one gate asks QUERY.
GATE = Path(__file__).with_name("gate.yaml").read_text()
FAILED = 'sum(rate(http_requests_total{status=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))'
SMILES = "sum(rate(smiles_total[1m]))"


@pytest.fixture(scope="module")
def rows(root):
    """The rows of a gate with this query, by class, and the exit code; each is found once."""

    @functools.cache
    def ask(query):
        text = GATE.replace("QUERY", json.dumps(query))
        done = call(cli.main, ("blind", "-", "-o", "json", "--releases", "50"), root, text)
        assert done.stderr == ""
        found = json.loads(done.stdout)["rows"]
        return {row["fault"]: row for row in found}, done.returncode

    return ask


def test_a_class_is_seen_from_a_size_on_by_its_gate(rows):
    found, code = rows(FAILED)
    errors = found["errors on all routes"]
    assert code == 0
    assert (errors["sight"], errors["gate"]) == ("rolled back", "happiness")
    assert 0 < float(errors["smallest"].removesuffix(" %")) < 30
    assert found["one route fails"]["sight"] == "rolled back"
    assert found["requests of 400 ms"]["sight"] == "not seen"
    assert found["a crash, or a leak"]["sight"] == "not seen"
    assert found["responses lost on the way"]["sight"] == "not seen"
    # A canary that nobody asks has no ratio, and a gate without one aborts.
    assert found["the canary gets no requests"]["sight"] == "rolled back"
    assert found["both lose a dependency"]["sight"] == "blamed"


@pytest.mark.parametrize(("status", "sight"), [("5..", "not seen"), ("[45]..", "rolled back")])
def test_a_refusal_is_healthy_to_a_gate_that_reads_5xx_alone(rows, status, sight):
    found, _ = rows(FAILED.replace("5..", status))
    assert found["refused: 401, 404, 422"]["sight"] == sight


def test_a_healthy_release_is_the_first_row(rows):
    found, _ = rows(FAILED)
    row = next(iter(found.values()))
    assert (row["fault"], row["sight"]) == ("none: a healthy release", "promoted")


def test_a_success_ratio_finds_nothing_where_all_requests_fail_and_pauses_the_release(root):
    (release,) = releases.find(documents.read_all([str(root / "canary/tests/power/success.yaml")]))
    subject, traffic = mutation.subject_of(release), Traffic(50.0)
    study, most = Study(subject.rollout, traffic, n=50), Fault(error_rate=1.0)
    assert study.smallest_detected(lambda share: Fault(error_rate=share)) < 0.1
    assert study.outcomes(most).pause_rate == 1
    ((_, simulated),) = simulation.simulate(subject, [Scenario("all fail", most, traffic)], 1)
    assert simulated.outcome == PAUSED


def test_a_fault_must_begin_before_the_last_measurement(rows):
    found, _ = rows(FAILED)
    late = found["all fail, but late"]
    onset_s, end_s = (float(word) for word in late["smallest"].split() if word.isdecimal())
    assert late["sight"] == "rolled back"
    assert 0 < onset_s < late["after_s"] <= end_s


def test_of_gates_that_are_not_modelled_nothing_is_said(rows):
    found, code = rows(SMILES)
    assert code == 3
    assert {row["sight"] for row in found.values()} == {"not known"}
    assert "smiles_total, which is not synthesised" in found["hangs and resets"]["why"]


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_the_table_names_each_class_its_word_and_why_it_is_not_known(root, form):
    text = GATE.replace("QUERY", json.dumps(SMILES))
    done = call(cli.main, ("blind", "-", "--releases", "50", "-o", form), root, text)
    assert done.returncode == 3
    assert "errors=100%@/v1/orders" in done.stdout
    assert "database-down=2s@40s" in done.stdout
    assert "happiness is not modelled: smiles_total is not modelled" in done.stdout


@pytest.mark.parametrize(("given", "run"), [((0.0,), 1), ((0.0, 0.0), 2), ((), 0)])
def test_what_was_not_begun_before_the_cpu_seconds_were_over_is_said_to_be_not_run(
    tmp_path, given, run
):
    (tmp_path / "shop.yaml").write_text(GATE.replace("QUERY", json.dumps(FAILED)))
    (release,) = releases.find(documents.read_all([str(tmp_path)]))
    spent = itertools.chain(given, itertools.repeat(61.0))
    study = Study(mutation.subject_of(release).rollout, Traffic(20.0), n=20)
    found = blind.find(study, None, 0.95, Budget(60, lambda: next(spent)), lambda *_: None)
    sights = [row.sight is Sight.NOT_RUN for row in found.rows]
    assert sights == [False] * run + [True] * (blind.CLASSES - run)
    assert found.says_something is bool(run)
    assert "idle" in blind.table(found)
    assert "hangs and resets: not run: the 60 CPU-seconds were over" in blind.table(found)
