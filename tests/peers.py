"""Foreign implementations as test peers, each started from a configuration of its own in a private directory.

None of them touches files of the system: what has a compiled-in path is bound over, visible to that process
alone.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.netns import Failed, Namespace, Process, wait_until

RADIUS_SECRET = "testing123"
_serial = itertools.count()

RADIUSD = """\
prefix = /usr
confdir = {dir}
logdir = {dir}
libdir = /usr/lib/freeradius
run_dir = {dir}
pidfile = {dir}/radiusd.pid
name = radiusd
max_request_time = 30
cleanup_delay = 1
max_requests = 16384
hostname_lookups = no
log {{
    destination = stdout
    auth = no
}}
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 2
    max_requests_per_server = 0
}}
modules {{
    pap {{ }}
    chap {{ }}
    always ok {{
        rcode = ok
    }}
    files {{
        usersfile = {dir}/users
        acctusersfile = {dir}/none
        preproxy_usersfile = {dir}/none
    }}
    detail {{
        filename = {dir}/detail
    }}
}}
client localhost {{
    ipaddr = {network}
    secret = {secret}
    require_message_authenticator = no
}}
server default {{
    listen {{
        type = auth
        ipaddr = {address}
        port = 1812
    }}
    listen {{
        type = acct
        ipaddr = {address}
        port = 1813
    }}
    authorize {{
        chap
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
    }}
    preacct {{
    }}
    accounting {{
        {accounting}
    }}
}}
server status {{
    listen {{
        type = status
        ipaddr = {address}
        port = 18121
    }}
    authorize {{
        ok
    }}
}}
"""


def version(package: str) -> str:
    """The installed version of a Debian package; empty when there is none."""
    for block in Path("/var/lib/dpkg/status").read_text().split("\n\n"):
        if block.startswith(f"Package: {package}\n") and "\nStatus: install ok installed" in block:
            found = re.search(r"^Version: (\S+)", block, re.M)
            return found[1] if found else ""
    return ""


SIGNED = """
    post-auth {{
        update reply {{
            Message-Authenticator := 0x00
        }}
        Post-Auth-Type REJECT {{
            update reply {{
                Message-Authenticator := 0x00
            }}
        }}
        Post-Auth-Type Challenge {{
            update reply {{
                Message-Authenticator := 0x00
            }}
        }}
    }}
"""
"""For a configuration, before `preacct`: answers with Message-Authenticator, which this version adds to none itself."""


class FreeRADIUS:
    """FreeRADIUS with a users file; on the namespace's own address. Without `accounting` it answers records and keeps
    none."""

    def __init__(
        self,
        host: Namespace,
        users: str,
        address: str = "127.0.0.1",
        network: str = "127.0.0.0/8",
        accounting: bool = True,
        configuration: str = RADIUSD,
    ) -> None:
        directory = host.world.path(f"radius{next(_serial)}", "users").parent
        self.host = host
        self.address = address
        self._questions = 0
        self.detail = directory / "detail"
        (directory / "radiusd.conf").write_text(
            configuration.format(
                dir=directory,
                address=address,
                network=network,
                secret=RADIUS_SECRET,
                accounting="detail" if accounting else "ok",
            )
        )
        (directory / "users").write_text(users)
        (directory / "none").write_text("")
        (directory / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Also again, with the files of before."""
        self.process = self.host.spawn(
            "freeradius", "-f", "-d", self._directory, "-l", "stdout", name=f"{self.host.name}:freeradius"
        )
        self.process.wait_for("Ready to process requests", 30)

    def stop(self) -> None:
        self.process.stop()

    def records(self) -> list[dict[str, str]]:
        """Accounting packets of the detail file, in the order of arrival. A packet is in it when it has its answer; the
        last may be half written."""
        if not self.detail.exists():
            return []
        packets = self.detail.read_text().split("\n\n")[:-1]
        found = []
        for packet in packets:
            rows = (line.strip().partition(" = ") for line in packet.splitlines() if line.startswith("\t"))
            found.append({name: value.strip('"') for name, _, value in rows})
        return [record for record in found if "Acct-Status-Type" in record]

    def statistics(self) -> dict[str, int]:
        """What it has counted itself, by the names of its dictionary without `FreeRADIUS-Total-`. Answers are counted
        when their requests are forgotten, a second later; Status-Server counts as a request, these questions do not."""
        self._questions += 1
        host = f"[{self.address}]" if ":" in self.address else self.address
        query = self.host.world.file("statistics", "Message-Authenticator=0x00,FreeRADIUS-Statistics-Type=All\n")
        said = self.host.run("radclient", "-x", "-f", query, f"{host}:18121", "status", RADIUS_SECRET).stdout
        found = {name: int(value) for name, value in re.findall(r"FreeRADIUS-Total-(\S+) = (\d+)", said)}
        found["Access-Requests"] -= self._questions
        return found


def users_file(users: Iterable[tuple[str, str, str]]) -> str:
    """(name, password, address) rows; an empty address leaves the choice to the NAS."""
    return "".join(
        f'{name} Cleartext-Password := "{password}"\n    Service-Type = Framed-User,\n    Framed-Protocol = PPP'
        + (f",\n    Framed-IP-Address = {address}\n" if address else "\n")
        for name, password, address in users
    )


class L2tpns:
    """l2tpns as LNS. It takes all of the host's L2TP; ready when it has made itself master (`wait_ready`)."""

    def __init__(
        self,
        host: Namespace,
        address: str,
        *,
        pool: str = "10.6.0.0/16",
        peer_address: str = "10.6.0.1",
        secret: str = "s3cret",
        radius: str = "127.0.0.1",
        debug: int = 3,
        authtypes: str = "pap,chap",
        accounting: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        world = host.world
        directory = world.path(f"l2tpns{next(_serial)}", "startup-config").parent
        # a master elects itself on a device that is up; nobody else is in this host's namespace
        host.run("ip", "link", "add", "clu0", "type", "bridge")
        host.run("ip", "link", "set", "clu0", "up", "multicast", "on")
        host.address("clu0", "10.255.255.1/24")
        self.log = directory / "log"
        config = [
            f"set debug {debug}",
            f'set log_file "{self.log}"',
            f'set pid_file "{directory}/pid"',
            f'set l2tp_secret "{secret}"',
            f"set primary_radius {radius}",
            f'set radius_secret "{RADIUS_SECRET}"',
            f'set radius_authtypes "{authtypes}"',
            f"set radius_accounting {'yes' if accounting else 'no'}",
            f"set bind_address {address}",
            f"set peer_address {peer_address}",
            "set cli_bind_address 127.0.0.1",
            "set allow_duplicate_users yes",
            'set cluster_interface "clu0"',
            "set cluster_hb_interval 1",
            "set cluster_hb_timeout 10",
            "set send_garp no",
            'set hostname "l2tpns"',
            *settings,
        ]
        (directory / "startup-config").write_text("\n".join(config) + "\n")
        (directory / "ip_pool").write_text(f"{pool}\n")
        (directory / "users").write_text("")
        self.host = host
        self.process = host.spawn(
            "l2tpns",
            "-c",
            directory / "startup-config",
            name=f"{host.name}:l2tpns",
            mounts={directory / "ip_pool": "/etc/l2tpns/ip_pool", directory / "users": "/etc/l2tpns/users"},
        )

    def wait_ready(self, seconds: float = 60) -> None:
        wait_until(
            lambda: self._alive() and "declaring myself the master" in self.log_text(),
            seconds,
            "l2tpns is master",
        )

    def _alive(self) -> bool:
        if not self.process.running():
            raise Failed(f"l2tpns ended: {self.process.output}\n{self.log_text()[-3000:]}")
        return True

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Xl2tpd:
    """xl2tpd in user-space mode. Its pppd is a wrapper that holds the pty until it is told to end."""

    def __init__(
        self,
        host: Namespace,
        address: str,
        *,
        secret: str = "",
        challenge: bool = False,
        lns: str = "",
        lac_names: Sequence[str] = (),
        pool: str = "10.7.0.10-10.7.3.250",
        pppd: str = "exec sleep 3600",
        port: int = 1701,
    ) -> None:
        world = host.world
        directory = world.path(f"xl2tpd{next(_serial)}", "xl2tpd.conf").parent
        wrapper = directory / "pppd"
        wrapper.write_text(f"#!/bin/sh\n{pppd}\n")
        wrapper.chmod(0o755)
        for name in ("options", "secrets"):
            (directory / name).write_text("")
        if secret:
            (directory / "secrets").write_text(f"* * {secret}\n")
        challenges = "challenge = yes\n" if challenge else ""
        config = (
            f"[global]\nport = {port}\nlisten-addr = {address}\nauth file = {directory}/secrets\n"
            "debug tunnel = yes\ndebug state = yes\n"
        )
        if lns:
            for name in lac_names:
                config += (
                    f"[lac {name}]\nlns = {lns}\n{challenges}pppoptfile = {directory}/options\n"
                    "length bit = yes\nredial = no\nrequire authentication = no\n"
                )
        else:
            config += (
                f"[lns default]\nip range = {pool}\nlocal ip = 10.7.0.1\n{challenges}"
                f"pppoptfile = {directory}/options\nlength bit = yes\nrequire authentication = no\n"
            )
        (directory / "xl2tpd.conf").write_text(config)
        self.host = host
        self.directory = directory
        self.control = directory / "control"
        # a call made on a tunnel by its number has no [lac] section, and this version reads that section
        # through a null pointer: a page of zeros there says "nothing set"
        self.process: Process = host.spawn(
            "setarch",
            "--mmap-page-zero",
            "xl2tpd",
            "-D",
            "-c",
            directory / "xl2tpd.conf",
            "-p",
            directory / "pid",
            "-C",
            self.control,
            "-s",
            directory / "secrets",
            name=f"{host.name}:xl2tpd",
            mounts={wrapper: "/usr/sbin/pppd"},
        )
        self.process.wait_for("Listening on IP address")

    def command(self, text: str) -> None:
        """One line for the control pipe. No `@FILE` in front: xl2tpd deletes that file after its answer."""
        with open(os.open(self.control, os.O_WRONLY | os.O_NONBLOCK), "w") as pipe:
            pipe.write(text)

    def dial(self, name: str, calls: int) -> int:
        """LAC: a tunnel by the [lac] section `name` and so many calls in it; its local tunnel id."""
        self.command(f"c {name}")
        line = self.process.wait_for(r"Connection established to .* Local: (\d+)")
        tunnel = int(re.search(r"Local: (\d+)", line)[1])  # type: ignore[index]
        self.process.wait_for("Call established with", 20)
        for made in range(2, calls + 1):
            self.command(f"c {tunnel}")
            self.process.wait_for("Call established with", 20, count=made)
        return tunnel
