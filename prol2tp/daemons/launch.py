"""Console scripts of the daemons: the options of the manual, mapped on twistd.

    prol2tpd [-f] [-c FILE] [-o FILE] [-n] [-d] [-h] [-v] [--run-dir DIR] [--state-dir DIR]

Without -f the daemon goes to the background; its pid is in RUN_DIR/<daemon>.pid.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence

from twisted.python import usage
from twisted.scripts import twistd

from prol2tp.daemons.base import DaemonOptions, default_run_dir, make_directory

_CLUSTER = re.compile("-[dfhnv]{2,}")


def arguments(daemon: str, plugin: str, options: DaemonOptions, words: Sequence[str]) -> list[str]:
    """The twistd command line for a console script's words. Raises `usage.UsageError`."""
    foreground = False
    passed: list[str] = []
    run_dir = default_run_dir()
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("-f", "--foreground"):
            foreground = True
        elif word in ("-h", "--help"):
            print(f"{options}\n  -f, --foreground       Do not go to the background.")
            sys.exit(0)
        elif _CLUSTER.fullmatch(word):
            words[:0] = [f"-{letter}" for letter in word[1:]]
        else:
            passed.append(word)
            if word == "--run-dir" and words:
                run_dir = words[0]
            elif word.startswith("--run-dir="):
                run_dir = word.partition("=")[2]
    dry = any(w in ("-n", "--dry-run", "-v", "--version") for w in passed)
    if not dry:
        make_directory(run_dir, "run directory")
    head = ["twistd", "--umask=0027", "--pidfile=" + ("" if dry else os.path.join(run_dir, f"{daemon}.pid"))]
    if foreground or dry:
        head.append("--nodaemon")
    return [*head, plugin, *passed]


def _run(daemon: str, plugin: str, options: Callable[[], DaemonOptions]) -> None:
    try:
        sys.argv = arguments(daemon, plugin, options(), sys.argv[1:])
    except usage.UsageError as error:
        sys.stderr.write(f"{daemon}: {error}\n")
        sys.exit(1)
    twistd.run()


def prol2tpd() -> None:
    """Console script `prol2tpd`."""
    from prol2tp.daemons.prol2tpd.service import Options

    _run("prol2tpd", "prol2tp", Options)


def propppd() -> None:
    """Console script `propppd`."""
    from prol2tp.daemons.propppd.service import Options

    _run("propppd", "proppp", Options)


def pathd() -> None:
    """Console script `prol2tp-pathd`."""
    from prol2tp.daemons.pathd.service import Options

    _run("prol2tp-pathd", "prol2tp-path", Options)
