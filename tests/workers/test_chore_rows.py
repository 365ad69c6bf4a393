"""Chores in both databases: begun once, kept by a lease, counted, stopped."""

from __future__ import annotations

import threading
import time

from sqlalchemy import select

from recon.errors import InputError, StageCrashed
from workers import chores, claims
from workers.database import Database
from workers.models import Capture, Chore, Delivery, Owner, Webhook


def add_capture(database: Database, owner: str = "owner") -> str:
    with database.writing() as session:
        if session.get(Owner, owner) is None:
            session.add(Owner(id=owner, name=owner))
            session.flush()
        capture = Capture(owner_id=owner, name="c", state="ready")
        session.add(capture)
        session.flush()
        return capture.id


def inspect(database: Database, capture: str) -> str:
    with database.writing() as session:
        return chores.start_inspection(session, session.get_one(Capture, capture)).id


def import_into(database: Database, capture: str) -> str:
    with database.writing() as session:
        return chores.start_import(session, session.get_one(Capture, capture), "https://example.org/a.jpg", 10, 20).id


def claim(database: Database, chore: str, worker: str = "w", pid: int = 1) -> chores.Errand | None:
    with database.writing() as session:
        return chores.claim(session, chore, worker, pid)


def state(database: Database, chore: str) -> str:
    with database.reading() as session:
        return session.get_one(Chore, chore).state


def test_a_capture_has_one_inspection_that_waits_and_one_that_runs_is_stopped(database: Database) -> None:
    capture = add_capture(database)
    first = inspect(database, capture)
    assert inspect(database, capture) == first
    errand = claim(database, first)
    assert errand is not None
    second = inspect(database, capture)
    assert second != first
    assert (state(database, first), state(database, second)) == ("cancelled", "pending")
    with database.writing() as session:
        assert chores.finish(session, errand) is None  # what it saw is out of date
        assert chores.unwanted(session, "w") == [1]
        assert chores.unwanted(session, "w") == []
    made: list[str] = []
    other = add_capture(database)
    threads = [threading.Thread(target=lambda: made.append(inspect(database, other))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert len(set(made)) == 1


def test_a_chore_is_claimed_once_however_many_tickets_it_has(database: Database) -> None:
    chore = inspect(database, add_capture(database))
    claimed: list[chores.Errand | None] = []
    threads = [threading.Thread(target=lambda i=i: claimed.append(claim(database, chore, f"w{i}"))) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (errand,) = [errand for errand in claimed if errand is not None]
    assert errand.attempt == 1
    with database.writing() as session:
        assert chores.finish(session, errand) is not None
        assert chores.finish(session, errand) is None
    assert claim(database, chore) is None
    assert state(database, chore) == "done"


def test_a_lost_chore_waits_again_and_fails_when_it_was_lost_too_often(database: Database) -> None:
    capture = add_capture(database)
    with database.writing() as session:
        session.add(Webhook(owner_id="owner", url="https://example.org", secret="s", kinds=["capture.failed"]))
    chore = inspect(database, capture)
    error = StageCrashed("died", "report it")
    for attempt in (1, 2):
        errand = claim(database, chore, "w", attempt)
        assert errand is not None
        assert errand.attempt == attempt
        with database.writing() as session:
            assert claims.keep_alive(session, Chore, "w", {attempt}) == []
            (lost,) = claims.keep_alive(session, Chore, "w", set())
        with database.writing() as session:
            assert chores.take_back(session, lost, 2, error) == ("pending" if attempt == 1 else "failed")
            assert chores.take_back(session, lost, 2, error) is None
            assert chores.finish(session, errand) is None  # whoever still thinks it has it learns better
    with database.reading() as session:
        assert session.get_one(Capture, capture).error == {"code": "crashed", "message": "died", "remedy": "report it"}
        assert session.scalars(select(Delivery.kind)).all() == ["capture.failed"]


def test_a_lease_expires_and_what_waits_is_found(database: Database) -> None:
    capture = add_capture(database)
    waits, lost = inspect(database, capture), import_into(database, capture)
    assert claim(database, lost) is not None
    time.sleep(0.2)
    with database.reading() as session:
        assert chores.due(session) == [waits]
        assert [chore.id for chore in claims.expired(session, Chore, 0.1)] == [lost]
        assert claims.expired(session, Chore, 10) == []


def test_what_is_given_back_counts_no_attempt_and_may_wait(database: Database) -> None:
    chore = import_into(database, add_capture(database))
    errand = claim(database, chore)
    assert errand is not None
    with database.writing() as session:
        chores.give_back(session, errand, 60, counted=False)
    assert claim(database, chore) is None
    with database.writing() as session:
        assert session.get_one(Chore, chore).attempts == 0
        session.get_one(Chore, chore).not_before_s = 0
    assert claim(database, chore) is not None
    with database.writing() as session:
        assert claims.is_busy(session, "w")
        assert chores.give_back_all(session, "w") == [(1, chore)]
        assert not claims.is_busy(session, "w")
        assert session.get_one(Chore, chore).attempts == 0


def test_one_owner_runs_two_imports_at_once_and_others_are_not_held_up(database: Database) -> None:
    capture, other = add_capture(database), add_capture(database, "other")
    of_one = [import_into(database, capture) for _ in range(3)]
    taken = [claim(database, chore, pid=i) for i, chore in enumerate(of_one)]
    assert [errand is None for errand in taken] == [False, False, True]
    assert claim(database, import_into(database, other), pid=7) is not None
    assert claim(database, inspect(database, capture), pid=8) is not None
    assert taken[0] is not None
    with database.writing() as session:
        chores.finish(session, taken[0], InputError("no", "such"))
        assert session.get_one(Chore, of_one[0]).error == {"code": "input", "message": "no", "remedy": "such"}
        session.get_one(Chore, of_one[2]).not_before_s = 0
    assert claim(database, of_one[2], pid=9) is not None


def test_chores_of_a_deleted_capture_are_dropped(database: Database) -> None:
    capture = add_capture(database)
    waits, runs = inspect(database, capture), import_into(database, capture)
    assert claim(database, runs, pid=5) is not None
    with database.writing() as session:
        session.get_one(Capture, capture).deleted_s = time.time()
    assert claim(database, waits, pid=6) is None
    with database.writing() as session:
        assert chores.unwanted(session, "w") == [5]
    assert (state(database, waits), state(database, runs)) == ("cancelled", "cancelled")


def test_an_inspection_of_files_that_have_changed_is_not_kept(database: Database) -> None:
    capture = add_capture(database)
    with database.writing() as session:
        session.get_one(Capture, capture).state = "open"
        chores.note_inspection(session, capture, {"photos": 3}, None)
        assert session.get_one(Capture, capture).inspection is None
        session.get_one(Capture, capture).state = "ready"
        chores.note_inspection(session, capture, {"photos": 3}, None)
        assert session.get_one(Capture, capture).inspection == {"photos": 3}
