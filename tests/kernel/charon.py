"""strongSwan's charon as a host's IKE daemon, with a private configuration; IPsec itself is the kernel's."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.netns import Namespace, wait_until

_serial = itertools.count()
SETTINGS = """\
charon-systemd {{
    journal {{ default = -1 }}
    filelog {{ stdout {{ default = 1; flush_line = yes }} }}
    load_modular = yes
    plugins {{
        include /etc/strongswan.d/charon/*.conf
        vici {{ socket = unix://{socket} }}
    }}
}}
"""


class Charon:
    """Serves connections of the files' form in /etc/swanctl/conf.d, as `swanctl --load-all` takes them over."""

    def __init__(self, host: Namespace, connections: Path) -> None:
        directory = host.world.path(f"charon{next(_serial)}", "strongswan.conf").parent
        self._uri = f"unix://{directory}/vici"
        (directory / "strongswan.conf").write_text(SETTINGS.format(socket=directory / "vici"))
        self.host = host
        self.process = host.spawn("charon-systemd", name=f"{host.name}:charon",
                                  env={"STRONGSWAN_CONF": str(directory / "strongswan.conf"),
                                       "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})  # fmt: skip
        wait_until((directory / "vici").exists, 20, f"{host.name}: charon's socket")
        self.swanctl("--load-all", "--file", str(connections))

    def swanctl(self, command: str, *words: str) -> str:
        return self.host.run("swanctl", command, *words, "--uri", self._uri).stdout
