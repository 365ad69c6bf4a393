import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon.storage import LocalStore


def fill(store: LocalStore, key: str, text: str) -> None:
    with store.scratch() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        store.push(folder, key, {"peak_mb": 1.5})


def test_a_pushed_folder_is_whole_and_its_scratch_is_gone(store: LocalStore) -> None:
    fill(store, "stage-1/0000", "first")
    assert store.exists("stage-1/0000")
    assert (store.pull("stage-1/0000") / "sub" / "a.txt").read_text() == "first"
    assert '"peak_mb": 1.5' in (store.pull("stage-1/0000") / "DONE").read_text()
    assert list((store.root / "scratch").iterdir()) == []


def test_the_first_of_two_writers_wins(store: LocalStore) -> None:
    fill(store, "stage-1/0000", "first")
    fill(store, "stage-1/0000", "second")
    assert (store.pull("stage-1/0000") / "sub" / "a.txt").read_text() == "first"


def test_what_does_not_exist_can_not_be_pulled(store: LocalStore) -> None:
    assert not store.exists("stage-1/0000")
    with pytest.raises(KeyError, match="stage-1/0000"):
        store.pull("stage-1/0000")


def test_scratch_is_removed_when_the_work_fails(store: LocalStore) -> None:
    with pytest.raises(ZeroDivisionError), store.scratch() as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert not folder.exists()


ENDLESS_WRITER = """
import sys
from pathlib import Path
from recon.storage import LocalStore
store = LocalStore(Path(sys.argv[1]))
for i in range(100000):
    with store.scratch() as folder:
        for name in "abcd":
            (folder / name).write_text(name * 5000)
        store.push(folder, f"stage-1/{i:04d}", {})
    print(i, flush=True)
"""


def test_kill_leaves_only_whole_folders(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", ENDLESS_WRITER, str(root)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    store = LocalStore(root)
    folders = list((root / "stage-1").iterdir())
    assert len(folders) > 0
    for folder in folders:
        assert store.exists(f"stage-1/{folder.name}")
        assert {path.name: len(path.read_text()) for path in folder.iterdir() if path.name != "DONE"} == dict.fromkeys("abcd", 5000)
    store.sweep()
    assert not (root / "scratch").exists()
