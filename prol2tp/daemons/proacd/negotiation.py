"""LCP and the first step of authentication with the user of a source, until another end goes on from there (RFC 2661
section 4.4.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from prol2tp.net.deadlines import ReactorDeadlines
from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import AskAuthentication, LinkDown, SendFrame
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import LinkSettings

_log = Logger(namespace="proacd")

LARGEST_PAYLOAD = 1500
"""Of PPP, as LCP takes it when nobody speaks of it."""


class FrameSource(Protocol):
    """What is asked of a `sources.Source`."""

    kind: str
    mtu: int

    def frames(self, callback: Callable[[bytes], None] | None) -> None: ...

    def send(self, frame: bytes) -> None: ...


def settings_of(source: FrameSource, methods: tuple[str, ...], name: str, patience: float) -> LinkSettings:
    """Of a link that is handed over: what an LNS that takes it will find right.

    :param methods: that are demanded of the user, best first.
    :param name: ours, in a challenge.
    :param patience: seconds for the user to say who he is.
    """
    payload = min(source.mtu or LARGEST_PAYLOAD, LARGEST_PAYLOAD)
    # RFC 2516 section 7: an Ethernet has no use for compressed headers and escapes
    refuse = ("accomp", "asyncmap", "pcomp") if source.kind == "pppoe" else ()
    return LinkSettings(
        access=True, auth=True, auth_methods=methods, auth_deadline=patience, name=name, mru=payload, mtu=payload,
        proxy_mru=LARGEST_PAYLOAD, pcomp=False, accomp=False, refuse=refuse, ip=False, ipv6=False,
    )  # fmt: skip


class Negotiation:
    """With one user. It begins with `start`, when frames of the source may pass, and is over when it was handed over,
    has ended or was given up.

    :param deadlines: shared by all negotiations.
    :param patience: seconds for all of it.
    :param claimed: the user has said who he is, and perhaps proved it; called again when he begins anew.
    :param ended: called with cause and message when it is over without success.
    """

    __slots__ = ("link", "_source", "_clock", "_deadlines", "_claimed", "_ended", "_give_up_at", "_over", "_draining",
                 "__weakref__")

    def __init__(self, source: FrameSource, settings: LinkSettings, random_bytes: Callable[[int], bytes],
                 clock: IReactorTime, deadlines: ReactorDeadlines, patience: float,
                 claimed: Callable[[AskAuthentication], None], ended: Callable[[str, str], None]) -> None:
        self.link = Link(settings, random_bytes)
        self._source = source
        self._clock = clock
        self._deadlines = deadlines
        self._claimed = claimed
        self._ended = ended
        self._give_up_at = clock.seconds() + patience
        self._over = False
        self._draining = False

    def start(self, proxy: ProxyRecord | None = None) -> None:
        """:param proxy: of a LAC in front of us."""
        self._source.frames(self._receive)
        self._tell(self.link.open, proxy=proxy)

    def refuse(self, message: str) -> None:
        """The user is told that he may not come in, then the link ends."""
        self._tell(self.link.refused, message)

    def close(self, cause: str, message: str) -> None:
        """End the link without a word about who the user is."""
        self._tell(self.link.close, cause=cause, message=message)

    def hand_over(self) -> ProxyRecord | None:
        """What another end needs to go on; frames of the source wait from now on. None: the user has begun anew, and
        is heard of again."""
        if self._over:
            return None
        record = self.link.hand_over(self._clock.seconds())
        if record is not None:
            self.give_up()
        else:
            self._carry_out()
        return record

    def give_up(self) -> None:
        """Without a word to the user."""
        if not self._over:
            self._over = True
            self._deadlines.set(self, None)
            self._source.frames(None)

    def expired(self, now: float) -> None:
        """Of `ReactorDeadlines`."""
        if self._over:
            return
        if now >= self._give_up_at:
            self._give_up_at = float("inf")
            self.close("NAS Error", "the user has not said in time who he is")
        else:
            self._tell(self.link.timeout)

    def _receive(self, frame: bytes) -> None:
        self._tell(self.link.receive, frame)

    def _tell(self, method: Callable[..., Any], *arguments: Any, **words: Any) -> None:
        if self._over:
            return
        try:
            method(*arguments, now=self._clock.seconds(), **words)
        except Exception:  # a fault of ours costs this user
            _log.failure("negotiation with {source}", source=getattr(self._source, "label", ""))
            self._finish("NAS Error", "internal error")
            return
        self._carry_out()

    def _carry_out(self) -> None:
        if self._draining:
            return
        self._draining = True
        try:
            while not self._over and (outputs := self.link.outputs()):
                for output in outputs:
                    self._do(output)
        finally:
            self._draining = False
        if not self._over:
            deadline = self.link.deadline()
            self._deadlines.set(self, self._give_up_at if deadline is None else min(deadline, self._give_up_at))

    def _do(self, output: Any) -> None:
        kind = type(output)
        if kind is SendFrame:
            # also what a link that was handed over has said before
            self._source.send(output.frame)
        elif self._over:
            return
        elif kind is AskAuthentication:
            self._claimed(output)
        elif kind is LinkDown:
            self._finish(output.cause, output.message)

    def _finish(self, cause: str, message: str) -> None:
        if not self._over:
            self.give_up()
            self._ended(cause, message)
