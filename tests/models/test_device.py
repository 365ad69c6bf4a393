"""Devices by name, what is done when memory runs out, and a machine without torch."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence

import pytest

from recon.errors import MissingPart, OutOfMemory

pytest.importorskip("torch", reason="learned matching is not installed: pip install -e '.[dev]'")

import torch

from recon.matchers.learned import LearnedMatching
from recon.models.choice import learned_device, resolved
from recon.models.device import Frugal, device_of


class Card:
    """A network on a card that holds so many items at once; the CPU holds ``on_cpu``."""

    def __init__(self, holds: int, on_cpu: int = 100) -> None:
        self.holds = {"meta": holds, "cpu": on_cpu}
        self.moved: list[str] = []
        self.ran: list[tuple[str, int]] = []

    def move(self, device: torch.device) -> None:
        self.moved.append(device.type)

    def work(self, items: Sequence[int], device: torch.device) -> list[int]:
        if len(items) > self.holds[device.type]:
            raise torch.OutOfMemoryError("no more memory")
        self.ran.append((device.type, len(items)))
        return [2 * item for item in items]


def run(card: Card, count: int, batch: int) -> list[int]:
    return list(Frugal(torch.device("meta"), card.move, "matching", batch).run(range(count), card.work))


def test_a_batch_that_does_not_fit_is_halved_once_and_for_all(caplog: pytest.LogCaptureFixture) -> None:
    card = Card(holds=3)
    with caplog.at_level(logging.WARNING):
        assert run(card, 10, 8) == [2 * k for k in range(10)]
    assert [size for _, size in card.ran] == [2, 2, 2, 2, 2]
    assert len(caplog.records) == 1
    assert card.moved == ["meta"]


def test_where_not_even_one_fits_the_cpu_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    card = Card(holds=0)
    with caplog.at_level(logging.WARNING):
        assert run(card, 5, 4) == [0, 2, 4, 6, 8]
    assert card.moved == ["meta", "cpu"]
    assert {device for device, _ in card.ran} == {"cpu"}
    assert ["CPU" in record.getMessage() for record in caplog.records] == [False, True]


def test_a_machine_too_small_for_one_says_so() -> None:
    with pytest.raises(OutOfMemory, match="max_size_px"):
        run(Card(holds=0, on_cpu=0), 2, 2)


def test_devices_go_by_their_names() -> None:
    assert device_of("cpu").type == "cpu"
    with pytest.raises(MissingPart, match="'abacus'"):
        device_of("abacus")
    if not torch.cuda.is_available():
        for name in ("cuda:0", "rocm"):
            with pytest.raises(MissingPart, match=name):
                LearnedMatching.load("xfeat", name)


def test_auto_is_sift_on_a_cpu_and_a_given_card_is_taken() -> None:
    assert resolved("disk") == "disk"
    assert resolved("auto", "cuda:0") == "aliked"
    if learned_device() == "cpu":
        assert resolved("auto") == "sift"


_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
import recon.models.choice
from recon.doctor import examine
from recon.errors import MissingPart
from recon.matchers.learned import LearnedMatching
(part,) = [part for part in examine() if part.name.startswith("torch")]
assert not part.works and not part.needed and "recon[learned]" in part.remedy, part
try:
    LearnedMatching.load("aliked")
except MissingPart as error:
    print(error)
"""


def test_without_torch_the_error_and_the_doctor_say_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_TORCH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "learned matching needs torch. Run: pip install 'recon[learned]'"
