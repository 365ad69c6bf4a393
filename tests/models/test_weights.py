"""Where weights are found, what happens to those that are missing, damaged or of another network, and how they are fetched."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recon.errors import DamagedWeights, MissingPart
from recon.models import find as finding
from recon.models import pull as pulling
from recon.models.find import cache_folder, find, located
from recon.models.manifest import MANIFEST, Weights, Wheel, weights_of

XFEAT = weights_of("xfeat")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which there are no weights but those that a test puts there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RECON_MODEL_DIR", raising=False)
    monkeypatch.setattr(finding, "_installed", lambda _: None)
    return tmp_path


@pytest.fixture
def small() -> Weights:
    """An entry whose content is known."""
    wheel = Wheel("scm-small", "1.0", "scm_small", "0" * 64)
    return Weights("small", "small.pt", wheel, "scm_small/small.pt", hashlib.sha256(b"weights").hexdigest(), "MIT", "here")


def test_a_named_folder_comes_before_the_cache_and_that_before_a_package(
    alone: Path, small: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [alone / "named", alone / "environment", cache_folder(), alone / "package"]
    for place in places:
        place.mkdir(parents=True)
        (place / "small.pt").write_bytes(b"weights")
    monkeypatch.setattr(finding, "_installed", lambda weights: places[3] / weights.file)
    monkeypatch.setenv("RECON_MODEL_DIR", str(places[1]))
    assert find(small, places[0]).parent == places[0]
    for here, after in pairwise(places[1:]):
        assert find(small).parent == here
        (here / "small.pt").unlink()
        assert find(small).parent == after


def test_missing_weights_name_the_command_that_fetches_them(alone: Path, small: Weights) -> None:
    with pytest.raises(MissingPart, match=r"small\.pt .* scm-small.*recon models pull"):
        find(small, alone / "named")


def test_tampered_weights_are_told_with_both_hashes_and_never_loaded(alone: Path, small: Weights) -> None:
    (alone / "small.pt").write_bytes(b"weights")
    assert find(small, alone) == alone / "small.pt"
    (alone / "small.pt").write_bytes(b"weightz")
    with pytest.raises(DamagedWeights) as told:
        find(small, alone)
    for part in (str(alone / "small.pt"), small.sha256, hashlib.sha256(b"weightz").hexdigest()):
        assert part in str(told.value)


def test_truncated_weights_and_other_files_are_told_in_words(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="learned matching is not installed: pip install -e '.[dev]'")
    from recon.models.load import read_tensors

    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:700])
    (tmp_path / "empty.pt").touch()
    torch.save({"a": "a word"}, tmp_path / "word.pt")
    torch.save(Path("/"), tmp_path / "code.pt")
    assert list(read_tensors(tmp_path / "whole.pt")) == ["a"]
    for name in ("cut.pt", "empty.pt", "word.pt", "code.pt"):
        with pytest.raises(DamagedWeights, match=name):
            read_tensors(tmp_path / name)


def test_weights_of_another_network_are_refused() -> None:
    pytest.importorskip("kornia", reason="learned matching is not installed: pip install -e '.[dev]'")
    from kornia.feature import ALIKED
    from kornia.feature.xfeat import XFeatModel

    from recon.models.load import fill, read_weights

    with pytest.raises(DamagedWeights, match=r"a\.pth holds the weights of another network than XFeatModel"):
        fill(XFeatModel(), read_weights("aliked-n16rot"), "a.pth")
    with pytest.raises(DamagedWeights, match="another network than ALIKED"):  # the same names, other shapes
        fill(ALIKED("aliked-t16"), read_weights("aliked-n16rot"), "b.pth")


def test_pull_fetches_by_hash_and_keeps_the_licence(alone: Path, small: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = _published(small, alone / "index", monkeypatch)
    (written,) = pulling.pull()
    assert written == cache_folder() / "small.pt"
    assert find(entry) == written
    assert (cache_folder() / "scm-small-LICENSE.txt").read_text() == "do as you like"
    assert pulling.pull() == []
    written.write_bytes(b"weightz")
    assert pulling.pull() == [written]
    assert sorted(path.name for path in cache_folder().iterdir()) == ["scm-small-LICENSE.txt", "small.pt"]


def test_pull_refuses_a_wheel_of_another_content(alone: Path, small: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    _published(small, alone / "index", monkeypatch)
    with zipfile.ZipFile(alone / "index/scm_small-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("more.py", "")
    with pytest.raises(MissingPart, match=r"scm-small 1\.0 could not be fetched"):
        pulling.pull()
    assert not (cache_folder() / "small.pt").exists()


def test_the_command_line_lists_and_verifies(recon: Callable[..., Any], tmp_path: Path) -> None:
    listed = recon("models", "list")
    assert listed.code == 0
    assert {row["name"] for row in listed.last["weights"]} == {weights.name for weights in MANIFEST}
    (tmp_path / XFEAT.file).write_bytes(b"no weights")
    verified = recon("models", "verify", "--model-dir", tmp_path)
    assert verified.code == 5
    (row,) = (row for row in verified.last["weights"] if row["name"] == "xfeat")
    assert XFEAT.sha256 in row["error"]


def test_all_weights_of_the_manifest_are_installed_and_whole() -> None:
    pytest.importorskip("kornia", reason="learned matching is not installed: make install-dev")
    for weights in MANIFEST:
        assert find(weights) == located(weights)


def _published(entry: Weights, index: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """The entry in a wheel in a folder, from which pip takes packages now."""
    index.mkdir()
    file = index / "scm_small-1.0-py3-none-any.whl"
    about = "scm_small-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(entry.path, b"weights")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: scm-small\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/licenses/LICENSE", "do as you like")
        wheel.writestr(f"{about}/RECORD", "")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    wheel_of = Wheel("scm-small", "1.0", "scm_small", hashlib.sha256(file.read_bytes()).hexdigest())
    entry = Weights(entry.name, entry.file, wheel_of, entry.path, entry.sha256, entry.licence, entry.source)
    monkeypatch.setattr(pulling, "MANIFEST", (entry,))
    return entry
