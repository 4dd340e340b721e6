"""Options of proacd: what a dry run prints, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from prol2tp.config.access import DEBUG_CATEGORIES
from prol2tp.config.proacd import load
from prol2tp.daemons.proacd.service import Options

CONFIG = """
profile radius "aaa" { server 127.0.0.1 secret "testing123" }
route "r1" { source pppoe { interface eth0 } destination l2tp { peer 192.0.2.10 secret "s3cret" } }
"""


def options(directory: Path, *words: str, config: str = CONFIG) -> Options:
    file = directory / "proacd.conf"
    file.write_text(config)
    made = Options()
    made.parseOptions(["-c", str(file), "--run-dir", str(directory / "run"), "--state-dir", str(directory / "state"),
                       *words])
    return made


def test_a_dry_run_prints_the_resulting_configuration_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(tmp_path, "-n")
    assert ended.value.code == 0
    output = capsys.readouterr().out
    assert "testing123" not in output and "s3cret" not in output and "cookie_lifetime 30" in output
    assert load(output, "f").routes.keys() == {"r1"}


def test_a_dry_run_of_a_wrong_file_says_where_and_what_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(tmp_path, "-n", config=CONFIG.replace("interface eth0", "interfce eth0"))
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert "proacd.conf:3:29: unknown parameter interfce in source pppoe; did you mean interface?" in errors


def test_what_is_logged_in_detail_is_said_by_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert options(tmp_path, "-D")["debug-mask"] == DEBUG_CATEGORIES
    assert options(tmp_path, "-d", "route,pppoe")["debug-mask"] == ("route", "pppoe")
    assert options(tmp_path, "-d", "0x3")["debug-mask"] == ("route", "pppoe")
    with pytest.raises(SystemExit):
        options(tmp_path, "-d", "rout")
    assert capsys.readouterr().err == "proacd: -d: rout is no category; did you mean route?\n"


def test_servers_hear_the_name_of_the_profile_or_of_the_machine(tmp_path: Path) -> None:
    import socket

    assert options(tmp_path).config.radius["aaa"].nas_identifier == socket.gethostname()
    named = options(tmp_path, config='system { hostname "lac" }' + CONFIG)
    assert named.config.radius["aaa"].nas_identifier == "lac"
