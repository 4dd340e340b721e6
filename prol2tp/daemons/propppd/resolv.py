"""The name servers that a peer gave us (`usepeerdns`), as RUN_DIR/resolv-INTERFACE.conf, for resolvconf or by hand."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress


def path(run_dir: str, interface: str) -> str:
    return os.path.join(run_dir, f"resolv-{interface}.conf")


def write(run_dir: str, interface: str, servers: Iterable[str]) -> None:
    """Write the file, whole or not at all. Raises `OSError`."""
    name = path(run_dir, interface)
    with open(name + ".new", "w", encoding="ascii") as file:
        file.writelines(f"nameserver {server}\n" for server in servers)
    os.chmod(name + ".new", 0o644)
    os.replace(name + ".new", name)


def remove_all(run_dir: str) -> None:
    """At the start: those of a daemon that died, whose links are gone."""
    for name in os.listdir(run_dir):
        if name.startswith("resolv-") and name.endswith((".conf", ".conf.new")):
            with suppress(OSError):
                os.unlink(os.path.join(run_dir, name))


def remove(run_dir: str, interface: str) -> None:
    with suppress(OSError):
        os.unlink(path(run_dir, interface))
