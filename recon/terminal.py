"""What the commands show: progress, summaries and tables in a terminal, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from recon.pipeline import stages_until
from recon.progress import Event, Forecast

if TYPE_CHECKING:
    from recon.doctor import Part
    from recon.inspect import Inspection
    from recon.preflight.record import Preflight
    from recon.process import Result


def clock(seconds: float | None) -> str:
    """Seconds as 4 s, 3:05 or 1:02:03; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class JsonLines:
    """Every event as a line of JSON on standard output; running ones at most once a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def take(self, event: Event) -> None:
        now = time.monotonic()
        if event.state == "running" and now - self._last < 1:
            return
        self._last = now
        sys.stdout.write(json.dumps(event.as_json()) + "\n")
        sys.stdout.flush()


class Terminal:
    """One live line: stage, shards, elapsed and expected time. Without a terminal, a line a finished stage."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.forecast = Forecast(tuple(stage.name for stage in stages_until(None)))
        self.started_s = time.monotonic()
        self.live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> Terminal:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def take(self, event: Event) -> None:
        self.forecast.take(event)
        if self.live:
            self.live.update(self._line(event))
        if event.state == "done":
            self.console.print(f"{event.stage:<10} {event.shards:>4} shard{'s' if event.shards > 1 else ' '} {clock(event.seconds):>8}")

    def _line(self, event: Event) -> Table:
        line = Table.grid(padding=(0, 1))
        line.add_row(
            f"[bold]{event.stage}[/bold]",
            ProgressBar(total=1.0, completed=event.fraction, width=30),
            f"{event.fraction:.0%}",
            f"shard {min(event.shards_done + 1, event.shards)} of {event.shards}",
            f"elapsed {clock(time.monotonic() - self.started_s)}",
            f"expected to end in {clock(self.forecast.remaining_s(event))}",
            escape(event.message),
        )
        return line


def summary(console: Console, result: Result) -> None:
    """The table that ``recon process`` ends with."""
    if not result.ran:
        console.print("Nothing to do: every stage is up to date.")
    else:
        console.print(f"Ran: {', '.join(result.ran)}.")
    report = result.report
    if report is None:
        console.print(f"Stopped after '{result.until}', as asked. Results so far: {result.out / '.recon'}", markup=False, highlight=False)
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _headline(report):
        table.add_row(name, value)
    console.print(table)
    for warning in report.get("warnings", []):
        console.print(
            f"Warning: {warning['message']}" + (f". {warning['remedy']}" if warning.get("remedy") else ""), style="yellow", markup=False
        )
    console.print(f"Report: {result.out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Picture: {result.out / 'preview.png'}", markup=False, highlight=False, soft_wrap=True)


def _headline(report: dict[str, Any]) -> list[tuple[str, str]]:
    images, scale = report["images"], report["scale"]
    metric = f"metric, from {scale['source']}" if scale["metric"] else "arbitrary unit (no GPS or known length)"
    if scale["metric"] and scale.get("rms_m") is not None:
        metric += f", RMS {scale['rms_m']:.2f} m"
    return [
        ("images", f"{images['given']} given, {images['used']} used, {images['registered']} registered"),
        ("reprojection error", f"{report['reprojection_error_px']:.2f} px"),
        ("scale", metric),
        ("dense points", f"{report['points']:,}"),
        ("mesh faces", f"{report['faces']:,}"),
        ("time", clock(sum(stage["seconds"] or 0 for stage in report["stages"]))),
    ]


class BatchLines:
    """A line for each change of a capture's state."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self.console = console
        self.as_json = as_json

    def take(self, row: dict[str, Any]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps({"event": "capture", **row}) + "\n")
            sys.stdout.flush()
            return
        note = f": {row['message']}" if row.get("message") else ""
        self.console.print(f"{row['state']:<8} {row['capture']} {clock(row.get('seconds'))}{note}", markup=False, highlight=False)


def batch_table(console: Console, rows: list[dict[str, Any]], file: Path) -> None:
    table = Table("capture", "state", "images", "metric", "points", "faces", "time", "report or reason")
    for row in rows:
        table.add_row(
            escape(row["capture"]),
            row["state"],
            f"{row['registered']}/{row['used']}" if "used" in row else "",
            {True: "yes", False: "no"}.get(row.get("metric"), ""),  # type: ignore[arg-type]
            f"{row['points']:,}" if "points" in row else "",
            f"{row['faces']:,}" if "faces" in row else "",
            clock(row.get("seconds")),
            escape(row.get("report") or row.get("message", "")),
        )
    console.print(table)
    console.print(f"Batch: {file}", markup=False, highlight=False, soft_wrap=True)


def diagnosis(console: Console, parts: list[Part]) -> None:
    table = Table("part", "state", "detail", "what to do")
    for part in parts:
        state = "[green]ok[/green]" if part.works else ("[red]missing[/red]" if part.needed else "[yellow]absent[/yellow]")
        table.add_row(escape(part.name), state, escape(part.detail), "" if part.works else escape(part.remedy))
    console.print(table)


def inspection(console: Console, found: Inspection) -> None:
    nested(console, found.model_dump(mode="json", exclude={"preflight"}))
    if found.preflight:
        _preflight(console, found.preflight)


def _preflight(console: Console, found: Preflight) -> None:
    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    line(f"will connect: {found.verdict}, about {found.predicted_share:.0%} of the images")
    line(f"  {found.reason}")
    if found.remedy:
        line(f"  {found.remedy}")
    for what, runs in (("blurred", found.blurred), ("brightness jumps", found.exposure_jumps)):
        for run in runs[:5]:
            line(f"  {what}: {run.first} to {run.last}")


def nested(console: Console, values: dict[str, Any], indent: int = 0) -> None:
    """Nested values as indented lines."""
    pad = "  " * indent
    for name, value in values.items():
        label = f"{pad}{name.replace('_', ' ')}"
        if isinstance(value, dict) and value:
            console.print(f"{label}:", markup=False, highlight=False)
            nested(console, value, indent + 1)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            console.print(f"{label}:", markup=False, highlight=False)
            for row in value:
                console.print(f"{pad}  - {_inline(row)}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(f"{label}: {_inline(value)}", markup=False, highlight=False, soft_wrap=True)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_inline(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(_inline(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)
