"""The service's commands: ``recon serve``, ``submit``, ``jobs``, ``download``, ``keys``. Imports nothing heavy until one is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from recon.cli import AsJson, ConfigFile, InputPath, OutDir, Overrides, PresetName, PresetOption, Seed, default_out, say, told

if TYPE_CHECKING:
    from api.client import Recon
    from api.serve import Serving

_err = Console(stderr=True)
keys_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="API keys of the service: the key in use must be an admin's.")


def add_commands(app: typer.Typer) -> None:
    """Join the command line through the entry-point group ``recon.commands``."""
    for command in (serve, submit, jobs, download):
        app.command()(command)
    app.add_typer(keys_app, name="keys")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all [RECON_API_HOST or 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one [RECON_API_PORT or 8000].")] = None,
    api_only: Annotated[bool, typer.Option("--api-only", help="No workers and no broker: they run elsewhere.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes, which share the cores.")] = 1,
    queues: Annotated[str, typer.Option(help="Comma-separated: cpu, gpu. Some worker must serve each.")] = "cpu,gpu",
    as_json: AsJson = False,
) -> None:
    """Serve uploads, jobs and results over HTTP until Ctrl-C; started again, jobs go on where they were (docs/api.md)."""
    from recon.errors import MissingPart

    with told(as_json):
        try:
            from api.serve import serve as run
        except ModuleNotFoundError as error:
            raise MissingPart(f"the service's libraries are not installed ({error.name})", "pip install 'recon[service]'") from None
        names = tuple(queue.strip() for queue in queues.split(",") if queue.strip())
        run(host, port, api_only=api_only, workers=workers, queues=names, on_ready=_say_serving if as_json else _show_serving)
    if not as_json:
        _err.print("Stopped. Start it again and unfinished jobs go on.")


def _say_serving(serving: Serving) -> None:
    key_file = str(serving.key_file) if serving.key_file else None
    say({"event": "serving", "url": serving.url, "key_file": key_file, "logs": str(serving.logs), "workers": serving.workers})


def _show_serving(serving: Serving) -> None:
    lines = [f"recon serves at {serving.url} (a page; the API is described at {serving.url}/v1/openapi.json). Ctrl-C stops it."]
    if serving.workers:
        lines.append(f"Logs of the workers: {serving.logs}")
    if serving.key_file:
        if _err.is_terminal:  # not into a log. Behind the '#' it goes to no server; the page takes it from the address at once
            lines.append(f"The page, signed in: {serving.url}/#key={serving.key_file.read_text().strip()}")
        lines += [
            f"Your API key: {serving.key_file}. On this machine 'recon submit video.mp4' finds it by itself; elsewhere:",
            f'    export RECON_URL={serving.url} RECON_KEY="$(cat {serving.key_file})"',
            '    curl -H "Authorization: Bearer $RECON_KEY" $RECON_URL/v1/owner',
            '    curl -H "Authorization: Bearer $RECON_KEY" $RECON_URL/v1/jobs',
        ]
    _err.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def submit(
    capture: InputPath,
    out: OutDir = None,
    preset: PresetOption = PresetName.default,
    config: ConfigFile = None,
    overrides: Overrides = [],  # noqa: B006  (typer reads the default, nobody changes it)
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    seed: Seed = None,
    name: Annotated[str, typer.Option(help="Name of the capture [that of INPUT].")] = "",
    add_to: Annotated[str | None, typer.Option("--capture", metavar="ID", help="Add INPUT to this capture of the service.")] = None,
    priority: Annotated[int, typer.Option(min=0, max=9, help="Among your jobs, higher first.")] = 4,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the job while it runs, and download its results.")] = True,
    as_json: AsJson = False,
) -> None:
    """Have a service reconstruct INPUT. Run it again after it was stopped, and the upload goes on."""
    from api.remote import service

    with told(as_json):
        from api.show import transfer
        from recon.config import layered, options
        from recon.errors import NotFound
        from recon.pipeline import stages_until

        if not capture.exists():
            raise NotFound(f"{capture} does not exist")
        values = options(config, tuple(overrides), seed)
        layered(preset.value, values)  # a wrong option is told before anything is uploaded
        stages_until(until)
        target = (out or default_out(capture)) if wait else None
        with service() as recon:
            with transfer(_err, "upload", as_json) as progress:
                made = recon.upload(capture, name or capture.resolve().stem, capture=add_to, on_progress=progress)
            job = recon.submit(made["id"], preset.value, values, until, priority)
            if as_json:
                say({"event": "submitted", "job": job["id"], "capture": made["id"]})
            else:
                _err.print(f"Job {job['id']} of capture {made['id']}", highlight=False)
            if target is not None:
                _finish(recon, job["id"], target, as_json)


def _finish(recon: Recon, job_id: str, out: Path, as_json: bool) -> None:
    """Follow a job to its end, then fetch what it made."""
    from api.remote import check_done
    from api.show import Follow
    from recon.errors import Cancelled

    try:
        with Follow(_err, as_json) as follow:
            job = recon.wait(job_id, follow.take)
    except KeyboardInterrupt:
        raise Cancelled("stopped waiting", f"The job goes on: 'recon jobs {job_id}', later 'recon download {job_id}'") from None
    check_done(job)
    _fetch(recon, job, out, (), as_json)


def _fetch(recon: Recon, job: dict[str, Any], out: Path, names: tuple[str, ...], as_json: bool) -> None:
    from api.show import transfer
    from recon.capture.records import read_json
    from recon.process import Result
    from recon.terminal import summary

    with transfer(_err, "download", as_json) as progress:
        files = recon.download(job["id"], out, names, on_progress=progress)
    report = read_json(out / "report.json") if out / "report.json" in files else None
    if as_json:
        say({"event": "result", "job": job["id"], "out": str(out), "files": [str(file) for file in files], "report": report})
    elif report is not None:
        ran = tuple(stage["name"] for stage in job["stages"] if stage["state"] == "done")
        summary(Console(), Result(out, ran, job["until"] or "report", report))
    elif files:
        Console().print(f"{len(files)} files in {out}", highlight=False, markup=False, soft_wrap=True)
    else:
        Console().print("The job has no results: they come with the stages 'products' and 'report'", highlight=False)


def jobs(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One job with its stages and results.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those queued, running, done, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a service, or show one."""
    from itertools import islice

    from api.remote import service

    with told(as_json), service() as recon:
        from api.show import job_details, jobs_table

        rows = [recon.job(id)] if id else list(islice(recon.jobs(state), limit))
        results = recon.artifacts(id) if id else []
        if as_json:
            for row in rows:
                say({"event": "job", **row, **({"results": results} if id else {})})
        elif id:
            job_details(Console(), rows[0], results)
        else:
            jobs_table(Console(), rows)


def download(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, as 'recon jobs' shows it.")],
    names: Annotated[list[str], typer.Argument(metavar="[NAMES]...", help="Only these results [all].")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the results [out/JOB].")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the results of a job; run it again and it goes on where it stopped."""
    from api.remote import check_done, service

    with told(as_json), service() as recon:
        found = recon.job(job)
        if not names:
            check_done(found)
        _fetch(recon, found, out or Path("out") / job, tuple(names), as_json)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[list[str], typer.Option("--scope", help="read, write or admin; may be repeated.")] = ["read", "write"],  # noqa: B006
    days: Annotated[float | None, typer.Option(min=0, help="It expires after so long [never].")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key of your owner. It is shown once."""
    import time

    from api.remote import service

    with told(as_json), service() as recon:
        body = {"name": name, "scopes": scopes, "expires_s": None if days is None else time.time() + days * 86400}
        made = recon.ask("POST", "/v1/keys", json=body)
        if as_json:
            say({"event": "key", **made})
        else:
            Console().print(made["key"], highlight=False, markup=False, soft_wrap=True)
            _err.print("It is not shown again: keep it where only you can read it.")


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys of your owner."""
    from api.remote import service

    with told(as_json), service() as recon:
        from api.show import keys_table

        rows = list(recon.pages("/v1/keys"))
        if as_json:
            for row in rows:
                say({"event": "key", **row})
        else:
            keys_table(Console(), rows)


@keys_app.command("revoke")
def revoke_key(id: Annotated[str, typer.Argument(help="Its id, as 'recon keys list' shows it.")], as_json: AsJson = False) -> None:
    """End a key at once."""
    from api.remote import service

    with told(as_json), service() as recon:
        recon.ask("DELETE", f"/v1/keys/{id}")
        if as_json:
            say({"event": "revoked", "id": id})
