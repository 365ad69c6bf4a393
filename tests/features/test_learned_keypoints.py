"""Learned keypoints on images whose warp is known: matched right, masked, turned, few, tiny, and the same on any number of cores."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("kornia", reason="learned matching is not installed: pip install -e '.[dev]'")

from recon.capture.pixels import write_png
from recon.capture.records import ImageRecord
from recon.features.learned import as_seen, read_picture, turned_back
from recon.features.store import Features, FeatureStore, write_features
from recon.features.turning import common_turns, turns_by_gimbal
from recon.matchers.learned import KINDS, Kind, LearnedMatching

SIZE = (256, 192)
SHIFT = np.array([9.0, -6.0])


@lru_cache
def network(kind: Kind, threads: int = 1) -> LearnedMatching:
    return LearnedMatching.load(kind, threads=threads)


@pytest.fixture(scope="module")
def drawing() -> NDArray[np.uint8]:
    """Shapes of many sizes and greys, twice as large as the images."""
    rng = np.random.default_rng(5)
    image = np.full((2 * SIZE[1], 2 * SIZE[0], 3), 128, np.uint8)
    for _ in range(400):
        corner, extent = rng.integers(0, 2 * SIZE[0], 2), rng.integers(6, 50, 2)
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        box = cv2.boxPoints(((int(corner[0]), int(corner[1])), (int(extent[0]), int(extent[1])), float(rng.uniform(0, 90))))
        cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


@pytest.fixture(scope="module")
def files(drawing: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A view, one shifted by SHIFT, and the first turned by a quarter counterclockwise."""
    folder = tmp_path_factory.mktemp("images")
    view = drawing[80 : 80 + SIZE[1], 100 : 100 + SIZE[0]]
    x, y = 100 - int(SHIFT[0]), 80 - int(SHIFT[1])
    images = {"view": view, "shifted": drawing[y : y + SIZE[1], x : x + SIZE[0]], "turned": np.rot90(view)}
    for name, image in images.items():
        write_png(folder / f"{name}.png", np.ascontiguousarray(image))
    return {name: folder / f"{name}.png" for name in images}


def of(file: Path, kind: Kind = "aliked", size: tuple[int, int] = SIZE, turn: int = 0, mask: Path | None = None) -> Features:
    return network(kind).features(file, mask, size, 1024, 400, turn)


@pytest.mark.parametrize("kind", KINDS)
def test_matches_follow_a_known_shift(kind: Kind, files: dict[str, Path]) -> None:
    one, two = of(files["view"], kind), of(files["shifted"], kind)
    matches, scores = network(kind).match(one, SIZE, two, SIZE)
    error = np.linalg.norm(two.keypoints[matches[:, 1], :2] - one.keypoints[matches[:, 0], :2] - SHIFT, axis=1)
    assert len(matches) > 60
    assert (error < 4).mean() > 0.9
    assert np.median(error) < (1.5 if kind == "xfeat" else 0.6)  # XFeat gives whole pixels
    assert error.max() > 1e-6
    assert ((scores > 0) & (scores <= 1)).all()
    np.testing.assert_allclose(np.linalg.norm(one.descriptors.astype(float), axis=1), 1, atol=0.01)


def test_keypoints_are_in_pixels_of_the_original(files: dict[str, Path]) -> None:
    once, twice = of(files["view"]), of(files["view"], size=(2 * SIZE[0], 2 * SIZE[1]))
    np.testing.assert_allclose(twice.keypoints[:, :2], 2 * once.keypoints[:, :2], rtol=1e-6)
    assert (once.keypoints[:, :2] > 0.5).all()
    assert (once.keypoints[:, :2] < np.array(SIZE) - 0.5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_none_where_the_mask_is_zero(kind: Kind, files: dict[str, Path], tmp_path: Path) -> None:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[:, :120] = 255
    write_png(tmp_path / "mask.png", mask)
    found = of(files["view"], kind, mask=tmp_path / "mask.png")
    assert len(found) > 30
    assert (found.keypoints[:, 0] <= 120.5).all()


def test_an_image_that_is_turned_first_gives_keypoints_in_its_own_direction(files: dict[str, Path]) -> None:
    """Of a turned image only its own turning back makes matches, and they lie where they must."""
    upright, turned_size = of(files["view"]), SIZE[::-1]
    lying, mended = (of(files["turned"], size=turned_size, turn=turn) for turn in (0, 3))
    few, _ = network("aliked").match(upright, SIZE, lying, turned_size)
    matches, _ = network("aliked").match(upright, SIZE, mended, turned_size)
    back = turned_back(mended.keypoints[matches[:, 1], :2], turned_size, 1)
    assert len(matches) > 100 > 2 * len(few)
    assert np.abs(back - upright.keypoints[matches[:, 0], :2]).max() < 1e-3


def test_what_the_network_saw_is_found_again_from_the_stored_keypoints(files: dict[str, Path]) -> None:
    for turn in range(4):
        stored = of(files["view"], turn=turn)
        shown = np.ascontiguousarray(read_picture(files["view"], None, SIZE, 1024, turn).rgb)
        xy, size = as_seen(stored, SIZE)
        assert size == shown.shape[1::-1]
        at = np.clip(xy.astype(int), 0, np.array(size) - 1)
        assert np.mean(np.abs(shown[at[:, 1], at[:, 0]].astype(int) - stored.rgb)) < 2


@pytest.mark.parametrize("shape", [(12, 20), (40, 300)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_smaller_than_a_network_needs_is_continued(kind: Kind, shape: tuple[int, int], drawing: object, tmp_path: Path) -> None:
    assert isinstance(drawing, np.ndarray)
    write_png(tmp_path / "small.png", np.ascontiguousarray(drawing[: shape[0], : shape[1]]))
    found = of(tmp_path / "small.png", kind, shape[::-1])
    assert (found.keypoints[:, :2] > 0).all()
    assert (found.keypoints[:, :2] < np.array(shape[::-1])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_image_matches_nothing(kind: Kind, files: dict[str, Path], tmp_path: Path) -> None:
    write_png(tmp_path / "blank.png", np.full((*SIZE[::-1], 3), 90, np.uint8))
    blank, view = of(tmp_path / "blank.png", kind), of(files["view"], kind)
    for one, two in ((blank, view), (view, blank), (view, Features(view.keypoints[:7], view.descriptors[:7], view.rgb[:7]))):
        matches, scores = network(kind).match(one, SIZE, two, SIZE)
        assert len(matches) == len(scores) <= 5


def test_the_number_of_cores_does_not_change_a_bit(files: dict[str, Path]) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    rows = [network("aliked", threads).features(files["view"], None, SIZE, 1024, 400) for threads in (1, 2)]
    two = of(files["shifted"])
    pairs = [(rows[0], SIZE, two, SIZE), (two, SIZE, rows[0], SIZE)] * 2
    found = [list(network("aliked", threads).match_many(pairs)) for threads in (1, 2)]
    torch.set_num_threads(before)
    assert rows[0].keypoints.tobytes() == rows[1].keypoints.tobytes()
    assert rows[0].descriptors.tobytes() == rows[1].descriptors.tobytes()
    for one, other in zip(*found, strict=True):
        assert one[0].tobytes() == other[0].tobytes()
        assert one[1].tobytes() == other[1].tobytes()


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_finds_about_the_same_in_batches(kind: Kind, files: dict[str, Path]) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    card = LearnedMatching.load(kind, "cuda:0")
    rows = [card.features(files[name], None, SIZE, 1024, 400) for name in ("view", "shifted")]
    found = list(card.match_many([(rows[0], SIZE, rows[1], SIZE)] * 20))
    error = [rows[1].keypoints[m[:, 1], :2] - rows[0].keypoints[m[:, 0], :2] - SHIFT for m, _ in found]
    expected, _ = network(kind).match(of(files["view"], kind), SIZE, of(files["shifted"], kind), SIZE)
    for matches, off in zip(found, error, strict=True):
        assert len(matches[0]) > 0.8 * len(expected)
        assert (np.linalg.norm(off, axis=1) < 4).mean() > 0.9


def test_the_store_keeps_the_kind_and_the_descriptors(files: dict[str, Path], tmp_path: Path) -> None:
    given = of(files["view"], "xfeat")
    write_features(tmp_path, ["a"], [given], "xfeat")
    store = FeatureStore([tmp_path])
    assert store.kind == "xfeat"
    assert store["a"].descriptors.dtype == np.float16
    np.testing.assert_array_equal(store["a"].descriptors, given.descriptors)


@pytest.mark.parametrize(
    ("gimbals", "turns"),
    [
        ([(0, -90, 0), (92, -88, 0), (180, -90, 0), (-88, -89, 0)], [0, 3, 2, 1]),
        ([(44, -90, 0), (46, -90, 0), (-136, -90, 0), (-131, -90, 0)], [0, 0, 2, 2]),  # strips midway between north and east
        ([(180, -30, 0), (180, -30, 88)], [0, 3]),
    ],
)
def test_strips_flown_to_and_fro_get_one_direction(gimbals: list[tuple[float, float, float]], turns: list[int]) -> None:
    record = ImageRecord(name="a", file="x", source="x", sha256="", width=4, height=3, camera="a")
    found = turns_by_gimbal([record, *(record.model_copy(update={"gimbal_deg": gimbal}) for gimbal in gimbals)])
    assert found[0] == 0
    assert len({(own - turn) % 4 for own, turn in zip(found[1:], turns, strict=True)}) == 1


def test_unknown_turns_are_found_along_a_chain_of_images(drawing: NDArray[np.uint8]) -> None:
    from recon.features.sift import detect

    turns = [0, 2, 0, 1, 0]
    views = [np.ascontiguousarray(np.rot90(drawing[80:272, x : x + 256], -turn)) for x, turn in zip(range(20, 220, 40), turns, strict=True)]
    found = common_turns({str(k): detect(view, 500, 0.0066) for k, view in enumerate(views)}, [(str(k), str(k + 1)) for k in range(4)])
    assert [found[str(k)] for k in range(5)] == turns
