"""Which data path a host gets."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from prol2tp.dataplane import choice
from prol2tp.dataplane.interface import UNSUPPORTED, DataPathError
from prol2tp.dataplane.linux.probe import Features


def chosen(monkeypatch: pytest.MonkeyPatch, wanted: str, features: Features):
    monkeypatch.setattr(choice, "probe", lambda: features)
    return choice.choose(wanted, Clock())


def test_auto_takes_the_kernels_and_tells_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = chosen(monkeypatch, "auto", Features(codecs=("deflate",), limits=["no PPPoE (pppoe)"]))
    assert (plane.name, plane.codecs, plane.notes) == ("kernel", ("deflate",), ("the kernel has no PPPoE (pppoe)",))


def test_auto_says_why_it_is_not_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = chosen(monkeypatch, "auto", Features(reason="no L2TP (module l2tp_netlink): it is not there"))
    assert plane.name == "user"
    assert plane.notes == ("kernel: not taken, the kernel has no L2TP (module l2tp_netlink): it is not there",)


def test_user_asks_nothing_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = chosen(monkeypatch, "user", Features())
    assert (plane.name, plane.notes) == ("user", ())


def test_the_kernels_that_is_wanted_and_not_there_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataPathError, match="data_path kernel: the kernel has no .*; load the module") as caught:
        chosen(monkeypatch, "kernel", Features(reason="no /dev/ppp (ppp_generic): No such device"))
    assert caught.value.code == UNSUPPORTED
