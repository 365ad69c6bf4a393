"""Read weights into a network."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import DamagedWeights
from recon.models.find import find
from recon.models.manifest import weights_of

if TYPE_CHECKING:
    import torch


def read_weights(name: str, model_dir: Path | None = None) -> Mapping[str, torch.Tensor]:
    """The tensors of a file of the manifest, on the CPU. No code in the file is run. Raises what ``find`` raises."""
    return read_tensors(find(weights_of(name), model_dir))


def read_tensors(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a file; DamagedWeights if it is cut off or holds anything else."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DamagedWeights(f"{path} can't be read as weights: {reason}", "Delete it, then run: recon models pull") from None
    if isinstance(content, dict) and isinstance(content.get("extractor"), dict):
        content = content["extractor"]  # DISK's file holds the state of its training beside
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DamagedWeights(f"{path} holds no table of tensors", "Delete it, then run: recon models pull")
    return content


def fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], file: str) -> None:
    """Put the tensors into the network, ready for use. DamagedWeights if they belong to another architecture.

    What a network derives by itself (buffers) may be missing in the file; a learned parameter may not, nor may the file have more.
    """
    try:
        left = network.load_state_dict(dict(tensors), strict=False)
        learned = {name for name, _ in network.named_parameters()}
        wrong = [name for name in left.missing_keys if name in learned] + list(left.unexpected_keys)
        reason = f"{len(wrong)} tensors do not fit, the first is {wrong[0]}" if wrong else ""
    except RuntimeError as error:  # a tensor of another shape
        reason = str(error).splitlines()[-1].strip()
    if reason:
        raise DamagedWeights(
            f"{file} holds the weights of another network than {type(network).__name__}: {reason}", "Run: recon models verify"
        )
    network.eval()
    network.requires_grad_(False)
