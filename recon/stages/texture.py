"""texture: the mesh with colours from the photos."""

from __future__ import annotations

from pathlib import Path

from recon.capture.records import ImageSet, write_json
from recon.config import Config
from recon.stage import Inputs, Shard, Stage, Work

JPEG_QUALITY = 95


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    import cv2
    import numpy as np
    import pycolmap

    from recon.capture.pixels import write_jpeg, write_png
    from recon.dense.view import read_views
    from recon.surface.mesh import MESH_FILE, TriMesh
    from recon.surface.photos import registered_photos
    from recon.surface.texture import texture_mesh
    from recon.threads import in_order

    cv2.setNumThreads(work.threads)
    mesh = TriMesh.load(inputs["mesh"][0] / MESH_FILE)
    model = pycolmap.Reconstruction(inputs["georef"][0] / "model")
    photos = registered_photos(model, ImageSet.read(inputs), read_views(inputs))
    textured = texture_mesh(mesh, photos, config.texture, work)
    np.savez(out / "textured.npz", vertices=mesh.vertices, normals=mesh.normals, faces=mesh.faces, uv=textured.uv, page=textured.page)

    def write(number: int) -> None:
        if config.texture.page_format == "png":
            write_png(out / f"page_{number}.png", textured.pages[number])
        else:
            write_jpeg(out / f"page_{number}.jpg", textured.pages[number], JPEG_QUALITY)

    for _ in in_order(write, range(len(textured.pages)), work.threads):
        pass
    write_json(out / "texture.json", textured.summary)


stage = Stage("texture", ("ingest", "select", "recover", "georef", "undistort", "mesh"), run, memory_mb=3000, version=9)
