"""Where notifications arrive on loopback: what PagerDuty, Slack and the dead man's switch get.

Alertmanager sends them in each service's own form; what is kept is which receiver's address they
came to, their text, and whether they fired or resolved.
"""

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
        self._server = http_stub.Server(http_stub.answering(self._take))

    def url(self, receiver: str) -> str:
        """The address that stands for a receiver."""
        return f"http://127.0.0.1:{self._server.port}/{receiver}"

    def about(self, alert: str, status: str = "firing") -> list[Notification]:
        """What arrived about an alert, in order."""
        return [n for n in list(self._arrived) if n.status == status and f"{alert}:" in n.text]

    def stop(self) -> None:
        """Ends the server."""
        self._server.stop()

    def _take(self, request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        body = json.loads(http_stub.sent(request))
        if self.refusing:
            return HTTPStatus.INTERNAL_SERVER_ERROR, b"ok"
        name = body.get("routing_key") or request.path.strip("/")
        self._arrived.append(read(name, body, request.headers.get("Authorization", "")))
        # PagerDuty says Accepted and Alertmanager insists on it; Slack says OK.
        return HTTPStatus.ACCEPTED if "routing_key" in body else HTTPStatus.OK, b"ok"


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
