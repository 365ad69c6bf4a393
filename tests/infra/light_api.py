"""``python light_api.py ABSENT ARGUMENTS``: ``recon ARGUMENTS`` where the top-level modules in the file ABSENT can't be imported."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path


class Without:
    """Comes before every other finder, and refuses what an image would not have."""

    def __init__(self, absent: frozenset[str]) -> None:
        self.absent = absent

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name.split(".")[0] in self.absent:
            raise ModuleNotFoundError(f"No module named '{name}': it is not in the image", name=name)
        return None


if __name__ == "__main__":
    absent, *arguments = sys.argv[1:]
    sys.meta_path.insert(0, Without(frozenset(Path(absent).read_text().split())))  # type: ignore[arg-type]
    from recon.cli import main

    sys.argv = ["recon", *arguments]
    main()
