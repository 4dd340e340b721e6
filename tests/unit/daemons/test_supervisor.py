"""What the daemons say to a service manager."""

from __future__ import annotations

import os
import socket

import pytest
from twisted.internet.task import Clock

from prol2tp.daemons.base import DaemonService
from prol2tp.daemons.launch import arguments
from prol2tp.daemons.prol2tpd.service import Options
from prol2tp.daemons.supervisor import Supervisor


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"@prol2tp-test-{os.getpid()}"
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    heard.bind("\0" + name[1:] if name[0] == "@" else name)
    with heard:
        yield Manager(heard, name)


class Manager:
    def __init__(self, heard, name):
        self.socket, self.name = heard, name

    def heard(self):
        texts = []
        while True:
            try:
                texts.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return texts


def test_it_says_that_the_daemon_is_ready_reloads_and_stops(manager):
    clock = Clock()
    clock.advance(5)
    supervisor = Supervisor(clock, {"NOTIFY_SOCKET": manager.name})
    assert manager.heard() == []
    supervisor.ready("12 tunnels")
    supervisor.reloading()
    supervisor.reloaded()
    supervisor.stopping()
    assert manager.heard() == ["READY=1\nSTATUS=12 tunnels", "RELOADING=1\nMONOTONIC_USEC=5000000", "READY=1",
                               "STOPPING=1"]
    assert not clock.getDelayedCalls()


def test_a_reload_in_the_middle_of_the_start_does_not_make_it_ready(manager):
    supervisor = Supervisor(Clock(), {"NOTIFY_SOCKET": manager.name})
    supervisor.reloading()
    supervisor.reloaded()
    assert manager.heard() == []


def test_a_reload_that_fails_is_over_too(manager, monkeypatch):
    service = DaemonService.__new__(DaemonService)
    service.supervisor = Supervisor(Clock(), {"NOTIFY_SOCKET": manager.name})
    service.supervisor.ready()
    monkeypatch.setattr(service, "hangup", lambda: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        service._hung_up()
    assert manager.heard()[-2:] == ["RELOADING=1\nMONOTONIC_USEC=0", "READY=1"]


def test_the_watchdog_hears_of_the_daemon_twice_in_its_time_until_the_end(manager):
    clock = Clock()
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    supervisor = Supervisor(clock, environment)
    assert environment == {}
    clock.advance(60)
    assert manager.heard() == []  # one that hangs in its start must be found too
    supervisor.ready()
    supervisor.ready()
    assert manager.heard().count("WATCHDOG=1") == 1
    clock.pump([15.0] * 4)
    assert manager.heard() == ["WATCHDOG=1"] * 4
    supervisor.stopping()
    clock.pump([15.0] * 2)
    assert manager.heard() == ["STOPPING=1", "WATCHDOG=1", "WATCHDOG=1"]
    supervisor.close()
    clock.pump([15.0] * 2)
    assert manager.heard() == [] and not clock.getDelayedCalls()


def test_another_process_watchdog_is_not_ours(manager):
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    assert Supervisor(Clock(), environment).watchdog == 0.0


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "nonsense"},
                                         {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "x"}])
def test_without_a_service_manager_nothing_is_said_and_nothing_fails(environment):
    supervisor = Supervisor(Clock(), environment)
    supervisor.ready()
    supervisor.reloading()
    supervisor.stopping()
    supervisor.close()


def test_under_a_service_manager_the_daemon_stays_in_the_foreground(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    assert "--nodaemon" in arguments("prol2tpd", "prol2tp", Options(), ["--run-dir", str(tmp_path)])
