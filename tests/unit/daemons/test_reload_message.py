"""A configuration that a reload refuses is one line in the log and from the tools: no source, no caret."""

from __future__ import annotations

import pytest
from twisted.python import usage

from prol2tp.daemons.base import first_problem
from prol2tp.daemons.prol2tpd import service as prol2tpd
from prol2tp.daemons.propppd import service as propppd


@pytest.mark.parametrize("daemon", [prol2tpd, propppd])
@pytest.mark.parametrize(("text", "more"), [("system { nonsense 1 }\n", ""),
                                            ("system { nonsense 1; rubbish 2 }\n}\n", " (and 2 more)")])
def test_it_has_place_and_text_of_the_first_problem_and_the_number_of_the_others(tmp_path, daemon, text, more):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    with pytest.raises(usage.UsageError) as caught:
        daemon.load_config(str(path))
    line = first_problem(caught.value)
    assert line.startswith(f"{path}:1:10: unknown parameter nonsense in system")
    assert line.endswith(more) and "\n" not in line and "^" not in line and "{" not in line


def test_a_file_that_cannot_be_read_is_one_line_as_it_is(tmp_path):
    with pytest.raises(usage.UsageError) as caught:
        prol2tpd.load_config(str(tmp_path / "none.conf"))
    assert first_problem(caught.value) == f"{tmp_path}/none.conf: No such file or directory"
