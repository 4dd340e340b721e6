"""Where log lines go, and in which form: file, JSON, the journal's own protocol."""

import importlib
import json
import os
import pkgutil
import socket
import time
from types import SimpleNamespace

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python import usage
from twisted.python.failure import Failure

from prol2tp import daemons
from prol2tp.daemons import logs
from prol2tp.daemons.base import CommonOptions, DaemonService
from prol2tp.daemons.logs import JournalObserver, Level, Log, Output, under_journal
from prol2tp.daemons.prol2tpd.service import Options


def event(text="session {session} of {user} is up", level=Level.NOTICE, **values):
    values = values or {"session": "7/8", "user": "u1@example.com", "seconds": 1.5}
    return {"log_format": text, "log_time": 1543513508.25, "log_namespace": "prol2tpd", "log_level": LogLevel.info,
            "log_source": None, "prol2tp_level": level, **values}


def test_json_lines_have_message_and_values(tmp_path):
    output = Output("prol2tpd", str(tmp_path / "log"), False, as_json=True)
    output(event())
    output(event("peer {host}\n{odd}", Level.ERROR, host="a\x1b\n\udcff", odd=object))
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert first == {"time": 1543513508.25, "level": "notice", "daemon": "prol2tpd", "pid": os.getpid(),
                     "category": "prol2tpd", "message": "session 7/8 of u1@example.com is up",
                     "fields": {"session": "7/8", "user": "u1@example.com", "seconds": 1.5}}
    assert second["level"] == "error" and second["message"].startswith("peer a\\x1b\\x0a\\xff\\x0a<class")


def test_a_file_is_opened_again_after_a_rotation(tmp_path):
    path = tmp_path / "log"
    output = Output("prol2tpd", str(path), False, as_json=True)
    output(event())
    path.rename(tmp_path / "log.1")
    output(event())
    output.reopen()
    output(event())
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("log.1", "log")] == [2, 1]


def test_a_log_file_is_not_for_everybody(tmp_path):
    before = os.umask(0o022)
    try:
        assert logs.writable(str(tmp_path / "log")) is None
        Output("prol2tpd", str(tmp_path / "other"), False)(event())
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("log", "other")] == [0o640, 0o640]
    assert logs.writable(str(tmp_path)) == "Is a directory"


def test_a_file_that_cannot_be_opened_again_is_written_on(tmp_path):
    (tmp_path / "logs").mkdir()
    output = Output("prol2tpd", str(tmp_path / "logs" / "log"), False)
    (tmp_path / "logs").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        output.reopen()
    output(event())
    assert (tmp_path / "away" / "log").read_text().endswith("session 7/8 of u1@example.com is up\n")


@pytest.fixture
def journal(tmp_path):
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.setblocking(False)
        yield path, listening


def entry(data):
    """Fields of an entry in the journal's native protocol."""
    found = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8:8 + size], data[9 + size:]
        found[name.decode()] = value.decode()
    return found


def test_the_journal_gets_values_as_fields(journal):
    path, listening = journal
    JournalObserver("prol2tpd", path)(event(level=Level.WARNING))
    assert entry(listening.recv(65536)) == {
        "MESSAGE": "session 7/8 of u1@example.com is up", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "prol2tpd",
        "SYSLOG_FACILITY": "3", "SYSLOG_PID": str(os.getpid()), "PROL2TP_CATEGORY": "prol2tpd",
        "PROL2TP_SESSION": "7/8", "PROL2TP_USER": "u1@example.com", "PROL2TP_SECONDS": "1.5"}


def test_what_has_lines_goes_to_the_journal_in_one_field(journal):
    path, listening = journal
    try:
        raise ValueError("two\nlines")
    except ValueError:
        failed = {**event("it failed"), "log_failure": Failure()}
    JournalObserver("prol2tpd", path)(failed)
    found = entry(listening.recv(65536))
    assert found["MESSAGE"].startswith("it failed\n    Traceback") and found["SYSLOG_IDENTIFIER"] == "prol2tpd"


def test_a_journal_that_takes_nothing_costs_the_line_alone(journal):
    path, listening = journal
    observer = JournalObserver("prol2tpd", path)
    for _ in range(5000):
        observer(event())
    listening.close()
    observer(event())


def test_the_journal_is_chosen_where_the_service_manager_says_so(journal, monkeypatch):
    path, listening = journal
    status = os.fstat(2)
    monkeypatch.setattr(logs, "JOURNAL", path)
    monkeypatch.setattr(JournalObserver.__init__, "__defaults__", (path, "daemon"))
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert under_journal()
    Output("prol2tpd", None, True)(event())
    assert entry(listening.recv(65536))["PROL2TP_SESSION"] == "7/8"
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:1")
    assert not under_journal()
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not under_journal()


def test_syslog_lines_are_json_when_wanted(monkeypatch):
    said = []
    monkeypatch.setattr(logs.syslog, "syslog", lambda priority, text: said.append((priority, text)))
    Output("prol2tpd", None, False, "syslog", as_json=True)(event())
    Output("prol2tpd", None, False, "syslog")(event())
    assert json.loads(said[0][1])["fields"]["session"] == "7/8" and said[0][0] == said[1][0] == logs.syslog.LOG_NOTICE
    assert said[1][1] == "session 7/8 of u1@example.com is up"


@pytest.mark.parametrize(("word", "facility"),
                         [("default", 3), ("daemon", 3), ("user", 1), ("local0", 16), ("local7", 23)])
def test_lines_have_the_facility_that_was_asked_for(journal, monkeypatch, word, facility):
    opened = []
    monkeypatch.setattr(logs.syslog, "openlog", lambda *words: opened.append(words))
    Output("prol2tpd", None, False, "syslog", facility=word)
    assert opened == [("prol2tpd", logs.syslog.LOG_PID, facility << 3)]
    path, listening = journal
    JournalObserver("prol2tpd", path, facility=word)(event())
    assert entry(listening.recv(65536))["SYSLOG_FACILITY"] == str(facility)


def test_a_line_of_a_file_begins_with_the_time_as_prol2tp_writes_it(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert logs.plain(event()) == "Thu Nov 29 17:45:08 2018 session 7/8 of u1@example.com is up"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_sigusr1_without_a_file_does_no_harm_and_says_so_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logs.syslog, "syslog", lambda priority, text: said.append(text))
    for target, words in (("syslog", "system's log"), ("file", None)):
        options = Options()
        options.output = output = Output("prol2tpd", str(tmp_path / "log") if words is None else None, False, "syslog")
        log = Log("prol2tpd")
        log._logger = Logger("prol2tpd", observer=output)
        service = DaemonService(options, log, SimpleNamespace(doIteration=None, seconds=None))
        (tmp_path / "log").unlink(missing_ok=True)
        service.reopen_log()
        service.reopen_log()
        assert output.target == target
    assert said == ["SIGUSR1 opens the log file again, and there is none: lines go to the system's log"]
    assert (tmp_path / "log").read_text() == ""


def test_every_daemon_opens_its_log_again_on_sigusr1():
    for plugin in pkgutil.iter_modules(daemons.__path__):
        if not plugin.ispkg:
            continue
        module = importlib.import_module(f"{daemons.__name__}.{plugin.name}.service")
        assert issubclass(module.makeService.__globals__[module.makeService.__annotations__["return"]], DaemonService)
        assert issubclass(module.Options, CommonOptions)


def test_a_facility_that_there_is_not_is_refused(tmp_path):
    options = Options()
    options["log-facility"] = "mail"
    options["run-dir"], options["config-file"] = str(tmp_path), str(tmp_path / "c")
    (tmp_path / "c").write_text("")
    with pytest.raises(usage.UsageError, match="--log-facility: one of daemon, default, user, local0, .*local7$"):
        options.postOptions()


def test_a_target_that_there_is_not_is_refused(tmp_path):
    options = Options()
    options["log-target"] = "moon"
    options["run-dir"], options["config-file"] = str(tmp_path), str(tmp_path / "c")
    (tmp_path / "c").write_text("")
    with pytest.raises(usage.UsageError, match="--log-target: one of auto, terminal, syslog, journal"):
        options.postOptions()


def test_an_output_is_an_observer_of_twisted(tmp_path):
    output = Output("prol2tpd", str(tmp_path / "log"), False)
    LogPublisher(output)(event())
    assert (tmp_path / "log").read_text().endswith("session 7/8 of u1@example.com is up\n")
