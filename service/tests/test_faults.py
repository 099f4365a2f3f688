import subprocess

import pytest
from gridos import config
from gridos.config import ConfigurationError
from gridos.faults import Fault, FaultError, Faults, matcher, parse

from acceptance.services import PROGRAM


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("errors=3%", (Fault("errors", share=0.03),)),
        ("errors=0.5%,cpu=90%", (Fault("errors", share=0.005), Fault("cpu", share=0.9))),
        ("latency=400ms@10%", (Fault("latency", 0.4, 0.1),)),
        ("latency=1.5s", (Fault("latency", 1.5),)),
        ("slow-start=2m, crash=500", (Fault("slow-start", 120), Fault("crash", 500))),
        ("errors=100%@/v1/overloads", (Fault("errors", route="/v1/overloads"),)),
        ("status=404@5%", (Fault("status", 404, 0.05),)),
        ("status=503@/v1/a@5%", (Fault("status", 503, 0.05, "/v1/a"),)),
        ("hang=1%,reset=1%", (Fault("hang", share=0.01), Fault("reset", share=0.01))),
        ("cut=1%@/v1/a", (Fault("cut", share=0.01, route="/v1/a"),)),
        ("errors=3%,after=90s", (Fault("errors", share=0.03), Fault("after", 90))),
        ("warmup=3s,leak=1MiB", (Fault("warmup", 3), Fault("leak", 2**20))),
        ("database-down=2s@40s", (Fault("database-down", 2, at_s=40),)),
        (
            "errors=1%,errors=50%@/v1/a",
            (Fault("errors", share=0.01), Fault("errors", share=0.5, route="/v1/a")),
        ),
    ],
)
def test_the_words_say_what_goes_wrong(text, expected):
    assert parse(text) == Faults(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rain=1%", "character 1: 'rain=1%' is not a fault: known are errors=3%, "),
        ("errors=3%, rain", "character 12: 'rain' is not a fault"),
        ("errors", "character 1: 'errors': expected a share such as 3% after errors="),
        ("errors=-1%", "expected a share such as 3% after errors="),
        ("cpu=9%,errors=101%", "character 8: 'errors=101%' is more than all: give at most 100%"),
        ("latency=4@10%", "expected a duration such as 400ms after latency="),
        ("latency=4s@10", "expected a share such as 3% or a route such as /v1/orders after @"),
        ("latency=4s@1%@2%", "expected a route such as /v1/orders after @"),
        ("crash=0", "expected a whole number such as 500 after crash="),
        ("crash=5@1%", "expected nothing after @"),
        ("status=200", "expected a status from 400 to 599 after status="),
        ("leak=1MB", "expected a size such as 1MiB after leak="),
        ("errors=1%,errors=2%", "character 11: 'errors=2%' is a fault given twice"),
        ("after=90s", "'after' says when other faults begin"),
        ("slow-start=1s,after=90s", "'after' says when other faults begin"),
    ],
)
def test_what_is_no_fault_is_refused_with_its_place_and_what_was_expected(text, said):
    with pytest.raises(FaultError) as refused:
        parse(text)
    assert said in str(refused.value)


def test_a_route_is_written_as_the_metrics_label_it():
    paths = matcher("/v1/feeders/<feeder_id>/load")
    assert paths.fullmatch("/v1/feeders/ieee33/load")
    assert not paths.fullmatch("/v1/feeders/ieee33/load/now")
    assert not paths.fullmatch("/v1/feeders/a/b/load")
    assert not matcher("/v1/a.b").fullmatch("/v1/acb")


def test_a_fault_of_the_world_is_none_of_a_pods():
    with pytest.raises(ConfigurationError, match="no pod makes database-down"):
        config.read({"GRIDOS_FAULTS": "database-down=2s@40s"})


def test_a_route_that_there_is_not_is_named_before_anything_is_served():
    done = subprocess.run(
        [PROGRAM, "faults", "errors=100%@/v1/overload"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "/v1/overload is not a route — give one of " in done.stderr
    assert "/v1/overloads" in done.stderr
