"""Scripts as processes: each a session of its own, its end noticed by a pidfd, the end of its output kept."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TAIL = 2000
"""Octets of a script's output that are kept."""
POLL = 0.05
"""Seconds between looks at a process where the system has no pidfd."""


class _Reader:
    """A descriptor in the reactor; `ready` is called when it can be read."""

    def __init__(self, reactor: Any, descriptor: int, ready: Callable[[], None]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._ready = ready
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "script"

    def doRead(self) -> None:
        self._ready()

    def connectionLost(self, reason: Any) -> None:
        """Called by a reactor that stops."""
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1


class Process:
    """A script that runs. `ended(process)` is called once, in the reactor."""

    def __init__(self, reactor: Any, pid: int, ended: Callable[[Process], None]) -> None:
        self.pid = pid
        self.status: int | None = None
        """Exit status, negative: the signal that ended it; None: it runs, or was not our child."""
        self.tail = b""
        self._reactor = reactor
        self._ended = ended
        self._child: subprocess.Popen[bytes] | None = None
        self._output: _Reader | None = None
        self._end: _Reader | None = None
        self._poll: Any = None

    def watch(self) -> None:
        """Raises `ProcessLookupError` for one that is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            raise
        except (OSError, AttributeError):
            self._poll = self._reactor.callLater(POLL, self._look)
            return
        self._end = _Reader(self._reactor, descriptor, self._over)

    def _look(self) -> None:
        self._poll = None
        if started(self.pid) and (self._child is None or self._child.poll() is None):
            self._poll = self._reactor.callLater(POLL, self._look)
        else:
            self._over()

    def attach(self, child: subprocess.Popen[bytes], output: int) -> None:
        self._child = child
        os.set_blocking(output, False)
        self._output = _Reader(self._reactor, output, self._read)

    def _read(self) -> None:
        if self._output is None:
            return
        try:
            data = os.read(self._output.fileno(), 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.tail = (self.tail + data)[-TAIL:]
        else:
            self._output.close()
            self._output = None

    def signal(self, kill: bool) -> None:
        """To the whole process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL if kill else signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            pass

    def _over(self) -> None:
        if self._child is not None:
            self.status = self._child.wait()
        self._read()
        self.forget()
        self._ended(self)

    def forget(self) -> None:
        """Watch it no more; it goes on."""
        for reader in (self._end, self._output):
            if reader is not None:
                reader.close()
        self._end = self._output = None
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None


def started(pid: int) -> str:
    """When a process began, in the system's own terms; empty: there is none. With the id it names it for ever."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def run(reactor: Any, path: str, arguments: Sequence[str], environment: Mapping[str, str],
        ended: Callable[[Process], None]) -> Process:
    """Start a script: in /, without input, in a session of its own. Raises `OSError` or `ValueError`."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        child = subprocess.Popen([path, *arguments], env=dict(environment), cwd="/", stdin=subprocess.DEVNULL,
                                 stdout=write, stderr=write, start_new_session=True)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    process = Process(reactor, child.pid, ended)
    process.attach(child, read)
    process.watch()
    return process


def adopt(reactor: Any, pid: int, since: str, ended: Callable[[Process], None]) -> Process | None:
    """Watch a script that a daemon before us has started; None: it has ended."""
    if started(pid) != since:
        return None
    process = Process(reactor, pid, ended)
    try:
        process.watch()
    except ProcessLookupError:
        return None
    if started(pid) != since:
        process.forget()
        return None
    return process


def unfit(path: str) -> str:
    """Why a file is not run as a script; empty: it is."""
    try:
        status = os.stat(path)
    except OSError as error:
        return os.strerror(error.errno or 0)
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        return "is not executable"
    if status.st_mode & stat.S_IWOTH:
        return "everybody may write it"
    if status.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    return ""
