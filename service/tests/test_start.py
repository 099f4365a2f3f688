"""What a start loads, and what it leaves until somebody asks for it."""

import json
import subprocess
import sys
from datetime import UTC
from importlib.resources import files
from pathlib import Path

import psutil
import pytest
from gridos.api import models, parameters, specification
from hypothesis import given, settings
from hypothesis import strategies as st

# numpy and the solver, pydantic with what it builds, and the SDKs: each costs at every start, in
# every pod, what few requests or settings ever need.
SELDOM_NEEDED = (
    "azure", "flask_openapi3", "granian", "numpy", "opentelemetry", "power_grid_model", "pydantic",
)  # fmt: skip
COMPILED = ("numpy", "pydantic_core", "power_grid_model")


@pytest.mark.parametrize("module", ["gridos.cli", "gridos.gunicorn_config", "gridos.worker"])
def test_a_start_loads_nothing_that_few_pods_need(module):
    show = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", show], env={}, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "flask" in loaded
    assert not loaded & set(SELDOM_NEEDED)


def test_the_process_that_was_started_becomes_the_server(server):
    process = psutil.Process(server.process.pid)
    assert process.cmdline()[-1] == "serve"
    (worker,) = process.children(recursive=True)
    assert worker.cmdline() == process.cmdline(), "a fork, and no other interpreter"


def test_only_a_request_that_needs_it_loads_the_solver(server):
    (worker,) = psutil.Process(server.process.pid).children()
    bounds = "start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00%2B01:00&bucket=1h&limit=5"
    of_feeder = ("", "/buses", "/lines", "/load", f"/readings?{bounds}")
    others = ("/v1/feeders", "/v1/buses/ieee33-2/readings", "/v1/overloads")
    paths = [*others, *(f"/v1/feeders/ieee33{part}" for part in of_feeder)]
    for path in (*paths, "/v1/openapi.json", "/metrics"):
        assert server.ask(path)[0] == 200, path
    assert not compiled_in(worker)
    assert server.ask("/v1/feeders/ieee33/state")[0] == 200
    assert "numpy" in compiled_in(worker)


def compiled_in(process):
    """Those of `COMPILED` whose machine code is mapped into a process."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    return {name for name in COMPILED if f"/{name}/" in maps}


def test_the_document_that_is_served_is_the_one_the_routes_make(client):
    made = specification.document("1.2.3")
    served = client.get("/v1/openapi.json")
    assert list(served.get_json()) == list(made)
    assert served.get_json() == made


def test_the_committed_document_is_as_the_module_writes_it():
    done = subprocess.run(
        [sys.executable, "-m", "gridos.api.specification"], capture_output=True, check=True
    )
    assert done.stdout == (files("gridos") / "data" / "openapi.json").read_bytes(), (
        "the routes have changed — make generate"
    )


# Near what is right and at its edges, so that both readers have something to decide.
OFFSETS = st.sampled_from(["Z", "z", "", "+01:00", "-23:59", "+24:00", "+00:60", "+0100"])
INSTANTS = st.one_of(
    st.datetimes().map(lambda at: at.replace(tzinfo=UTC).isoformat()),
    st.builds(
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.integers(0, 9999),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from(["T", "t", " "]),
        st.integers(0, 25),
        st.integers(0, 61),
        st.integers(0, 61),
        st.sampled_from(["", ".5", ".123456", ".1234567", ".9999999", "."]),
        OFFSETS,
    ),
)
TEXTS = st.text(max_size=6) | st.sampled_from(["", "null", "0", "-1", "100000", "100001", "٣"])
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "start": INSTANTS | TEXTS,
        "end": INSTANTS | TEXTS,
        "bucket": st.sampled_from(["raw", "1m", "15m", "1h", "RAW", "1h\n"]) | TEXTS,
        "limit": st.integers(-2, 100_002).map(str) | TEXTS,
        "after": st.text("Az09_-", max_size=402) | TEXTS,
        "other": TEXTS,
    },
)


@settings(deadline=None, derandomize=True)
@given(QUERIES)
def test_what_is_read_plainly_is_what_the_model_would_have_read(query):
    plain = parameters.read_plainly(query)
    if plain is None:
        return
    modelled = models.SeriesQuery.model_validate(query)
    assert parameters.SeriesQuery(**dict(modelled)) == plain
    for name in ("start", "end"):
        instants = getattr(modelled, name), getattr(plain, name)
        offsets = {instant.utcoffset() for instant in instants if instant is not None}
        assert len(offsets) <= 1


@settings(deadline=None, derandomize=True)
@given(st.datetimes(), st.integers(1, 99_999))
def test_what_callers_send_is_read_plainly(start, limit):
    start = start.replace(tzinfo=UTC)
    sent = {"start": start.isoformat(), "bucket": "1h", "limit": str(limit)}
    asked = parameters.SeriesQuery(start=start, bucket=models.Bucket.HOUR, limit=limit)
    assert parameters.read_plainly(sent) == asked


@pytest.mark.parametrize(
    ("path", "at", "cause"),
    [
        (f"/v1/feeders/{'f' * 129}/load", "feeder_id", "String should have at most 128 characters"),
        (f"/v1/buses/{'b' * 129}/readings", "bus_id", "String should have at most 128 characters"),
        ("/v1/buses/b/readings?limit=0", "limit", "Input should be greater than or equal to 1"),
        ("/v1/buses/b/readings?limits=1", "limits", "Extra inputs are not permitted"),
    ],
)
def test_a_refused_parameter_is_named_with_its_cause(client, path, at, cause):
    refused = client.get(path)
    assert refused.status_code == 422
    assert refused.get_json()["detail"] == f"Refused: {at}."
    assert refused.get_json()["faults"] == [{"at": at, "cause": cause}]
