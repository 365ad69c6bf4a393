"""undistort: the registered images as pinhole views of bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.capture.records import ImageRecord, ImageSet, read_json
from recon.config import Config
from recon.errors import NoOverlap
from recon.stage import Inputs, Shard, Stage, Work, blocks

if TYPE_CHECKING:
    from recon.dense.undistort import Undistorter

SHARD_VIEWS = 8
BASE_MB, MEGAPIXEL_MB = 700, 20
"""What a shard needs, and more for each megapixel of its largest image (measured)."""


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

    from recon.capture.pixels import read_grey, read_rgb, write_png
    from recon.dense.undistort import Undistorter
    from recon.dense.view import ViewRecord, write_views

    measured = _Measured(inputs)
    cv2.setNumThreads(work.threads)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    by_name = {image.name: image for image in model.images.values()}
    images = ImageSet.read(inputs).subset(shard["images"])
    views: dict[str, ViewRecord] = {}
    undistorter, of_camera = None, -1
    # camera by camera: what is kept of one is as large as several of its images
    for count, record in enumerate(sorted(images.records, key=lambda record: by_name[record.name].camera_id)):
        image = by_name[record.name]
        if undistorter is None or image.camera_id != of_camera:
            undistorter = None  # before the next one is made
            undistorter, of_camera = Undistorter(image.camera, config.undistort.max_size_px), image.camera_id
        file, mask_file = f"images/{record.name}.png", f"masks/{record.name}.png"
        write_png(out / file, undistorter.image(read_rgb(images.path(record))))
        mask_path = images.mask_path(record)
        mask = undistorter.mask(read_grey(mask_path) if mask_path else None)
        if mask is not None:
            write_png(out / mask_file, mask)
        camera = undistorter.camera
        views[record.name] = ViewRecord(
            name=record.name,
            file=file,
            mask=None if mask is None else mask_file,
            measured=measured.write(out, images, record, undistorter),
            width=camera.width,
            height=camera.height,
            k=tuple(camera.params),
            cam_from_world=tuple(tuple(row) for row in image.cam_from_world().matrix()),
        )
        work.tell((count + 1) / len(images))
    write_views(out, [views[record.name] for record in images.records])


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


stage = Stage("undistort", ("ingest", "select", "recover", "georef"), run, split, version=3)
