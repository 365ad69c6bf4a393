"""What a run notes in its folders survives a kill at any instant."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recon.capture.records import replace_json
from recon.errors import InputError
from recon.process import publish, source_of, workspace


def test_a_torn_receipt_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.txt").write_text("new")
    receipt, out = tmp_path / "receipt.json", tmp_path / "out"
    receipt.write_text('{"key": "k", "si')
    publish((tmp_path / "made",), out, "k", receipt)
    assert (out / "a.txt").read_text() == "new"
    assert json.loads(receipt.read_text()) == {"key": "k", "sizes": {"a.txt": 3}}


def test_what_an_earlier_run_published_and_this_one_does_not_make_is_removed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
        publish((tmp_path / name,), tmp_path / "out", name, tmp_path / "receipt.json")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two.txt"]


def test_a_torn_format_note_is_written_anew_and_another_version_is_refused(tmp_path: Path) -> None:
    note = tmp_path / "out" / ".recon" / "format.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"form')
    with workspace(tmp_path / "out"):
        assert json.loads(note.read_text()) == {"format": 1}
    note.write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 99"), workspace(tmp_path / "out"):
        pass


def test_a_note_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_json(tmp_path / "a.json", {"n": 1})
    synced: list[int] = []

    def killed(handle: int) -> None:
        synced.append(handle)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_json(tmp_path / "a.json", {"n": 2})
    assert synced
    assert json.loads((tmp_path / "a.json").read_text()) == {"n": 1}


def test_the_source_of_a_folder_without_a_run_is_unknown(tmp_path: Path) -> None:
    assert source_of(tmp_path) is None
    (tmp_path / ".recon" / "source").mkdir(parents=True)
    (tmp_path / ".recon" / "source" / "source.json").write_text("torn {")
    assert source_of(tmp_path) is None
