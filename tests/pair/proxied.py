"""A client, an access concentrator that begins with it, and the end that takes over; lossy lines, virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import AskAuthentication, LinkDown, LinkOpened, SendFrame
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import LinkSettings
from tests.ppp_ends import Pair

CLIENT, OTHER = 1, 0


class Handover(Pair):
    """Side 0 is the access concentrator's link until it is handed over, then that of the end that takes over, which
    gets `change(record)`. Frames that come between them are lost."""

    def __init__(
        self,
        lac: LinkSettings,
        client: LinkSettings,
        lns: LinkSettings,
        seed: int = 1,
        change: Callable[[ProxyRecord], ProxyRecord | None] = lambda record: record,
        tunnel_delay: float = 0.5,
        **words: Any,
    ) -> None:
        super().__init__(lac, client, seed, **words)
        self.lac = self.links[OTHER]
        self.lns_settings = lns
        self.change = change
        self.tunnel_delay = tunnel_delay
        self.record: ProxyRecord | None = None
        self.asked_by_lac: list[AskAuthentication] = []
        self.handed_at: float | None = None

    def do(self, side: int, act: Callable[[Link], None]) -> None:
        if side == CLIENT or self.links[OTHER] is not self.lac:
            super().do(side, act)
            return
        act(self.lac)
        for output in self.lac.outputs():
            if isinstance(output, SendFrame):
                self._transmit(CLIENT, output.frame)
            elif isinstance(output, AskAuthentication):
                self.asked_by_lac.append(output)
                self._later(self.answer_delay, self._hand_over)
            elif isinstance(output, LinkOpened) and not self.lac.settings.auth:
                self._later(0.0, self._hand_over)
            elif isinstance(output, LinkDown):
                self.facts[OTHER].append(output)

    def _hand_over(self) -> None:
        record = self.lac.hand_over(self.now)
        if record is not None:
            assert self.lac.over and self.lac.deadline() is None
            # what crosses the control channel
            self.record = ProxyRecord.from_record(record.to_record())
            assert self.record == record
            self.handed_at = self.now
            self._later(self.tunnel_delay, self._take_over)
        else:
            self.do(OTHER, lambda link: None)

    def _take_over(self) -> None:
        assert self.record is not None
        proxy = self.change(self.record)
        self.links = (Link(self.lns_settings, self.random.randbytes), self.links[CLIENT])
        self.do(OTHER, lambda link: link.open(self.now, proxy))

    @property
    def lns(self) -> Link:
        return self.links[OTHER]

    def settled(self) -> bool:
        return self.links[OTHER] is not self.lac and super().settled()
