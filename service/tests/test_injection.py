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


def test_the_same_pod_fails_the_same_requests_and_another_pod_others():
    first = strikes(Faults(error_share=0.1), "pod-1", 500)
    assert strikes(Faults(error_share=0.1), "pod-1", 500) == first
    assert strikes(Faults(error_share=0.1), "pod-2", 500) != first
