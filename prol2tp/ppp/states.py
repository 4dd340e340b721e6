"""States, events and the state transition table of the automaton (RFC 1661 sections 4.1 to 4.3)."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    __hash__ = object.__hash__  # members are single: half the cost of a row looked up

    INITIAL = 0
    STARTING = 1
    CLOSED = 2
    STOPPED = 3
    CLOSING = 4
    STOPPING = 5
    REQ_SENT = 6
    ACK_RCVD = 7
    ACK_SENT = 8
    OPENED = 9


class Event(Enum):
    __hash__ = object.__hash__

    UP = "Up"
    DOWN = "Down"
    OPEN = "Open"
    CLOSE = "Close"
    TO_PLUS = "TO+"
    TO_MINUS = "TO-"
    RCR_PLUS = "RCR+"
    RCR_MINUS = "RCR-"
    RCA = "RCA"
    RCN = "RCN"
    RTR = "RTR"
    RTA = "RTA"
    RUC = "RUC"
    RXJ_PLUS = "RXJ+"
    RXJ_MINUS = "RXJ-"
    RXR = "RXR"


# RFC 1661 section 4.1: actions/next state; `-` cannot happen. r: restart option, p: passive option, x: crossed
# connection; the letters are the RFC's notes and change nothing here.
RFC_TABLE = """
         0      1          2          3               4      5      6          7          8          9
  Up     2      irc,scr/6  -          -               -      -      -          -          -          -
  Down   -      -          0          tls/1           0      1      1          1          1          tld/1
  Open   tls/1  1          irc,scr/6  3r              5r     5r     6          7          8          9r
  Close  0      tlf/0      2          2               4      4      irc,str/4  irc,str/4  irc,str/4  tld,irc,str/4
  TO+    -      -          -          -               str/4  str/5  scr/6      scr/6      scr/8      -
  TO-    -      -          -          -               tlf/2  tlf/3  tlf/3p     tlf/3p     tlf/3p     -
  RCR+   -      -          sta/2      irc,scr,sca/8   4      5      sca/8      sca,tlu/9  sca/8      tld,scr,sca/8
  RCR-   -      -          sta/2      irc,scr,scn/6   4      5      scn/6      scn/7      scn/6      tld,scr,scn/6
  RCA    -      -          sta/2      sta/3           4      5      irc/7      scr/6x     irc,tlu/9  tld,scr/6x
  RCN    -      -          sta/2      sta/3           4      5      irc,scr/6  scr/6x     irc,scr/8  tld,scr/6x
  RTR    -      -          sta/2      sta/3           sta/4  sta/5  sta/6      sta/6      sta/6      tld,zrc,sta/5
  RTA    -      -          2          3               tlf/2  tlf/3  6          6          8          tld,scr/6
  RUC    -      -          scj/2      scj/3           scj/4  scj/5  scj/6      scj/7      scj/8      scj/9
  RXJ+   -      -          2          3               4      5      6          6          8          9
  RXJ-   -      -          tlf/2      tlf/3           tlf/2  tlf/3  tlf/3      tlf/3      tlf/3      tld,irc,str/5
  RXR    -      -          2          3               4      5      6          7          8          ser/9
"""

LOWER_DOWN = frozenset((State.INITIAL, State.STARTING))
ENDED = frozenset((State.CLOSED, State.STOPPED, State.CLOSING, State.STOPPING))
NEGOTIATING = frozenset((State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT))
TIMED = NEGOTIATING | {State.CLOSING, State.STOPPING}
