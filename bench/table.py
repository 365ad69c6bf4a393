"""``recon bench``: print the figures that are kept, or measure them anew."""

from __future__ import annotations

import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.bars import BARS
from recon import __version__

FIGURES = Path(__file__).parent / "figures.json"


def kept() -> dict[str, Any]:
    return dict(json.loads(FIGURES.read_text())) if FIGURES.is_file() else {"machine": {}, "rows": {}}


def measure(data: Path, names: list[str], work: Path | None) -> None:
    """Measure the named bars (all, if none) on the sets in ``data`` and keep their figures."""
    figures = kept()
    figures["machine"] = {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "platform": platform.machine(),
        "recon": __version__,
    }
    with tempfile.TemporaryDirectory() as scratch:
        at = work or Path(scratch)
        at.mkdir(parents=True, exist_ok=True)
        for name in names or list(BARS):
            figures["rows"][name] = [row.as_json() for row in BARS[name](data, at)]
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


def show(console: Console) -> bool:
    """Print the table; whether every bar was measured and is met."""
    figures = kept()
    table = Table("bar", "set", "figure", "measured", "wanted", "met", title=f"measured on {figures['machine']}")
    rows = sorted((row for rows in figures["rows"].values() for row in rows), key=lambda row: row["bar"])
    for row in rows:
        met = "" if not row["wanted"] else "yes" if row["met"] else "NO"
        table.add_row(row["bar"], row["set"], row["figure"], _shown(row["value"]), row["wanted"], met)
    console.print(table)
    missing = [name for name in BARS if not figures["rows"].get(name)]
    if missing:
        console.print(f"Not measured: {', '.join(missing)}")
    return not missing and all(row["met"] for row in rows)


def _shown(value: float | None) -> str:
    if value is None:
        return "not measured"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
