"""What is optional: another server, and traces."""

import pytest

from canary.runtime.waiting import wait_until
from canary.tests.machine import answering


def test_granian_serves_the_same_and_ends_in_order(serve):
    with serve(GRIDOS_SERVER="granian") as server:
        assert server.ask("/v1/feeders/ieee33")[0] == 200
        counted = (
            'http_requests_total{method="GET",route="/v1/feeders/<feeder_id>",status="200"} 1.0'
        )
        assert wait_until(lambda: counted in server.ask("/metrics")[1], timeout_s=60)
        server.process.terminate()
        assert server.process.wait(60) == 0


@pytest.fixture
def collector():
    """(URL, bodies) of an OTLP receiver on loopback."""
    bodies = []

    def receive(request):
        bodies.append(request.rfile.read(int(request.headers["Content-Length"])))
        return 200, b""

    with answering(receive) as port:
        yield f"http://127.0.0.1:{port}", bodies


def test_a_span_goes_on_from_the_ids_of_the_log_line(serve, collector):
    url, bodies = collector
    trace = "0af7651916cd43dd8448eb211c80319c"
    with serve(GRIDOS_TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=url) as server:
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        assert server.ask("/v1/feeders", headers=headers)[0] == 200
        server.process.terminate()
        assert server.process.wait(60) == 0
        assert trace in server.log.read_text()
    assert bytes.fromhex(trace) in b"".join(bodies)


def test_traces_that_are_off_load_nothing(unconnected):
    assert "tracer_provider" not in unconnected.extensions
