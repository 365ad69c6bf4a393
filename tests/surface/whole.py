"""A mesh from a cloud in one go, as stages sample, surface and mesh make it."""

from collections.abc import Iterable
from typing import Any

from recon.config import Mesh
from recon.dense.view import Points
from recon.stage import Work
from recon.surface.build import finish, lay, plan
from recon.surface.mesh import TriMesh
from recon.surface.thin import thin


def build_mesh(parts: Iterable[Points], options: Mesh, work: Work) -> tuple[TriMesh, dict[str, Any]]:
    samples = thin(parts, options.max_points)
    return finish(samples, [lay(samples, options, job) for job in plan(samples, options)], options, work)
