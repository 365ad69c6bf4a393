"""The database: SQLite (WAL) embedded, PostgreSQL for servers. What it says is the truth about jobs."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Double, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from workers.errors import DatabaseAway
from workers.models import Table

log = logging.getLogger(__name__)

_BUSY_S = 30
_UPGRADE_LOCK = 7262636  # any number that no other program of this database uses
Row = TypeVar("Row", bound=Table)


class Database:
    """Sessions on one database. Make one in each process: connections do not survive a fork."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that changes nothing."""
        with self._told(), Session(self.engine.execution_options(recon_writes=False), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction: committed at the end, undone by an error. Keep it short: SQLite has one writer at a time."""
        with self._told(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables up to date, or to the state of a revision. Safe when many processes start at once."""
        with self._told():
            if self.is_sqlite:
                with _file_locked(Path(f"{self.url.database}.upgrade")), self.engine.connect() as connection:
                    _upgrade(connection, revision)
                return
            with self.engine.connect() as connection:
                connection.execute(text("select pg_advisory_lock(:n)"), {"n": _UPGRADE_LOCK})
                connection.commit()
                try:
                    _upgrade(connection, revision)
                finally:
                    connection.execute(text("select pg_advisory_unlock(:n)"), {"n": _UPGRADE_LOCK})
                    connection.commit()

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise self._away(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise self._away(error) from error
            raise

    def _away(self, error: DBAPIError) -> DatabaseAway:
        reason = " ".join(str(error.orig).split())
        where = self.url.database if self.is_sqlite else f"{self.url.host or 'localhost'}"
        return DatabaseAway(f"the database at {where} does not answer: {reason}", "Check RECON_DATABASE and that the server runs")


class clock(FunctionElement[float]):
    """Seconds since 1970 by the database's clock: workers' own clocks may disagree."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgres_clock(*_: object, **__: object) -> str:
    return "cast(extract(epoch from clock_timestamp()) as double precision)"


def owned(session: Session, kind: type[Row], id: object, owner_id: str) -> Row:
    """The row of that id if it belongs to the owner; KeyError otherwise, whether it exists or not."""
    row = session.get(kind, id)
    if row is None or getattr(row, "owner_id") != owner_id:  # noqa: B009  (not every table is known to have it)
        raise KeyError(id)
    return row


def _sqlite_engine(url: str) -> Engine:
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_S * 1000}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # a transaction that begins with reading and then writes fails at once where another writes: take the lock first
        writes = connection.get_execution_options().get("recon_writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(url: str) -> Engine:
    return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=20, connect_args={"connect_timeout": 5})


def _upgrade(connection: Connection, revision: str) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@contextmanager
def _file_locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
