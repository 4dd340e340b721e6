"""Options of the daemons, and how the console scripts map theirs on twistd."""

import subprocess
import sys

import pytest

from prol2tp.daemons.launch import arguments
from prol2tp.daemons.prol2tpd.service import Options


def test_a_daemon_goes_to_the_background_with_its_pid_in_the_run_directory(tmp_path):
    words = arguments("prol2tpd", "prol2tp", Options(), ["-c", "x", "--run-dir", str(tmp_path)])
    assert words == ["twistd", "--umask=0027", f"--pidfile={tmp_path}/prol2tpd.pid", "prol2tp", "-c", "x",
                     "--run-dir", str(tmp_path)]


@pytest.mark.parametrize("flag", ["-f", "--foreground", "-fd", "-df"])
def test_foreground_keeps_it_in_the_foreground(tmp_path, flag):
    words = arguments("prol2tpd", "prol2tp", Options(), [flag, f"--run-dir={tmp_path}"])
    assert "--nodaemon" in words and flag not in words[words.index("prol2tp"):]


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
