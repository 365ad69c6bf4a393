"""Issue 6, drones: telemetry of videos and positions of photos, on real and on simulated flights."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from bench.usage import recon
from recon.capture.records import read_json, read_records
from recon.capture.srt import read_srt
from recon.capture.telemetry import TRACK_FILE, Track
from recon.config import Config
from recon.geometry.geodesy import LocalFrame
from recon.geometry.similarity import fit_similarity
from recon.sfm.georeference import Georeference, georeference, gps_fixes
from recon.sfm.priors import held_by_fixes
from recon.sfm.result import adjustment_of

if TYPE_CHECKING:
    from bench.bars import Row

FLIGHT = ("--video", "--images", 400, "--size", "480x360", "--gps-noise-m", 2, "--gps-offset-s", 0.4)
OFFSET_S = 0.4
_POSITION = re.compile(r"GPS ?\([-+\d.]+,|latitude\s*:\s*[-+\d.]+\]\s*\[longt?itude\s*:\s*[-+\d.]+\]")


def telemetry(data: Path, work: Path) -> list[Row]:
    """Subtitles of real drones, a real drone video, drone photos with every third fix held out, a simulated flight."""
    return [*_subtitles(data / "telemetry/dji-srt"), *_karma(data, work), *_held_out(data, work), *_flight(work)]


def _subtitles(folder: Path) -> list[Row]:
    from bench.bars import at_least

    readings = {path.name: read_srt(path.read_bytes(), path.name) for path in sorted(folder.iterdir())}
    written = sum(len(_POSITION.findall(path.read_text("utf-8-sig"))) for path in folder.iterdir())
    read = sum(sum(entry.gps is not None for entry in reading.entries) for reading in readings.values())
    zeros = sum(path.read_text("utf-8-sig").count("[latitude: 0.000000]") for path in folder.iterdir())
    return [
        at_least("6.2", "dji-srt", "positions kept of those written whole, share", read / (written - zeros), 1.0),
        at_least("6.2", "dji-srt", "files with entries in a known dialect", sum(bool(r.entries) for r in readings.values()), 22),
    ]


def _karma(data: Path, work: Path) -> list[Row]:
    from bench.bars import Row, at_least, at_most

    out = work / "telemetry-karma"
    recon("process", data / "telemetry/gopro/karma.mp4", "-o", out, "--until", "georef")
    georef = read_json(_made(out, "georef") / "georef.json")
    rows = [at_least("6.3", "karma.mp4", "metric", float(georef["metric"]), 1)]
    if georef["metric"]:
        model_m, gps_m = _paths(out, georef)
        rows.append(at_most("6.3", "karma.mp4", "path length against the GPS path's, share", abs(model_m / gps_m - 1), 0.03))
        rows.append(Row("6.3", "karma.mp4", "telemetry ahead of the video, s", georef["clock_offsets"][0]["offset_s"], "", True))
    return rows


def _paths(out: Path, georef: dict[str, Any]) -> tuple[float, float]:
    """Lengths [m] of the cameras' way and of the track's, at the times of the keyframes that both have."""
    row = read_json(_made(out, "select") / TRACK_FILE)
    track, offset_s = Track.from_json(row["track"]), georef["clock_offsets"][0]["offset_s"]
    model = pycolmap.Reconstruction(_made(out, "georef") / "model")
    times = {record.name: float(record.timestamp_s or 0.0) for record in read_records(_made(out, "select"))}
    rows = sorted((times[image.name], image.projection_center()) for image in model.images.values() if image.has_pose)
    at = np.array([time for time, _ in rows]) + offset_s
    inside = (at >= track.times_s[0]) & (at <= track.times_s[-1])
    frame = LocalFrame.from_georef(georef)
    if frame is None:
        raise ValueError("a metric model has a frame")
    measured = frame.from_geodetic(track.lat_lon_alt)
    gps = np.stack([np.interp(at[inside], track.times_s, column) for column in measured.T], 1)
    return _length(np.array([center for _, center in rows])[inside]), _length(gps)


def _length(xyz: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.diff(xyz, axis=0), axis=1).sum())


def _held_out(data: Path, work: Path) -> list[Row]:
    """Every third photo's position predicted from the others'."""
    from bench.bars import Row, at_most

    out = work / "telemetry-brighton"
    recon("process", data / "brighton-beach", "-o", out, "--until", "georef")
    model = pycolmap.Reconstruction(_made(out, "recover") / "model")
    records = [record for folder in sorted(_made(out, "select").parent.glob("0*")) for record in read_records(folder)]
    fixes = gps_fixes(records, {image.name: image.image_id for image in model.images.values() if image.has_pose})
    adjustment = adjustment_of(records, Config(), 0, 1)
    errors = []
    for first in range(3):
        held = fixes[first::3]
        others = [fix for fix in fixes if fix not in held]
        found = georeference(model, others, 15.0, np.random.default_rng(0))
        adjusted = held_by_fixes(model, others, found, adjustment) if isinstance(found, Georeference) else None
        found = georeference(adjusted or model, others, 15.0, np.random.default_rng(0))
        if not isinstance(found, Georeference):
            raise ValueError(found)
        images = {image.name: image for image in (adjusted or model).images.values()}
        degrees = np.array([(fix.gps.lat_deg, fix.gps.lon_deg, fix.gps.alt_m) for fix in held if fix.gps])
        predicted = found.world_from_model * np.array([images[fix.name].projection_center() for fix in held])
        errors.append(float(np.sqrt(((predicted - found.frame.from_geodetic(degrees)) ** 2).sum(1).mean())))
    rows = [Row("6.4", "brighton-beach", f"held-out GPS, third {n + 1}: RMS, m", error, "", True) for n, error in enumerate(errors)]
    together = float(np.sqrt(np.mean(np.square(errors))))
    return [at_most("6.4", "brighton-beach", "held-out GPS, each third predicted once: RMS, m", together, 0.7), *rows]


def _flight(work: Path) -> list[Row]:
    """Scale of the model by its exact cameras, and the offset of the clocks."""
    from bench.bars import at_most

    flight, out = work / "telemetry-flight", work / "telemetry-flight-out"
    if not flight.exists():
        recon("simulate", "drone", "-o", flight, *FLIGHT)
    recon("process", flight / "walk.mp4", "-o", out, "--until", "georef")
    georef = read_json(_made(out, "georef") / "georef.json")
    model = pycolmap.Reconstruction(_made(out, "georef") / "model")
    truth = pycolmap.Reconstruction(flight / "truth/cameras")
    true = {image.name: image.projection_center() for image in truth.images.values()}
    names = sorted(image.name for image in model.images.values() if image.has_pose)
    found = {image.name: image.projection_center() for image in model.images.values()}
    scale = fit_similarity(np.array([found[n] for n in names]), np.array([true[n] for n in names])).scale
    offset_s = georef["clock_offsets"][0]["offset_s"] if georef["clock_offsets"] else float("nan")
    name = f"drone video, GPS noise 2 m, {len(names)} keyframes"
    return [
        at_most("6.5", name, "scale error, share", float(abs(scale - 1)), 0.005),
        at_most("6.5", name, "error of the clocks' offset, s", float(abs(offset_s - OFFSET_S)), 0.05),
    ]


def _made(out: Path, stage: str) -> Path:
    """The newest first shard of a stage."""
    return max((out / ".recon").glob(f"{stage}-*/0000"), key=os.path.getmtime)
