"""undistort: the registered images as pinhole views of bounded size, panoramas as six."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recon.capture.records import ImageRecord, ImageSet, read_json
from recon.config import Config
from recon.errors import NoOverlap
from recon.stage import Inputs, Shard, Stage, Work, blocks

if TYPE_CHECKING:
    import pycolmap
    from numpy.typing import NDArray

    from recon.dense.sides import Side
    from recon.dense.undistort import Undistorter
    from recon.dense.view import ViewRecord

SHARD_VIEWS = 8
BASE_MB, MEGAPIXEL_MB = 700, 20
"""What a shard needs, and more for each megapixel of its largest image (measured)."""
JPEG_QUALITY = 99
"""At 97 points are placed 4 % less exactly on simulated scenes without noise of their own (measured)."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of registered images, in image order."""
    import pycolmap

    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    registered = {image.name for image in model.images.values() if image.has_pose}
    sizes = {record.name: record.width * record.height for record in ImageSet.read(inputs).records if record.name in registered}
    names = list(sizes)
    if not names:
        raise NoOverlap("no image of the capture is registered in the model", "Take photos that overlap by two thirds")
    shares = [names[block.start : block.stop] for block in blocks(len(names), SHARD_VIEWS)]
    return [{"images": share, "memory_mb": BASE_MB + MEGAPIXEL_MB * max(sizes[name] for name in share) // 10**6} for share in shares]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import pycolmap

    from recon.dense.sides import sides
    from recon.dense.undistort import Undistorter
    from recon.dense.view import write_views

    cv2.setNumThreads(work.threads)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    by_name = {image.name: image for image in model.images.values()}
    images = ImageSet.read(inputs).subset(shard["images"])
    writer = _Writer(images, _Measured(inputs), out)
    views: dict[str, list[ViewRecord]] = {}
    cutters, of_camera = _no_cutters(), -1
    # camera by camera: what is kept of one is as large as several of its images
    for count, record in enumerate(sorted(images.records, key=lambda record: by_name[record.name].camera_id)):
        image = by_name[record.name]
        if image.camera_id != of_camera:
            cutters = _no_cutters()  # before the next ones are made
            size_px = config.undistort.max_size_px
            cutters = sides(image.camera, size_px) if image.camera.is_spherical() else [Undistorter(image.camera, size_px)]
            of_camera = image.camera_id
        views[record.name] = writer.write(record, image.cam_from_world(), cutters)
        work.tell((count + 1) / len(images))
    write_views(out, [view for record in images.records for view in views[record.name]])


def _no_cutters() -> list[Undistorter] | list[Side]:
    return []


class _Writer:
    """Writes the views of images, their masks and measured depth."""

    def __init__(self, images: ImageSet, measured: _Measured, out: Path) -> None:
        self._images, self._measured, self._out = images, measured, out

    def write(
        self, record: ImageRecord, cam_from_world: pycolmap.Rigid3d, cutters: Sequence[Undistorter] | Sequence[Side]
    ) -> list[ViewRecord]:
        import pycolmap

        from recon.capture.pixels import read_grey, read_rgb
        from recon.dense.sides import LEAST_USABLE, Side

        pixels, mask_path = read_rgb(self._images.path(record)), self._images.mask_path(record)
        unused = read_grey(mask_path) if mask_path else None
        found = []
        for cutter in cutters:
            mask = cutter.mask(unused)
            if not isinstance(cutter, Side):
                measured = self._measured.write(self._out, self._images, record, cutter)
                found.append(self._one(record, record.name, cutter, pixels, mask, cam_from_world, measured))
            elif mask is None or (mask > 0).mean() >= LEAST_USABLE:
                turn = pycolmap.Rigid3d(pycolmap.Rotation3d(cutter.view_from_cam), np.zeros(3))
                found.append(self._one(record, f"{record.name}/{cutter.name}", cutter, pixels, mask, turn * cam_from_world, None))
        return found

    def _one(
        self,
        record: ImageRecord,
        name: str,
        cutter: Undistorter | Side,
        pixels: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
        cam_from_world: pycolmap.Rigid3d,
        measured: str | None,
    ) -> ViewRecord:
        from recon.capture.pixels import write_jpeg, write_png
        from recon.dense.view import ViewRecord

        # as a PNG it takes three times as long to read, which every shard does that sees it, and the depth is no better (measured)
        file, mask_file = f"images/{name}.jpg", f"masks/{name}.png"
        write_jpeg(self._out / file, cutter.image(pixels), JPEG_QUALITY)
        if mask is not None:
            write_png(self._out / mask_file, mask)
        camera = cutter.camera
        return ViewRecord(
            name=name,
            part_of=None if name == record.name else record.name,
            file=file,
            mask=None if mask is None else mask_file,
            measured=measured,
            width=camera.width,
            height=camera.height,
            k=tuple(camera.params),
            cam_from_world=tuple(tuple(row) for row in cam_from_world.matrix()),
        )


class _Measured:
    """Depth that sensors measured, of the images whose depth fits the model."""

    def __init__(self, inputs: Inputs) -> None:
        self._georef = inputs["georef"][0] / "georef.json"

    def write(self, out: Path, images: ImageSet, record: ImageRecord, undistorter: Undistorter) -> str | None:
        """The file that was written; None where the image has no depth."""
        from recon.capture.depthimage import DepthImage
        from recon.dense.measured import undistorted

        path = images.depth_path(record)
        found = read_json(self._georef).get("depth") if path else None
        if path is None or found is None or record.name in found["rejected"]:
            return None
        file = f"measured/{record.name}.npz"
        depth = undistorted(DepthImage.load(path), undistorter, found["world_from_metres"], found["sigma_factor"])
        depth.save(out / file)
        return file


stage = Stage("undistort", ("ingest", "select", "recover", "georef"), run, split, version=5)
