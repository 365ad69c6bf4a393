"""The benchmark's table does not pass over what was never measured."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bench import bars, table


def figures(**changed: Any) -> dict[str, Any]:
    row = bars.at_most("1", "a set", "a figure", 1.0, 2.0).as_json()
    return {"machine": {}, "rows": {name: [row] for name in bars.BARS} | changed}


@pytest.mark.parametrize(
    ("changed", "met", "missing"),
    [
        ({}, True, ""),
        ({"peer": []}, False, "Not measured: peer"),
        ({"memory": [bars.at_least("7", "a set", "a figure", 1.0, 2.0).as_json()]}, False, ""),
    ],
)
def test_all_is_met_only_if_all_was_measured(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], met: bool, missing: str) -> None:
    monkeypatch.setattr(table, "kept", lambda: figures(**changed))
    console = Console(file=io.StringIO(), width=150)
    assert table.show(console) is met
    assert ("Not measured" in console.file.getvalue()) == bool(missing)  # type: ignore[attr-defined]
    assert missing in console.file.getvalue()  # type: ignore[attr-defined]
