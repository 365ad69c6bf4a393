"""Depth by COLMAP's PatchMatch stereo on a CUDA device (Schoenberger et al., ECCV 2016), written as our depth maps."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.dense.stereo import usable_pixels
from recon.dense.view import DepthMap, View
from recon.errors import NoSurface

log = logging.getLogger(__name__)

_SUFFIX = ".jpg"  # of the views that undistort writes
CONFIDENCE = 0.75
"""What passes the geometric check of several views is as sure as three agreeing pairs of the CPU path."""


def patchmatch_depths(
    views: Sequence[View],
    model: pycolmap.Reconstruction,
    block: Sequence[int],
    sources: Sequence[Sequence[int]],
    max_size_px: int,
    gpu: int,
    scratch: Path,
) -> dict[int, DepthMap]:
    """Depth maps of the views in ``block`` (indices), matched with ``sources[i]`` each: empty where masked, and without sources.

    ``model`` is the COLMAP model in world, whose points bound the depths; it is changed. ``scratch`` is left as it was. Raises
    NoSurface where the device gives only empty maps, as new devices without a fitting CUDA build do.
    """
    matched = [i for i in block if sources[i]]
    found = {i: _empty(views[i], max_size_px) for i in block}
    if not matched:
        return found
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        workspace = Path(folder)
        write_workspace(workspace, views, model, matched, sources)
        options = pycolmap.PatchMatchOptions()
        options.max_image_size = max_size_px
        options.gpu_index = str(gpu)
        options.geom_consistency = options.filter = True
        pycolmap.patch_match_stereo(workspace, "COLMAP", "option-all", options)
        for i in matched:
            found[i] = depth_map(views[i], read_array(workspace / "stereo" / "depth_maps" / f"{_name(views[i])}.geometric.bin")[:, :, 0])
    if not any((made.depth > 0).any() for made in found.values()):
        raise NoSurface(
            f"the CUDA device {gpu} returned {len(matched)} empty depth maps",
            "Its driver and pycolmap's CUDA build may not fit together: use --set depth.method=sgm",
        )
    return found


def depth_map(view: View, depth: NDArray[np.float32]) -> DepthMap:
    """What the device gives for a view, (h, w) along z, without its masked pixels: it knows nothing of masks."""
    height, width = depth.shape
    K = view.K.copy()
    K[0] *= width / view.width
    K[1] *= height / view.height
    depth = np.where(usable_pixels(view, (width, height)) & (depth > 0), depth, np.float32(0))
    return DepthMap(depth, np.where(depth > 0, np.float32(CONFIDENCE), np.float32(0)), K)


def _empty(view: View, max_size_px: int) -> DepthMap:
    width, height, _ = view.scaled(max_size_px)
    return depth_map(view, np.zeros((height, width), np.float32))


def write_workspace(
    folder: Path, views: Sequence[View], model: pycolmap.Reconstruction, block: Sequence[int], sources: Sequence[Sequence[int]]
) -> None:
    """COLMAP's dense workspace of a block and its sources: links to the undistorted images, a PINHOLE model, who matches whom."""
    used = sorted({*block, *(j for i in block for j in sources[i])})
    by_name = {image.name: image for image in model.images.values()}
    for i in used:
        view = views[i]
        link = folder / "images" / _name(view)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(view.path.resolve())
        camera = model.cameras[by_name[view.name].camera_id]
        camera.model = pycolmap.CameraModelId.PINHOLE
        camera.width, camera.height = view.width, view.height
        camera.params = [view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]]
    wanted = {views[i].name for i in used}
    for image in list(model.images.values()):
        if image.has_pose and image.name not in wanted:
            model.deregister_frame(image.frame_id)
        image.name = f"{image.name}{_SUFFIX}"
    (folder / "sparse").mkdir()
    model.write_binary(folder / "sparse")
    for kind in ("depth_maps", "normal_maps", "consistency_graphs"):
        for i in used:
            (folder / "stereo" / kind / _name(views[i])).parent.mkdir(parents=True, exist_ok=True)
    # the geometric check reads the sources' own maps: they are matched too, with the views that they serve
    partners = {i: [j for j in sources[i] if j in used] or [j for j in used if j != i][:2] for i in used}
    lines = [line for i in used for line in (_name(views[i]), ", ".join(_name(views[j]) for j in partners[i]))]
    (folder / "stereo" / "patch-match.cfg").write_text("\n".join(lines) + "\n")


def _name(view: View) -> str:
    return f"{view.name}{_SUFFIX}"


def read_array(path: Path) -> NDArray[np.float32]:
    """(h, w, c) of COLMAP's dense binary array: "width&height&channels&" in ASCII, then float32, column by column, channels last."""
    content = path.read_bytes()
    *sizes, start = _header(content)
    width, height, channels = sizes
    values = np.frombuffer(content, "<f4", width * height * channels, start)
    return np.ascontiguousarray(values.reshape((width, height, channels), order="F").transpose(1, 0, 2))


def _header(content: bytes) -> tuple[int, int, int, int]:
    """Width, height, channels, and where the values begin."""
    parts, position = [], 0
    for _ in range(3):
        end = content.index(b"&", position)
        parts.append(int(content[position:end]))
        position = end + 1
    return parts[0], parts[1], parts[2], position
