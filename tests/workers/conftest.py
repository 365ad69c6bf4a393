"""A database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.database import Database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with its tables."""
    url = f"sqlite:///{tmp_path / 'recon.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()
    made = Database(url)
    made.upgrade()
    yield made
    made.close()
