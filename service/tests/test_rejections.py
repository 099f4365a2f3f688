"""What the server answers by itself has the shape, the id, the count and the log line of any answer."""

import json
import socket

import pytest

from acceptance.service import wire
from canary.runtime.waiting import wait_until


def request(path="/v1/feeders", method="GET", **headers):
    return wire.head(method, path, headers)


MALFORMED = {
    "no request line": (b"nonsense\r\n\r\n", 400),
    "no version": (b"GET /v1/feeders\r\n\r\n", 400),
    "a version there is not": (b"GET /v1/feeders HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "a method that is none": (b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a negative length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a coding there is not": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n", 400),
    "an expectation there is not": (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
    "a long line": (request("/" + "a" * 9000), 414),
    "a long header": (request(A="b" * 9000), 431),
    "many headers": (request(**{f"A{n}": "b" for n in range(200)}), 431),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_request_is_a_problem_with_an_id_that_is_counted_and_logged(server, case):
    content, expected = MALFORMED[case]

    def counted():
        text = server.ask("/metrics")[1]
        return wire.counted(text, status=str(expected), route="<unmatched>")

    before = counted()
    with wire.connect(server.port) as connection:
        wire.send(connection, content)
        answer = wire.receive(connection)
        assert (answer.status, answer.keeps) == (expected, False)
        assert wire.is_closed(connection)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == expected
    assert problem["remedy"]
    assert problem["request_id"] == answer.headers["x-request-id"]

    def written():
        """Its lines of the access log, the last of which may be half written."""
        lines = server.log.read_text().splitlines()
        lines = [json.loads(x) for x in lines if x.startswith("{") and x.endswith("}")]
        ours = [x for x in lines if x.get("request_id") == problem["request_id"]]
        return [x["status"] for x in ours if x["logger"] == "gridos.access"]

    # It is counted and logged when it has been handed over, which its receiver may know first.
    assert wait_until(lambda: counted() != before, timeout_s=60)
    assert counted() == before + 1
    assert wait_until(lambda: written() != [], timeout_s=60)
    assert written() == [expected]


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "PATH_INFO", "Path-Info"])
@pytest.mark.parametrize("value", ["/x", "/v1", "/", "x"])
def test_no_caller_says_where_the_application_lies(server, name, value):
    before = wire.counted(server.ask("/metrics")[1], status="500")
    status, body = wire.exchange(server.port, request(**{name: value}))
    assert (status, "feeders" in json.loads(body)) == (200, True)
    assert wire.counted(server.ask("/metrics")[1], status="500") == before


def test_who_goes_away_while_sending_costs_nothing(server):
    before = wire.counted(server.ask("/metrics")[1])
    for content in (b"", b"G", b"GET / HTTP/1.1\r\nHost"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(content)
    assert server.ask("/livez")[0] == 200
    assert wire.counted(server.ask("/metrics")[1]) == before
