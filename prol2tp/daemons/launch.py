"""Console scripts of the daemons: the options of the manual, mapped on twistd.

    prol2tpd [-f] [-c FILE] [-o FILE] [-n] [-d] [-h] [-v] [--run-dir DIR] [--state-dir DIR]

Without -f the daemon goes to the background; its pid is in RUN_DIR/<daemon>.pid. A service manager that waits for the
daemon's word (sd_notify) watches over it in the foreground.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import cast

from twisted.python import usage
from twisted.scripts import twistd

from prol2tp.daemons import base
from prol2tp.daemons.base import CommonOptions, default_run_dir, make_directory

_CLUSTER = re.compile("-[dfhnv]{2,}")


def arguments(daemon: str, plugin: str, options: CommonOptions, words: Sequence[str]) -> list[str]:
    """The twistd command line for a console script's words. Raises `usage.UsageError`."""
    foreground = "NOTIFY_SOCKET" in os.environ
    passed: list[str] = []
    run_dir = default_run_dir()
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("-f", "--foreground"):
            foreground = True
        elif word in ("-h", "--help"):
            print(with_foreground(options))
            sys.exit(0)
        elif word.startswith("-f"):
            words.insert(0, f"-{word[2:]}")
            foreground = True
        elif _CLUSTER.fullmatch(word):
            words[:0] = [f"-{letter}" for letter in word[1:]]
        else:
            passed.append(word)
            if word == "--run-dir" and words:
                run_dir = words[0]
            elif word.startswith("--run-dir="):
                run_dir = word.partition("=")[2]
    dry = any(w in ("-n", "--dry-run", "-v", "--version") for w in passed)
    pid_file = "" if dry else os.path.join(run_dir, f"{daemon}.pid")
    if pid_file:
        make_directory(run_dir, "run directory")
        _take_over(pid_file)
    head = ["twistd", "--umask=0027", f"--pidfile={pid_file}"]
    if foreground or dry:
        head.append("--nodaemon")
    return [*head, plugin, *passed]


def with_foreground(options: CommonOptions) -> CommonOptions:
    """The same options, and the one that only the script has: for the help."""
    script = type("Options", (type(options),), {"optFlags": [["foreground", "f", "Do not go to the background."]]})
    return cast(CommonOptions, script())


def _take_over(pid_file: str) -> None:
    """Remove the pid file of a process that is no more. Raises `usage.UsageError` when it still is."""
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        raise usage.UsageError(f"{pid_file} is no pid file; remove it") from None
    if os.path.exists(f"/proc/{pid}"):
        raise usage.UsageError(f"is running already, pid {pid} in {pid_file}")
    os.unlink(pid_file)


def _run(daemon: str, plugin: str, options: Callable[[], CommonOptions]) -> None:
    base.command_line[:] = sys.argv
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


def proacd() -> None:
    """Console script `proacd`."""
    from prol2tp.daemons.proacd.service import Options

    _run("proacd", "proac", Options)


def scriptd() -> None:
    """Console script `prol2tp-scriptd`."""
    from prol2tp.daemons.scriptd.service import Options

    _run("prol2tp-scriptd", "prol2tp-scriptd", Options)


def pathd() -> None:
    """Console script `prol2tp-pathd`."""
    from prol2tp.daemons.pathd.service import Options

    _run("prol2tp-pathd", "prol2tp-path", Options)


def webd() -> None:
    """Console script `prol2tp-webd`."""
    from prol2tp.daemons.webd.service import Options

    _run("prol2tp-webd", "prol2tp-web", Options)
