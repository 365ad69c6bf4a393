#!/usr/bin/env python3
"""Make the sample capture anew: a walk around an object, filmed by hand, with its truth. Takes some minutes."""

import shutil
from pathlib import Path

from recon.simulate import simulate

folder = Path(__file__).parent / "walk"
(folder / "walk.mp4").unlink(missing_ok=True)
shutil.rmtree(folder / "truth", ignore_errors=True)
truth = simulate("object", folder, images=160, size=(720, 540), seed=7, noise=1.0, exposure_ev=0.1)
print(  # noqa: T201
    f"{truth.images} frames, path {truth.path_length_m:.2f} m, scene {truth.scene_size_m:.2f} m"
)
