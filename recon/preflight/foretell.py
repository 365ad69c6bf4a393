"""The verdict: will these images connect, where do they hang on little, and what would help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

from recon.capture import quality
from recon.capture.names import listed
from recon.capture.photos import Header
from recon.capture.source import SourceFile
from recon.capture.video import VideoInfo
from recon.config import Camera, Config
from recon.errors import NoParallax, ReconstructionError
from recon.features.vlad import image_vectors, ranked_alike
from recon.matchers.pairing import Pair, explore, gps_pairs
from recon.matchers.quick import AGREE, agreements
from recon.preflight.graph import Cut, parts_of, weak_cuts
from recon.preflight.looking import KEYPOINTS, Looked, Seen, look
from recon.preflight.record import Preflight, Stretch, WeakLink

_ALL_PAIRS = 40
"""Up to this many images all pairs are tried."""
_LIKELY, _NEXT, _GAPS = 8, 8, (1, 2, 3)
_WEAK = 40
"""Agreeing matches, of 500 coarse keypoints, below which a link is weak."""
_CONNECTS, _FEWEST = 0.9, 3
_CLOSER = 800
"""At most so many pairs are looked at again, more closely."""
_JUMP_STOPS = 2.0
_GAMMA = 2.2
_NAMED, _PARTS = 20, 10


def foretell(
    headers: Sequence[tuple[SourceFile, Header]],
    videos: Sequence[tuple[SourceFile, VideoInfo]],
    config: Config,
    threads: int,
) -> Preflight | None:
    """None where there is nothing to connect."""
    looked = look(headers, videos, config, threads)
    if len(looked.seen) < 2:
        return None
    return verdict(looked, config, threads)


def verdict(looked: Looked, config: Config, threads: int) -> Preflight:
    """Match the small copies and say what comes of it."""
    shown = [seen for seen in looked.seen if not seen.empty]
    tried = match_graph(shown, config.seed, threads)
    tried.update(_closer(shown, tried, threads))
    agreeing = _agreeing(tried)
    parts = parts_of(len(shown), agreeing)
    together = [part for part in parts if len(part) > 1]
    alone = sorted(part[0] for part in parts if len(part) == 1)
    turned = _only_turns(shown, agreeing) if agreeing else ""
    largest = len(together[0]) if together else 0
    unsharp = all(seen.record.sharpness < _least_sharpness(seen) for seen in shown)
    share = 0.0 if turned or unsharp or largest < _FEWEST else largest / len(shown)
    cuts = _distinct(weak_cuts(len(shown), agreeing, _WEAK))
    word: Literal["yes", "partly", "no"] = "yes" if share >= _CONNECTS else "partly" if share > 0 else "no"
    reason, remedy = _words(looked, shown, together, alone, cuts, turned, share)
    return Preflight(
        verdict=word,
        images=looked.images,
        looked_at=len(looked.seen),
        predicted_share=round(share, 3),
        pairs_tried=len(tried),
        pairs_agreeing=len(agreeing),
        parts=tuple(_stretch([shown[k] for k in part]) for part in together[:_PARTS]),
        alone=len(alone),
        alone_named=tuple(shown[k].record.source for k in alone[:_NAMED]),
        weak_links=tuple(
            WeakLink(between=(_name(shown[cut.pair[0]]), _name(shown[cut.pair[1]])), images=len(cut.side), matches=cut.matches)
            for cut in cuts[:_PARTS]
        ),
        blurred=_blurred(shown, config),
        exposure_jumps=_jumps(shown),
        empty=len(looked.seen) - len(shown),
        reason=reason,
        remedy=remedy,
    )


def match_graph(shown: Sequence[Seen], seed: int, threads: int) -> dict[Pair, int]:
    """Agreeing matches of all pairs of a few images; of many those likely by order, position and likeness, and partners of partners."""
    names = [f"{k}" for k in range(len(shown))]
    features = dict(zip(names, (seen.features for seen in shown), strict=True))

    def agreement(pairs: Sequence[Pair]) -> list[int]:
        return agreements(features, [(names[i], names[j]) for i, j in pairs], threads)

    everyone = range(len(shown))
    if len(shown) <= _ALL_PAIRS:
        return explore(everyone, [(i, j) for i in everyone for j in everyone[i + 1 :]], _NEXT, agreement, rounds=0)
    first = [(k, k + gap) for gap in _GAPS for k in everyone[:-gap]]
    first += gps_pairs(everyone, [seen.record for seen in shown], _LIKELY)
    if any(len(seen.features) for seen in shown):
        vectors = image_vectors(features, names, seed)
        first += [(k, other) for k, others in ranked_alike(vectors, everyone, everyone, _LIKELY, 1).items() for other in others]
    return explore(everyone, first, _NEXT, agreement, rounds=1)


def _closer(shown: Sequence[Seen], tried: Mapping[Pair, int], threads: int) -> dict[Pair, int]:
    """Pairs across the parts, with all their keypoints: where views differ much, few of the coarse ones are found again."""
    part = {k: number for number, row in enumerate(parts_of(len(shown), _agreeing(tried))) for k in row}
    across = [pair for pair in sorted(tried) if part[pair[0]] != part[pair[1]]][:_CLOSER]
    names = [f"{k}" for k in range(len(shown))]
    features = dict(zip(names, (seen.features for seen in shown), strict=True))
    found = agreements(features, [(names[i], names[j]) for i, j in across], threads, KEYPOINTS)
    return dict(zip(across, found, strict=True))


def _agreeing(tried: Mapping[Pair, int]) -> dict[Pair, int]:
    return {pair: matches for pair, matches in tried.items() if matches >= AGREE}


def _only_turns(shown: Sequence[Seen], agreeing: dict[Pair, int]) -> str:
    """Why there is no depth to be seen, or ""."""
    import numpy as np

    from recon.matchers.quick import agreeing as matched
    from recon.matchers.store import PairMatches
    from recon.sfm.cameras import cameras_of
    from recon.sfm.diagnosis import check_pairs

    names = [f"{k}" for k in range(len(shown))]
    records = [seen.record.model_copy(update={"name": name}) for name, seen in zip(names, shown, strict=True)]
    features = {name: seen.features for name, seen in zip(names, shown, strict=True)}
    best = sorted(agreeing, key=lambda pair: (-agreeing[pair], pair))
    asked = [best[k] for k in np.unique(np.linspace(0, len(best) - 1, 60).astype(int))] if best else []
    nothing = np.zeros((3, 3))
    pairs = [
        PairMatches(names[i], names[j], matched(shown[i].features, shown[j].features), 0, 0, nothing, nothing, nothing, nothing, 0.0)
        for i, j in asked
    ]
    try:
        check_pairs(records, cameras_of(records, Camera()), features, pairs)
    except NoParallax as error:
        return error.message
    except ReconstructionError:
        return ""  # no overlap: said in other words
    return ""


def _distinct(cuts: list[Cut]) -> list[Cut]:
    """Without those whose smaller side overlaps by half with that of a weaker cut."""
    kept: list[Cut] = []
    for cut in cuts:
        if all(2 * len(set(cut.side) & set(other.side)) < min(len(cut.side), len(other.side)) for other in kept):
            kept.append(cut)
    return kept


def _words(
    looked: Looked,
    shown: Sequence[Seen],
    together: Sequence[Sequence[int]],
    alone: Sequence[int],
    cuts: Sequence[Cut],
    turned: str,
    share: float,
) -> tuple[str, str]:
    """Reason and remedy."""
    total, notes = len(shown), [f" ({note})" for note in looked.notes]
    sure = "".join(notes)
    if total < 2:
        return (
            f"{len(looked.seen) - total} of {len(looked.seen)} images are black or of one colour{sure}",
            "Take the lens cap off, and film something with texture in enough light",
        )
    if turned:
        return turned + sure, "No depth can be seen from one spot: walk around it, a step sideways between photos"
    unsharp = all(seen.record.sharpness < _least_sharpness(seen) for seen in shown)
    few = sum(len(seen.features) < 50 for seen in shown)
    if share == 0 and (few > total / 2 or unsharp):
        return (
            f"{few} of {total} images have fewer than 50 keypoints, and the sharpest is of sharpness "
            f"{max(seen.record.sharpness for seen in shown):.2f}: they are blurred, or show nothing but smooth surfaces{sure}",
            "Film something with texture, in focus and well lit; put newspaper or markers on bare surfaces",
        )
    if share == 0:
        return (
            f"hardly any of {total} images see the same: the largest part has {len(together[0]) if together else 1}{sure}",
            "Take photos that overlap by two thirds, of one scene, from places a step apart",
        )
    said = [f"{len(together[0])} of {total} images hang together"]
    helps = []
    said += [f"{len(part)} others only among themselves ({_span([shown[k] for k in part])})" for part in together[1:4]]
    if len(together) > 1:
        helps.append("film a connecting sweep between the parts, or reconstruct them apart")
    if alone:
        said.append(f"{len(alone)} with nothing ({listed([_name(shown[k]) for k in alone])})")
        helps.append("take more photos around those that stand alone, a step apart")
    for cut in cuts[:3]:
        first, second = (_name(shown[k]) for k in cut.pair)
        said.append(f"{len(cut.side)} hang on {cut.matches} matches between {first} and {second}")
    if cuts:
        helps.append("film the weak places again, more slowly, with more overlap")
    remedy = "; ".join(helps)
    return "; ".join(said) + sure, remedy[:1].upper() + remedy[1:]


def _blurred(shown: Sequence[Seen], config: Config) -> tuple[Stretch, ...]:
    """Runs of two images or more that are blurred, beside those around them."""
    if not shown:
        return ()
    middle = sorted(seen.record.sharpness for seen in shown)[len(shown) // 2]
    limits = [max(_least_sharpness(seen), config.select.min_sharpness * middle) for seen in shown]
    runs: list[list[Seen]] = [[]]
    for seen, limit in zip(shown, limits, strict=True):
        if seen.record.sharpness < limit:
            runs[-1].append(seen)
        elif runs[-1]:
            runs.append([])
    return tuple(_stretch(run) for run in runs if len(run) >= 2)[:_NAMED]


def _least_sharpness(seen: Seen) -> float:
    """Below it an image is blurred, whatever the others are."""
    return quality.BLURRED_CODED if seen.record.sequence else quality.BLURRED


def _jumps(shown: Sequence[Seen]) -> tuple[Stretch, ...]:
    """Neighbours in order whose brightness differs by two stops or more."""
    found = []
    for one, other in pairwise(shown):
        if one.record.sequence == other.record.sequence:
            stops = _GAMMA * abs(math.log2(max(one.record.brightness, 0.004) / max(other.record.brightness, 0.004)))
            if stops >= _JUMP_STOPS:
                found.append(_stretch([one, other]))
    return tuple(found[:_NAMED])


def _stretch(run: Sequence[Seen]) -> Stretch:
    return Stretch(images=len(run), first=_name(run[0]), last=_name(run[-1]))


def _name(seen: Seen) -> str:
    return seen.record.source


def _span(run: Sequence[Seen]) -> str:
    return _name(run[0]) if len(run) == 1 else f"{_name(run[0])} to {_name(run[-1])}"
