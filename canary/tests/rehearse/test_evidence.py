"""What names the cause: requests, logs and restarts, canary beside stable."""

import json

import pytest

from canary.rehearse import evidence
from canary.rehearse.evidence import CANARY, STABLE, Log, Redaction, Restart
from canary.rehearse.load import Refusal
from canary.rehearse.routes import Routes
from canary.runtime.gateway import Access

CANARY_PORT, STABLE_PORT = 21, 22
ROUTES = Routes(["GET /a", "GET /b/{id}", "GET /c", "GET /d", "POST /e"])


def requests(route, canary, stable=((200, 4),) * 40):
    """Accesses of (status, ms) pairs, after those of a warm pod."""
    method, path = route.split()
    first = [Access(0.0, "GET", "/warm", 200, "", 900, port) for port in (CANARY_PORT, STABLE_PORT)]
    return first + [
        Access(9.0, method, path, status, "", ms, port)
        for port, answers in ((CANARY_PORT, canary), (STABLE_PORT, stable))
        for status, ms in answers
    ]


def release_of(port):
    return {CANARY_PORT: CANARY, STABLE_PORT: STABLE}.get(port, "")


def blame(accesses, raised=(), restarts=(), **how):
    routes, total = evidence.compare(accesses, release_of, ROUTES.name)
    return evidence.blame(routes, total, raised, restarts, **how)


FINE = ((200, 4),) * 40
TRACE = ["Traceback (most recent call last):", '  File "/app/app.py", line 7, in show']


def test_a_release_like_stable_is_blamed_for_nothing():
    assert blame(requests("GET /a", FINE) + requests("GET /b/7", FINE)) == []


def test_one_failing_route_is_named_with_its_share_its_status_and_its_exception():
    log = Log("canary-x", "pods/canary-x.log", [*TRACE, "ValueError: no bus 7"])
    raised = evidence.exceptions([log], Redaction())
    found = blame(requests("GET /a", FINE) + requests("GET /b/7", ((500, 3),) * 9), raised)
    assert found == [
        "GET /b/{id}: 9 of 9 requests failed with 500 (stable 0 of 40): "
        "ValueError: no bus 7 at /app/app.py:7 in show"
    ]


def test_a_fault_of_every_route_is_said_of_all_together():
    some = ((200, 4),) * 36 + ((500, 4),) * 4
    found = blame(requests("GET /a", some) + requests("GET /b/7", some) + requests("GET /c", FINE))
    assert found == ["all routes together: 8 of 123 requests failed with 500 (stable 0 of 123)"]


def test_a_route_with_few_requests_does_not_stand_out_by_chance():
    some = ((200, 4),) * 65 + ((500, 4),) * 2
    few = ((200, 4),) * 6 + ((500, 4),) * 2
    accesses = requests("GET /a", some) + requests("GET /b/7", few) + requests("GET /d", some)
    (found,) = blame(accesses)
    assert found.startswith("all routes together: 6 of 145 requests")


def test_two_broken_routes_are_both_named():
    accesses = [
        access
        for route, answers in (
            ("GET /a", FINE * 9),
            ("GET /b/7", ((500, 4),) * 70),
            ("GET /d", ((500, 4),) * 6),
        )
        for access in requests(route, answers)
    ]
    assert [cause.partition(":")[0] for cause in blame(accesses)] == ["GET /b/{id}", "GET /d"]


def test_a_storm_of_404_is_named_with_its_route():
    found = blame(requests("GET /a", FINE) + requests("GET /b/7", ((404, 2),) * 30))
    assert found == ["GET /b/{id}: 30 of 30 requests were answered with 404 (stable 0 of 40)"]


def test_a_slow_route_is_named_with_both_releases_times():
    found = blame(requests("GET /a", FINE) + requests("GET /b/7", ((200, 404),) * 30))
    assert found == [
        "GET /b/{id}: 95 % answered within 404 ms (stable 4 ms), half within 404 ms (stable 4 ms), "
        "none below 404 ms (stable 4 ms)"
    ]


@pytest.mark.parametrize(("waited_ms", "named"), [(42, False), (62, False), (63, True)])
def test_a_few_requests_that_waited_for_a_core_make_no_route_slow(waited_ms, named):
    some = ((200, 4),) * 36 + ((200, waited_ms),) * 4
    assert bool(blame(requests("GET /a", FINE) + requests("GET /b/7", some))) is named


def test_the_route_that_is_slow_by_itself_is_named_and_not_those_that_wait_for_its_threads():
    waiting = ((200, 6), *((200, 2300),) * 39)
    accesses = [
        a for route in ("GET /a", "GET /c", "GET /d", "POST /e") for a in requests(route, waiting)
    ]
    (found,) = blame(accesses + requests("GET /b/7", ((200, 410),) * 2 + ((200, 2500),) * 30))
    assert found.startswith("GET /b/{id}: 95 % answered within 2.5 s")


def test_what_each_pod_loads_on_first_use_makes_no_route_slow():
    pods = [
        Access(at, "GET", "/c", 200, "", ms, port)
        for port in range(30, 36)
        for at, ms in ((0.0, 400), (1.0, 400), *((9.0, 4),) * 5)
    ]
    release = {**dict.fromkeys(range(30, 36), CANARY), STABLE_PORT: STABLE}
    accesses = pods + requests("GET /c", ())
    routes, total = evidence.compare(accesses, lambda port: release.get(port, ""), ROUTES.name)
    assert evidence.blame(routes, total, (), ()) == []


def test_a_route_that_hangs_is_named_and_what_ended_with_the_run_is_not_counted():
    hung = ((0, 9000),) * 4 + ((0, 200),) * 9
    found = blame(requests("GET /a", FINE) + requests("GET /b/7", hung))
    assert found == [
        "GET /b/{id}: 4 of 4 requests failed with no response after up to 9 s (stable 0 of 40)"
    ]


def gone(*routes):
    """Accesses that met no pod any more, one after the other, as the gateway notes them."""
    return [
        Access(10.0 + number, *route.split(), 503, "UF" if number else "UT", 0, CANARY_PORT)
        for number, route in enumerate(routes)
    ]


def test_of_a_pod_that_crashes_the_route_that_it_broke_off_most_often_is_named():
    """At the first crash another request had begun before, and waited for its turn."""
    stable = requests("GET /a", ()) + requests("GET /b/7", ())
    crashes = [
        Access(at, *route.split(), 503, flags, 0, CANARY_PORT)
        for at, route, flags in (
            (10.0, "GET /a", "UC"), (10.1, "GET /b/7", "UC"), (10.5, "GET /a", "UF"),
            (10.6, "GET /a", "UF"), (12.0, "GET /b/7", "UC"), (12.1, "POST /c", "UC"),
        )
    ]  # fmt: skip
    (found,) = blame(stable + crashes)
    assert found.startswith(
        "all routes together, broken off in GET /b/{id}: 6 of 8 requests failed with 503 UC"
    )


def test_where_a_pod_answers_nobody_any_more_the_route_that_was_the_first_is_named():
    """Every route fails once the pod is gone; the log's order is that of the ends."""
    stable = requests("GET /a", ()) + requests("GET /b/7", ())
    crashed = gone("GET /b/7", "GET /a", "GET /a", "GET /b/7", "GET /a")
    (found,) = blame(stable + crashed[::-1])
    assert found.startswith(
        "all routes together, first of all GET /b/{id}: 5 of 7 requests failed with 503 UF"
    )


def test_where_most_still_are_answered_the_first_to_fail_is_chance():
    """A pod that ran out of memory was asked everything before."""
    stable = requests("GET /a", FINE) + requests("GET /b/7", FINE)
    (found,) = blame(stable + gone("GET /b/7", "GET /a", "GET /b/7", "GET /a"))
    assert found.startswith("all routes together: 4 of")


def test_one_failure_is_chance_and_names_no_route():
    assert blame(requests("GET /a", ((200, 4),) * 39 + ((500, 4),))) == []


def test_restarts_of_the_canary_are_counted_by_their_reason_with_the_log():
    def ended(because, release=CANARY):
        return Restart(release=release, pod="p", because=because, log="pods/p.log", lines=[])

    restarts = [
        ended("out of memory: 300 MiB held, 256 MiB allowed"),
        ended("out of memory: 280 MiB held, 256 MiB allowed"),
        ended("container exited with 1", STABLE),
    ]
    assert blame([], restarts=restarts) == [
        "canary containers were restarted 2 times: out of memory: 280 MiB held, 256 MiB allowed "
        "(pods/p.log)"
    ]


def test_exceptions_are_read_from_json_lines_and_from_plain_tracebacks_and_counted_by_kind():
    trace = (
        'Traceback (most recent call last):\n  File "/x/service/app.py", line 3, in f\nKeyError: 12'
    )
    lines = [
        json.dumps({"level": "INFO", "message": "request", "status": 500}),
        json.dumps({"level": "ERROR", "message": "unhandled", "exc_info": trace}),
        json.dumps(
            {"level": "ERROR", "message": "unhandled", "exc_info": trace.replace("12", "13")}
        ),
        "2026-11-28 ERROR cannot connect",
    ]
    first, second = evidence.exceptions([Log("p", "pods/p.log", lines)], Redaction())
    assert (first.text, first.count, first.line) == ("KeyError: 12", 2, 2)
    assert first.place == "/x/service/app.py:3 in f"
    assert second.text == "2026-11-28 ERROR cannot connect"


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_traceback_that_the_end_of_its_pod_cut_off_is_no_exception(written):
    trace = [*TRACE, "ValueError"]
    found = evidence.exceptions([Log("canary-x", "x.log", trace[:written])], Redaction())
    assert len(found) == (written == 3)


def test_the_place_is_in_the_checkouts_own_code_also_where_that_is_installed(tmp_path):
    own = tmp_path / "service/shop/app.py"
    own.parent.mkdir(parents=True)
    own.touch()
    lines = [
        "Traceback (most recent call last):",
        '  File "/e/lib/python3.11/site-packages/shop/app.py", line 9, in pay',
        '  File "/e/lib/python3.11/site-packages/flask/app.py", line 1, in call',
        "ValueError",
    ]
    (found,) = evidence.exceptions([Log("p", "pods/p.log", lines)], Redaction(), tmp_path)
    assert found.place == "service/shop/app.py:9 in pay"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://gridos:hunter2@db/gridos refused",
        "X-API-Key: hunter2",
        'password="hunter2"',
        "Authorization: Bearer hunter2",
        "the key hunter2 is unknown",
    ],
)
def test_no_secret_is_left_in_what_is_quoted(text):
    assert "hunter2" in text
    assert "hunter2" not in Redaction(["key hunter2"] if "key h" in text else [])(text)


def test_error_bodies_are_kept_once_a_kind_and_redacted():
    refusals = [
        Refusal("GET", "/a?x=1", 500, "127.0.0.1:21", f'{{"id": "{n}bcdef01-2345", "k": "s3cret"}}')
        for n in range(3)
    ]
    (kept,) = evidence.responses(refusals, Redaction(["s3cret"]))
    assert (kept.route, kept.status) == ("GET /a", 500)
    assert "s3cret" not in kept.body


def test_routes_that_nobody_asked_the_canary_for_are_named_and_those_left_out_apart():
    asked = requests("GET /a", FINE) + requests("GET /c", ())
    routes, _ = evidence.compare(asked, release_of, ROUTES.name)
    known = ["GET /a", "GET /c", "GET /d", "GET /a"]
    covered = evidence.cover(known, ["GET /d"], routes)
    assert str(covered) == "1 of 2 routes exercised; not exercised: GET /c"
    assert covered.left_out == ["GET /d"]


def each_second(seconds, canary, stable):
    """Accesses of (requests, failures) a second of each release, none of them slow."""
    return [
        Access(float(at), "GET", "/a", 503 if number < failed else 200, "", 4, port)
        for at in seconds
        for port, (requests, failed) in ((CANARY_PORT, canary), (STABLE_PORT, stable))
        for number in range(requests)
    ]


def test_no_route_is_blamed_for_what_fails_in_both_alike_and_none_that_waits_for_it():
    # The canary came when the database was about to hang: it was asked little before.
    fine = each_second(range(30, 34), (10, 0), (90, 0)) + each_second(range(30), (0, 0), (90, 0))
    hung = each_second(range(34, 40), (10, 9), (90, 80))
    waits = [Access(33.5, "GET", "/c", 200, "", 1900, CANARY_PORT)] * 20
    told_apart, shared = evidence.apart([*fine, *hung, *waits], release_of)
    assert blame(told_apart) == []
    assert shared == (
        "54 of the 60 requests to canary and 480 of the 540 requests to stable failed in 6 s "
        "in which both releases failed; no route is judged by these"
    )


@pytest.mark.parametrize("stable", [(90, 0), (90, 1), (90, 20)])
def test_a_canary_that_fails_far_more_than_stable_is_told_apart(stable):
    faulty = each_second(range(30, 40), (10, 9), stable)
    told_apart, shared = evidence.apart(faulty, release_of)
    assert (told_apart, shared) == (faulty, "")
    assert blame(told_apart)[0].startswith("GET /a: 90 of 100 requests failed")


def test_a_route_that_also_fails_outside_an_outage_of_both_is_blamed():
    accesses = each_second(range(20), (10, 9), (90, 0)) + each_second([30], (10, 10), (90, 90))
    told_apart, shared = evidence.apart(accesses, release_of)
    assert "in 1 s in which both releases failed" in shared
    assert blame(told_apart)[0].startswith("GET /a: 180 of 200 requests failed with 503 (stable 0")


def test_where_times_say_nothing_a_slow_route_is_not_named():
    slow = requests("GET /a", FINE) + requests("GET /b/7", ((200, 404),) * 30)
    assert blame(slow, timed=True)
    assert blame(slow, timed=False) == []
    (route,) = (r for r in evidence.compare(slow, release_of, ROUTES.name)[0] if "/b" in r.route)
    assert evidence.worse(route)
    assert not evidence.worse(route, timed=False)
