#!/usr/bin/env python3
"""Make the sample capture anew: a walk around an object, filmed by hand, with its truth. Takes some minutes.

``walk/expected.json`` is written by hand: for a value of ``recon eval`` (section and keys, joined by dots) the lowest and
highest that a reconstruction of ``walk/walk.mp4`` at the default preset may have. The lowest is a third of what was measured:
better than that is too good to be true.
"""

import shutil
import sys
from pathlib import Path

from recon.simulate import simulate

folder = Path(__file__).parent / "walk"
(folder / "walk.mp4").unlink(missing_ok=True)
shutil.rmtree(folder / "truth", ignore_errors=True)
truth = simulate("object", folder, images=160, size=(720, 540), seed=7, noise=1.0, exposure_ev=0.1)
sys.stdout.write(f"{truth.images} frames, path {truth.path_length_m:.2f} m, scene {truth.scene_size_m:.2f} m\n")
