"""Options of the daemons, and how the console scripts map theirs on twistd."""

import errno
import io
import os
import subprocess
import sys

import pytest
from twisted.python import usage

from prol2tp.daemons import base
from prol2tp.daemons.base import make_directory, may_set_up_networks, read_config
from prol2tp.daemons.launch import arguments
from prol2tp.daemons.prol2tpd import scripts
from prol2tp.daemons.prol2tpd.service import Options
from prol2tp.daemons.scriptd.service import Options as ScriptOptions


def test_a_daemon_goes_to_the_background_with_its_pid_in_the_run_directory(tmp_path):
    words = arguments("prol2tpd", "prol2tp", Options(), ["-c", "x", "--run-dir", str(tmp_path)])
    assert words == ["twistd", "--umask=0027", f"--pidfile={tmp_path}/prol2tpd.pid", "prol2tp", "-c", "x",
                     "--run-dir", str(tmp_path)]


@pytest.mark.parametrize("flag", ["-f", "--foreground", "-fd", "-df"])
def test_foreground_keeps_it_in_the_foreground(tmp_path, flag):
    words = arguments("prol2tpd", "prol2tp", Options(), [flag, f"--run-dir={tmp_path}"])
    assert "--nodaemon" in words and flag not in words[words.index("prol2tp"):]


def test_the_flag_of_the_foreground_may_stand_before_an_option_with_a_value(tmp_path):
    words = arguments("prol2tpd", "prol2tp", Options(), ["-fc", "x", f"--run-dir={tmp_path}"])
    assert "--nodaemon" in words and words[words.index("prol2tp") + 1:][:2] == ["-c", "x"]


@pytest.mark.parametrize(("words", "said"), [
    (("--timeout", "x"), "--timeout x: must be a number"),
    (("--max-running", "1.5"), "--max-running 1.5: must be a number"),
    (("--max-running", "0"), "--max-running must be 1 to 1000 scripts"),
    (("-q",), "option -q not recognized; see --help"),
])
def test_a_number_that_is_none_is_said_with_its_option(tmp_path, capsys, words, said):
    with pytest.raises(SystemExit):
        ScriptOptions().parseOptions(["--state-dir", str(tmp_path), "--run-dir", str(tmp_path), *words])
    assert capsys.readouterr().err == f"prol2tp-scriptd: {said}\n"


def test_a_dry_run_makes_no_directory_and_no_pid_file(tmp_path):
    words = arguments("prol2tpd", "prol2tp", Options(), ["-n", "--run-dir", str(tmp_path / "not")])
    assert "--pidfile=" in words and not (tmp_path / "not").exists()


def run(*words):
    program = "import sys; from prol2tp.daemons import launch; sys.argv[0] = 'prol2tpd'; launch.prol2tpd()"
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=30,
                          check=False)


def test_a_good_file_passes_the_dry_run(tmp_path):
    path = tmp_path / "good.conf"
    path.write_text('system { hostname "x" }\n')
    done = run("-n", "-c", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: no errors found\n", "")


def test_a_bad_file_is_said_with_place_source_and_caret_and_nothing_else(tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text("system { listne 192.0.2.1 }\n")
    done = run("-c", str(path), "--run-dir", str(tmp_path))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"prol2tpd: {path}:1:10: unknown parameter listne in system; did you mean listen?\n"
                           "system { listne 192.0.2.1 }\n         ^\n")


@pytest.mark.parametrize("words", [("-z",), ("-c", "/nowhere/x.conf"), ("extra",)])
def test_bad_options_are_one_line(words):
    done = run("-n", *words)
    assert done.returncode == 1 and done.stderr.startswith("prol2tpd: ") and done.stderr.count("\n") == 1


def test_version_has_the_banner():
    assert run("-v").stdout.splitlines()[0].startswith("prol2tpd V")


@pytest.mark.parametrize("words", [("-h",), ("--help",)])
def test_help_lists_all_options_in_one_table(words):
    done = run(*words)
    assert done.returncode == 0 and done.stderr == ""
    for option in ("-c, --config-file=", "-f, --foreground", "-h, --help", "-n, --dry-run", "-v, --version"):
        assert f"\n  {option}" in done.stdout
    columns = {line.index(text) for line in done.stdout.splitlines() for text in ("Do not go", "Read the", "Print")
               if text in line}
    assert len(columns) == 1


def test_an_argument_that_no_daemon_takes_is_named():
    assert run("-n", "start").stderr == "prol2tpd: unexpected argument: start\n"


def test_a_daemon_that_runs_already_is_said_in_one_line_with_its_pid(tmp_path):
    pid_file = tmp_path / "prol2tpd.pid"
    pid_file.write_text(str(os.getpid()))
    path = tmp_path / "good.conf"
    path.write_text("")
    done = run("-c", str(path), "--run-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"prol2tpd: is running already, pid {os.getpid()} in {pid_file}\n"
    assert pid_file.exists()


def test_the_pid_file_of_a_daemon_that_is_no_more_is_removed_without_a_word(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "prol2tpd.pid").write_text(f"{gone.pid}\n")
    arguments("prol2tpd", "prol2tp", Options(), ["--run-dir", str(tmp_path)])
    assert not (tmp_path / "prol2tpd.pid").exists()


@pytest.mark.parametrize("text", ["", "who knows"])
def test_a_pid_file_that_is_none_is_left_and_named(tmp_path, text):
    (tmp_path / "prol2tpd.pid").write_text(text)
    with pytest.raises(usage.UsageError, match="is no pid file; remove it"):
        arguments("prol2tpd", "prol2tp", Options(), ["--run-dir", str(tmp_path)])
    assert (tmp_path / "prol2tpd.pid").exists()


def test_a_run_directory_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    # root may write anywhere
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(usage.UsageError, match=f"cannot write in run directory {tmp_path}: Permission denied"):
        arguments("prol2tpd", "prol2tp", Options(), ["--run-dir", str(tmp_path)])


def test_a_directory_that_is_a_file_or_on_a_read_only_system_is_told_as_that(tmp_path, monkeypatch):
    path = tmp_path / "state"
    path.write_text("")
    with pytest.raises(usage.UsageError, match=f"state directory {path} is no directory"):
        make_directory(str(path), "state directory")
    flags = os.statvfs_result((*os.statvfs(tmp_path)[:8], os.ST_RDONLY, 255))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("os.statvfs", lambda path: flags)
    with pytest.raises(usage.UsageError, match=f"cannot write in state directory {tmp_path}: Read-only file system"):
        make_directory(str(tmp_path), "state directory")


def test_capabilities_are_read_from_the_process_itself(monkeypatch):
    for bits, allowed in (("0000003fffffffff", True), ("0000000000000000", False), ("0000000000001000", True)):
        monkeypatch.setattr("builtins.open", lambda *a, bits=bits, **k: io.StringIO(f"Name: x\nCapEff:\t{bits}\n"))
        assert may_set_up_networks() is allowed
        monkeypatch.undo()


def test_a_daemon_that_gives_up_before_its_reactor_runs_stops_as_soon_as_it_does(tmp_path):
    pid_file = tmp_path / "prol2tpd.pid"
    pid_file.write_text("1")
    program = f"""
from twisted.internet import reactor
from prol2tp.daemons.base import DaemonService
from prol2tp.daemons.logs import Log
class Options(dict):
    daemon = "prol2tpd"
    parent = {{"pidfile": {str(pid_file)!r}}}
service = DaemonService(Options(), Log("prol2tpd"), reactor)
service.fail("no")
reactor.run()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, "no\n")
    assert not pid_file.exists()


def test_the_process_shows_the_command_line_that_was_given():
    program = ("import sys; from prol2tp.daemons import base;"
               " base.command_line[:] = ['/usr/sbin/prol2tpd', '-d', '-o', 'x']; base.set_process_title('prol2tpd');"
               " print(open('/proc/self/cmdline').read().rstrip(chr(0)).split(chr(0)), open('/proc/self/comm').read())")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split("\n")[0] == "['/usr/sbin/prol2tpd', '-d', '-o', 'x'] prol2tpd"
    longer = program.replace("'x'", "'x' * 5000")
    done = subprocess.run([sys.executable, "-c", longer], capture_output=True, text=True, timeout=30, check=True)
    assert "-c" in done.stdout  # no room: as it was


def test_who_cannot_read_the_configuration_is_told_that_it_is_about_his_rights(monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "refused", path)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(usage.UsageError) as caught:
        read_config("/etc/prol2tp/prol2tpd.conf", lambda text, path: None)
    assert str(caught.value) == ("/etc/prol2tp/prol2tpd.conf: Permission denied; who runs the daemon must be able to "
                                 "read it")


def test_a_daemon_that_logs_to_a_file_says_to_who_started_it_why_it_gives_up(tmp_path):
    path = tmp_path / "elsewhere.conf"
    path.write_text("system { listen 192.0.2.77:1701 }\n")
    done = run("-f", "-c", str(path), "-o", str(tmp_path / "log"), "--run-dir", str(tmp_path / "run"),
               "--state-dir", str(tmp_path / "state"))
    reason = "cannot start: 192.0.2.77 port 1701: Cannot assign requested address; no interface has it\n"
    assert (done.returncode, done.stderr) == (1, f"prol2tpd: {reason}")
    assert (tmp_path / "log").read_text().count(reason) == 1


def test_the_daemon_of_scripts_is_the_program_beside_the_console_script(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "command_line", [str(tmp_path / "prol2tpd"), "-o", "log"])
    monkeypatch.setattr(sys, "argv", ["twistd", "prol2tp"])
    assert scripts.command() == [sys.executable, "-m", "prol2tp.daemons.scriptd"]
    (tmp_path / "prol2tp-scriptd").touch(mode=0o755)
    assert scripts.command() == [str(tmp_path / "prol2tp-scriptd")]
