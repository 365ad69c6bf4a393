"""undistort: the registered images as pinhole views of bounded size."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import ImageSet
from recon.config import Config
from recon.errors import NoOverlap
from recon.stage import Inputs, Shard, Stage, Work

SHARD_VIEWS = 8


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """Blocks of registered images, in image order."""
    import pycolmap

    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    registered = {image.name for image in model.images.values() if image.has_pose}
    names = [record.name for record in ImageSet.read(inputs).records if record.name in registered]
    if not names:
        raise NoOverlap("no image of the capture is registered in the model", "Take photos that overlap by two thirds")
    return [{"images": names[i : i + SHARD_VIEWS]} for i in range(0, len(names), SHARD_VIEWS)]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import pycolmap

    from recon.capture.pixels import read_grey, read_rgb, write_png
    from recon.dense.undistort import Undistorter
    from recon.dense.view import ViewRecord, write_views

    cv2.setNumThreads(work.threads)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    by_name = {image.name: image for image in model.images.values()}
    images = ImageSet.read(inputs).subset(shard["images"])
    undistorters: dict[int, Undistorter] = {}
    views = []
    for count, record in enumerate(images.records):
        image = by_name[record.name]
        if image.camera_id not in undistorters:
            undistorters[image.camera_id] = Undistorter(image.camera, config.undistort.max_size_px)
        undistorter = undistorters[image.camera_id]
        file, mask_file = f"images/{record.name}.png", f"masks/{record.name}.png"
        write_png(out / file, undistorter.image(read_rgb(images.path(record))))
        mask_path = images.mask_path(record)
        mask = undistorter.mask(read_grey(mask_path) if mask_path else None)
        if mask is not None:
            write_png(out / mask_file, mask)
        camera = undistorter.camera
        views.append(
            ViewRecord(
                name=record.name,
                file=file,
                mask=None if mask is None else mask_file,
                width=camera.width,
                height=camera.height,
                k=tuple(camera.params),
                cam_from_world=tuple(tuple(row) for row in image.cam_from_world().matrix()),
            )
        )
        work.tell((count + 1) / len(images))
    write_views(out, views)


stage = Stage("undistort", ("ingest", "select", "georef"), run, split)
