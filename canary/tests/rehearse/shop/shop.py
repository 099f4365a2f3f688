"""A service of another team: standard library alone, one kind of request, its own metrics."""

import http.server
import os
import threading

FAILING = float(os.environ.get("SHOP_FAILS") or 0)
counts = {"200": 0, "500": 0}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/metrics":
            lines = (f'shop_requests_total{{status="{s}"}} {n}\n' for s, n in counts.items())
            return self.answer(200, "# TYPE shop_requests_total counter\n" + "".join(lines))
        if self.path == "/healthz":
            return self.answer(200, "ok\n")
        with lock:
            failed = FAILING * (sum(counts.values()) + 1) // 1 > counts["500"]
            status = 500 if failed else 200
            counts[str(status)] += 1
        return self.answer(status, "failed\n" if failed else "basket\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server((os.environ["LISTEN"], int(os.environ["HTTP_PORT"])), Handler).serve_forever()
