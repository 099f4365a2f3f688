"""The small servers: silent about callers who have gone, and about nothing else."""

import urllib.error
import urllib.request

import pytest
from observe import http_stub


def failing(error):
    def fail(_):
        raise error

    return http_stub.answering(fail)


@pytest.mark.parametrize(
    ("error", "told"),
    [(BrokenPipeError("gone"), False), (ConnectionResetError("gone"), False), (KeyError(1), True)],
)
def test_only_an_error_that_is_not_the_callers_going_is_told(error, told, capsys):
    server = http_stub.Server(failing(error))
    try:
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=60)
    finally:
        server.stop()
    assert ("Traceback" in capsys.readouterr().err) is told
