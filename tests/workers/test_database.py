"""The tables on both databases: migrations, owners, writers at once, and a server that is away."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from workers.database import Database, owned
from workers.errors import DatabaseAway
from workers.models import Capture, Job, Owner, Table


def test_the_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Table.metadata) == []


def test_many_processes_may_upgrade_at_once(database: Database) -> None:
    Table.metadata.drop_all(database.engine)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("drop table alembic_version")
    others = [Database(database.url.render_as_string(hide_password=False)) for _ in range(4)]
    threads = [threading.Thread(target=other.upgrade) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.writing() as session:
        session.add(Owner(name="a"))
    for other in others:
        other.close()


def test_every_row_has_its_owner() -> None:
    for table in Table.metadata.tables.values():
        assert table.name == "owners" or not table.c.owner_id.nullable


def test_another_owners_row_is_not_there(database: Database) -> None:
    with database.writing() as session:
        one, other = Owner(id="one", name="one"), Owner(id="other", name="other")
        session.add_all([one, other])
        session.flush()
        session.add(Capture(id="c", owner_id="one", name="walk"))
    with database.reading() as session:
        assert owned(session, Capture, "c", "one").name == "walk"
        for id, owner in (("c", "other"), ("absent", "one")):
            with pytest.raises(KeyError):
                owned(session, Capture, id, owner)


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError), database.writing() as session:
        session.add(Owner(id="one", name="one"))
        session.flush()
        session.add(Job(owner_id="one", capture_id="absent"))
    with database.reading() as session:
        assert session.scalars(select(Owner)).all() == []


def test_writers_at_once_lose_nothing(database: Database) -> None:
    with database.writing() as session:
        session.add(Owner(id="one", name="one", max_jobs=0))

    def count() -> None:
        for _ in range(10):
            with database.writing() as session:
                owner = session.scalars(select(Owner).with_for_update()).one()
                owner.max_jobs = (owner.max_jobs or 0) + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.scalars(select(Owner)).one().max_jobs == 40


def test_a_database_that_is_away_says_so() -> None:
    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/absent")
    with pytest.raises(DatabaseAway, match=r"the database at 127\.0\.0\.1 does not answer: .*refused"), away.reading() as session:
        session.scalars(select(Owner)).all()
