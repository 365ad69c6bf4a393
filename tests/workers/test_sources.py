"""A capture's uploads become the source that ``recon process`` would make of the same files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import ACCESS_KEY, SECRET_KEY, SeaweedFS

from recon.capture.source import open_source, read_source
from recon.errors import EmptyCapture, HostileArchive, InputError
from workers.places import Place
from workers.settings import Settings
from workers.sources import Upload, local_source, prepare


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    settings = Settings(home=tmp_path / "home")
    if request.param == "s3":
        seaweed: SeaweedFS = request.getfixturevalue("seaweed")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        store = f"s3://recon/{tmp_path.name}"
        settings = Settings(home=tmp_path / "home", store=store, s3_endpoint=seaweed.endpoint, s3_region="us-east-1")
    made = Place(settings, "owner1")
    yield made
    made.release()


def upload(place: Place, files: dict[str, bytes]) -> list[Upload]:
    for i, content in enumerate(files.values()):
        place.uploads.write(f"capture/{i}", content)
    return [Upload(name, f"capture/{i}") for i, name in enumerate(files)]


FOLDERS = {"b/2.jpg": b"two", "b/10.jpg": b"ten", "ä.HEIC": b"heic", "notes.txt": b"text", "a.dng": b"raw", "a.jpg": b"jpeg"}


def test_a_folder_is_listed_as_on_the_command_line(place: Place, tmp_path: Path) -> None:
    for name, content in FOLDERS.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    expected = open_source(tmp_path / "files", tmp_path / "workspace")
    key = prepare(place, upload(place, FOLDERS))
    wanted = {file.name for file in expected.photos}
    with local_source(place, key, wanted) as folder:
        source = read_source(folder)
        assert source.key == expected.key
        assert [(f.relative, f.name, f.kind, f.reason) for f in source.files] == [
            (f.relative, f.name, f.kind, f.reason) for f in expected.files
        ]
        for file in source.photos:
            assert Path(file.path).read_bytes() == FOLDERS[file.relative]
            assert Path(file.path).suffix == Path(file.relative).suffix
    with local_source(place, key, {"a.jpg"}) as folder:
        assert [file.relative for file in read_source(folder).photos if Path(file.path).exists()].count("a.jpg") == 1
    assert prepare(place, upload(place, FOLDERS)) == key


def test_a_zip_alone_is_unpacked(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/1.jpg", b"one")
        archive.writestr("in/2.jpg", b"two")
    expected = open_source(path, tmp_path / "workspace")
    key = prepare(place, upload(place, {"photos.zip": path.read_bytes()}))
    with local_source(place, key, {file.name for file in expected.photos}) as folder:
        source = read_source(folder)
        assert source.key == expected.key
        assert [Path(file.path).read_bytes() for file in source.photos] == [b"one", b"two"]


def test_hostile_and_empty_captures_are_refused(place: Place, tmp_path: Path) -> None:
    for name in ("../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", ""):
        with pytest.raises(InputError, match="no name of a file within a capture"):
            prepare(place, upload(place, {name: b"x", "b.jpg": b"y"}))
    with pytest.raises(EmptyCapture, match="the capture has no file"):
        prepare(place, [])
    with pytest.raises(EmptyCapture, match="no photo or video"):
        prepare(place, upload(place, {"a.txt": b"x", "b.txt": b"y"}))
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("../../evil.jpg", b"one")
    with pytest.raises(HostileArchive):
        prepare(place, upload(place, {"slip.zip": (tmp_path / "slip.zip").read_bytes()}))


def test_owners_share_nothing(place: Place) -> None:
    key = prepare(place, upload(place, {"a.jpg": b"x"}))
    other = Place(place.settings, "owner2")
    assert not other.store.exists(key)
    with pytest.raises(KeyError):
        other.upload_path("capture/0")
    with pytest.raises(ValueError, match="no owner's id"):
        Place(place.settings, "../owner1")
