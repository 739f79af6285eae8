# Owns the client side of the load: HTTP written by hand on raw sockets, as cheap as Python gets, because
# the sender shares the cores with the server that it measures.
"""Senders of writes."""

import selectors
import socket
import threading
import time

_RECEIVE_BYTES = 65536


class UnexpectedAnswerError(Exception):
    """A server did not take a write."""


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def head(target, length, method="POST"):
    """The start of a request."""
    return (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def check(answer, wanted):
    """Whether the whole answer is there; raises if it is not the one that is wanted."""
    if b"\r\n\r\n" not in answer:
        return False
    if not answer.startswith(b"HTTP/1.1 %d " % wanted):
        raise UnexpectedAnswerError(answer[:400].decode("latin-1"))
    before, _, content = answer.partition(b"\r\n\r\n")
    _, found, value = before.lower().partition(b"content-length:")
    return not found or len(content) >= int(value.split(b"\r\n")[0])


def _received(connection):
    received = connection.recv(_RECEIVE_BYTES)
    if not received:
        raise UnexpectedAnswerError("the server closed the connection before its answer was whole")
    return received


def receive(connection, wanted):
    answer = _received(connection)
    while not check(answer, wanted):
        answer += _received(connection)


def send_bodies(port, target, bodies, connections):
    """Send each body once, over so many connections with a thread each; returns seconds per answer, and in all."""
    times, failures = [], []
    begin = threading.Barrier(connections + 1)

    def work(own):
        connection = connect(port)
        try:
            begin.wait()
            for body in own:
                started = time.perf_counter()
                connection.sendall(head(target, len(body)))
                connection.sendall(body)
                receive(connection, 204)
                times.append(time.perf_counter() - started)
        except (OSError, UnexpectedAnswerError) as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(bodies[first::connections],))
        for first in range(connections)
    ]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    return times, seconds


def send_in_turns(port, make_request, connections, seconds, wanted):
    """Keep one small request under way on each connection, from one thread; returns seconds per answer.

    `make_request(number of the connection, how many it has sent)` makes the bytes of a whole request.
    """
    times = []
    selector = selectors.EpollSelector()
    sockets = [connect(port) for _ in range(connections)]
    started, sent, partial = [0.0] * connections, [0] * connections, [b""] * connections

    def send(number):
        request = make_request(number, sent[number])
        sent[number] += 1
        started[number] = time.perf_counter()
        sockets[number].sendall(request)

    try:
        for number, connection in enumerate(sockets):
            selector.register(connection, selectors.EVENT_READ, number)
        end = time.perf_counter() + seconds
        for number in range(connections):
            send(number)
        open_requests = connections
        while open_requests:
            for key, _ in selector.select():
                number = key.data
                partial[number] += _received(sockets[number])
                if not check(partial[number], wanted):
                    continue
                now = time.perf_counter()
                times.append(now - started[number])
                partial[number] = b""
                if now < end:
                    send(number)
                else:
                    open_requests -= 1
    finally:
        selector.close()
        for connection in sockets:
            connection.close()
    return times


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
