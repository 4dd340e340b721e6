"""Run as a program: an accounting queue with a sender, made to be killed. Says on its output what is durable."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from twisted.internet import reactor

from prol2tp.spool.order import INTERIM, START, STOP
from prol2tp.spool.queue import AccountingQueue

SESSIONS = 40


class Child:
    """Sessions that start, count and stop for ever; payloads are "RUN.SESSION SEQUENCE KIND"."""

    def __init__(self, path: str, run: str) -> None:
        self.run, self.chance = run, random.Random(run)
        self.queue = AccountingQueue(path, reactor, self.send)
        self.open: dict[str, int] = {}
        self.count = 0
        self.held = 0

    def say(self, word: str, payload: bytes) -> None:
        os.write(1, word.encode() + b" " + payload + b"\n")

    def start(self) -> None:
        self.queue.start().addCallback(lambda _: self.turn())

    def turn(self) -> None:
        for _ in range(self.chance.randrange(1, 30)):
            self.event()
        reactor.callLater(self.chance.random() * 0.004, self.turn)

    def event(self) -> None:
        if len(self.open) < SESSIONS:
            self.count += 1
            self.open[f"{self.run}.{self.count}"] = 0
            self.append(f"{self.run}.{self.count}", START)
        session = self.chance.choice(list(self.open))
        self.open[session] += 1
        if self.chance.random() < 0.3:
            self.append(session, STOP)
            del self.open[session]
        else:
            self.append(session, INTERIM)

    def append(self, session: str, kind: int) -> None:
        payload = f"{session} {self.open[session]} {kind}".encode()
        self.queue.append(session, kind, payload, 1e9).addCallback(lambda _: self.say("saved", payload))

    def send(self) -> None:
        self.queue.take(self.chance.randrange(1, 20)).addCallback(self.taken)

    def taken(self, records: list[Any]) -> None:
        for record in records:
            self.say("sent", record.payload)
            if self.chance.random() < 0.2:
                self.queue.release([record.id])
            else:
                self.queue.acknowledge([record.id])


Child(sys.argv[1], sys.argv[2]).start()
reactor.run()
