"""One chore on a worker: claimed, done, and its end noted, whatever that is."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable

from sqlalchemy.orm import Session

from recon.errors import Cancelled, ReconError, ResourceError
from workers.chores import IMPORT, INSPECT, Errand, claim, give_back, leave
from workers.errors import BrokerAway, DatabaseAway, StoreAway
from workers.imports import end_import, import_files
from workers.inspection import end_inspection, inspect_capture
from workers.node import Node
from workers.places import Place
from workers.shards import fault, insist

log = logging.getLogger(__name__)

_DO: dict[str, Callable[[Node, Place, Errand], None]] = {INSPECT: inspect_capture, IMPORT: import_files}
_FAIL: dict[str, Callable[[Node, Errand, ReconError], None]] = {INSPECT: end_inspection, IMPORT: end_import}


def run_chore(node: Node, chore_id: str) -> bool:
    """Do a chore, if it waits. False if it does not."""
    with node.database.writing() as session:
        errand = claim(session, chore_id, node.worker, os.getpid())
    if errand is None:
        return False
    place = node.place(errand.owner_id)
    error: ReconError | None = None
    try:
        _DO[errand.kind](node, place, errand)
    except ReconError as raised:
        error = raised
    except Exception as raised:
        log.error("%s of capture %s failed\n%s", errand.kind, errand.capture_id, traceback.format_exc())
        error = fault(node, errand.kind, raised)
    finally:
        place.release()
    if error is not None:
        _failed(node, errand, error)
    return True


def _failed(node: Node, errand: Errand, error: ReconError) -> None:
    """Another try where that may help, else the end with the reason."""
    if isinstance(error, Cancelled):
        insist(lambda: _write(node, lambda session: leave(session, errand)))
        return
    is_away = isinstance(error, StoreAway | DatabaseAway | BrokerAway)
    if is_away or (isinstance(error, ResourceError) and errand.attempt < node.settings.attempts):
        wait_s = node.settings.lease_s / 6
        log.warning("%s of capture %s: %s; again in %.0f s", errand.kind, errand.capture_id, error, wait_s)
        insist(lambda: _write(node, lambda session: give_back(session, errand, wait_s, counted=not is_away)))
        return
    insist(lambda: _FAIL[errand.kind](node, errand, error))


def _write(node: Node, change: Callable[[Session], object]) -> None:
    with node.database.writing() as session:
        change(session)
