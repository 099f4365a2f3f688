"""Clients that say nothing, send slowly or do not read: they wait for themselves alone."""

import json
import socket
from contextlib import contextmanager

import pytest
from gridos.framing import Message

from acceptance.service import wire
from acceptance.service.crowd import LARGE, PIPELINED, SILENT, SLOW_HEAD, UNREAD, Crowd, slow_body
from canary.runtime.waiting import wait_until

EACH = 125


SLOW_BODY = slow_body("a-key")
SLOW_CHUNKS = slow_body("a-key", "Transfer-Encoding: chunked")
ASKED = slow_body("a-key", "Expect: 100-continue\r\nContent-Length: 100000")


@contextmanager
def crowd(server, *kinds):
    with Crowd(server.port) as clients:
        for count, kind in kinds:
            clients.add(count, kind)
        yield clients


def test_five_hundred_of_them_harm_nobody(server):
    kinds = [(EACH, SILENT), (EACH, SLOW_HEAD), (EACH, SLOW_BODY), (EACH, SLOW_CHUNKS)]
    with crowd(server, *kinds, (16, UNREAD)):
        for _ in range(100):
            assert server.ask("/v1/feeders")[0] == 200
            assert server.ask("/livez")[0] == 200
            assert server.probe("/livez")[0] == 200


def test_bodies_that_are_asked_for_wait_in_some_threads_and_never_in_all(server):
    with crowd(server, (20, ASKED)):
        for _ in range(20):
            assert server.ask("/v1/feeders")[0] == 200


def test_more_connections_than_there_may_be_push_the_oldest_out(server):
    with crowd(server, (900, SILENT)):
        for _ in range(20):
            assert server.ask("/v1/feeders")[0] == 200


def test_an_answer_that_is_read_slowly_comes_whole(server):
    expected = len(server.ask("/v1/openapi.json")[1].encode())
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall((LARGE * PIPELINED).encode())
        stream = client.makefile("rb")
        for _ in range(PIPELINED):
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = dict(line.rstrip().split(b": ", 1) for line in iter(stream.readline, b"\r\n"))
            assert int(headers[b"Content-Length"]) == expected
            assert len(stream.read(expected)) == expected


def test_a_body_that_does_not_come_in_time_is_a_408(serve, hurried):
    with serve(PYTHONPATH=hurried) as server:
        assert wire.exchange(server.port, SLOW_BODY.text.encode())[0] == 408


def test_a_body_that_ends_early_is_a_400(server):
    assert wire.exchange(server.port, SLOW_BODY.text.encode(), ends=True)[0] == 400


def test_a_request_that_comes_byte_by_byte_is_answered(server):
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reading = {"bus_id": "ieee33-2", "measured_at": "2026-05-02T00:00:00Z", "kw": 1, "kvar": 1}
        body = json.dumps({"readings": [reading]})
        head = SLOW_BODY.text.replace("100000", str(len(body))).removesuffix("{")
        for byte in (head + body).encode():
            client.sendall(bytes([byte]))
        assert client.recv(100).startswith(b"HTTP/1.1 201 ")


def test_a_stop_does_not_wait_for_clients_that_do_nothing(serve):
    with serve() as server, crowd(server, (20, SILENT), (20, SLOW_HEAD), (20, SLOW_BODY)):
        assert server.ask("/v1/feeders")[0] == 200
        server.process.terminate()
        assert wait_until(lambda: server.process.poll() == 0, timeout_s=60)


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-length: 3\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("whole", "rest"),
    [
        (GET, b""),
        (GET, b"GET /next"),
        (POST + b"abc", b"more"),
        (CHUNKED + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", b""),
        (CHUNKED + b"1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n", b"GET /next"),
    ],
)
def test_a_request_is_whole_at_its_last_byte_and_not_before(whole, rest):
    message = Message(100)
    assert [message.add(bytes([byte])) for byte in whole] == [False] * (len(whole) - 1) + [True]
    assert Message(100).add(whole + rest)


@pytest.mark.parametrize(
    "refusable",
    [
        b"x" * 32769,
        POST.replace(b"3", b"101"),
        POST.replace(b"3", b"three"),
        CHUNKED + b"zz\r\n",
        CHUNKED + b"x" * 5000,
        CHUNKED + b"FFFFF\r\n" + b"x" * 65637,
        CHUNKED + b"0\r\n" + b"x" * 40000,
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_what_will_be_refused_or_asked_for_is_not_waited_for(refusable):
    assert Message(100).add(refusable)
