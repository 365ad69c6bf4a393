"""georef: the world frame. Metres, east, north, up where GPS allows; else z up, in metres by measured depth or a device's poses, or in an
arbitrary unit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recon.capture.records import ImageRecord, ImageSet, read_json, write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    import pycolmap

    from recon.capture.telemetry import Track
    from recon.sfm.depthscale import DepthScale
    from recon.sfm.devicescale import DeviceScale, DeviceUp
    from recon.sfm.georeference import Georeference

_AT_ODDS = 3.0
"""Standard deviations by which two scales may differ."""
_ORDER = ("gps", "depth", "device")
_TILT_DEG = 10.0
_DATUMS = {
    "ellipsoid": "heights are above the WGS84 ellipsoid",
    "sea_level": "heights are above mean sea level, as the device states",
    "takeoff": "heights are above the take-off point",
    "unknown": "the device does not say what heights are measured from",
}


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import pycolmap

    from recon.sfm.devicescale import device_up
    from recon.sfm.upright import level_frame

    model = pycolmap.Reconstruction(inputs["recover"][0] / "model")
    rng = np.random.default_rng([work.seed, 7])
    records = ImageSet.read(inputs).records
    tracks = read_tracks(inputs["select"])
    found, warnings = _from_gps(model, records, tracks, config, rng)
    if found and not found.clock_offsets and not found.on_a_line:
        held = _held(model, records, found, config, work)
        again = _from_gps(held, records, tracks, config, np.random.default_rng([work.seed, 8])) if held else (None, [])
        if held and again[0]:
            model, found, warnings = held, *again
    depth, unfit = _from_depth(model, ImageSet.read(inputs))
    device, odd = _from_device(model, records)
    up = device_up(model, records)
    scales = _scales(found, depth, device)
    world_from_model = found.world_from_model if found else level_frame(model, records, rng, up.up if up else None)
    facts = _metric(found) if found else _plane()
    if scales:
        best = scales[0]
        world_from_model = _scaled(world_from_model, model, best.metres)
        facts |= {"metric": True, "source": best.source, "unit": "m", "scale": best.metres, "sigma_scale": best.sigma}
        warnings = warnings if found else []  # that there is no GPS is no news: lengths are in metres
    facts["depth"] = _depth_facts(depth, world_from_model.scale) if depth else None
    facts["device"] = _device_facts(device, world_from_model) if device else None
    facts["up"] = _up_facts(bool(found), up, world_from_model)
    model.transform(world_from_model)
    (out / "model").mkdir()
    model.write_binary(out / "model")
    model.export_PLY(out / "sparse.ply")  # for a viewer to show while the dense stages run
    write_json(out / "georef.json", {**facts, "warnings": warnings + unfit + odd + _at_odds(scales)})


def read_tracks(folders: tuple[Path, ...]) -> dict[str, Track]:
    """The tracks of videos that ``select`` left, by their sequence's name."""
    from recon.capture.telemetry import TRACK_FILE, Track

    rows = [read_json(folder / TRACK_FILE) for folder in folders if (folder / TRACK_FILE).is_file()]
    return {row["sequence"]: Track.from_json(row["track"]) for row in rows}


def _held(
    model: pycolmap.Reconstruction, records: tuple[ImageRecord, ...], found: Georeference, config: Config, work: Work
) -> pycolmap.Reconstruction | None:
    """The model adjusted with its photos' positions as priors; None where they can't help."""
    from recon.sfm.georeference import gps_fixes
    from recon.sfm.priors import held_by_fixes
    from recon.sfm.result import adjustment_of

    registered = {image.name: image.image_id for image in model.images.values() if image.has_pose}
    return held_by_fixes(model, gps_fixes(records, registered), found, adjustment_of(records, config, work.seed, work.threads))


def _from_gps(
    model: pycolmap.Reconstruction, records: tuple[ImageRecord, ...], tracks: dict[str, Track], config: Config, rng: np.random.Generator
) -> tuple[Georeference | None, list[str]]:
    from recon.sfm.georeference import flights_of, georeference, gps_fixes

    registered = {image.name: image.image_id for image in model.images.values() if image.has_pose}
    if not config.georef.use_gps:
        return None, ["GPS is not used, as asked: lengths are in an arbitrary unit"]
    photos = gps_fixes([record for record in records if record.sequence not in tracks], registered)
    flights = flights_of(model, records, tracks, photos)
    datums = {flight.track.alt_datum for flight in flights}
    photos = [record for record in photos if not datums or (record.gps and record.gps.alt_datum in datums)]
    if not photos and not flights:
        return None, ["no image has a GPS position: lengths are in an arbitrary unit, so measure one known length to scale the model"]
    found = georeference(model, photos, config.georef.max_gps_error_m, rng, flights)
    if isinstance(found, str):
        return None, [f"{found}: lengths are in an arbitrary unit, so measure one known length to scale the model"]
    warnings = []
    if rejected := int((~found.used).sum()):
        limit_m = config.georef.max_gps_error_m
        warnings.append(f"{rejected} of {len(found.used)} GPS positions are more than {limit_m:g} m off and not used")
    if found.on_a_line:
        warnings.append("the GPS positions lie on a line: the tilt across it comes from how the camera was held, not from GPS")
    if found.tilt_deg is not None and found.tilt_deg > _TILT_DEG:
        warnings.append(f"up as GPS tells it is {found.tilt_deg:.0f} degrees off what the gimbal states: heights may be wrong")
    warnings += [
        f"{offset.sequence}: telemetry and video are {offset.offset_s:+.1f} s apart or more, as far as was searched"
        for offset in found.clock_offsets
        if offset.at_the_end
    ]
    if found.datum != "ellipsoid":
        warnings.append(f"altitude datum: {_DATUMS[found.datum]}")
    return found, warnings


def _from_depth(model: pycolmap.Reconstruction, images: ImageSet) -> tuple[DepthScale | None, list[str]]:
    """The scale by measured depth, and warnings; None where there is no depth, or it tells none."""
    from recon.capture.names import listed
    from recon.sfm.depthscale import depth_scale

    depth = {record.name: path for record in images.records if (path := images.depth_path(record))}
    if not depth:
        return None, []
    found = depth_scale(model, depth)
    if isinstance(found, str):
        return None, [f"measured depth is not used: {found}"]
    if found.rejected:
        return found, [
            f"the measured depth of {len(found.rejected)} images does not fit the others' and is not used: {listed(found.rejected)}"
        ]
    return found, []


def _from_device(model: pycolmap.Reconstruction, records: tuple[ImageRecord, ...]) -> tuple[DeviceScale | None, list[str]]:
    """The scale and up by the poses that a device states, and warnings."""
    from recon.sfm.devicescale import device_scale

    found = device_scale(model, records)
    if found is None:
        return None, []
    return (None, [f"the device's poses are not used: {found}"]) if isinstance(found, str) else (found, list(found.warnings))


def _scaled(world_from_model: pycolmap.Sim3d, model: pycolmap.Reconstruction, scale: float) -> pycolmap.Sim3d:
    """The same with another scale, about the middle of the cameras."""
    import pycolmap

    middle = np.mean([image.projection_center() for image in model.images.values() if image.has_pose], axis=0)
    turn = world_from_model.rotation
    if scale == world_from_model.scale:
        return world_from_model
    return pycolmap.Sim3d(scale, turn, world_from_model * middle - scale * (turn * middle))


def _depth_facts(depth: DepthScale, scale: float) -> dict[str, Any]:
    """What later stages and the report need: among it how long a measured metre is in the world."""
    return {
        "world_from_metres": float(scale / depth.metres),
        "sigma_scale": depth.sigma_scale,
        "sigma_factor": depth.sigma_factor,
        "images": depth.images,
        "rejected": list(depth.rejected),
        "points": depth.points,
        "median_m": depth.median_m,
    }


def _device_facts(device: DeviceScale, world_from_model: pycolmap.Sim3d) -> dict[str, Any]:
    return {
        "world_from_metres": float(world_from_model.scale / device.metres),
        "sigma_scale": device.sigma_scale,
        "drift_share": device.drift_share,
        "images": device.images,
        "sessions": device.sessions,
    }


def _up_facts(by_gps: bool, up: DeviceUp | None, world_from_model: pycolmap.Sim3d) -> dict[str, Any]:
    """What told up, and how a device's own differs from it."""
    if up is None:
        return {"source": "gps" if by_gps else "images", "sigma_deg": None, "device_tilt_deg": None}
    tilt_deg = float(np.degrees(np.arccos(np.clip((world_from_model.rotation.matrix() @ up.up)[2], -1, 1))))
    return {"source": "gps" if by_gps else "device", "sigma_deg": None if by_gps else up.sigma_deg, "device_tilt_deg": tilt_deg}


class _Scale(NamedTuple):
    source: str
    words: str
    metres: float
    """A unit of the model in metres."""
    sigma: float
    """Relative."""


def _scales(found: Georeference | None, depth: DepthScale | None, device: DeviceScale | None) -> list[_Scale]:
    """What tells metres, the most certain first."""
    told = [_Scale("gps", "GPS", float(found.world_from_model.scale), found.sigma_scale)] if found else []
    told += [_Scale("depth", "measured depth", depth.metres, depth.sigma_scale)] if depth else []
    told += [_Scale("device", "the device's poses", device.metres, device.sigma_scale)] if device else []
    return sorted(told, key=lambda scale: scale.sigma)


def _at_odds(scales: list[_Scale]) -> list[str]:
    """Warnings where the others' scales differ from the one that is used by more than their sigmas allow."""
    warnings = []
    for other in scales[1:]:
        apart = abs(np.log(other.metres / scales[0].metres))
        if apart > _AT_ODDS * np.hypot(other.sigma, scales[0].sigma):
            one, two = sorted((other, scales[0]), key=lambda scale: _ORDER.index(scale.source))
            differ = f"the scales by {one.words} and by {two.words} differ by {100 * apart:.1f} %, more than their errors explain"
            warnings.append(f"{differ}; {scales[0].words} is used")
    return warnings


def _metric(found: Georeference) -> dict[str, Any]:
    return {
        "frame": "enu",
        "metric": True,
        "source": "gps",
        "unit": "m",
        "crs": found.frame.crs,
        "origin": {
            "lat_deg": found.frame.lat_deg,
            "lon_deg": found.frame.lon_deg,
            "alt_m": found.frame.alt_m,
            "alt_datum": found.datum,
        },
        "scale": float(found.world_from_model.scale),
        "rms_m": found.rms_m,
        "rms_east_north_up_m": np.sqrt((found.residuals_m[found.used] ** 2).mean(0)).tolist(),
        "sigma_scale": found.sigma_scale,
        "gps_used": int(found.used.sum()),
        "gps_rejected": int((~found.used).sum()),
        "clock_offsets": [asdict(offset) for offset in found.clock_offsets],
        "tilt_deg": found.tilt_deg,
    }


def _plane() -> dict[str, Any]:
    nothing = dict.fromkeys(("crs", "origin", "scale", "rms_m", "sigma_scale", "tilt_deg"))
    return {
        "frame": "plane",
        "metric": False,
        "source": "none",
        "unit": "arbitrary",
        **nothing,
        "gps_used": 0,
        "gps_rejected": 0,
        "clock_offsets": [],
    }


stage = Stage("georef", ("select", "recover"), run, reads=("georef", "sfm", "camera"), seeded=True, memory_mb=800, version=8)
