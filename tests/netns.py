"""Network namespaces for tests and benches: hosts, cables between them, and the processes that run in them.

A `World` holds everything that one test made and takes it all down again, whatever happened. Names carry the
pid of the maker, so that several test runs live side by side; what a killed run left behind is removed by the
next one. Nothing is ever made in the namespace of the caller: a cable is created with both ends already inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

PREFIX = "p2t"
CLONE_NEWNET = 0x40000000
T = TypeVar("T")
_serial = itertools.count()


class Failed(AssertionError):
    """A command failed or something expected did not come; the text has what was seen instead."""


def wait_until(predicate: Callable[[], T], seconds: float, what: str, every: float = 0.05) -> T:
    """The first true value of `predicate`, which is asked again and again; `Failed` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def run(
    argv: Sequence[str | Path],
    seconds: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, output captured; `Failed` with that output unless it exits with 0."""
    done = subprocess.run(
        [str(word) for word in argv],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=dict(env) if env else None,
        check=False,
    )
    if check and done.returncode:
        raise Failed(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Process:
    """A process in a namespace; its output (both streams) is kept and can be waited for."""

    def __init__(self, argv: Sequence[str], name: str, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._open = True
        self.popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(env) if env else None,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for raw in self.popen.stdout:
            with self._more:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._open = False
            self._more.notify_all()

    def wait_for(self, pattern: str, seconds: float = 20, count: int = 1) -> str:
        """The line that holds the `count`th match of `pattern`, old lines included."""
        wanted = re.compile(pattern)
        end = time.monotonic() + seconds
        seen = at = 0
        with self._more:
            while True:
                for line in self.lines[at:]:
                    seen += bool(wanted.search(line))
                    if seen >= count:
                        return line
                at = len(self.lines)
                left = end - time.monotonic()
                if left <= 0 or not self._open:
                    why = "in time" if self._open else f"before it ended ({self.popen.poll()})"
                    raise Failed(
                        f"{self.name}: {pattern!r} was not said {why}; last words:\n"
                        + "\n".join(self.lines[-40:])
                    )
                self._more.wait(left)

    def running(self) -> bool:
        return self.popen.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 10) -> int:
        """End it: `how`, and SIGKILL if that does not do within `seconds`. The exit status."""
        if self.running():
            self.popen.send_signal(how)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
        status = self.popen.wait()
        self._reader.join(2)
        return status

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return cpu_seconds(self.pid)

    def rss(self) -> int:
        """Resident memory in bytes."""
        return rss(self.pid)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Namespace:
    """One host: a network namespace of its own, loopback up."""

    def __init__(self, world: World, name: str, full_name: str) -> None:
        self.world = world
        self.name = name
        self.full_name = full_name
        run(["ip", "netns", "add", full_name])
        self.run("ip", "link", "set", "lo", "up")

    def argv(self, *argv: str | Path, mounts: Mapping[Path, str] | None = None) -> list[str]:
        """The command line that runs `argv` in here; `mounts` (source: target) are bound over files of the
        system, visible to this command alone."""
        words = ["ip", "netns", "exec", self.full_name]
        if mounts:
            binds = "".join(f"mount --bind '{source}' '{target}' && " for source, target in mounts.items())
            words += ["unshare", "-m", "sh", "-c", binds + 'exec "$@"', "sh"]
        return words + [str(word) for word in argv]

    def run(
        self, *argv: str | Path, seconds: float = 60, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run(self.argv(*argv), seconds=seconds, check=check, env=env)

    def spawn(
        self,
        *argv: str | Path,
        name: str = "",
        mounts: Mapping[Path, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        process = Process(
            self.argv(*argv, mounts=mounts), name or f"{self.name}:{Path(str(argv[0])).name}", env
        )
        self.world.processes.append(process)
        return process

    def address(self, device: str, *addresses: str) -> None:
        for address in addresses:
            words = ["ip", "addr", "add", address, "dev", device]
            self.run(*words, *(["nodad"] if ":" in address else []))

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in this namespace for a while: sockets made now stay in it."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.full_name}") as here:
            _setns(here.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())

    def socket(
        self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM, protocol: int = 0
    ) -> socket.socket:
        with self.inside():
            return socket.socket(family, kind, protocol)

    def ping(
        self, address: str, *, interface: str = "", count: int = 3, size: int = 56, seconds: float = 20
    ) -> None:
        """Every echo must come back."""
        words = ["ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", "3", "-s", str(size)]
        words += ["-I", interface] if interface else []
        done = self.run(*words, address, seconds=seconds, check=False)
        if done.returncode or f" {count} received" not in done.stdout:
            raise Failed(f"{self.name}: ping {address}: {done.stdout}{done.stderr}")

    def interfaces(self) -> set[str]:
        lines = self.run("ip", "-o", "link").stdout.splitlines()
        return {line.split(":")[1].strip().partition("@")[0] for line in lines}

    def pids(self) -> list[int]:
        done = run(["ip", "netns", "pids", self.full_name], check=False)
        return [int(word) for word in done.stdout.split()]

    def close(self) -> None:
        deadline = time.monotonic() + 5
        while (left := self.pids()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        run(["ip", "netns", "del", self.full_name], check=False)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Capture:
    """tcpdump on an interface, into a file for tshark."""

    def __init__(self, namespace: Namespace, device: str, path: Path, filter: str = "") -> None:
        self.path = path
        self.process = namespace.spawn(
            "tcpdump",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-n",
            "-i",
            device,
            "-s",
            "0",
            "-w",
            path,
            *([filter] if filter else []),
        )
        self.process.wait_for("listening on")

    def stop(self) -> Path:
        time.sleep(0.1)  # what is in the kernel's buffer reaches tcpdump
        self.process.stop(signal.SIGINT)
        return self.path


class World:
    """Context manager over namespaces, cables, processes and a private directory."""

    def __init__(self) -> None:
        sweep()
        self.namespaces: dict[str, Namespace] = {}
        self.processes: list[Process] = []
        self.tag = f"{PREFIX}{os.getpid()}-{next(_serial)}"
        # short: a UNIX socket's path has 108 bytes at most
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.tag}-", dir="/tmp"))

    def __enter__(self) -> World:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def namespace(self, name: str) -> Namespace:
        made = Namespace(self, name, f"{self.tag}-{name}")
        self.namespaces[name] = made
        return made

    def cable(
        self,
        one: Namespace,
        two: Namespace,
        addresses_one: Sequence[str],
        addresses_two: Sequence[str],
        *,
        device_one: str = "eth0",
        device_two: str = "eth0",
        mtu: int = 1500,
    ) -> None:
        """Join two hosts by a veth pair; addresses as text with prefix length."""
        run(
            [
                "ip",
                "link",
                "add",
                device_one,
                "netns",
                one.full_name,
                "mtu",
                str(mtu),
                "type",
                "veth",
                "peer",
                "name",
                device_two,
                "netns",
                two.full_name,
                "mtu",
                str(mtu),
            ]
        )
        for host, device, addresses in ((one, device_one, addresses_one), (two, device_two, addresses_two)):
            host.address(device, *addresses)
            host.run("ip", "link", "set", device, "up")

    def path(self, *parts: str) -> Path:
        """A path in the private directory; its parents are made."""
        path = self.directory.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.path(name)
        path.write_text(text)
        path.chmod(mode)
        return path

    def close(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(OSError):
                process.stop(seconds=5)
        for namespace in self.namespaces.values():
            namespace.close()
        self.namespaces.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def report(self) -> str:
        """The last words of all processes: what a failed test prints."""
        return "\n".join(
            f"--- {process.name} (exit {process.popen.poll()})\n" + "\n".join(process.lines[-60:])
            for process in self.processes
        )


def sweep() -> None:
    """Remove namespaces and directories of test runs that are no more."""
    for line in run(["ip", "netns", "list"]).stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        if not _left_behind(name):
            continue
        for pid in run(["ip", "netns", "pids", name], check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run(["ip", "netns", "del", name], check=False)
    for path in Path("/tmp").glob(f"{PREFIX}[0-9]*"):
        if _left_behind(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _left_behind(name: str) -> bool:
    match = re.match(PREFIX + r"(\d+)-", name)
    return bool(match) and not Path(f"/proc/{match[1]}").exists()  # type: ignore[index]
