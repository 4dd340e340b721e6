"""propppd(8) and the options of the daemon say the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from prol2tp.daemons.propppd.service import Options

PAGE = Path(__file__).resolve().parents[3] / "man" / "propppd.8"


OF_THE_SCRIPT = {"-f", "--foreground", "-h"}
"""Options that the script has beside those of the plugin (`daemons/launch.py`)."""


def test_the_page_has_all_options_and_no_others():
    options = Options()
    known = {f"-{letter}" for letter in options.shortOpt.replace(":", "")}
    known |= {f"--{name.rstrip('=')}" for name in options.longOpt}
    listed = {f"-{word}" for line in PAGE.read_text().splitlines() if line.startswith(".It Fl ")
              for word in re.findall(r"Fl (\S+)", line)}
    assert listed == known | OF_THE_SCRIPT


@pytest.mark.skipif(not shutil.which("mandoc"), reason="needs the Debian package mandoc")
def test_the_page_is_clean_mdoc():
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", PAGE], capture_output=True, text=True, check=False)
    assert done.stdout == ""
