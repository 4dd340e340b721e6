"""xl2tpd and pppd as they come, with the kernel's L2TP, PPPoE and PPP: they need a guest."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tests.netns import Namespace

_serial = itertools.count()
PPP_OPTIONS = "nodetach\nnodefaultroute\nnoipv6\nmtu 1400\nmru 1400\n"


class Xl2tpd:
    """xl2tpd with pppd, their configuration in a private directory. As LNS by default; as LAC with `lns` it dials at
    once, `calls` times (a tunnel each), and again after a while when `redial`. A user named * is anybody."""

    def __init__(
        self,
        host: Namespace,
        address: str,
        *,
        lns: str = "",
        calls: int = 1,
        redial: bool = False,
        pool: str = "10.7.0.10-10.7.3.250",
        options: Sequence[str] = (),
        users: Sequence[tuple[str, str]] = (("u1@example.com", "pw1"),),
        debug: bool = True,
    ) -> None:
        directory = host.world.path(f"xl2tpd{next(_serial)}", "xl2tpd.conf").parent
        ppp = directory / "ppp"
        ppp.mkdir()
        secrets = "".join(f"{user} * {password} *\n" for user, password in users)
        for name in ("chap-secrets", "pap-secrets"):
            (ppp / name).write_text(secrets)
            (ppp / name).chmod(0o600)
        (ppp / "options").write_text("")
        (directory / "options").write_text(PPP_OPTIONS + "".join(f"{option}\n" for option in options))
        (directory / "secrets").write_text("")
        common = f"pppoptfile = {directory}/options\nlength bit = yes\nrequire authentication = no\n"
        common += "ppp debug = yes\n" if debug else ""
        text = f"[global]\nport = 1701\nlisten-addr = {address}\nauth file = {directory}/secrets\n"
        text += "debug tunnel = yes\ndebug state = yes\n" if debug else ""
        if lns:
            again = "redial = yes\nredial timeout = 15\n" if redial else "redial = no\n"
            for number in range(calls):
                text += f"[lac call{number}]\nlns = {lns}\nautodial = yes\n{again}{common}"
        else:
            text += f"[lns default]\nip range = {pool}\nlocal ip = 10.7.0.1\n{common}"
        (directory / "xl2tpd.conf").write_text(text)
        self.host = host
        self.directory = directory
        words = ["xl2tpd", "-D", "-c", directory / "xl2tpd.conf", "-p", directory / "pid", "-C", directory / "control",
                 "-s", directory / "secrets"]  # fmt: skip
        self.process = host.spawn(*words, name=f"{host.name}:xl2tpd", mounts={ppp: "/etc/ppp"})
        self.process.wait_for("Listening on IP address")

    def interfaces(self) -> list[str]:
        return interfaces(self.host)


class PppoeClient:
    """pppd with the kernel's PPPoE, at once and once; its configuration in a private directory."""

    def __init__(
        self,
        host: Namespace,
        device: str = "eth0",
        *,
        service: str = "",
        user: tuple[str, str] = ("u1", "pw1"),
        options: Sequence[str] = (),
    ) -> None:
        directory = host.world.path(f"pppd{next(_serial)}", "ppp", "options").parent
        for name in ("chap-secrets", "pap-secrets"):
            (directory / name).write_text(f"{user[0]} * {user[1]} *\n")
            (directory / name).chmod(0o600)
        (directory / "options").write_text("")
        self.host = host
        words = ["plugin", "rp-pppoe.so", *(["rp_pppoe_service", service] if service else []), device]
        words += ["user", user[0], "noauth", "nodetach", "nodefaultroute", "debug", "logfd", "1"]
        words += [word for option in options for word in option.split()]
        self.process = host.spawn("pppd", *words, name=f"{host.name}:pppd", mounts={directory: "/etc/ppp"})

    def interfaces(self) -> list[str]:
        return interfaces(self.host)


def interfaces(host: Namespace) -> list[str]:
    """Of pppd's, those with an address: IPCP is up."""
    lines = host.run("ip", "-4", "-o", "addr", "show").stdout.splitlines()
    return [line.split()[1] for line in lines if " peer " in line and line.split()[1].startswith("ppp")]
