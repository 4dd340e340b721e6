"""prol2tp-pathd as a process: owners that come, crash and leave, signals, strangers."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults

from prol2tp.dataplane import records
from prol2tp.dataplane.client import PathClient
from prol2tp.dataplane.interface import GONE, INVALID, DataPathError, NetifSpec, SessionSpec
from tests.contract.dataplane_rig import LCP_ECHO, Events, ProcessRig, counter, until

pytestmark = pytest.mark.root


class PathdRig(ProcessRig):
    """With a pathd that the test starts itself, with its own options."""

    options: tuple[str, ...] = ("--hold", "30")
    status = 0

    async def open(self, **tunnel) -> None:
        run_dir = str(self.world.path("run", "x").parent)
        self.process = self.host.spawn(sys.executable, "-m", "prol2tp.daemons.pathd", "--run-dir", run_dir,
                                       *self.options)
        self.socket_path = os.path.join(run_dir, "pathd.sock")
        await until(lambda: os.path.exists(self.socket_path), "pathd's socket")
        self.run_dir = run_dir
        self.plane = await PathClient.connect(reactor, run_dir, "prol2tpd", spawn=False)
        await super(ProcessRig, self).open(**tunnel)

    async def client(self, owner: str = "propppd") -> PathClient:
        client = await PathClient.connect(reactor, self.run_dir, owner, spawn=False)
        self.client_events = Events()
        await client.start(self.client_events)
        return client

    async def close(self) -> None:
        try:
            self.process.popen.send_signal(signal.SIGTERM)
            await until(lambda: not self.process.running(), "pathd has ended")
            assert self.process.stop() == self.status
            assert "Traceback" not in self.process.output
            left = self.interfaces()
            assert not os.path.exists(self.socket_path)
        finally:
            self.peer.close()
            for tap in self._taps.values():
                tap.close()
            self._exits.close()
        assert left == set()


def with_pathd(*options: str):
    def decorate(test):
        @pytest_twisted.ensureDeferred
        async def run() -> None:
            rig = PathdRig()
            rig.options = options or rig.options
            await rig.open()
            try:
                await ensureDeferred(test(rig)).addTimeout(60, reactor)
            finally:
                await rig.close()

        run.__name__ = test.__name__
        return run

    return decorate


@with_pathd()
async def test_the_socket_is_for_its_owner_alone(rig) -> None:
    assert stat.S_IMODE(os.stat(rig.socket_path).st_mode) == 0o600
    os.chmod(rig.run_dir, 0o755)
    os.chmod(rig.world.directory, 0o755)
    os.chmod(rig.socket_path, 0o666)
    script = ("import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
              f"s.connect({rig.socket_path!r}); s.settimeout(10); print(len(s.recv(100)))")
    process = rig.host.spawn(sys.executable, "-c", script)
    await until(lambda: not process.running(), "the stranger has been turned away")
    assert process.stop() == 0 and process.output == "0"


@with_pathd()
async def test_a_second_pathd_gives_up_and_the_first_lives_on(rig) -> None:
    second = rig.host.spawn(sys.executable, "-m", "prol2tp.daemons.pathd", "--run-dir", rig.run_dir)
    await until(lambda: not second.running(), "the second has ended")
    assert second.stop() == 1
    assert "another prol2tp-pathd runs" in second.output
    await rig.session()


@with_pathd()
async def test_one_daemon_makes_ports_and_another_uses_them(rig) -> None:
    port = await rig.session()
    propppd = await rig.client()
    got: list[bytes] = []
    propppd.port_receiver(port, got.append)
    netif = await propppd.netif_attach(port, NetifSpec(protocols=("ip",)))
    rig.peer_send(LCP_ECHO)
    await until(lambda: got, "a frame at propppd")
    propppd.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(0, -1, LCP_ECHO)]
    final = await rig.plane.port_delete(port)
    assert rig.interfaces() == set()
    assert await propppd.counters([port]) == {port: final}
    with pytest.raises(DataPathError):
        await propppd.netif_detach(port)
    assert netif.name == "ppp0"
    await propppd.stop()


@with_pathd()
async def test_an_orderly_end_takes_what_was_made_and_no_more(rig) -> None:
    port = await rig.session()
    propppd = await rig.client()
    await propppd.netif_attach(port, NetifSpec())
    assert rig.interfaces() == {"ppp0"}
    await propppd.stop()
    assert rig.interfaces() == set()
    rig.plane.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(0, -1, LCP_ECHO)]


@with_pathd("--hold", "0.4")
async def test_what_a_crashed_daemon_made_stays_for_the_hold_time(rig) -> None:
    port = await rig.session()
    propppd = await rig.client()
    netif = await propppd.netif_attach(port, NetifSpec(protocols=("ip", "ipv6"), source_check=False))
    rig.interface_up(netif)
    propppd._channel._socket.shutdown(socket.SHUT_RDWR)
    await until(lambda: rig.client_events.named("path_lost"), "the connection is lost")
    packet = b"\x45" + bytes(19) + b"x" * 20
    rig.inject(netif, packet)
    assert await rig.peer_frames(1) == [(0, -1, b"\xff\x03\x00\x21" + packet)]
    await until(lambda: not rig.interfaces(), "the hold time is over")
    await rig.row(port)


@with_pathd()
async def test_a_daemon_that_comes_back_finds_its_place_empty(rig) -> None:
    port = await rig.session()
    first = await rig.client()
    await first.netif_attach(port, NetifSpec(name="fixed"))
    first._channel._socket.shutdown(socket.SHUT_RDWR)
    await until(lambda: rig.client_events.named("path_lost"), "the connection is lost")
    second = await rig.client()
    assert (await second.netif_attach(port, NetifSpec(name="fixed"))).name == "fixed"
    await second.stop()


@with_pathd()
async def test_a_daemon_that_comes_back_reads_what_its_ports_have_carried_and_begins_anew(rig) -> None:
    up, down = (b"\x45" + bytes(11) + end + b"x" * 80 for end in (b"\x0a\0\0\1\xc0\0\2\1", b"\xc0\0\2\1\x0a\0\0\1"))
    held, ended = await rig.session(), await rig.session(1)
    first = await rig.client()
    spec = NetifSpec(name="fixed", protocols=("ip",), source_check=False)
    old = await first.netif_attach(held, spec)
    other = await first.netif_attach(ended, NetifSpec(name="other", protocols=("ip",), source_check=False))
    for netif in (old, other):
        rig.interface_up(netif)
    await first.port_modify(held, pcomp=True, accomp=True, rate_down=8)
    await first.port_compress(held, "predictor1")
    for number, netif in enumerate((old, other)):
        rig.peer_send(b"\xff\x03\x00\x21" + up, number)
        assert await rig.packets(netif, 1) == [up]
    first._channel._socket.shutdown(socket.SHUT_RDWR)
    await until(lambda: rig.client_events.named("path_lost"), "the connection is lost")
    # its interfaces carry on without it
    rig.peer_send(b"\xff\x03\x00\x21" + up)
    assert await rig.packets(old, 1) == [up]
    final = await rig.plane.port_delete(ended)
    second = await rig.client()
    assert second.instance == first.instance != ""
    rows = await second.counters([held, ended])
    assert counter(rows[held], "rx_packets") == 2 and counter(rows[held], "rx_octets") == 2 * (len(up) + 4)
    assert rows[ended] == final and counter(final, "rx_packets") == 1
    new = await second.netif_attach(held, spec)
    assert new.name == "fixed" and new.ifindex != old.ifindex and rig.interfaces() == {"fixed"}
    rig._taps.pop("fixed").close()
    rig.interface_up(new)
    rig.peer_send(b"\xff\x03\x00\x21" + up)
    assert await rig.packets(new, 1) == [up]
    # nothing is left of what the former one had agreed on with the peer
    rig.inject(new, down)
    assert await rig.peer_frames(1) == [(0, -1, b"\xff\x03\x00\x21" + down)]
    await second.stop()


@with_pathd()
async def test_with_keep_forwarding_goes_on_without_the_daemon(rig) -> None:
    port = await rig.session()
    propppd = await rig.client()
    netif = await propppd.netif_attach(port, NetifSpec(protocols=("ip",), source_check=False))
    await propppd.stop(keep=True)
    await rig.row(port)
    assert rig.interfaces() == {netif.name}
    again = await rig.client()
    await again.stop()
    assert rig.interfaces() == set()


@with_pathd()
async def test_everything_asked_fails_when_pathd_dies(rig) -> None:
    rig.process.popen.kill()
    rig.process.popen.wait()
    rig.status = -signal.SIGKILL
    for answer in [rig.plane.session_add(SessionSpec(rig.tunnel, 5, 5)), rig.plane.counters()]:
        with pytest.raises(DataPathError) as caught:
            await answer
        assert caught.value.code == GONE
    await until(lambda: rig.events.named("path_lost"), "path_lost")
    rig.plane.port_send(1, LCP_ECHO)
    rig.plane.port_receiver(1, print)
    with pytest.raises(DataPathError) as caught:
        await rig.plane.listen(("127.0.0.1", 0))
    assert caught.value.code == GONE
    await rig.plane.stop()
    os.unlink(rig.socket_path)


@with_pathd()
async def test_a_connection_that_talks_nonsense_is_closed_and_no_other(rig) -> None:
    port = await rig.session()
    for nonsense in (b"x", b"\xff" * 400, records.encode_request(1, "start"), records.encode_frame(1, b"x"),
                     records.encode_event("overload", (1,)),
                     records.encode_request(1, "hello", (records.VERSION, "x")) + b"y"):
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stranger.connect(rig.socket_path)
        stranger.send(nonsense)
        stranger.setblocking(False)

        def closed(stranger=stranger) -> bool:
            try:
                return stranger.recv(65536) == b""
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True

        await until(closed, f"closed after {nonsense[:20]!r}")
        stranger.close()
    await rig.row(port)


@with_pathd()
async def test_another_version_is_told_ours(rig) -> None:
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stranger.connect(rig.socket_path)
    stranger.send(records.encode_request(1, "hello", (99, "future")))
    stranger.settimeout(5)
    _, code, _, body = records.split(stranger.recv(65536))[0]
    assert records.decode_reply(code, body) == [records.VERSION, "user"]
    stranger.close()


@with_pathd()
async def test_values_that_no_record_holds_are_refused_here(rig) -> None:
    with pytest.raises(DataPathError) as caught:
        await rig.plane.tunnel_delete(-1)
    assert caught.value.code == INVALID


@with_pathd()
async def test_a_daemon_that_does_not_read_loses_frames_and_stops_nobody(rig) -> None:
    ports, other = [await rig.session(number) for number in range(2, 42)], await rig.session(1)
    slow = await rig.client("slow")
    for port in ports:
        slow.port_receiver(port, lambda frame: None)
    await slow.counters()
    slow._channel.pause()
    got: list[bytes] = []
    rig.plane.port_receiver(other, got.append)
    await rig.plane.counters()
    frame = b"\xff\x03\xc0\x21" + bytes(1400)
    for _ in range(300):
        for number in range(2, 42):
            rig.peer_send(frame, number)
        rig.peer_send(LCP_ECHO, 1)
        count = len(got)
        await until(lambda count=count: len(got) > count, "the other session's frame", 2)
    slow._channel.resume()
    lost = rig.client_events.named
    # told as they are counted, in more than one go
    await until(lambda: sum(count for _, count in lost("frames_lost")) > 10, "frames_lost")
    assert {port for port, _ in lost("frames_lost")} <= set(ports)
    await slow.stop()


@with_pathd("--no-split", "--hold", "5")
async def test_control_can_be_relayed_by_an_option(rig) -> None:
    assert rig.listener.relay


@pytest_twisted.ensureDeferred
async def test_two_daemons_that_start_at_once_share_one_pathd() -> None:
    rig = ProcessRig()
    run_dir = str(rig.world.path("run", "x").parent)
    try:
        clients = await gatherResults([PathClient.connect(reactor, run_dir, f"daemon{number}") for number in range(4)])
        for client in clients:
            await client.start(Events())
        pids = set()
        for client in clients:
            rig.plane = client
            pids.add(rig.pathd_pid())
        (first,) = pids
        for client in clients:
            await client.stop()
        await until(lambda: not os.path.exists(os.path.join(run_dir, "pathd.sock")), "pathd has ended")
        await until(lambda: _ended(first), "the process is gone")
        assert len([name for name in os.listdir(run_dir) if name.endswith(".sock")]) == 0
    finally:
        rig.peer.close()
        rig._exits.close()


def _ended(pid: int) -> bool:
    """Gone, or a zombie of this test's process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest_twisted.ensureDeferred
async def test_without_spawn_a_missing_pathd_is_an_error() -> None:
    with pytest.raises(DataPathError) as caught:
        await PathClient.connect(reactor, "/nonexistent", "daemon", spawn=False)
    assert caught.value.code == GONE


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_is_told_to_wait_starts_no_pathd(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PROL2TP_PATHD", "wait")
    with pytest.raises(DataPathError) as caught:
        await PathClient.connect(reactor, str(tmp_path), "daemon", timeout=0.3)
    assert caught.value.code == GONE and not list(tmp_path.iterdir())


def test_twistd_knows_the_plugin() -> None:
    done = subprocess.run([sys.executable, "-m", "twisted", "--help"], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert "prol2tp-path" in done.stdout


