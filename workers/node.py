"""What one process of the service holds: settings, database, events, queue."""

from __future__ import annotations

import os
from functools import cached_property

from celery import Celery

from workers.app import Tickets
from workers.database import Database
from workers.events import EventLog, connect
from workers.places import Place
from workers.settings import Settings


class Node:
    """Opened when first used. Connections do not survive a fork, so each process makes its own."""

    def __init__(self, settings: Settings, app: Celery, worker: str = "") -> None:
        self.settings = settings
        self.app = app
        self.worker = worker or f"{settings.node}-{os.getpid()}"
        """Name of the worker whose process this is; unique, also after a restart."""

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database_url)

    @cached_property
    def events(self) -> EventLog:
        return EventLog(connect(self.settings.broker_url))

    @cached_property
    def tickets(self) -> Tickets:
        return Tickets(self.app)

    def place(self, owner_id: str) -> Place:
        return Place(self.settings, owner_id)
