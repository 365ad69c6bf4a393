"""georef: the world frame. Metres, east, north, up where GPS allows; else z up in an arbitrary unit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.capture.records import ImageRecord, ImageSet, write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

if TYPE_CHECKING:
    import pycolmap

    from recon.sfm.georeference import Georeference

_DATUMS = {
    "ellipsoid": "heights are above the WGS84 ellipsoid",
    "sea_level": "heights are above mean sea level, as the device states",
    "takeoff": "heights are above the take-off point",
    "unknown": "the device does not say what heights are measured from",
}


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import pycolmap

    from recon.sfm.upright import level_frame

    model = pycolmap.Reconstruction(inputs["recover"][0] / "model")
    rng = np.random.default_rng([work.seed, 7])
    records = ImageSet.read(inputs).records
    found, warnings = _from_gps(model, records, config, rng)
    model.transform(found.world_from_model if found else level_frame(model, records, rng))
    (out / "model").mkdir()
    model.write_binary(out / "model")
    model.export_PLY(out / "sparse.ply")  # for a viewer to show while the dense stages run
    write_json(out / "georef.json", {**(_metric(found) if found else _arbitrary()), "warnings": warnings})


def _from_gps(
    model: pycolmap.Reconstruction, records: tuple[ImageRecord, ...], config: Config, rng: np.random.Generator
) -> tuple[Georeference | None, list[str]]:
    from recon.sfm.georeference import georeference, gps_fixes

    registered = {image.name: image.image_id for image in model.images.values() if image.has_pose}
    fixes = gps_fixes(records, registered)
    if not config.georef.use_gps:
        return None, ["GPS is not used, as asked: lengths are in an arbitrary unit"]
    if not fixes:
        return None, ["no image has a GPS position: lengths are in an arbitrary unit, so measure one known length to scale the model"]
    found = georeference(model, fixes, config.georef.max_gps_error_m, rng)
    if isinstance(found, str):
        return None, [f"{found}: lengths are in an arbitrary unit, so measure one known length to scale the model"]
    warnings = []
    if not found.used.all():
        warnings.append(
            f"{int((~found.used).sum())} of {len(fixes)} GPS positions are more than {config.georef.max_gps_error_m:g} m off and not used"
        )
    if found.on_a_line:
        warnings.append("the GPS positions lie on a line: the tilt across it comes from how the camera was held, not from GPS")
    if found.datum != "ellipsoid":
        warnings.append(f"altitude datum: {_DATUMS[found.datum]}")
    return found, warnings


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
    }


def _arbitrary() -> dict[str, Any]:
    nothing = dict.fromkeys(("crs", "origin", "scale", "rms_m", "sigma_scale"))
    return {"frame": "plane", "metric": False, "source": "none", "unit": "arbitrary", **nothing, "gps_used": 0, "gps_rejected": 0}


stage = Stage("georef", ("select", "recover"), run, seeded=True, memory_mb=800, version=3)
