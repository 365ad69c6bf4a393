"""``recon worker``. Joins the command line through the entry-point group ``recon.commands``; imports nothing heavy until called."""

from __future__ import annotations

from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    app.command()(worker)


def worker(
    queues: Annotated[str, typer.Option(help="Comma-separated: cpu, gpu. Some worker must serve each.")] = "cpu,gpu",
    concurrency: Annotated[int, typer.Option(min=0, help="Shards at once; 0: a core each, as far as memory goes.")] = 0,
) -> None:
    """Run shards of the service's jobs until stopped. Settings: RECON_BROKER, RECON_STORE, RECON_DATABASE, ... (docs/service.md)."""
    from recon.cli import told
    from recon.errors import MissingPart

    with told(as_json=False):
        try:
            from workers.run import run_worker
        except ModuleNotFoundError as error:
            raise MissingPart(f"the service's libraries are not installed ({error.name})", "pip install 'recon[service]'") from None
        run_worker(tuple(queue.strip() for queue in queues.split(",") if queue.strip()), concurrency)
