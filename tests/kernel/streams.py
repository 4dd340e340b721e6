"""A TCP stream from one host to another, all of whose octets are compared."""

from __future__ import annotations

import hashlib
import socket
import threading

from tests.netns import Failed, Namespace

SIZE = 1 << 20


def stream(
    sender: Namespace, receiver: Namespace, address: str, size: int = SIZE, seconds: float = 60
) -> None:
    """Send `size` octets to the address, which is the receiver's; `Failed` unless all of them arrive as they were."""
    listener = receiver.socket(kind=socket.SOCK_STREAM)
    caller = sender.socket(kind=socket.SOCK_STREAM)
    listener.settimeout(seconds)
    caller.settimeout(seconds)
    arrived = hashlib.sha256()
    count = 0

    def receive() -> None:
        nonlocal count
        connection = listener.accept()[0]
        connection.settimeout(seconds)
        with connection:
            while data := connection.recv(65536):
                arrived.update(data)
                count += len(data)

    with listener, caller:
        listener.bind((address, 0))
        listener.listen()
        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        caller.connect(listener.getsockname())
        block = bytes(range(256)) * 256
        sent = hashlib.sha256()
        for at in range(0, size, len(block)):
            part = block[at % 251 :][: size - at]
            caller.sendall(part)
            sent.update(part)
        caller.shutdown(socket.SHUT_WR)
        thread.join(seconds)
    if arrived.digest() != sent.digest():
        raise Failed(f"{sender.name} to {address}: {count} octets came, or other octets than were sent")
