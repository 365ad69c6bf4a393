"""A capture with depth images beside its photos, of a scene that photos alone can't measure: a wall without any texture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from recon.simulate.kinds import write_depth
from recon.simulate.render import render_linear
from recon.simulate.scenes import SOIL, Scene
from recon.simulate.sensors import make_camera, to_srgb
from recon.simulate.trials import GROUND, NOISE, PLASTER, WALL, Trial, panel, sparse_model
from recon.simulate.write import photo_exif, write_photo


@dataclass(frozen=True)
class RgbdTruth:
    """What was photographed, and from where; metres."""

    trial: Trial
    camera: pycolmap.Camera
    names: list[str]
    """Of the photos, relative to the capture."""
    poses: list[pycolmap.Rigid3d]
    """cam_from_world."""

    def model(self, seed: int = 0) -> pycolmap.Reconstruction:
        """The exact sparse model, without points on surfaces that have no texture."""
        return sparse_model(self.trial, self.camera, self.names, self.poses, seed)


def bare_wall_with_depth(folder: Path, size: tuple[int, int] = (640, 480), noise_m: float = 0.01, seed: int = 0) -> RgbdTruth:
    """Ten photos ``images/0000.jpg`` ... of a wall, 4 to 5 m away, with ``depth/0000.png`` ... as a tablet gives them.

    Nothing but the ground before it has texture, so photos can't tell where the wall is.

    Depth images have 256 x 192 pixels and independent Gaussian noise in each.
    """
    trial = Trial(Scene.build([panel(GROUND, SOIL), panel(WALL, PLASTER)]), (GROUND, WALL), plain=(1,))
    camera, poses = make_camera(size, 0.9), trial.poses()
    names = [f"images/{number:04d}.jpg" for number in range(len(poses))]
    for number, cam_from_world in enumerate(poses):
        rgb = to_srgb(render_linear(trial.scene, camera, cam_from_world), 0.0, NOISE, np.random.default_rng([seed, number]))
        write_photo(folder / names[number], rgb, photo_exif(camera, 2.0 * number, 6.2, "recon", "simulated camera"))
        depth = folder / "depth" / f"{number:04d}.png"
        write_depth(depth, trial.scene, camera, cam_from_world, noise_m, np.random.default_rng([seed, number, 1]))
    return RgbdTruth(trial, camera, names, poses)
