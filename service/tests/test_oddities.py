"""Odd requests are answered as the standards have it, and each response is counted once."""

from gridos import schema, seed

from acceptance.service import oddities, wire
from acceptance.services import WRITABLE


def test_odd_requests_meet_no_failure_and_each_response_is_counted_once(serve, fresh):
    with fresh() as url:
        # Of its own, for a network is imported that others would meet.
        schema.migrate(url)
        seed.seed(url)
        with serve(**WRITABLE, GRIDOS_DATABASE_URL=url) as server:
            answered = oddities.send(server.port)
            assert answered == oddities.expected()
            counted = wire.statuses(server.ask("/metrics")[1])
            assert counted == oddities.count(answered)
            assert "unhandled exception" not in server.log.read_text().lower()


def test_what_the_management_port_cannot_read_is_answered_and_logged_as_nothing(serve):
    with serve(**WRITABLE) as server:
        for content, expected in (
            (b"GET //[ HTTP/1.1\r\n\r\n", 404),
            (b"\r\n\r\n", 404),
            (b"GET /metrics HTTP/1.1\r\nAccept: text/plain;version=x.y\r\n\r\n", 200),
            (b"GET /metrics?name[]=%ff HTTP/1.1\r\n\r\n", 200),
        ):
            assert wire.exchange(server.management_port, content)[0] == expected
        assert '"level": "ERROR"' not in server.log.read_text()
