"""Stages one after the other, as the pipeline runs them."""

from pathlib import Path

from recon.config import Config
from recon.stage import Inputs, Stage, Work


def run(stages: tuple[Stage, ...], inputs: Inputs, root: Path, threads: int = 1, config: Config | None = None) -> Inputs:
    config = config or Config()
    for stage in stages:
        own = {need: inputs[need] for need in stage.needs}
        folders = []
        for number, shard in enumerate(stage.split(config.only(stage.sections), own)):
            folder = root / stage.name / str(number)
            folder.mkdir(parents=True)
            stage.run(config.only(stage.sections), own, shard, folder, Work(threads=threads))
            folders.append(folder)
        inputs = {**inputs, stage.name: tuple(folders)}
    return inputs
