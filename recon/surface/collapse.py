"""Quadric edge collapse on all threads: in each pass go the edges that are the cheapest for two rings around."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from recon.threads import in_parts

_BORDER_WEIGHT = 3.0  # of planes through the border's edges, upright on their faces
_SPREAD = 1e-3  # weight of the distance to the faces' centres: no quadric is singular, and flat parts keep well-shaped faces
_CHEAP = 0.5  # share of vertices whose cheapest edge may go in a pass: so the order comes close to cheapest first
_EACH = 16  # of which one in so many is looked at
_LEAST_TURN = 0.3  # cosine of the angle by which a face may turn
_SLIVER = 0.05  # shape (1: equilateral) below which no face may worsen
_RING = 64  # a vertex with more neighbours stays


class _Web(NamedTuple):
    """A mesh whose edges collapse in place. An edge is told as a corner 3 f + k: from corner k of face f to the next."""

    position: NDArray[np.float64]
    """(V, 3)"""
    quadric: NDArray[np.float64]
    """(V, 10) upper triangle of A, b and c of x'Ax - 2b'x + c: squared distances, weighted by area."""
    on_border: NDArray[np.bool_]
    """(V,)"""
    faces: NDArray[np.int32]
    """(F, 3); the first is -1 in a face that is gone."""
    first: NDArray[np.int64]
    """(V,)"""
    degree: NDArray[np.int32]
    """(V,) the vertex's faces are ``around[first : first + degree]``, some of them gone; 0: the vertex is gone."""
    around: NDArray[np.int32]
    cost: NDArray[np.float32]
    """(F, 3) of corners' edges, infinite where they can't go. An edge inside is told twice; the lower corner is its name."""
    cheapest: NDArray[np.int64]
    """(V,) the cheapest edge there."""
    price: NDArray[np.float32]
    """(V,) its cost."""
    stale: NDArray[np.bool_]
    """(V,) whether the two must be found again."""


def collapse_edges(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], target: int, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A mesh of ``target`` faces, one less, or more where no edge can go without a tangle or a fold. The same on any number of threads.

    Edges have cost and place from quadrics (Garland and Heckbert 1997), regular as those of uncertain planes are (Trettner and
    Kobbelt 2020). The mesh must be manifold (at most two faces an edge, one fan a vertex), each vertex in a face. It stays so: only
    edges that fulfil the link condition (Dey et al. 1999) go.
    """
    centre = vertices.mean(axis=0)  # far from the origin, quadrics would lose digits
    web = _woven(vertices - centre, faces)
    in_parts(lambda first, last: _weigh(web, first, last), len(vertices), threads)
    in_parts(lambda first, last: _price_faces(web, first, last), len(faces), threads)
    alive, left, used = np.arange(len(vertices), dtype=np.int32), len(faces), len(web.around)
    while left > target:
        won = _winners(web, alive, threads)
        if won is None:
            break
        if 2 * len(won) > left - target:
            won = won[np.argsort(web.cost.ravel()[won], kind="stable")[: (left - target + 1) // 2]]
        face, corner = np.divmod(won, 3)
        room = web.degree[web.faces[face, corner]] + web.degree[web.faces[face, (corner + 1) % 3]]
        place = used + np.concatenate(([0], np.cumsum(room)))
        used = int(place[-1])
        if used > len(web.around):
            web = web._replace(around=np.concatenate((web.around, np.empty(used, np.int32))))
        gone = np.zeros(len(won), np.int64)
        in_parts(lambda first, last: _collapse(web, won, place, gone, first, last), len(won), threads)  # noqa: B023
        left -= int(gone.sum())
        alive = alive[web.degree[alive] > 0]
    kept = web.faces[web.faces[:, 0] >= 0]
    return web.position[alive] + centre, (np.cumsum(web.degree > 0) - 1)[kept].astype(np.int32)


def _winners(web: _Web, alive: NDArray[np.int32], threads: int) -> NDArray[np.int64] | None:
    """Edges that can go at once: no end of one is next to an end of another. None if no edge is left that can go."""
    in_parts(lambda first, last: _find_cheapest(web, alive, first, last), len(alive), threads)
    prices = web.price[alive]
    if not np.isfinite(prices.min()):
        return None
    some = np.sort(prices[::_EACH])
    some = some[np.isfinite(some)]
    limit = max(prices.min(), some[int(_CHEAP * len(some))]) if len(some) else prices.min()
    won = np.empty(len(alive), np.int64)
    in_parts(lambda first, last: _choose(web, alive, limit, won, first, last), len(alive), threads)
    return won[won >= 0]


def _woven(position: NDArray[np.float64], faces: NDArray[np.int32]) -> _Web:
    count = np.bincount(faces.ravel(), minlength=len(position))
    first = np.cumsum(count) - count
    around = np.empty(faces.size, np.int32)
    _fill(faces, first.copy(), around)
    vertices = len(position)
    return _Web(
        position,
        np.zeros((vertices, 10)),
        np.zeros(vertices, bool),
        faces.copy(),
        first,
        count.astype(np.int32),
        around,
        np.empty((len(faces), 3), np.float32),
        np.full(vertices, -1),
        np.full(vertices, np.inf, np.float32),
        np.ones(vertices, bool),
    )


@numba.njit(cache=True, nogil=True)
def _fill(faces: NDArray[np.int32], place: NDArray[np.int64], around: NDArray[np.int32]) -> None:
    for f in range(len(faces)):
        for k in range(3):
            around[place[faces[f, k]]] = f
            place[faces[f, k]] += 1


@numba.njit(cache=True, nogil=True)
def _has(faces, f, v):  # type: ignore[no-untyped-def]
    return faces[f, 0] == v or faces[f, 1] == v or faces[f, 2] == v


@numba.njit(cache=True, nogil=True)
def _corner(faces, f, v):  # type: ignore[no-untyped-def]
    return 0 if faces[f, 0] == v else 1 if faces[f, 1] == v else 2


@numba.njit(cache=True, nogil=True)
def _cross(ux, uy, uz, vx, vy, vz):  # type: ignore[no-untyped-def]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@numba.njit(cache=True, nogil=True)
def _to(position, a, b):  # type: ignore[no-untyped-def]
    return position[b, 0] - position[a, 0], position[b, 1] - position[a, 1], position[b, 2] - position[a, 2]


@numba.njit(cache=True, nogil=True)
def _shared(faces, first, degree, around, a, b):  # type: ignore[no-untyped-def]
    """Faces that two vertices share: 1 at a border, 2 inside."""
    shared = 0
    for n in range(first[a], first[a] + degree[a]):
        f = around[n]
        if faces[f, 0] >= 0 and _has(faces, f, b):
            shared += 1
    return shared


@numba.njit(cache=True, nogil=True)
def _add_plane(q, v, nx, ny, nz, x, y, z, weight, spread):  # type: ignore[no-untyped-def]
    """Add to the quadric of v the plane through (x, y, z) with that unit normal; ``spread`` weighs the distance from the point itself."""
    d = nx * x + ny * y + nz * z
    q[v, 0] += weight * nx * nx + spread
    q[v, 1] += weight * nx * ny
    q[v, 2] += weight * nx * nz
    q[v, 3] += weight * ny * ny + spread
    q[v, 4] += weight * ny * nz
    q[v, 5] += weight * nz * nz + spread
    q[v, 6] += weight * d * nx + spread * x
    q[v, 7] += weight * d * ny + spread * y
    q[v, 8] += weight * d * nz + spread * z
    q[v, 9] += weight * d * d + spread * (x * x + y * y + z * z)


@numba.njit(cache=True, nogil=True)
def _weigh(web: _Web, first: int, last: int) -> None:
    """Quadrics of vertices from first to last, and which of them lie on a border."""
    at, faces, start, degree, around, quadric = web.position, web.faces, web.first, web.degree, web.around, web.quadric
    for v in range(first, last):
        for n in range(start[v], start[v] + degree[v]):
            f = around[n]
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            ux, uy, uz = _to(at, i, j)
            vx, vy, vz = _to(at, i, k)
            nx, ny, nz = _cross(ux, uy, uz, vx, vy, vz)
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 0:
                nx, ny, nz = nx / length, ny / length, nz / length
                x, y, z = at[i, 0] + (ux + vx) / 3, at[i, 1] + (uy + vy) / 3, at[i, 2] + (uz + vz) / 3
                _add_plane(quadric, v, nx, ny, nz, x, y, z, length / 2, _SPREAD * length / 2)
            k = _corner(faces, f, v)
            for side in (k, (k + 2) % 3):
                a, b = faces[f, side], faces[f, (side + 1) % 3]
                if _shared(faces, start, degree, around, a, b) > 1:
                    continue
                web.on_border[v] = True
                ux, uy, uz = _to(at, a, b)
                squared = ux * ux + uy * uy + uz * uz
                if squared > 0 and length > 0:
                    vx, vy, vz = _cross(ux, uy, uz, nx, ny, nz)
                    long = np.sqrt(squared)
                    _add_plane(quadric, v, vx / long, vy / long, vz / long, at[a, 0], at[a, 1], at[a, 2], _BORDER_WEIGHT * squared, 0.0)


@numba.njit(cache=True, nogil=True)
def _merged(q, v, w):  # type: ignore[no-untyped-def]
    """Least value of the sum of two vertices' quadrics, and where it is; infinite where there is none."""
    a, b, c = q[v, 0] + q[w, 0], q[v, 1] + q[w, 1], q[v, 2] + q[w, 2]
    d, e, f = q[v, 3] + q[w, 3], q[v, 4] + q[w, 4], q[v, 5] + q[w, 5]
    bx, by, bz = q[v, 6] + q[w, 6], q[v, 7] + q[w, 7], q[v, 8] + q[w, 8]
    m00, m01, m02 = d * f - e * e, c * e - b * f, b * e - c * d
    m11, m12, m22 = a * f - c * c, b * c - a * e, a * d - b * b
    det = a * m00 + b * m01 + c * m02
    if not det > 0:
        return np.inf, 0.0, 0.0, 0.0
    x, y, z = (m00 * bx + m01 * by + m02 * bz) / det, (m01 * bx + m11 * by + m12 * bz) / det, (m02 * bx + m12 * by + m22 * bz) / det
    return max(q[v, 9] + q[w, 9] - (bx * x + by * y + bz * z), 0.0), x, y, z


@numba.njit(cache=True, nogil=True)
def _price_faces(web: _Web, first: int, last: int) -> None:
    faces, quadric, cost = web.faces, web.quadric, web.cost
    for f in range(first, last):
        for k in range(3):
            cost[f, k] = _merged(quadric, faces[f, k], faces[f, (k + 1) % 3])[0]


@numba.njit(cache=True, nogil=True)
def _find_cheapest(web: _Web, alive: NDArray[np.int32], first: int, last: int) -> None:
    """The cheapest edges of those vertices where they are stale; of equal ones the first."""
    faces, start, degree, around, cost, stale = web.faces, web.first, web.degree, web.around, web.cost, web.stale
    for at in range(first, last):
        v = alive[at]
        if not stale[v]:
            continue
        stale[v] = False
        edge, price = -1, np.float32(np.inf)
        for n in range(start[v], start[v] + degree[v]):
            f = around[n]
            if faces[f, 0] < 0:
                continue
            k = _corner(faces, f, v)
            for side in (k, k - 1 if k else 2):
                if cost[f, side] < price or (cost[f, side] == price and 3 * f + side < edge):
                    edge, price = 3 * f + side, cost[f, side]
        web.cheapest[v], web.price[v] = edge, price


@numba.njit(cache=True, nogil=True)
def _choose(web: _Web, alive: NDArray[np.int32], limit: np.float32, won: NDArray[np.int64], first: int, last: int) -> None:
    """``won``: the cheapest edge of each vertex if it starts there, costs no more than the limit, is the cheapest around, and can go."""
    faces, start, degree, around, cheapest, price = web.faces, web.first, web.degree, web.around, web.cheapest, web.price
    ring, other = np.empty(_RING, np.int32), np.empty(_RING, np.int32)
    for n in range(first, last):
        won[n] = -1
        a = alive[n]
        edge = cheapest[a]
        if not price[a] <= limit or edge < 0:
            continue
        f, k = edge // 3, edge % 3
        b = faces[f, (k + 1) % 3]
        if faces[f, k] != a or cheapest[b] != edge:
            continue
        if not _is_least(faces, start, degree, around, cheapest, price, a):
            continue
        if not _is_least(faces, start, degree, around, cheapest, price, b):
            continue
        if _can_go(web, a, b, ring, other):
            won[n] = edge
            continue
        for m in range(start[a], start[a] + degree[a]):
            for k in range(3):
                i, j = faces[around[m], k], faces[around[m], (k + 1) % 3]
                if (i == a and j == b) or (i == b and j == a):
                    web.cost[around[m], k] = np.inf
        web.stale[a] = web.stale[b] = True


@numba.njit(cache=True, nogil=True)
def _is_least(faces, start, degree, around, cheapest, price, v):  # type: ignore[no-untyped-def]
    """Whether no edge at a neighbour of v is cheaper than the cheapest one of v."""
    least = True
    for n in range(start[v], start[v] + degree[v]):
        f = around[n]
        if faces[f, 0] < 0:
            continue
        for k in range(3):
            u = faces[f, k]
            if price[u] < price[v] or (price[u] == price[v] and cheapest[u] < cheapest[v]):
                least = False
        if not least:
            break
    return least


@numba.njit(cache=True, nogil=True)
def _find_ring(faces, start, degree, around, v, ring):  # type: ignore[no-untyped-def]
    """How many neighbours v has, now in ``ring``: more than it holds if there is no room for them."""
    found = 0
    for n in range(start[v], start[v] + degree[v]):
        f = around[n]
        if faces[f, 0] < 0:
            continue
        for k in range(3):
            u = faces[f, k]
            known = u == v
            for i in range(min(found, len(ring))):
                known = known or ring[i] == u
            if not known:
                if found < len(ring):
                    ring[found] = u
                found += 1
    return found


@numba.njit(cache=True, nogil=True)
def _can_go(web: _Web, a: int, b: int, ring: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Whether the mesh stays manifold without the edge, and no face folds over or becomes a sliver."""
    faces, start, degree, around, on_border = web.faces, web.first, web.degree, web.around, web.on_border
    shared = _shared(faces, start, degree, around, a, b)
    at_a, at_b = _find_ring(faces, start, degree, around, a, ring), _find_ring(faces, start, degree, around, b, other)
    if at_a > len(ring) or at_b > len(other) or (shared == 2 and on_border[a] and on_border[b]):
        return False
    common = 0
    for i in range(at_a):
        for j in range(at_b):
            if ring[i] == other[j]:
                common += 1
                left = -1
                for n in range(start[ring[i]], start[ring[i]] + degree[ring[i]]):
                    if faces[around[n], 0] >= 0:
                        left += 1
                if left < (1 if on_border[ring[i]] else 3):
                    return False
    if common != shared:
        return False
    _, x, y, z = _merged(web.quadric, a, b)
    return bool(_stay_upright(web, a, b, x, y, z) and _stay_upright(web, b, a, x, y, z))


@numba.njit(cache=True, nogil=True)
def _stay_upright(web: _Web, v: int, goes: int, x: float, y: float, z: float) -> bool:
    """Whether the faces of v that another vertex has no part in bear v's move to (x, y, z)."""
    at, faces, around = web.position, web.faces, web.around
    for n in range(web.first[v], web.first[v] + web.degree[v]):
        f = around[n]
        if faces[f, 0] < 0 or _has(faces, f, goes):
            continue
        k = _corner(faces, f, v)
        i, j = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
        ex, ey, ez = _to(at, i, j)
        px, py, pz = _to(at, i, v)
        qx, qy, qz = x - at[i, 0], y - at[i, 1], z - at[i, 2]
        ax, ay, az = _cross(ex, ey, ez, px, py, pz)
        bx, by, bz = _cross(ex, ey, ez, qx, qy, qz)
        before, after, along = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz, ax * bx + ay * by + az * bz
        if before == 0:
            continue
        if not along > 0 or along * along < _LEAST_TURN**2 * before * after:
            return False
        edge = ex * ex + ey * ey + ez * ez
        sides = edge + qx * qx + qy * qy + qz * qz + (qx - ex) ** 2 + (qy - ey) ** 2 + (qz - ez) ** 2
        if 12 * after < (_SLIVER * sides) ** 2:
            old = edge + px * px + py * py + pz * pz + (px - ex) ** 2 + (py - ey) ** 2 + (pz - ez) ** 2
            if after * old * old < before * sides * sides:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def _collapse(web: _Web, won: NDArray[np.int64], place: NDArray[np.int64], gone: NDArray[np.int64], first: int, last: int) -> None:
    """Merge the ends of edges from first to last; their faces go to ``place`` in ``around``. ``gone``: faces that each takes with it."""
    at, faces, start, degree, around, quadric, cost = web.position, web.faces, web.first, web.degree, web.around, web.quadric, web.cost
    stale, on_border = web.stale, web.on_border
    for n in range(first, last):
        f, k = won[n] // 3, won[n] % 3
        a, b = faces[f, k], faces[f, (k + 1) % 3]
        _, at[a, 0], at[a, 1], at[a, 2] = _merged(quadric, a, b)
        for i in range(10):
            quadric[a, i] += quadric[b, i]
        on_border[a] |= on_border[b]
        end = place[n]
        for v in (a, b):
            for m in range(start[v], start[v] + degree[v]):
                f = around[m]
                if faces[f, 0] < 0:
                    continue
                for k in range(3):
                    stale[faces[f, k]] = True
                if _has(faces, f, b):
                    if _has(faces, f, a):
                        faces[f, 0] = -1
                        gone[n] += 1
                        continue
                    faces[f, _corner(faces, f, b)] = a
                around[end] = f
                end += 1
        start[a], degree[a], degree[b] = place[n], end - place[n], 0
        for m in range(place[n], end):
            for k in range(3):
                f = around[m]
                if faces[f, k] == a or faces[f, (k + 1) % 3] == a:
                    cost[f, k] = _merged(quadric, faces[f, k], faces[f, (k + 1) % 3])[0]
