import pytest
from gridos.faults import Faults
from gridos.injection import InjectedError, Striker


def strikes(faults, seed, times):
    striker, failed = Striker(faults, seed), []
    for number in range(times):
        try:
            striker.strike()
        except InjectedError:
            failed.append(number)
    return failed


def test_the_share_of_failures_is_the_one_asked_for():
    assert len(strikes(Faults(error_share=0.03), "pod", 10_000)) == pytest.approx(300, abs=60)


@pytest.mark.parametrize("pod", ["pod-1", "pod-2", "pod-3"])
def test_a_look_anywhere_meets_the_share_whatever_the_luck(pod):
    """Of 300 requests in a row the error gate needs 7 failures; 3 % are 9."""
    failed = strikes(Faults(error_share=0.03), pod, 3_000)
    for start in range(2_700):
        assert 7 <= sum(start <= number < start + 300 for number in failed) <= 11


def test_all_is_every_request_and_none_is_none():
    assert strikes(Faults(error_share=1.0), "pod", 500) == list(range(500))
    assert strikes(Faults(error_share=0.0), "pod", 500) == []


def test_the_same_pod_fails_the_same_requests_and_another_pod_others():
    first = strikes(Faults(error_share=0.1), "pod-1", 500)
    assert strikes(Faults(error_share=0.1), "pod-1", 500) == first
    assert strikes(Faults(error_share=0.1), "pod-2", 500) != first
