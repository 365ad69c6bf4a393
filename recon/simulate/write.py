"""Files of a simulated capture: JPEG with EXIF and XMP, H.264 video, and its truth."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational
from pyproj import Transformer

from recon.simulate.options import Origin
from recon.simulate.scenes import Scene

JPEG_QUALITY = 95
FULL_FRAME_DIAGONAL_MM = 43.267
START = datetime.datetime(2024, 6, 1, 10, 0, 0)
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="DJI Meta Data" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"
 drone-dji:AbsoluteAltitude="{absolute:+.3f}" drone-dji:RelativeAltitude="{relative:+.3f}"
 drone-dji:GimbalRollDegree="{roll:+.2f}" drone-dji:GimbalYawDegree="{yaw:+.2f}" drone-dji:GimbalPitchDegree="{pitch:+.2f}"
 drone-dji:FlightRollDegree="+0.00" drone-dji:FlightYawDegree="{yaw:+.2f}" drone-dji:FlightPitchDegree="+0.00"/>
</rdf:RDF></x:xmpmeta>"""


def write_photo(path: Path, rgb: NDArray[np.uint8], exif: Image.Exif | None = None, xmp: str = "") -> None:
    """A JPEG; rgb is (h, w, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, "JPEG", quality=JPEG_QUALITY, subsampling=0, exif=exif or Image.Exif(), xmp=xmp.encode() or None)


def photo_exif(camera: pycolmap.Camera, time_s: float, sensor_width_mm: float, make: str, model: str) -> Image.Exif:
    """EXIF of a photo taken time_s after ``START``: device, size, capture time, focal length and its 35 mm equivalent."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = make, model
    exif[ExifTags.Base.Orientation] = 1
    taken = START + datetime.timedelta(seconds=round(time_s, 3))
    focal_px = camera.mean_focal_length()
    focal_mm = focal_px / max(camera.width, camera.height) * sensor_width_mm
    equivalent_mm = focal_px / np.hypot(camera.width, camera.height) * FULL_FRAME_DIAGONAL_MM
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.DateTimeOriginal: taken.strftime("%Y:%m:%d %H:%M:%S"),
            ExifTags.Base.SubsecTimeOriginal: f"{taken.microsecond // 1000:03d}",
            ExifTags.Base.FocalLength: IFDRational(round(focal_mm * 1000), 1000),
            ExifTags.Base.FocalLengthIn35mmFilm: round(equivalent_mm),
            ExifTags.Base.ExifImageWidth: camera.width,
            ExifTags.Base.ExifImageHeight: camera.height,
        }
    )
    return exif


def add_gps(exif: Image.Exif, lat_deg: float, lon_deg: float, alt_m: float) -> None:
    """WGS84 degrees to about a millimetre, and metres above sea level."""
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSVersionID: b"\x02\x03\x00\x00",
            ExifTags.GPS.GPSLatitudeRef: "N" if lat_deg >= 0 else "S",
            ExifTags.GPS.GPSLatitude: _sexagesimal(abs(lat_deg)),
            ExifTags.GPS.GPSLongitudeRef: "E" if lon_deg >= 0 else "W",
            ExifTags.GPS.GPSLongitude: _sexagesimal(abs(lon_deg)),
            ExifTags.GPS.GPSAltitudeRef: b"\x00" if alt_m >= 0 else b"\x01",
            ExifTags.GPS.GPSAltitude: IFDRational(round(abs(alt_m) * 1000), 1000),
        }
    )


def gimbal_xmp(gimbal_deg: tuple[float, float, float], relative_m: float, absolute_m: float) -> str:
    """XMP as DJI writes it; yaw clockwise from north in -180..180, pitch -90 down."""
    yaw, pitch, roll = gimbal_deg
    return XMP.format(absolute=absolute_m, relative=relative_m, yaw=(yaw + 180) % 360 - 180, pitch=pitch, roll=roll)


def geographic(xyz: NDArray[np.float64], origin: Origin) -> NDArray[np.float64]:
    """(N, 3) latitude, longitude [deg] and altitude [m] of east, north, up (N, 3) about the origin."""
    steps = (
        f"+proj=pipeline +step +inv +proj=topocentric +lat_0={origin.lat_deg} +lon_0={origin.lon_deg} +h_0={origin.alt_m}"
        " +step +inv +proj=cart +ellps=WGS84 +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )
    lon, lat, alt = Transformer.from_pipeline(steps).transform(*xyz.T)
    return np.stack([lat, lon, alt], 1)


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: int, crf: int = 20) -> None:
    """H.264 in mp4, 4:2:0, constant frame rate; frames are (h, w, 3) RGB, BT.709 limited range."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        # one thread: more would make the bytes depend on the machine
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "slow", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 1
        stream.codec_context.color_primaries, stream.codec_context.color_trc = 1, 1
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_model(folder: Path, camera: pycolmap.Camera, names: Sequence[str], poses: Sequence[pycolmap.Rigid3d]) -> pycolmap.Reconstruction:
    """A COLMAP model with one camera, posed images and no points."""
    model = truth_model(camera, names, poses)
    folder.mkdir(parents=True, exist_ok=True)
    model.write(folder)
    return model


def truth_model(
    camera: pycolmap.Camera,
    names: Sequence[str],
    poses: Sequence[pycolmap.Rigid3d],
    keypoints: Sequence[NDArray[np.float64]] | None = None,
) -> pycolmap.Reconstruction:
    """Of images with cam_from_world poses and, where given, keypoints (N, 2) [px]; image ids count from 1 in the order given."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    for index, (name, cam_from_world) in enumerate(zip(names, poses, strict=True)):
        uv = keypoints[index] if keypoints is not None else np.empty((0, 2))
        image = pycolmap.Image(name=name, keypoints=uv, camera_id=camera.camera_id, image_id=index + 1)
        model.add_image_with_trivial_frame(image, cam_from_world)
    return model


def write_mesh(path: Path, scene: Scene) -> None:
    """Binary PLY, float32 vertices."""
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(scene.vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(scene.faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.zeros(len(scene.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, scene.faces
    path.write_bytes(header.encode() + scene.vertices.astype("<f4").tobytes() + faces.tobytes())


def _sexagesimal(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    units = round(degrees * 3600 * 100_000)
    minutes, seconds = divmod(units, 60 * 100_000)
    return IFDRational(minutes // 60, 1), IFDRational(minutes % 60, 1), IFDRational(seconds, 100_000)
