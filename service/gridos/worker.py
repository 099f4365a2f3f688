"""gunicorn's gthread worker, whose threads wait for no client.

gunicorn hands a connection to a thread as soon as there is one, and there it waits: for the first
byte, the rest of the request, and until the client has taken the answer. A few clients that do
nothing hold every thread. Here the worker's loop receives each request whole, and sends what a
client does not take at once; threads only answer. Connections, time and memory are bounded: whoever
has kept the loop waiting for longest goes first.

Bodies that nobody read are in `arrivals`, connections that end while something arrives in
`lingering`, and answers to what is no request at all in `rejections`.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from functools import partial
from itertools import islice
from operator import itemgetter
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any
from urllib.parse import unquote

from gunicorn.http import wsgi
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from gridos import deadlines
from gridos.arrivals import Arrival, has_body, settling
from gridos.deadlines import MAX_ARRIVAL_S, MAX_DEPARTURE_S
from gridos.framing import MAX_HEAD_BYTES, Message
from gridos.lingering import lingerer
from gridos.patience import PatientSocket
from gridos.recorder import OVERDUE, Recorder
from gridos.rejections import Rejecter
from gridos.responses import Response

# Well below the 1024 descriptors that a process may have where nothing else is said.
MAX_CONNECTIONS = 800
# Threads that may wait for a body which its client wants to be asked for.
MAX_ASKED = 1
# What the loop holds for clients, beside what threads are working on.
MAX_ARRIVING_BYTES = 16 << 20
MAX_LEAVING_BYTES = 32 << 20
_PIECE = 65536
# The loop turns several times a request; gunicorn waits a minute for a sign of its life.
NOTIFY_EVERY_S = 1.0


class Connection(TConn):  # type: ignore[misc]
    """A client's connection: what has arrived of its request, and since when it is waited for."""

    sock: PatientSocket
    message: Message
    since: float
    # Whether its head is longer than any is.
    has_no_end = False
    # Of the request that is being answered, and whether that takes too long.
    environ: dict[str, Any] | None = None
    is_overdue = False


class Threads:
    """Threads that answer what is put to them, in place of gunicorn's pool.

    A pool makes a future with a lock of its own for each request, a twentieth of what one costs.
    """

    def __init__(self, number: int, answer: Callable[[Connection], None]) -> None:
        self._waiting: SimpleQueue[Connection | None] = SimpleQueue()
        self._answer = answer
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def put(self, conn: Connection) -> None:
        """Has the next free thread answer."""
        self._waiting.put(conn)

    def shutdown(self, *, wait: bool) -> None:
        """Ends the threads when they have done what they are at, and waits for none."""
        del wait
        for _ in self._threads:
            self._waiting.put(None)

    def _run(self) -> None:
        while (conn := self._waiting.get()) is not None:
            self._answer(conn)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Receives requests whole, has threads answer them, and sends the answers."""

    wsgi: Any
    # Told with each turn of the loop.
    turned: Callable[[], None] | None = None

    def init_process(self) -> None:
        """Starts with no connection."""
        # In the order in which they began to be waited for.
        self._arriving: dict[Connection, None] = {}
        self._answering: dict[Connection, None] = {}
        self._leaving: dict[Connection, Any] = {}
        # Requests whose bodies are to be asked for, and threads that may be waiting for one.
        self._asking: dict[Connection, None] = {}
        self._asked = 0
        self._arriving_bytes = self._leaving_bytes = 0
        self._notified_at = 0.0
        super().init_process()

    def load_wsgi(self) -> None:
        """Takes the application, once it is made."""
        super().load_wsgi()
        self._most_body_bytes: int = self.wsgi.config["MAX_CONTENT_LENGTH"]
        self._rejecter = Rejecter(self.wsgi)
        self._recorder: Recorder = self.wsgi.extensions["recorder"]
        self.wsgi = settling(self.wsgi)

    def notify(self) -> None:
        """Says that the loop turns."""
        now = monotonic()
        if now - self._notified_at < NOTIFY_EVERY_S:
            return
        self._notified_at = now
        super().notify()
        if self.turned is not None:
            self.turned()

    # ------------------------------------------------------------------------------- arriving

    def accept(self, listener: Any) -> None:
        """Takes a connection, and waits for its first request without a thread."""
        try:
            plain, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        sock = PatientSocket(plain)
        self._await(Connection(self.cfg, sock, address, listener.getsockname()))
        if self.nr_conns > MAX_CONNECTIONS:
            self._make_room()

    def on_client_socket_readable(self, conn: Connection, client: Any) -> None:
        """A kept connection's next request begins."""
        self.keepalived_conns.remove(conn)
        self._begin(conn)
        # Changes only who is told; the kernel is not asked again.
        self.poller.modify(client, selectors.EVENT_READ, partial(self._receive, conn))
        self._receive(conn, client)

    def _await(self, conn: Connection, begun: bytes = b"") -> None:
        self._begin(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))
        if begun:
            self._take(conn, begun)

    def _begin(self, conn: Connection) -> None:
        conn.message = Message(self._most_body_bytes)
        conn.since = monotonic()
        conn.sock.waits_until, conn.sock.is_late = 0.0, False
        self._arriving[conn] = None

    def _receive(self, conn: Connection, client: PatientSocket) -> None:
        try:
            piece = client.recv_now(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if piece:
            self._take(conn, piece)
        elif conn.message.has_head:
            # It has ended, and may still read that its body was cut short.
            self._hand_over(conn)
        else:
            self._drop(conn)

    def _take(self, conn: Connection, piece: bytes) -> None:
        self._arriving_bytes += len(piece)
        if conn.message.add(piece):
            self._hand_over(conn)
        elif self._arriving_bytes > MAX_ARRIVING_BYTES:
            self._give_up_on(next(iter(self._arriving)))

    def _hand_over(self, conn: Connection) -> None:
        """Has a thread answer what has arrived."""
        self._leave_arriving(conn)
        if conn.message.asks and not conn.sock.is_late:
            self._asking[conn] = None
            self._ask()
        else:
            self._enqueue(conn)

    def _ask(self) -> None:
        """Has threads ask for bodies: a few, for they wait until those have come."""
        while self._asking and self._asked < MAX_ASKED:
            conn = next(iter(self._asking))
            del self._asking[conn]
            self._asked += 1
            conn.sock.waits_until = conn.since + MAX_ARRIVAL_S
            self._enqueue(conn)

    def _enqueue(self, conn: Connection) -> None:
        conn.init()
        conn.data_ready = True
        conn.has_no_end = not conn.message.has_head
        conn.sock.give(bytes(conn.message.data))
        del conn.message
        conn.since = monotonic()
        conn.environ, conn.is_overdue = None, False
        self._answering[conn] = None
        self.enqueue_req(conn)

    def _leave_arriving(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        del self._arriving[conn]
        self._arriving_bytes -= len(conn.message.data)

    def _give_up_on(self, conn: Connection) -> None:
        """Waits no longer for the rest; whose head is there is told."""
        if conn.message.has_head:
            conn.sock.is_late = True
            self._hand_over(conn)
        else:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._leave_arriving(conn)
        self._close(conn)

    # ------------------------------------------------------------------------------ in a thread

    def get_thread_pool(self) -> Threads:
        """What answers."""
        return Threads(self.cfg.threads, self._answer)

    def enqueue_req(self, conn: Connection) -> None:
        """Has a thread answer."""
        self.tpool.put(conn)

    def _answer(self, conn: Connection) -> None:
        is_kept = False
        try:
            is_kept = bool(self.handle(conn))
        except Exception:
            self.log.exception("a request was not answered")
        finally:
            self.method_queue.defer(self.finish_request, conn, is_kept)

    def handle(self, conn: Connection) -> Any:
        """Answers what has arrived."""
        if conn.has_no_end:
            error = LimitRequestHeaders(f"more than {MAX_HEAD_BYTES} bytes")
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answers one request; whether its connection stays.

        As gunicorn's, without hooks, an access log and a limit of requests, which nobody sets here.
        """
        if has_body(req):
            req.body = Arrival(req, conn)
        response, environ = wsgi.create(
            req, conn.sock, conn.client, conn.server, self.cfg, Response
        )
        environ["wsgi.multithread"] = True
        conn.environ = environ
        if conn.is_overdue:
            environ[OVERDUE] = True
        if not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        try:
            parts = self.wsgi(environ, response.start_response)
            try:
                for part in parts:
                    response.write(part)
                response.close()
            finally:
                if hasattr(parts, "close"):
                    parts.close()
        except Exception as failed:
            if not response.headers_sent or isinstance(failed, OSError):
                raise
            # What was begun cannot be taken back, and a second answer would be taken for its rest.
            self.log.exception("a response broke on its way")
            return False
        return not response.should_close()

    def handle_error(self, _: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers what the application never saw, or could not answer."""
        self._rejecter.answer(client, addr, exc)

    # -------------------------------------------------------------------------------- leaving

    def finish_request(self, conn: Connection, is_kept: bool) -> None:
        """A thread is done with a request: its answer is sent, or most of it is still to be."""
        self._answering.pop(conn, None)
        # A kept connection would keep all of it.
        conn.environ = None
        if conn.sock.waits_until:
            self._asked -= 1
            self._ask()
        # What follows a request that was cut short would be taken for another.
        is_kept = is_kept and not conn.sock.is_cut
        if not conn.sock.unsent:
            self._go_on(conn, is_kept)
            return
        conn.since = monotonic()
        self._leaving[conn] = is_kept
        self._leaving_bytes += len(conn.sock.unsent)
        self.poller.register(conn.sock, selectors.EVENT_WRITE, partial(self._send, conn))
        while self._leaving_bytes > MAX_LEAVING_BYTES:
            self._cut_off(next(iter(self._leaving)))

    def _send(self, conn: Connection, client: PatientSocket) -> None:
        before = len(client.unsent)
        try:
            is_sent = client.send_rest()
        except OSError:
            self._cut_off(conn)
            return
        self._leaving_bytes -= before - len(client.unsent)
        if is_sent:
            self.poller.unregister(client)
            self._go_on(conn, self._leaving.pop(conn))

    def _go_on(self, conn: Connection, is_kept: Any) -> None:
        if not is_kept:
            self.nr_conns -= 1
            lingerer.close(conn.sock.plain())
            return
        begun = conn.parser.unreader.take_buffered() + conn.sock.take_back()
        if begun:
            self._await(conn, begun)
        else:
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, monotonic() + STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn)
            )

    def _cut_off(self, conn: Connection) -> None:
        """Waits no longer for a client to take its answer."""
        self.poller.unregister(conn.sock)
        del self._leaving[conn]
        self._leaving_bytes -= len(conn.sock.unsent)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    # --------------------------------------------------------------------------------- bounds

    def murder_pending(self) -> None:
        """With each turn of the loop: gives up on whoever has been waited for too long."""
        now = monotonic()
        patience_s = MAX_ARRIVAL_S if self.alive else 1.0
        while self._arriving and (first := next(iter(self._arriving))).since < now - patience_s:
            self._give_up_on(first)
        while self._asking and (waits := next(iter(self._asking))).since < now - patience_s:
            del self._asking[waits]
            waits.sock.is_late = True
            self._enqueue(waits)
        before = now - deadlines.MAX_ANSWER_S
        while self._answering and (late := next(iter(self._answering))).since < before:
            del self._answering[late]
            self._give_up_answering(late, now - late.since)
        while self._leaving and ((last := next(iter(self._leaving))).since < now - MAX_DEPARTURE_S):
            self._cut_off(last)

    def _give_up_answering(self, conn: Connection, waited_s: float) -> None:
        """Counts a request that has no answer, and whose caller waits for none any longer."""
        conn.is_overdue = True
        if conn.environ is not None:
            conn.environ[OVERDUE] = True
        method, _, rest = conn.sock.head().decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        self._recorder.give_up(method, unquote(path), waited_s)

    def _make_room(self) -> None:
        """One connection less: the one that has done nothing for longest."""
        idle: list[tuple[float, Callable[[], None]]] = []
        for conns, end in ((self._arriving, self._give_up_on), (self._leaving, self._cut_off)):
            idle += [(conn.since, partial(end, conn)) for conn in islice(conns, 1)]
        for conn in islice(self.keepalived_conns, 1):
            idle.append((conn.timeout - self.cfg.keepalive, partial(self._end_kept, conn)))
        if idle:
            min(idle, key=itemgetter(0))[1]()

    def _end_kept(self, conn: Connection) -> None:
        conn.timeout = 0.0
        self.murder_keepalived()
