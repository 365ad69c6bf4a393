from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from fake_run import sample_points, write_texture
from PIL import Image

from recon.products.pictures import PREVIEW_SIZE, TURNTABLE_FPS, write_preview, write_turntable, write_video
from recon.products.render import MeshRenderer
from recon.products.textured import TexturedMesh
from recon.products.viewpoint import choose_orbit
from recon.stage import Work


def moving_blobs(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    base = cv2.GaussianBlur(rng.integers(0, 255, (96, 160, 3), dtype=np.uint8), (0, 0), 6)
    base = cv2.normalize(base, None, 0, 255, cv2.NORM_MINMAX)
    return [np.roll(base, 4 * number, axis=1) for number in range(count)]


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_video_plays_in_browsers(tmp_path):
    frames = moving_blobs(20)
    write_video(tmp_path / "v.mp4", frames, 10)
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (160, 96, 20)
        assert stream.average_rate == 10
    content = (tmp_path / "v.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index first: plays while it loads


def test_video_keeps_colours(tmp_path):
    frames = moving_blobs(8)
    write_video(tmp_path / "v.mp4", frames, 10)
    decoded = decode(tmp_path / "v.mp4")
    assert len(decoded) == len(frames)
    error = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(decoded, frames, strict=True)])
    assert 0 < error < 5


def test_video_has_the_same_bytes_each_time(tmp_path):
    frames = moving_blobs(30)
    contents = set()
    for _ in range(4):
        write_video(tmp_path / "v.mp4", frames, 10)
        contents.add((tmp_path / "v.mp4").read_bytes())
    assert len(contents) == 1


def test_preview_and_turntable_show_the_mesh(tmp_path):
    write_texture(tmp_path)
    points = sample_points()
    centers = np.array([[9.0 * np.cos(a), 9.0 * np.sin(a), 4] for a in np.linspace(0, 6, 10)])
    orbit = choose_orbit(points.xyz, points.views, centers)
    renderer = MeshRenderer(TexturedMesh.load(tmp_path))
    write_preview(tmp_path / "preview.png", renderer, orbit)
    with Image.open(tmp_path / "preview.png") as preview:
        assert preview.size == PREVIEW_SIZE
        picture = np.asarray(preview).astype(int)
    drawn = (np.ptp(picture, axis=2) > 25).mean()  # the background is grey
    assert 0.25 < drawn < 0.9
    write_turntable(tmp_path / "t.mp4", renderer, orbit, 0.5, Work())
    assert len(decode(tmp_path / "t.mp4")) == round(0.5 * TURNTABLE_FPS)
