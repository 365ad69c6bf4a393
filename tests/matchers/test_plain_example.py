"""The pipeline's matches are those of kornia's own example."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("kornia", reason="learned matching is not installed: pip install -e '.[dev]'")

from bench.learned import plain_matches, shared
from recon.matchers.learned import LearnedMatching

sys.path.insert(0, str(Path(__file__).parent.parent / "stages"))
from exact_flight import make_flight


def test_aliked_and_lightglue_match_as_in_the_plain_example(tmp_path: Path) -> None:
    make_flight(tmp_path, 4, (320, 240))
    one, two = sorted((tmp_path / "ingest/images").iterdir())[:2]
    network = LearnedMatching.load("aliked")
    features = [network.features(path, None, (320, 240), 1024, 500) for path in (one, two)]
    matches, _ = network.match(features[0], (320, 240), features[1], (320, 240))
    ours = np.column_stack([row.keypoints[matches[:, k], :2] - 0.5 for k, row in enumerate(features)])
    plain = plain_matches(one, two, 1024, 500)
    assert len(plain) > 50
    assert shared(plain, ours.astype(np.float64)) > 0.99
