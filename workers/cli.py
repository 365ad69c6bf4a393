"""``recon worker``, ``backup``, ``restore``: they join the command line through the entry-point group ``recon.commands``.

Imports nothing heavy until one is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recon.cli import AsJson, say, told

if TYPE_CHECKING:
    from workers.backup import Backed


def add_commands(app: typer.Typer) -> None:
    for command in (worker, backup, restore):
        app.command()(command)


def worker(
    queues: Annotated[str, typer.Option(help="Comma-separated: cpu, gpu. Some worker must serve each.")] = "cpu,gpu",
    concurrency: Annotated[int, typer.Option(min=0, help="Shards at once; 0: a core each, as far as memory goes.")] = 0,
) -> None:
    """Run shards of the service's jobs until stopped. Settings: RECON_BROKER, RECON_STORE, RECON_DATABASE, ... (docs/service.md)."""
    with told(as_json=False), _libraries():
        from workers.run import run_worker

        run_worker(tuple(queue.strip() for queue in queues.split(",") if queue.strip()), concurrency)


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Backups lie there, each named by its date.")],
    keep: Annotated[int, typer.Option(min=0, help="Remove all but so many of them; 0: none.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Copy the database and the bucket of a fleet into FOLDER, while it runs; what is there already is not fetched again."""
    with told(as_json), _libraries():
        from workers.backup import back_up
        from workers.settings import load_settings

        _tell(back_up(load_settings(), folder, keep), "backed up", as_json)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="One backup, or the folder of all: then the newest.")],
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into an empty database and a bucket, before any API or worker is started on them."""
    with told(as_json), _libraries():
        from workers.backup import restore as bring_back
        from workers.settings import load_settings

        _tell(bring_back(load_settings(), folder), "restored", as_json)


def _tell(backed: Backed, what: str, as_json: bool) -> None:
    if as_json:
        rows = {"rows": backed.rows, "objects": backed.objects, "bytes": backed.bytes}
        say({"event": "result", "folder": str(backed.folder), "revision": backed.revision, **rows})
    else:
        jobs = backed.rows.get("jobs", 0)
        typer.echo(f"{what}: {jobs} jobs, {backed.objects} objects, {backed.bytes / 1e9:.1f} GB ({backed.folder})", err=True)


@contextmanager
def _libraries() -> Iterator[None]:
    from recon.errors import MissingPart

    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPart(f"the service's libraries are not installed ({error.name})", "pip install 'recon[service]'") from None
