"""A TCP proxy that does to connections what networks do."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class TcpProxy:
    """Forwards ``127.0.0.1:port`` to ``host:target_port`` from a thread of its own.

    A context manager. Change the behaviour at any time from the test:

    - ``piece``: largest number of bytes forwarded at once (1 feeds byte by byte); 0 is no limit.
    - ``stall()`` / ``resume()``: connections stay open, nothing moves.
    - ``cut()``: all connections are reset; ``refuse()``: new ones are closed at once.
    - ``cut_after(count)``: reset all as soon as ``count`` more bytes have gone to the client.
    """

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.piece = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._left: int | None = None
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.resume()
        self.cut()
        for thread in self._threads:
            thread.join(timeout=5)

    def stall(self) -> None:
        """Keep connections open and forward nothing."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward again."""
        self._flowing.set()

    def refuse(self, refusing: bool = True) -> None:
        """Close new connections at once, or no longer."""
        self._refusing = refusing

    def cut_after(self, count: int) -> None:
        """Reset all connections when ``count`` more bytes have reached the client."""
        with self._lock:
            self._left = count

    def cut(self) -> None:
        """Reset all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    # Linger of 0 s: the peer sees a reset, not an orderly end.
                    linger = b"\1\0\0\0\0\0\0\0"
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RD)  # wakes the thread that reads it; it closes

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.add((client, server))
            self._spawn(self._forward, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """Copy both ways until one side ends; then close both."""
        other = {client: server, server: client}
        with selectors.DefaultSelector() as selector, client, server:
            for side in other:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(side, selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                while (client, server) in self._pairs:
                    for key, _ in selector.select(timeout=0.2):
                        source: socket.socket = key.fileobj  # type: ignore[assignment]
                        if not self._copy(source, other[source], source is server):
                            return

    def _copy(self, source: socket.socket, target: socket.socket, to_client: bool) -> bool:
        data = source.recv(65_536)
        if not data:
            return False
        size = self.piece or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self._flowing.wait()
            if to_client:
                with self._lock:
                    left = self._left
                    if left is not None:
                        piece = piece[:left]
                        self._left = left - len(piece)
            target.sendall(piece)
            if to_client and left is not None and left <= len(piece):
                self.cut()
                return False
        return True
