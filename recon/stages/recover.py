"""recover: where the images did not come together, what else can be done about it, rung by rung."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.capture.records import FRAME_MASK, ImageSet, read_json, write_json, write_records
from recon.config import Config
from recon.recovery.bounds import FRAMES, MATCHES_FILE, RECOVERY_FILE, is_good
from recon.stage import Inputs, Shard, Stage, Work
from recon.storage import DONE

if TYPE_CHECKING:
    from recon.recovery.ladder import Climbed
    from recon.recovery.material import Material
    from recon.sfm.mapping import Outcome
_IDLE_MB, _BUSY_MB = 300, 3500
"""What handing on needs, and what mapping needs together with the learned matcher."""


def split(config: Config, inputs: Inputs) -> list[Shard]:
    """One shard, which needs little memory where the model is good."""
    idle = is_good(read_json(inputs["sfm"][0] / "sfm.json")) or not config.recover.enabled
    return [{"memory_mb": _IDLE_MB if idle else _BUSY_MB}]


def run(config: Config, inputs: Inputs, shard: Shard, out: Path, work: Work) -> None:
    """Writes ``model/``, ``sfm.json`` and ``images.json`` as later stages read them, and ``recovery.json``.

    A good model is handed on as it is. Raises what ``sfm`` found if there is no model after all rungs.
    """
    sfm = inputs["sfm"][0]
    facts = read_json(sfm / "sfm.json")
    if is_good(facts) or not config.recover.enabled:
        if facts["error"]:
            from recon.sfm.result import error_of

            raise error_of(facts["error"])
        _hand_on(sfm, out, inputs)
        write_json(out / RECOVERY_FILE, {"needed": not is_good(facts), "enabled": config.recover.enabled, "steps": [], "warnings": []})
        return
    _recover(config, inputs, out, work)


def _recover(config: Config, inputs: Inputs, out: Path, work: Work) -> None:
    import cv2
    import pycolmap

    from recon.recovery.ladder import climb
    from recon.recovery.material import Place
    from recon.recovery.standing import standing
    from recon.recovery.summary import failure, summary
    from recon.sfm.result import write_result

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value  # a mapper that fails raises, too
    cv2.setNumThreads(work.threads)
    sfm = inputs["sfm"][0]
    facts = read_json(sfm / "sfm.json")
    material, outcome = _material(inputs), _outcome(sfm, facts)
    climbed = climb(material, outcome, Place(config, inputs, out, work))
    best = climbed.outcome
    if best is None:
        raise failure(facts["error"], climbed)
    if climbed.improved:
        climbed = _settled(climbed, out)
        records = climbed.material.in_sequence
        write_result(out, records, best, climbed.material.features, config)
        write_records(out, records)
        _write_pairs(out, climbed.material)
    else:
        shutil.rmtree(out / FRAMES, ignore_errors=True)
        _hand_on(sfm, out, inputs)
    write_json(out / RECOVERY_FILE, summary(standing(material, outcome), climbed))


def _material(inputs: Inputs) -> Material:
    from recon.features.store import FeatureStore
    from recon.matchers.store import read_matches
    from recon.recovery.material import Material, in_order, ordered

    records = ImageSet.read(inputs).records
    pairs = {ordered(pair.name1, pair.name2): in_order(pair) for pair in read_matches(inputs["matches"])}
    rows = [row for folder in inputs["matches"] for row in read_json(folder / MATCHES_FILE)["pairs"]]
    tried = {ordered(row["name1"], row["name2"]): int(row["inliers"]) for row in rows}
    features = FeatureStore(inputs["features"])
    return Material(records, features, pairs, tried, frozenset(record.name for record in records), features.kind)


def _outcome(sfm: Path, facts: dict[str, Any]) -> Outcome | None:
    """What sfm found; None where it found no model."""
    import pycolmap

    from recon.sfm.mapping import Candidate, Outcome

    if facts["error"]:
        return None
    best = Candidate(facts["mapper"], pycolmap.Reconstruction(sfm / "model"), facts["explained_matches"])
    others = [pycolmap.Reconstruction(sfm / "other_models" / str(number)) for number in range(len(facts["other_models"]))]
    return Outcome(best, others, [best])


def _settled(climbed: Climbed, out: Path) -> Climbed:
    """Without the added frames that found no place themselves, on the disk, too."""
    material, placed = climbed.material, climbed.now.parts[0]
    useless = {record.name for record in material.records} - material.given - placed
    kept = material.without_images(useless)
    files = {out / record.file.split("/", 2)[2] for record in kept.records if record.name not in material.given}
    for path in sorted((out / FRAMES).rglob("*.jpg")):
        if path not in files:
            path.unlink()
            path.with_name(path.name + FRAME_MASK).unlink(missing_ok=True)
    return replace(climbed, material=kept)


def _write_pairs(out: Path, material: Material) -> None:
    """``matches.json`` with the pairs of the whole run, as ``matches`` writes its own."""
    rows = []
    for (name1, name2), inliers in sorted(material.tried.items()):
        rows.append({"name1": name1, "name2": name2, "inliers": inliers})
    write_json(out / MATCHES_FILE, {"pairs": rows})


def _hand_on(sfm: Path, out: Path, inputs: Inputs) -> None:
    """The model of sfm as it is, in no more space where the file system allows."""
    for path in sorted(sfm.rglob("*")):
        target = out / path.relative_to(sfm)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.name != DONE:
            try:
                os.link(path, target)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, target)
    write_records(out, ImageSet.read(inputs).records)


stage = Stage(
    "recover",
    needs=("ingest", "select", "features", "pairs", "matches", "sfm"),
    run=run,
    split=split,
    reads=("recover", "sfm", "camera", "features", "pairs", "matches", "georef"),
    seeded=True,
    memory_mb=_BUSY_MB,
)
