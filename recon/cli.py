"""The command line. Exit codes: see ``docs/cli.md`` and ``recon/errors.py``."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from recon import __version__, models_cli
from recon.errors import Cancelled, ConfigError, DiskFull, InputError, MissingPart, ReconError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Photos and video in, a measured 3D model out.",
    rich_markup_mode=None,
)
app.add_typer(models_cli.app, name="models")
_err = Console(stderr=True)

InputPath = Annotated[Path, typer.Argument(metavar="INPUT", help="A video, a photo, a folder of photos and/or videos, or a zip of these.")]
OutDir = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the results [out/<name of INPUT>].")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of options, a table a stage.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="STAGE.KEY=VALUE", help="One option; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines: one object a line.")]
Seed = Annotated[int | None, typer.Option(help="Seed of all randomness.")]


class PresetName(StrEnum):
    fast = "fast"
    default = "default"
    high = "high"


PresetOption = Annotated[PresetName, typer.Option("--preset", help="fast: a preview; default; high: more detail, more time.")]


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """Errors become a message (or a JSON line) and the exit code of their kind."""
    try:
        yield
    except KeyboardInterrupt:
        _fail(Cancelled("stopped", "Run the same command again: it goes on where it stopped"), as_json)
    except ReconError as error:
        _fail(error, as_json)
    except BrokenPipeError:  # nobody reads on: not a matter of files
        raise
    except OSError as error:
        _fail(_in_words(error), as_json)


def _in_words(error: OSError) -> ReconError:
    """What the system refused outside of a shard (``pipeline`` sees to those)."""
    file = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk is full{file}", "Free some space and run the same command again: it goes on where it stopped")
    return InputError(f"{error.strerror or error}{file}", "Check that this file or folder exists and that you may read and write it")


def _fail(error: ReconError, as_json: bool) -> None:
    if as_json:
        say(
            {
                "event": "error",
                "code": error.code,
                "message": error.message,
                "remedy": error.remedy,
                "exit_code": error.exit_code,
            }
        )
    else:
        _err.print(f"Error: {error.message}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        if error.remedy:
            _err.print(error.remedy, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(error.exit_code)


def say(row: dict[str, Any]) -> None:
    """One JSON line on standard output."""
    sys.stdout.write(json.dumps(row, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def default_out(capture: Path) -> Path:
    """``out/NAME``; of a file without its suffix, unless the result of another capture lies there."""
    from recon.process import source_of

    capture = capture.resolve()
    for name in [capture.name] if capture.is_dir() else [capture.stem, capture.name]:
        out = Path("out") / (name or "capture")
        made_from = source_of(out)
        # a capture that was moved still is the same: its content decides what is made anew
        if made_from is None or made_from.resolve() == capture or not os.path.exists(made_from):
            return out
    raise InputError(f"{out} holds the result of {made_from}", "Choose another folder with -o")


@app.command()
def process(
    capture: InputPath,
    out: OutDir = None,
    preset: PresetOption = PresetName.default,
    config: ConfigFile = None,
    overrides: Overrides = [],  # noqa: B006  (typer reads the default, nobody changes it)
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    seed: Seed = None,
    all_frames: Annotated[bool, typer.Option("--all-frames", help="A pose for every frame of videos, as trajectory.csv and more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Reconstruct INPUT; run it again and it goes on where it stopped."""
    from recon.terminal import JsonLines, Terminal, summary

    with told(as_json):
        from recon.config import load
        from recon.process import process as run
        from recon.progress import Listener

        if all_frames:
            overrides = [*overrides, "trajectory.all_frames=true"]
        options = load(preset.value, config, tuple(overrides), seed)
        display = JsonLines() if as_json else Terminal(_err)
        with display:
            listener: Listener = display.take
            result = run(capture, out or default_out(capture), options, until, listener=listener)
        if as_json:
            say({"event": "result", "out": str(result.out), "ran": list(result.ran), "until": result.until, "report": result.report})
        else:
            summary(Console(), result)


@app.command()
def batch(
    folder: Annotated[Path, typer.Argument(help="Every sub-folder, video and zip in it is a capture.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the results, one sub-folder a capture [out/<name>].")] = None,
    preset: PresetOption = PresetName.default,
    config: ConfigFile = None,
    overrides: Overrides = [],  # noqa: B006
    seed: Seed = None,
    jobs: Annotated[int, typer.Option(min=1, help="Captures at once.")] = 1,
    watch: Annotated[bool, typer.Option(help="Keep waiting for captures that arrive later, until Ctrl-C.")] = False,
    settle_s: Annotated[float, typer.Option(min=0.1, help="With --watch, a capture counts once it stopped growing for so long.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Reconstruct every capture in FOLDER; run it again and only the unfinished and failed ones run."""
    with told(as_json):
        from recon.batch import Batch
        from recon.config import load
        from recon.terminal import BatchLines, batch_table

        load(preset.value, config, tuple(overrides), seed)  # a wrong option is told now, not once a capture
        arguments = ["--preset", preset.value]
        arguments += ["--config", str(config.resolve())] if config else []
        arguments += [word for text in overrides for word in ("--set", text)]
        arguments += ["--seed", str(seed)] if seed is not None else []
        lines = BatchLines(_err, as_json)
        work = Batch(folder, out or default_out(folder), tuple(arguments), jobs, settle_s, lines.take)
        rows = work.watch() if watch else work.run()
        if as_json:
            say({"event": "batch", "captures": rows})
        else:
            batch_table(Console(), rows, work.out / "batch.json")
        failed = sum(row["state"] == "failed" for row in rows)
    if failed:
        raise typer.Exit(10)


@app.command()
def inspect(
    capture: InputPath,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out whether the images will connect: seconds, not a minute.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what INPUT is, whether it will connect, what will be ignored and what it will cost, without reconstructing."""
    import tempfile

    with told(as_json):
        from recon.capture.source import is_media, open_source
        from recon.inspect import inspect as look
        from recon.terminal import inspection

        # a zip is unpacked beside itself: the system's folder for temporary files may be small, or memory
        beside = capture.is_file() and not is_media(capture.name) and os.access(capture.parent, os.W_OK)
        with tempfile.TemporaryDirectory(prefix=".recon-inspect-", dir=capture.parent if beside else None) as scratch:
            found = look(open_source(capture, Path(scratch), hashed=False), preflight=not quick)
        if as_json:
            say({"event": "inspection", **found.model_dump(mode="json")})
        else:
            inspection(Console(), found)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what this installation can do, and what to install for the rest. Exit code 5 if a needed part is missing."""
    from recon.doctor import examine
    from recon.terminal import diagnosis

    parts = examine()
    if as_json:
        say({"event": "doctor", "parts": [part.as_json() for part in parts]})
    else:
        diagnosis(Console(), parts)
    if any(part.needed and not part.works for part in parts):
        raise typer.Exit(5)


@app.command()
def simulate(
    kind: Annotated[str, typer.Argument(help="drone, object, room, glasses or panorama.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the capture and its truth.")],
    images: Annotated[int | None, typer.Option(help="Number of photos, or of frames of a video.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Pixels.")] = None,
    video: Annotated[bool | None, typer.Option("--video/--photos", help="H.264 video or photos (not room).")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    noise: Annotated[float, typer.Option(help="Sigma of the image noise, grey levels.")] = 1.5,
    shutter_s: Annotated[float, typer.Option(help="Exposure time: motion blur.")] = 0.0,
    exposure_ev: Annotated[float, typer.Option(help="Sigma of brightness changes, stops.")] = 0.0,
    distortion: Annotated[str, typer.Option(help="k, or k1,k2,p1,p2 (glasses: k1..k4).")] = "",
    gps_noise_m: Annotated[float, typer.Option(help="Sigma of each GPS coordinate.")] = 0.5,
    gps_bias_m: Annotated[str, typer.Option(metavar="E,N,U", help="The same for all images.")] = "0,0,0",
    gps_offset_s: Annotated[float, typer.Option(help="Clock of a drone video's telemetry minus the video's.")] = 0.0,
    depth: Annotated[bool, typer.Option(help="Write true depth maps.")] = False,
    depth_noise_m: Annotated[float | None, typer.Option(help="Sigma of the depth images of room.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="room as a tablet's app stores it: stray, record3d, r3d, polycam ...")
    ] = None,
    plain_wall: Annotated[bool, typer.Option(help="A wall of room without any texture.")] = False,
    drift: Annotated[float, typer.Option(help="Of the poses that the tablet states, a share of the way.")] = 0.01,
    as_json: AsJson = False,
) -> None:
    """Ray-cast a capture of exactly known truth."""
    with told(as_json):
        from recon.simulate import simulate as make

        truth = make(
            kind,
            out,
            images=images,
            size=_numbers("--size", size.replace("x", ","), int) if size else None,
            video=video,
            seed=seed,
            noise=noise,
            shutter_s=shutter_s,
            exposure_ev=exposure_ev,
            distortion=_numbers("--distortion", distortion, float),
            gps_noise_m=gps_noise_m,
            gps_bias_m=_numbers("--gps-bias-m", gps_bias_m, float),
            gps_offset_s=gps_offset_s,
            depth=depth,
            depth_noise_m=depth_noise_m,
            format=form,
            plain_wall=plain_wall,
            drift=drift,
        )
        if as_json:
            say({"event": "simulation", **truth.model_dump(mode="json")})
        else:
            Console().print(
                f"{truth.images} images: {out / truth.capture}\nTruth: {out / 'truth'}", markup=False, highlight=False, soft_wrap=True
            )


def _numbers(option: str, text: str, kind: type[int] | type[float]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(",") if part)
    except ValueError:
        raise ConfigError(f"{option} '{text}' is not a list of numbers") from None


@app.command(name="eval")
def evaluate(
    result: Annotated[Path, typer.Argument(help="A folder made by `recon process`, or a COLMAP model.")],
    truth: Annotated[Path, typer.Argument(help="A simulator's truth folder, a COLMAP model, or a folder of .camera files.")],
    as_json: AsJson = False,
) -> None:
    """Score RESULT against TRUTH: camera, cloud and mesh errors."""
    with told(as_json):
        from recon.evaluate import evaluate as score
        from recon.terminal import nested

        scores = score(result, truth)
        if as_json:
            say({"event": "eval", **scores})
        else:
            nested(Console(), scores)


@app.command()
def bench(
    data: Annotated[Path | None, typer.Option(help="Folder of the public sets: measure anew.")] = None,
    only: Annotated[list[str], typer.Option(help="Only these groups of figures.")] = [],  # noqa: B006
    work: Annotated[Path | None, typer.Option(help="Keep the results here.")] = None,
) -> None:
    """Print the benchmark's table. Part of a source checkout. Exit code 1 if a bar is not met."""
    with told(as_json=False):
        root = Path(__file__).resolve().parent.parent
        if not (root / "bench" / "table.py").is_file():
            raise MissingPart("the benchmark is not part of an installed package", "Run it from a source checkout")
        sys.path.insert(0, str(root))
        from bench import table  # type: ignore[import-not-found,unused-ignore]

        if data is not None:
            table.measure(data, only, work)
        met = table.show(Console(width=150))
    if not met:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: SIGTERM stops as cleanly as Ctrl-C."""
    logging.getLogger("recon").addHandler(logging.NullHandler())
    if len(sys.argv) == 2 and sys.argv[1] == "--version":
        Console().print(__version__, highlight=False)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _add_extensions()
    app()


def _add_extensions() -> None:
    """The service's commands join here. One that is broken must not take the others along."""
    for extra in entry_points(group="recon.commands"):
        try:
            extra.load()(app)
        except Exception as error:
            text = f"Warning: the commands of '{extra.name}' ({extra.value}) are left out: {type(error).__name__}: {error}"
            _err.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
