"""The pipeline: its stages, the recipe that names each folder, and a run of it over one capture."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recon.capture.records import read_json, write_json
from recon.capture.source import SOURCE_FILE
from recon.config import Config
from recon.errors import ConfigError, DiskFull, OutOfMemory, ReconError, StageFailed
from recon.stage import Inputs, Shard, Stage, Work
from recon.stages.depth import stage as depth
from recon.stages.features import stage as features
from recon.stages.fuse import stage as fuse
from recon.stages.georef import stage as georef
from recon.stages.ingest import stage as ingest
from recon.stages.matches import stage as matches
from recon.stages.mesh import stage as mesh
from recon.stages.pairs import stage as pairs
from recon.stages.preview import stage as preview
from recon.stages.products import stage as products
from recon.stages.recover import stage as recover
from recon.stages.report import stage as report
from recon.stages.sample import stage as sample
from recon.stages.select import stage as select
from recon.stages.sfm import stage as sfm
from recon.stages.surface import stage as surface
from recon.stages.texture import stage as texture
from recon.stages.trajectory import stage as trajectory
from recon.stages.undistort import stage as undistort
from recon.storage import Store
from recon.system import give_memory_back

log = logging.getLogger(__name__)

PIPELINE: tuple[Stage, ...] = (
    ingest, select, features, pairs, matches, sfm, recover, georef, trajectory, undistort, preview, depth, fuse, sample, surface,
    mesh, texture, products, report,
)  # fmt: skip

LOW_DISK_BYTES = 64 * 2**20


def stages_until(name: str | None) -> tuple[Stage, ...]:
    """The stages up to and with ``name``; all of them for None."""
    if name is None:
        return PIPELINE
    names = [stage.name for stage in PIPELINE]
    if name not in names:
        raise ConfigError(f"there is no stage '{name}'", f"Stages are {', '.join(names)}")
    return PIPELINE[: names.index(name) + 1]


@dataclass(frozen=True)
class Run:
    """One capture, one config, one store: enough to run any shard of any stage, in any process."""

    source: Path
    """Folder with ``source.json``: the capture's files and their content key."""
    config: Config
    store: Store
    stages: tuple[Stage, ...] = PIPELINE

    def __reduce__(self) -> tuple[object, ...]:
        # the cached keys stay behind: a worker derives its own
        return Run, (self.source, self.config, self.store, self.stages)

    @cached_property
    def keys(self) -> dict[str, str]:
        """Stage name -> the key of its folder: name and hash of its whole recipe."""
        keys = {"source": str(read_json(self.source / SOURCE_FILE)["key"])}
        for stage in self.stages:
            sections = {name: getattr(self.config, name).model_dump(mode="json") for name in stage.sections}
            recipe = {
                "version": stage.version,
                "config": sections,
                "seed": self.config.seed if stage.seeded else None,
                "needs": {need: keys[need] for need in stage.needs},
            }
            digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
            keys[stage.name] = f"{stage.name}-{digest[:16]}"
        return keys

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def shard_key(self, stage: Stage, index: int) -> str:
        return f"{self.keys[stage.name]}/{index:04d}"

    def planned(self, stage: Stage) -> list[Shard] | None:
        """The stage's shards, if they are known already."""
        key = f"{self.keys[stage.name]}/plan"
        return list(read_json(self.store.pull(key) / "plan.json")["shards"]) if self.store.exists(key) else None

    def shards(self, stage: Stage) -> list[Shard]:
        """The stage's shards, planned now if need be. All stages that it needs must be done."""
        known = self.planned(stage)
        if known is not None:
            return known
        with self.store.scratch() as folder, _told_in_words(f"planning stage '{stage.name}'", self.store.root):
            plan = stage.split(self.config.only(stage.sections), self.inputs(stage))
            write_json(folder / "plan.json", {"shards": [dict(shard) for shard in plan]})
            self.store.push(folder, f"{self.keys[stage.name]}/plan", {})
        return plan

    def pending(self, stage: Stage) -> list[int]:
        """Indices of the shards that are still to do."""
        return [i for i in range(len(self.shards(stage))) if not self.store.exists(self.shard_key(stage, i))]

    def is_done(self, stage: Stage) -> bool:
        plan = self.planned(stage)
        return plan is not None and all(self.store.exists(self.shard_key(stage, i)) for i in range(len(plan)))

    def folders(self, stage: Stage) -> tuple[Path, ...]:
        """The folders of a finished stage's shards, in order."""
        return tuple(self.store.pull(self.shard_key(stage, i)) for i in range(len(self.shards(stage))))

    def inputs(self, stage: Stage) -> Inputs:
        return {need: (self.source,) if need == "source" else self.folders(self.stage(need)) for need in stage.needs}

    def run_shard(self, stage: Stage, index: int, work: Work) -> None:
        """Make one shard's folder, unless it exists. Raises ReconError only."""
        key = self.shard_key(stage, index)
        if self.store.exists(key):
            return
        shard = self.shards(stage)[index]
        with self.store.scratch() as out, _told_in_words(f"stage '{stage.name}', shard {index}", self.store.root):
            give_memory_back()
            start_s = time.time()
            _reset_peak_memory()
            stage.run(self.config.only(stage.sections), self.inputs(stage), shard, out, work)
            self.store.push(out, key, {"start_s": start_s, "end_s": time.time(), "peak_mb": _peak_memory_mb()})


class _told_in_words:
    """Turns whatever a shard raises into a ReconError that names the stage and what to do."""

    def __init__(self, where: str, root: Path) -> None:
        self.where = where
        self.root = root

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, ReconError) or not isinstance(error, Exception):
            return
        free = shutil.disk_usage(self.root).free
        if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or free < LOW_DISK_BYTES:
            raise DiskFull(
                f"{self.where}: the disk of {self.root} is full ({free / 2**20:.0f} MB free)",
                "Free some space and run the same command again: it goes on from this shard",
            ) from None
        if isinstance(error, MemoryError):
            raise OutOfMemory(
                f"{self.where}: out of memory", "Close other programs, or use --preset fast; the run goes on from this shard"
            ) from None
        log.error("%s failed\n%s", self.where, "".join(traceback.format_exception(error)))
        raise StageFailed(
            f"{self.where} failed: {type(error).__name__}: {error}", "This is a fault in recon: please report it with the log"
        ) from error


def _reset_peak_memory() -> None:
    """Linux keeps a high-water mark of resident memory that can be set back; elsewhere it only grows."""
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            log.debug("the peak of resident memory can't be set back here")


def _peak_memory_mb() -> float:
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 1024), 1)
