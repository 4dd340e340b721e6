"""The Debian package: built, installed in a fresh Debian, booted under systemd, upgraded, rebooted, purged."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEBIAN = "systemd,systemd-sysv,dbus,python3,adduser,iproute2,kmod,udev,procps,man-db,logrotate"
UNITS = {
    "prol2tp": ("ProL2TP L2TPv2/L2TPv3 network protocol daemon", "prol2tpd",
                ["/usr/sbin/prol2tpd -o /var/log/prol2tpd.log", "/usr/sbin/prol2tp-scriptd -f"]),
    "proppp": ("ProPPP Scalable PPP network protocol daemon", "propppd", ["/usr/sbin/propppd -l /var/log/propppd.log"]),
    "proac": ("ProL2TP Access Concentrator network protocol daemon", "proacd",
              ["/usr/sbin/proacd -o /var/log/proacd.log"]),
    "prol2tp-path": ("ProL2TP data path", "prol2tp-pathd", ["/usr/sbin/prol2tp-pathd"]),
    "prol2tp-web": ("ProL2TP metrics and live page", "prol2tp-webd", ["/usr/sbin/prol2tp-webd"]),
}
"""Description, process and command lines; of a child the line's beginning."""
PROBE = """\
#!/bin/bash
# runs at each boot, with the number of the boot; what it prints is the test's
exec >/probe/boot-$(( $(cat /probe/boots 2>/dev/null || echo 0) + 1 )).log 2>&1
echo $(( $(cat /probe/boots 2>/dev/null || echo 0) + 1 )) >/probe/boots
say() { echo "== $*"; }
state() {
    for unit in prol2tp proppp prol2tp-path proac prol2tp-web; do
        say status $1 $unit; systemctl --no-pager -l status $unit
        say pid $1 $unit; systemctl show -P MainPID $unit
    done
    say user; ps -o user= -C prol2tpd
    say system; prol2tp show system
    say ppp; propppctl status
    say ac; proac_info -s
}
if [ "$(cat /probe/boots)" = 1 ]; then
    say install; dpkg -i /probe/first.deb
    say idle; systemctl is-active prol2tp proppp prol2tp-path
    chgrp prol2tp /probe/*.conf; chmod 640 /probe/*.conf
    say examples; cd /usr/share/doc/prol2tp/example-configs; find . -type f | sort
    say loaded; find . -name '*.conf' | sort | while read -r file; do
        daemon=$(basename "$file" .conf); "$daemon" -n -c "$file" >/dev/null && echo "$file"
    done
    say enable; cd /
    printf '#!/bin/sh\n' >/etc/prol2tp/tunnel-up; chmod 755 /etc/prol2tp/tunnel-up
    cp -p /probe/*.conf /etc/prol2tp/
    systemctl enable --now prol2tp proppp proac prol2tp-web
    say verify; systemd-analyze verify /lib/systemd/system/pro*.service
    state first
    say reload; systemctl reload prol2tp proppp proac; systemctl is-active prol2tp proppp proac
    say rotate; logrotate -f /etc/logrotate.d/prol2tp; systemctl kill --kill-who=main -s USR1 prol2tp-path
    systemctl reload prol2tp proppp proac
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ $(grep -l "configuration read" /var/log/{prol2tpd,propppd,proacd}.log | wc -l) = 3 ] || sleep 1
    done
    grep -l "configuration read" /var/log/{prol2tpd,propppd,proacd}.log
    journalctl -q -o cat -u prol2tp-path --grep 'SIGUSR1 opens'
    say upgrade; dpkg -i --force-confold /probe/second.deb
    state second
    systemctl reboot
else
    state third
    rm /etc/prol2tp/tunnel-up
    say purge; dpkg --purge prol2tp
    say left; ls -d /opt/prol2tp /*/prol2tp /var/lib/prol2tp /var/log/pro* /usr/*bin/prol2tp* 2>/dev/null
    getent passwd prol2tp
    pgrep -fa sbin/pro
    systemctl --all --no-legend list-units 'prol2tp*' 'proppp*' 'proac.*'
    say end
    systemctl poweroff
fi
"""
SERVICE = """\
[Unit]
After=multi-user.target
[Service]
ExecStart=/probe/run
"""


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^== (.*)\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def newer(package: Path, other: Path) -> None:
    """The same package with a higher version."""
    unpacked = package.parent.parent / "unpacked"
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", r"\g<0>+1", control.read_text(), flags=re.M))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", unpacked, other], stdout=subprocess.DEVNULL,
                   check=True)


@pytest.fixture(scope="module")
def boots(tmp_path_factory) -> list[dict[str, str]]:
    """What the probe printed at each boot."""
    directory = tmp_path_factory.mktemp("deb")
    probe, debian = directory / "probe", directory / "debian"
    probe.mkdir()
    done = subprocess.run([ROOT / "tools/deb", "--output", directory], stdout=subprocess.PIPE, text=True, check=True)
    Path(done.stdout.strip()).rename(probe / "first.deb")
    newer(probe / "first.deb", probe / "second.deb")
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={DEBIAN}", "bookworm", debian],
                   stdout=subprocess.DEVNULL, check=True)
    (probe / "run").write_text(PROBE)
    (probe / "run").chmod(0o755)
    (probe / "prol2tpd.conf").write_text('system { listen 127.0.0.1:1701; hostname "fresh" }\n')
    (probe / "propppd.conf").write_text('profile "users" { auth true; auth_methods chap }\n')
    (probe / "proacd.conf").write_text(
        'route "r1" { source pppoe { interface eth9 service "x" } destination l2tp { peer 127.0.0.1 } }\n')
    units = debian / "etc/systemd/system"
    (units / "probe.service").write_text(SERVICE)
    (units / "graphical.target.wants").mkdir(exist_ok=True)
    (units / "graphical.target.wants/probe.service").symlink_to("../probe.service")
    console = directory / "console"
    for _ in range(2):  # a reboot ends the container
        with console.open("ab") as out:
            subprocess.run(["systemd-nspawn", "-q", "-D", debian, f"--machine=prol2tp-{os.getpid()}",
                            f"--bind={probe}:/probe", "--private-network", "--register=no", "--keep-unit", "-b"],
                           stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=300, check=False)
    logs = sorted(probe.glob("boot-*.log"))
    assert len(logs) == 2, console.read_text(errors="replace")[-3000:]
    return [sections(log.read_text()) for log in logs]


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_shows_description_state_and_processes(boots, unit):
    description, process, lines = UNITS[unit]
    for boot, when in ((0, "first"), (0, "second"), (1, "third")):
        text = boots[boot][f"status {when} {unit}"]
        assert text.startswith(f"● {unit}.service - {description}\n"), text
        assert "Active: active (running)" in text
        pid = boots[boot][f"pid {when} {unit}"].strip()
        assert f"Main PID: {pid} ({process})" in text
        assert re.search(rf"Loaded: loaded \(/lib/systemd/system/{unit}.service; ", text), text
        group = re.search(rf"CGroup: /system.slice/{unit}.service\n((?: +[├└]─.*\n)+)", text)
        assert group, text
        shown = [re.sub("^ +[├└]─", "", row) for row in group[1].splitlines()]
        assert shown[0] == f"{pid} {lines[0]}", text
        assert len(shown) == len(lines) and all(lines[1] in row for row in shown[1:]), text


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
def test_the_daemons_serve_without_root_and_are_reached_by_the_tools(boots):
    for boot in boots:
        assert "hostname: fresh" in boot["system"] and "listening on: 127.0.0.1:1701" in boot["system"]
        assert boot["user"].split() == ["prol2tp"]
        assert "PPP:" in boot["ppp"]
        assert boot["ac"].startswith("Routing:\n    Routes created: 0\n")


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
def test_an_installation_starts_nothing_and_an_upgrade_starts_anew_what_ran(boots):
    first = boots[0]
    assert "active\n" not in first["idle"].replace("inactive\n", "")
    assert first["reload"].split()[-3:] == ["active", "active", "active"]
    assert "error" not in first["install"].lower() + first["upgrade"].lower()
    for unit in UNITS:
        assert first[f"pid first {unit}"] != first[f"pid second {unit}"]


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
def test_all_examples_are_installed_and_the_daemons_take_them(boots):
    examples = ROOT / "etc/examples"
    names = sorted(f"./{path.relative_to(examples)}" for path in examples.rglob("*") if path.is_file())
    assert sorted(boots[0]["examples"].splitlines()) == names
    assert sorted(boots[0]["loaded"].splitlines()) == [name for name in names if name.endswith(".conf")]


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
def test_logs_are_rotated_and_sigusr1_is_answered_in_the_journal_where_there_is_no_file(boots):
    said = boots[0]["rotate"].splitlines()
    assert said == [f"/var/log/{daemon}.log" for daemon in ("prol2tpd", "propppd", "proacd")] + [
        "SIGUSR1 opens the log file again, and there is none: lines go to the journal"]


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
def test_systemd_finds_nothing_wrong_in_the_units(boots):
    assert boots[0]["verify"] == ""


@pytest.mark.long
@pytest.mark.root
@pytest.mark.interop("systemd-container")
def test_a_purge_leaves_nothing(boots):
    assert boots[1]["left"] == "", boots[1]["left"]
    assert "end" in boots[1]
