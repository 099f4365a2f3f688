"""What cannot be reached says why, in one line and with code 2."""

import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from loadtesting import cli, target
from loadtesting.errors import Unreachable


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


AUTHORITY = """
[ca]
default_ca = this
[this]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
subjectAltName = IP:127.0.0.1
basicConstraints = critical, CA:TRUE
"""


def certificate(folder, begins, ends):
    """A self-signed certificate for the loopback address."""
    (folder / "authority.cnf").write_text(AUTHORITY)
    (folder / "index.txt").touch()
    request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem"
    sign = "ca -batch -selfsign -config authority.cnf -keyfile key.pem -in request.pem -notext"
    for words in (
        [*request.split(), "-out", "request.pem", "-subj", "/CN=localhost"],
        [*sign.split(), "-out", "cert.pem", "-startdate", begins, "-enddate", ends],
    ):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def https(tmp_path):
    """Serves HTTPS with a certificate of the given validity."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: install it to make a certificate")
    servers = []

    def start(begins, ends):
        certificate(tmp_path, begins, ends)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}", tmp_path / "cert.pem"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_trusted_certificate_is_accepted(https):
    url, authority = https("20200101000000Z", "20990101000000Z")
    assert target.reach(url, "/", authority) == 200


def test_an_expired_certificate_is_named(https):
    url, authority = https("20200101000000Z", "20200102000000Z")
    with pytest.raises(Unreachable, match=r"certificate is not valid: certificate has expired"):
        target.reach(url, "/", authority)


def test_an_unknown_authority_is_named(https):
    url, _ = https("20200101000000Z", "20990101000000Z")
    with pytest.raises(Unreachable, match=r"--ca-file"):
        target.reach(url, "/")


CASES = [
    ("http://no-such-host.invalid", "no such host name"),
    ("http://127.0.0.1:9", "refuses connections"),
    ("ftp://127.0.0.1", "is no base URL"),
    ("127.0.0.1:8000", "is no base URL"),
]


@pytest.mark.parametrize(("host", "words"), CASES)
def test_each_wrong_host_has_its_own_words_and_code_2(root, monkeypatch, capsys, host, words):
    monkeypatch.chdir(root)
    assert cli.main(["run", "smoke", "--host", host]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_plain_http_asked_for_as_https_is_named():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with pytest.raises(Unreachable, match="does not speak TLS"):
            target.reach(f"https://127.0.0.1:{server.server_port}", "/")
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_that_hangs_up_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(Unreachable, match="is it up"):
            target.reach(f"http://127.0.0.1:{listening.getsockname()[1]}", "/")
