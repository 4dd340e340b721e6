"""Which record may be sent now: the oldest of each session, so that one session's order is kept and none waits for
another. Ids only; the records are in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

# Acct-Status-Type (RFC 2866 section 5.1)
START = 1
STOP = 2
INTERIM = 3
ACCOUNTING_ON = 7
ACCOUNTING_OFF = 8

KINDS = frozenset((START, STOP, INTERIM, ACCOUNTING_ON, ACCOUNTING_OFF))


class Order:
    """Chains of record ids, one for each session. Ids grow; a chain's first is its head.

    A head that was taken is in the hands of a sender: its session has nothing to give until it is removed (the server
    has it) or released (it could not be sent).
    """

    __slots__ = ("_chains", "_sessions", "_taken", "_ready")

    def __init__(self) -> None:
        self._chains: dict[str, list[tuple[int, int]]] = {}
        self._sessions: dict[int, str] = {}
        self._taken: set[int] = set()
        self._ready: list[int] = []  # a heap; ids that are gone are dropped when they come up

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def ready(self) -> int:
        """How many records `take` would give."""
        return len(self._chains) - len(self._taken)

    @property
    def taken(self) -> int:
        return len(self._taken)

    def add(self, session: str, record: int, kind: int) -> None:
        chain = self._chains.get(session)
        if chain is None:
            self._chains[session] = [(record, kind)]
            heappush(self._ready, record)
        else:
            chain.append((record, kind))
        self._sessions[record] = session

    def superseded(self, session: str) -> int | None:
        """The record that a new Interim of the session makes needless: an Interim that waits as the last of its
        chain. One that was taken stays: it may be at the server already."""
        chain = self._chains.get(session)
        if chain and chain[-1][1] == INTERIM and chain[-1][0] not in self._taken:
            return chain[-1][0]
        return None

    def last(self, session: str, kind: int) -> int | None:
        """The newest record of that kind that the session has here."""
        return next((record for record, of in reversed(self._chains.get(session, ())) if of == kind), None)

    def take(self, limit: int) -> list[int]:
        """Heads that nobody has taken, oldest first; they are taken now."""
        taken: list[int] = []
        while self._ready and len(taken) < limit:
            record = heappop(self._ready)
            if record in self._sessions:
                self._taken.add(record)
                taken.append(record)
        return taken

    def release(self, records: Iterable[int]) -> None:
        """Give back what was taken; records that are not taken are passed over."""
        for record in records:
            if record in self._taken:
                self._taken.discard(record)
                heappush(self._ready, record)

    def remove(self, records: Iterable[int]) -> None:
        """Records that are gone from the file; unknown ones are passed over."""
        for record in records:
            session = self._sessions.pop(record, None)
            if session is None:
                continue
            self._taken.discard(record)
            chain = self._chains[session]
            if chain[0][0] != record:
                self._chains[session] = [link for link in chain if link[0] != record]
            elif len(chain) == 1:
                del self._chains[session]
            else:
                del chain[0]
                heappush(self._ready, chain[0][0])
