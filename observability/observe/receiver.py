"""Where notifications arrive on loopback: what PagerDuty, Slack and the dead man's switch get.

Alertmanager sends them in each service's own form; what is kept is which receiver's address they
came to, their text, and whether they fired or resolved.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from observe import http_stub


@dataclass(frozen=True)
class Notification:
    """One delivery: the receiver's name, "firing" or "resolved", its text and its credentials."""

    receiver: str
    status: str
    text: str
    authorization: str


class Receiver:
    """Takes deliveries until it is stopped; `refusing` makes it answer 500 to everything."""

    def __init__(self) -> None:
        self.refusing = False
        self._arrived: list[Notification] = []
        self._server = http_stub.Server(_handler(self))

    def url(self, receiver: str) -> str:
        """The address that stands for a receiver."""
        return f"http://127.0.0.1:{self._server.port}/{receiver}"

    def take(self, notification: Notification) -> None:
        """Keeps a delivery."""
        self._arrived.append(notification)

    def about(self, alert: str, status: str = "firing") -> list[Notification]:
        """What arrived about an alert, in order."""
        return [n for n in list(self._arrived) if n.status == status and f"{alert}:" in n.text]

    def stop(self) -> None:
        """Ends the server."""
        self._server.stop()


def read(receiver: str, body: Any, authorization: str) -> Notification:
    """A delivery from its body: PagerDuty's events, Slack's messages, or Alertmanager's own."""
    if "event_action" in body:
        status = "resolved" if body["event_action"] == "resolve" else "firing"
        payload = body.get("payload", {})
        text = f"{payload.get('summary', '')}\n{payload.get('custom_details', {}).get('text', '')}"
    elif "attachments" in body:
        (message,) = body["attachments"]
        text = f"{message['title']}\n{message['text']}"
        status = "resolved" if message["title"].startswith("[RESOLVED") else "firing"
    else:
        text = "\n".join(f"{alert['labels']['alertname']}: " for alert in body["alerts"])
        status = body["status"]
    return Notification(receiver, status, text, authorization)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Takes one delivery."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.refusing:
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR)
                return
            name = self.path.strip("/")
            if "routing_key" in body:
                name = body["routing_key"]
            receiver.take(read(name, body, self.headers.get("Authorization", "")))
            # PagerDuty says Accepted and Alertmanager insists on it; Slack says OK.
            self._answer(HTTPStatus.ACCEPTED if "routing_key" in body else HTTPStatus.OK)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — http.server's name
            """Says nothing."""

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    return Handler
