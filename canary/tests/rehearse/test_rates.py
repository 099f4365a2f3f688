"""The rate that users send, chosen before anything is shipped."""

import re

import pytest

from canary.errors import MachineError, UsageError
from canary.rehearse import rates
from canary.rehearse.load import Refusal, Second
from canary.rehearse.rates import Rates

ASKED = Rates(wanted=300.0, least=160.0)


def seconds(*requests, failed=0):
    return [Second(i, n, failed, 0, 0, 1.0, 2.0) for i, n in enumerate(requests)]


def test_three_seconds_at_the_rate_with_every_request_answered_are_steady():
    assert rates.steady(seconds(0, 90, 290, 300, 271), 300)
    assert not rates.steady(seconds(300, 300), 300)
    assert not rates.steady(seconds(300, 300, 269), 300)
    assert not rates.steady(seconds(300, 300, 300, failed=1), 300)


def test_what_is_sustained_is_known_once_the_start_is_over_and_counts_answers_only():
    assert rates.sustained(seconds(*[0] * 5, *[240] * 9)) is None
    assert rates.sustained(seconds(*[0] * 5, *[240] * 10)) == 240
    assert rates.sustained(seconds(*[240] * 15, failed=20)) == 220


def test_a_machine_that_sustains_less_is_sent_less_with_room_for_starting_pods():
    assert rates.lower(ASKED, 260.0) == 200
    assert rates.told(ASKED, 260.0, 200.0) == (
        "this machine sustains 260 of the 300 requests/s asked for: 200 requests/s are sent, which "
        "is enough for every gate"
    )


@pytest.mark.parametrize(("carried", "sent"), [(240.0, 192), (246.0, 192), (251.0, 200)])
def test_a_machine_that_sustains_what_a_rehearsal_needs_is_not_refused(carried, sent):
    assert rates.lower(Rates(wanted=300.0, least=192.0), carried) == sent


def test_a_rate_at_which_a_look_would_see_too_little_ends_before_anything_is_shipped():
    with pytest.raises(MachineError) as raised:
        rates.lower(ASKED, 190.0)
    assert str(raised.value) == (
        "This machine sustains 190 of the 300 requests/s asked for, and a rehearsal needs 200: "
        "nothing was shipped — use a less busy machine or a smaller --time-scale"
    )


def test_a_rate_that_the_caller_names_is_sent_or_nothing_is():
    named = Rates(wanted=300.0, least=300.0)
    with pytest.raises(MachineError, match="sustains 290 of the 300 requests/s asked for"):
        rates.lower(named, 290.0)


def test_a_second_is_told_in_words():
    (second,) = seconds(260)
    assert f"{second}" == "260 requests, 0 failed, 0 lost, 95 % of them answered within 2 ms"


@pytest.mark.parametrize("met", [seconds(260, 271, failed=3), []])
def test_a_rate_that_is_never_carried_is_told_without_a_type_of_ours(met):
    told = str(rates.not_carried(300.0, met))
    assert told.startswith(
        "The stable release alone does not sustain 300 requests/s on this machine (last second"
    )
    assert not re.search(r"[A-Z]\w+\(\w+=", told)


def answer(path, status, pod="127.0.0.1:8000"):
    return Refusal("GET", path, status, pod, "")


def test_a_load_that_is_refused_is_told_by_its_requests():
    refused = [Second(0, 300, 0, 20, 0, 1.0, 2.0)]
    rates.refuse_refused(seconds(300), [])
    answers = [answer("/tills", 404), answer("/tills", 404), answer("/carts", 500)]
    with pytest.raises(UsageError, match="are refused: GET /tills with 404 — correct the paths"):
        rates.refuse_refused(refused, answers)


def test_a_stable_release_that_fails_all_the_time_is_not_taken_for_a_slow_machine():
    failing = seconds(*[300] * 15, failed=40)
    answers = [answer("/tills", 500)]
    with pytest.raises(UsageError, match="stable release alone fails: GET /tills with 500 — see"):
        rates.refuse_refused(failing, answers)
    rates.refuse_refused(failing[1:], answers)
    rates.refuse_refused([*failing, *seconds(300)], answers)
    rates.refuse_refused(failing, [answer("/tills", 503, pod="")])
