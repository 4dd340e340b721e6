"""`python -m prol2tp.daemons.webd.reference docs/metrics.md`: write the tables of metrics anew."""

from __future__ import annotations

import sys
from pathlib import Path

from prol2tp.daemons.webd.table import reference


def main(path: str) -> None:
    page = Path(path)
    text, _, _ = page.read_text(encoding="utf-8").partition("## Of ")
    page.write_text(text + "\n".join(reference()).rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
