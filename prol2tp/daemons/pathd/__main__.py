"""`python -m prol2tp.daemons.pathd`: as a daemon starts it, in the foreground, without a pid file."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.logger import globalLogBeginner
from twisted.python import usage

from prol2tp.daemons.logs import Output
from prol2tp.daemons.pathd.service import Options, makeService


def main() -> None:
    """Run until a signal, or with --ephemeral until the last daemon has left."""
    options = Options()
    try:
        options.parseOptions(sys.argv[1:])
    except usage.UsageError as error:
        sys.exit(f"{options.daemon}: {error}")
    options.output = Output(options.daemon, options["log-file"], to_terminal=sys.stderr.isatty())
    globalLogBeginner.beginLoggingTo([options.output],  # type: ignore[list-item]
                                      redirectStandardIO=False)
    service = makeService(options)
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
