"""The durable accounting queue: what must reach a server at least once, kept in a file until it has.

A package of its own, not pure: it holds an sqlite file and a thread. It knows no protocol: payloads are octets, and
both propppd and prol2tpd may have a queue, one file each. `order` (what may go when) and `file` (the rows) know no
Twisted; `queue` is what the daemons use.
"""
