"""Imports point one way, and importing recon is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    {"errors", "__init__"},
    {"geometry"},
    {"config", "stage", "progress", "storage", "system", "threads", "models"},
    {"capture", "features", "matchers", "sfm", "recovery", "dense", "surface", "products", "simulate", "evaluate"},
    {"stages", "cost", "inspect", "preflight"},
    {"pipeline"},
    {"executor"},
    {"process", "doctor"},
    {"batch"},
    {"terminal"},
    {"cli", "models_cli", "__main__", "bench"},
)


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer(module: str) -> int | None:
    """Index of the layer of ``recon.X[...]``; None for anything outside recon."""
    parts = module.split(".")
    if parts[0] != "recon" or len(parts) < 2:
        return None
    return next((i for i, names in enumerate(LAYERS) if parts[1] in names), None)


@pytest.mark.parametrize("file", sorted((ROOT / "recon").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_imports_from_a_layer_above(file: Path) -> None:
    parts = file.relative_to(ROOT / "recon").with_suffix("").parts
    own = next((i for i, names in enumerate(LAYERS) if parts[0] in names), None)
    assert own is not None, f"{file} has no place in LAYERS"
    above = {name for name in imported(file) if (layer(name) or 0) > own}
    assert not above
    assert not {name for name in imported(file) if name.split(".")[0] in {"api", "workers", "celery", "redis", "boto3", "fastapi"}}


@pytest.mark.parametrize("file", sorted((ROOT / "workers").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_workers_know_nothing_of_http(file: Path) -> None:
    assert not {name for name in imported(file) if name.split(".")[0] in {"api", "fastapi", "starlette", "uvicorn"}}


def test_every_module_of_recon_has_a_layer() -> None:
    present = {path.stem for path in (ROOT / "recon").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert present <= set().union(*LAYERS)


@pytest.mark.parametrize("module", ["recon", "recon.cli", "recon.pipeline", "recon.process"])
def test_importing_is_light(module: str) -> None:
    heavy = "{'torch', 'open3d', 'cv2', 'pycolmap', 'numba', 'scipy', 'av', 'trimesh', 'PIL'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_too_long_and_no_catch_all_module_exists() -> None:
    files = [path for folder in ("recon", "api", "workers", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    assert {str(file) for file in files if len(file.read_text().splitlines()) > 420} == set()
    assert {file.name for file in files} & {"utils.py", "base.py", "helpers.py", "common.py", "misc.py"} == set()
