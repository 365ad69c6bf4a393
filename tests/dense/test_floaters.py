"""Floaters: points with too few others around, whatever the order and number of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from recon.dense import floaters
from recon.dense.floaters import FLOATER_POINTS, UNSURE_CELL, UNSURE_POINTS, floating


def test_a_sheet_stays_and_what_hangs_over_it_goes(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = np.column_stack([np.stack(np.meshgrid(np.arange(60), np.arange(60)), -1).reshape(-1, 2), np.zeros(3600)])
    lone, few = rng.uniform(40, 100, (20, 3)), np.array([30.0, 30, 20]) + 0.1 * rng.uniform(size=(FLOATER_POINTS - 1, 3))
    xyz = np.concatenate([sheet, lone, few]).astype(np.float32)
    order = rng.permutation(len(xyz))
    found = np.empty(len(xyz), bool)
    found[order] = floating(xyz[order], np.ones(len(xyz), np.float32), np.ones(len(xyz), bool))
    assert not found[:3600].any()
    assert found[3600:].all()
    monkeypatch.setattr(floaters, "AT_ONCE", 100)
    np.testing.assert_array_equal(floating(xyz, np.ones(len(xyz), np.float32), np.ones(len(xyz), bool)), found)


def test_one_more_makes_a_surface(rng: np.random.Generator) -> None:
    clump = (5 + 0.1 * rng.uniform(size=(FLOATER_POINTS, 3))).astype(np.float32)
    spacing, sure = np.ones(FLOATER_POINTS, np.float32), np.ones(FLOATER_POINTS, bool)
    assert not floating(clump, spacing, sure).any()
    assert floating(clump[1:], spacing[1:], sure[1:]).all()
    assert floating(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(0, bool)).shape == (0,)


def test_what_few_views_confirm_needs_more_company(rng: np.random.Generator) -> None:
    clump = (UNSURE_CELL / 4 + rng.uniform(-0.5, 0.5, (UNSURE_POINTS, 3))).astype(np.float32)
    spacing, unsure = np.ones(UNSURE_POINTS, np.float32), np.zeros(UNSURE_POINTS, bool)
    assert not floating(clump, spacing, unsure).any()
    assert floating(clump[1:], spacing[1:], unsure[1:]).all()
    one_sure = np.arange(UNSURE_POINTS - 1) == 7
    np.testing.assert_array_equal(floating(clump[1:], spacing[1:], one_sure), ~one_sure)
