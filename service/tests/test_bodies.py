"""Bodies in every framing, whole or refused: raw sockets before real servers.

Not one of these may be a success in part, a failure of ours, or an answer that another request on
the same connection pays for.
"""

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from acceptance.service import wire
from canary.runtime.gateway import Gateway
from canary.runtime.waiting import wait_until

LIMIT = 1 << 20
HEAD = {"X-API-Key": "a-key", "Content-Type": "application/x-ndjson"}
CHUNKED = {"Transfer-Encoding": "chunked"}
REVOKED = {"X-API-Key": "revoked"}
SERVERS = ["gunicorn", "granian"]
# Whose key may write often.
OFTEN = {"GRIDOS_KEY_REQUESTS_PER_SECOND": "100000"}


def line(number, minute=0):
    at = f"2014-01-{1 + minute // 1440 % 28:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
    return json.dumps(
        {"bus_id": f"ieee33-{number % 30 + 2}", "measured_at": at, "kw": 1.5, "kvar": 0.5}
    ).encode()


def lines(count, offset=0):
    return b"\n".join(line(n, offset + n // 30) for n in range(count)) + b"\n"


def padded(count, offset, width=128):
    return b"".join(row.ljust(width - 1) + b"\n" for row in lines(count, offset).splitlines())


@pytest.fixture(scope="module")
def gunicorn(serve):
    with serve(**OFTEN) as server:
        yield server


@pytest.fixture(scope="module")
def granian(serve):
    with serve(**OFTEN, GRIDOS_SERVER="granian") as server:
        yield server


@pytest.fixture(params=SERVERS)
def server(request):
    server = request.getfixturevalue(request.param)
    server.kind = request.param
    return server


def head(headers, path="/v1/readings"):
    return wire.head("POST", path, {**HEAD, **headers})


def framed(body, chunks=None):
    """The header of a body's framing, and the body in it."""
    if chunks:
        return CHUNKED, wire.chunked(body, chunks)
    return {"Content-Length": str(len(body))}, body


def post(server, body, *, chunks=None, **headers):
    framing, sent = framed(body, chunks)
    return wire.exchange(server.port, head({**framing, **headers}) + sent)


def count(server, **labels):
    """Responses counted with these labels, by the service itself."""
    return wire.counted(server.ask("/metrics")[1], **labels)


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/json"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("chunks", [None, 100, 4096, 300_000])
def test_a_body_above_the_limit_is_413_in_every_framing_and_nothing_is_stored(
    server, rows, media, encoding, chunks
):
    before = rows()
    plain = padded(9_000, 100) if encoding == "identity" else padded(9_000, 100, 1024)
    if media == "application/json":
        plain = b'{"readings": [' + b",".join(plain.splitlines()) + b"]}"
    body = plain if encoding == "identity" else gzip.compress(plain, 1)
    status, text = post(
        server, body, chunks=chunks, **{"Content-Type": media, "Content-Encoding": encoding}
    )
    expected = 411 if chunks and server.kind == "granian" else 413
    assert (status, json.loads(text)["status"]) == (expected, expected)
    assert rows() == before


def stores_a_body_of_just_the_limit(server, rows, offset, chunks):
    before = rows()
    body = padded(LIMIT // 128, offset)
    assert len(body) == LIMIT
    status, text = post(server, body, chunks=chunks)
    assert (status, json.loads(text)["stored"]) == (201, LIMIT // 128)
    assert rows() == before + LIMIT // 128
    assert post(server, body + b" ", chunks=chunks)[0] == 413


def test_a_body_of_just_the_limit_is_stored_whole(server, rows):
    stores_a_body_of_just_the_limit(server, rows, 2000 + 1000 * SERVERS.index(server.kind), None)


def test_chunks_of_just_the_limit_are_stored_whole(gunicorn, rows):
    stores_a_body_of_just_the_limit(gunicorn, rows, 2500, 1000)


def test_every_member_of_a_gzip_body_is_read(server, rows):
    before = rows()
    offset = 10_000 + 100 * SERVERS.index(server.kind)
    body = b"".join(gzip.compress(lines(30, offset + n)) for n in range(5))
    status, text = post(server, body, **{"Content-Encoding": "gzip"})
    assert (status, json.loads(text)["stored"]) == (201, 150)
    assert rows() == before + 150


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed + b"garbage",
        lambda packed: packed + b"\x1f",
        lambda packed: packed + packed[:-9],
        lambda packed: packed[:-1],
        lambda packed: packed[:-9] + bytes([packed[-9] ^ 1]) + packed[-8:],
        lambda packed: packed[:-5] + b"\x00" + packed[-4:],
        lambda packed: b"",
        lambda packed: packed[:5],
    ],
)
@pytest.mark.parametrize("chunks", [None, 10])
def test_a_gzip_body_with_something_wrong_anywhere_is_400_and_nothing_is_stored(
    server, rows, spoil, chunks
):
    before = rows()
    body = spoil(gzip.compress(lines(30, 11_000)))
    status, text = post(server, body, chunks=chunks, **{"Content-Encoding": "gzip"})
    assert status == (411 if chunks and server.kind == "granian" else 400)
    assert json.loads(text)["status"] == status
    assert rows() == before


BAD_CHUNKS = {
    "no hexadecimal size": b"zz\r\n%b\r\n0\r\n\r\n",
    "a negative size": b"-5\r\n%b\r\n0\r\n\r\n",
    "a signed size": b"+5\r\n%b\r\n0\r\n\r\n",
    "a prefixed size": b"0x50\r\n%b\r\n0\r\n\r\n",
    "a size too long by far": b"f" * 40 + b"\r\n%b\r\n0\r\n\r\n",
    "an empty size": b"\r\n%b\r\n0\r\n\r\n",
    "a size that is too small": b"5\r\n%b\r\n0\r\n\r\n",
    "no line end after its data": b"%(n)x\r\n%(b)bXX0\r\n\r\n",
    "a bad extension": b"%(n)x;\x00=\r\n%(b)b\r\n0\r\n\r\n",
    "an endless extension": b"%(n)x;a=" + b"b" * 100_000 + b"\r\n%(b)b\r\n0\r\n\r\n",
    "no last chunk": b"%(n)x\r\n%(b)b\r\n",
    "no line end after the last chunk": b"%(n)x\r\n%(b)b\r\n0\r\n",
    "half a chunk": b"%(twice)x\r\n%(b)b",
    "a trailer that is none": b"%(n)x\r\n%(b)b\r\n0\r\nno trailer\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_a_malformed_or_cut_off_chunk_is_400_and_counted_as_that(gunicorn, rows, case):
    before, failures = rows(), count(gunicorn, status="500")
    counted = count(gunicorn, route="/v1/readings", status="400")
    body = lines(3, 12_000)
    pattern = BAD_CHUNKS[case]
    values = {b"n": len(body), b"twice": 2 * len(body), b"b": body}
    chunked = pattern % values if b"%(" in pattern else pattern % body
    status, text = wire.exchange(gunicorn.port, head(CHUNKED) + chunked, ends=True)
    problem = json.loads(text)
    assert (status, problem["type"]) == (400, "urn:gridos:problem:malformed-body")
    assert problem["request_id"]
    assert rows() == before
    assert count(gunicorn, status="500") == failures
    assert count(gunicorn, route="/v1/readings", status="400") == counted + 1


@pytest.mark.parametrize("body", [lines(3, 12_000), b""])
def test_granian_which_cannot_tell_a_body_cut_off_takes_no_chunks_at_all(granian, rows, body):
    before = rows()
    # A whole chunk of whole rows, and then none of what makes a second one.
    chunked = b"%x\r\n%b\r\nzz\r\n" % (len(body) or 1, body or b" ")
    assert wire.exchange(granian.port, head(CHUNKED) + chunked)[0] == 411
    assert rows() == before


def test_chunk_extensions_and_trailers_that_are_sound_are_taken(gunicorn, rows):
    before = rows()
    body = lines(3, 13_000)
    chunked = b"%x;name=value\r\n%b\r\n0\r\nX-Checked: yes\r\n\r\n" % (len(body), body)
    assert wire.exchange(gunicorn.port, head(CHUNKED) + chunked)[0] == 201
    assert rows() == before + 3


def test_a_body_shorter_than_its_length_is_400_and_nothing_is_stored(server, rows):
    before = rows()
    body = lines(3, 14_000)
    promise = head({"Content-Length": str(len(body) + 10)})
    assert wire.exchange(server.port, promise + body, ends=True)[0] == 400
    assert rows() == before


REFUSED = {
    401: ("/v1/readings", REVOKED),
    403: ("/v1/networks", {}),
    404: ("/v1/nowhere", {}),
    405: ("/v1/feeders", {}),
    413: ("/v1/readings", {}),
    415: ("/v1/readings", {"Content-Type": "text/plain"}),
}


@pytest.mark.parametrize("status", REFUSED)
@pytest.mark.parametrize("size", [10, 70_000, 150_000, 3_000_000])
@pytest.mark.parametrize("chunks", [None, 8192])
def test_who_is_refused_early_reads_the_answer_and_the_connection_is_as_it_says(
    gunicorn, status, size, chunks
):
    path, headers = REFUSED[status]
    if status == 413 and size <= LIMIT:
        size += LIMIT
    framing, body = framed(b" " * size, chunks)
    with wire.connect(gunicorn.port) as connection:
        # In one go, before anything is read: what a gateway has in its buffers.
        wire.send(connection, head({**headers, **framing}, path) + body)
        answer = wire.receive(connection)
        assert answer.status == status
        if answer.keeps:
            connection.sendall(wire.head("GET", "/v1/feeders", {}))
            assert wire.receive(connection).status == 200
        else:
            assert answer.headers["connection"] == "close"
            assert wire.is_closed(connection)
    if size == 10:
        assert answer.keeps, "a small rest is read, and the connection kept"


@pytest.mark.parametrize("size", [10, 4000, 5000, 70_000, 1_000_000])
def test_granian_keeps_the_connection_as_its_answer_says(granian, size):
    for _ in range(5):
        with wire.connect(granian.port) as connection:
            wire.send(connection, head({**REVOKED, "Content-Length": str(size)}) + b" " * size)
            answer = wire.receive(connection)
            assert (answer.status, answer.keeps) == (401, size <= 4096)
            if answer.keeps:
                wire.send(connection, wire.head("GET", "/v1/feeders", {}))
                assert wire.receive(connection).status == 200


def test_granian_keeps_a_connection_whose_body_was_read(granian, rows):
    before = rows()
    body = padded(500, 16_000)
    with wire.connect(granian.port) as connection:
        wire.send(connection, head({"Content-Length": str(len(body))}) + body)
        answer = wire.receive(connection)
        assert (answer.status, answer.keeps) == (201, True)
    assert rows() == before + 500


def test_a_key_that_writes_too_often_reads_its_429(serve):
    with serve(GRIDOS_KEY_REQUESTS_PER_SECOND="1") as server:
        sent = head({"Content-Length": "150000"}) + b" " * 150_000
        answers = [wire.exchange(server.port, sent) for _ in range(4)]
        assert 429 in [status for status, _ in answers]
        assert {status for status, _ in answers} <= {422, 429}
        with wire.connect(server.port) as connection:
            wire.send(connection, sent)
            refused = wire.receive(connection)
            assert (refused.status, refused.keeps) == (429, False)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 413, 415])
def test_a_request_that_is_refused_is_refused_before_its_body_is_asked_for(gunicorn, status):
    path, headers = REFUSED[status]
    size = 2 * LIMIT if status == 413 else 100
    expecting = {"Expect": "100-continue", "Content-Length": str(size)}
    with wire.connect(gunicorn.port) as connection:
        connection.sendall(head({**headers, **expecting}, path))
        answer = wire.receive(connection)
        assert answer.status == status
        assert answer.headers["connection"] == "close"


def test_a_body_that_is_wanted_is_asked_for_once(gunicorn, rows):
    before = rows()
    body = lines(3, 15_000)
    expecting = {"Expect": "100-continue", "Content-Length": str(len(body))}
    with wire.connect(gunicorn.port) as connection:
        connection.sendall(head(expecting))
        assert wire.receive(connection).status == 100
        connection.sendall(body)
        answer = wire.receive(connection)
        assert (answer.status, answer.keeps) == (201, True)
    assert rows() == before + 3


def test_behind_a_gateway_nobody_pays_for_others_revoked_keys(gunicorn, tmp_path):
    gateway = Gateway(tmp_path)
    gateway.start()
    try:
        gateway.route({gunicorn.port})
        assert wait_until(lambda: gunicorn.port in gateway.routed_ports(), timeout_s=60)
        end = time.monotonic() + 6
        sent = head({**REVOKED, "Content-Length": "150000"}) + b" " * 150_000

        def refused():
            statuses = []
            while time.monotonic() < end:
                statuses.append(wire.exchange(gateway.port, sent)[0])
            return statuses

        def good():
            statuses = []
            with wire.connect(gateway.port) as connection:
                while time.monotonic() < end:
                    connection.sendall(wire.head("GET", "/v1/feeders", {}))
                    statuses.append(wire.receive(connection).status)
            return statuses

        with ThreadPoolExecutor(6) as callers:
            bad = [callers.submit(refused) for _ in "123"]
            others = [callers.submit(good) for _ in "123"]
            met = [status for caller in bad for status in caller.result()]
            answered = [status for caller in others for status in caller.result()]
    finally:
        gateway.stop()
    assert set(answered) == {200}, {status: answered.count(status) for status in set(answered)}
    assert len(answered) > 100
    assert set(met) == {401}, {status: met.count(status) for status in set(met)}


def test_who_does_not_read_its_refusal_holds_up_nobody(gunicorn):
    sent = head({**REVOKED, "Content-Length": "5000000"}) + b" " * 20_000
    with ExitStack() as idle:
        for _ in range(20):
            idle.enter_context(wire.connect(gunicorn.port)).sendall(sent)
        assert [gunicorn.ask("/v1/feeders")[0] for _ in range(20)] == [200] * 20
