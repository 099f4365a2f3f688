import pytest
from gridos.faults import FaultError, Faults, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Faults()),
        ("errors=3%", Faults(error_share=0.03)),
        ("errors=0.5%,cpu=90%", Faults(error_share=0.005, cpu_share=0.9)),
        ("latency=400ms@10%", Faults(latency_s=0.4, latency_share=0.1)),
        ("latency=1.5s", Faults(latency_s=1.5, latency_share=1.0)),
        ("slow-start=2m, crash=500", Faults(slow_start_s=120, crash_after_requests=500)),
    ],
)
def test_the_words_say_what_goes_wrong(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["errors", "errors=3", "errors=-1%", "errors=101%", "latency=4@10%", "crash=0", "rain=1%"],
)
def test_what_is_no_fault_is_refused_with_the_known_words(text):
    with pytest.raises(FaultError, match=r"known are errors=3%|at most 100%"):
        parse(text)


def test_a_fault_given_twice_is_refused():
    with pytest.raises(FaultError, match="given twice"):
        parse("errors=1%,errors=2%")
