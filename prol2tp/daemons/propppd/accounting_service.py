"""Accounting of links: who follows them, and the queue in the state directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prol2tp.aaa import service
from prol2tp.aaa.records import Clocks, Recent, boot_name
from prol2tp.daemons.propppd.accounting import Accounting
from prol2tp.daemons.propppd.links import Links
from prol2tp.daemons.propppd.radius import RadiusUsers

FILE = "propppd-accounting.sqlite"
"""In the state directory."""


class AccountingService(service.AccountingService):
    """That of propppd; parameters as of the class that it stands on."""

    def __init__(self, reactor: Any, links: Links, users: RadiusUsers, port: Any, path: str, log: Any,
                 event: Callable[..., None]) -> None:
        clocks, recent = Clocks(links.wall, reactor.seconds, boot_name()), Recent()
        self.accounting = Accounting(links, clocks, users.session_id, lambda: users.nas, recent.pack)
        links.followers.add(self.accounting)
        super().__init__(reactor, self.accounting, clocks, recent, users.run, lambda: users.nas, port, path,
                         log, event)
