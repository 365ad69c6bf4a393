"""Rung 3: the learned matcher, on pairs that should match but hardly do."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from recon.errors import MissingPart
from recon.features.store import SIFT, Features
from recon.features.turning import turns_by_gimbal
from recon.matchers.store import PairMatches
from recon.matchers.subpixel import aligned_in
from recon.matchers.verify import verify
from recon.recovery.candidates import should_match
from recon.recovery.material import Material, Names, Place, seed_of
from recon.recovery.standing import Standing, apart
from recon.recovery.tried import Tried
from recon.recovery.words import counted

log = logging.getLogger(__name__)

_ROUNDS = 6
_FEW = 60
"""A pair with fewer inliers may gain by the learned matcher."""
_SURE = 30
_LINKS = 4
"""An image that so many pairs of _SURE inliers or more tie to other parts needs no further ones."""
_IN_VAIN = 24
"""After so many pairs in a row without one that agrees nothing more is expected."""
_SURE_SCORE = 0.5
_LEAST_INLIERS = 20
"""Of sides that look alike but are not the same the network finds 30 to 60 matches which agree on a geometry. Their scores give
them away: 0.2 to 0.4 on average, those of true pairs 0.8 to 0.9 (13 pairs of a simulated crate)."""
_MAX_KEYPOINTS = 1024
"""Half of what the network can give costs a quarter of the time, and joins as well."""
_WAVE = 8
_ANCHORS = 2


def learned_matching(material: Material, now: Standing, place: Place) -> Iterator[Tried]:
    """Match again with the learned matcher; its keypoints come after those that an image has."""
    if not place.config.recover.max_learned_pairs:
        yield Tried("learned matching is switched off (recover.max_learned_pairs is 0)")
        return
    if material.kind != SIFT:
        yield Tried(f"the run was matched with the learned matcher from the start ({material.kind})")
        return
    try:
        matcher = _Matcher(material, place)
    except MissingPart as error:
        yield Tried(f"learned matching is not there: {error}")
        return
    wanted = should_match(material, now, _ROUNDS, place.work.seed)
    wanted = [names for names in wanted if material.tried.get(names, 0) < _FEW]
    if not wanted:
        yield Tried("no pair is left that should match and hardly does")
        return
    found = _in_waves(wanted, set(apart(material, now)), matcher, place)
    for names in _anchors(material, found)[: place.config.recover.max_learned_pairs - len(found)]:
        found[names] = matcher.match(names)
    agree = sum(pair is not None for pair in found.values())
    words = (
        f"matched {counted(len(found), 'pair')} that should share something, and their neighbours, with the learned matcher: {agree} agree"
    )
    yield Tried(words, matcher.extended(found).with_matches(found), barren=not agree)


def _in_waves(wanted: Sequence[Names], outside: set[str], matcher: _Matcher, place: Place) -> dict[Names, PairMatches | None]:
    """Pairs in order, until the budget is spent, every image is tied well, or nothing has agreed for long."""
    found: dict[Names, PairMatches | None] = {}
    links: dict[str, int] = {}
    vain, most = 0, place.config.recover.max_learned_pairs
    for names in wanted:
        if len(found) >= most or vain >= _IN_VAIN:
            break
        if all(links.get(name, 0) >= _LINKS for name in names if name in outside):
            continue
        found[names] = pair = matcher.match(names)
        vain = 0 if pair is not None else vain + 1
        if pair is not None and len(pair.matches) >= _SURE:
            for name in names:
                links[name] = links.get(name, 0) + 1
        if len(found) % _WAVE == 0:
            place.work.tell(len(found) / min(most, len(wanted)), f"learned matching: {len(found)} pairs")
    return found


def _anchors(material: Material, found: Mapping[Names, PairMatches | None]) -> list[Names]:
    """Each image that agreed with one other, together with those it is best tied to already.

    The network's keypoints are others than the image's own: only where they are seen from a third image, too, do they carry
    the scale across.
    """
    agreed = Counter(name for names, pair in found.items() if pair is not None for name in names)
    anchors: dict[Names, None] = {}
    for name in sorted(name for name, count in agreed.items() if count == 1):
        ties = [(-len(pair.matches), names) for names, pair in material.pairs.items() if name in names and names not in found]
        anchors |= dict.fromkeys(names for _, names in sorted(ties)[:_ANCHORS])
    return list(anchors)


class _Matcher:
    """Learned features of images as they are asked for, and verified matches of pairs."""

    def __init__(self, material: Material, place: Place) -> None:
        try:
            from recon.matchers.learned import loaded
            from recon.models.choice import learned_device
        except ImportError as error:
            raise MissingPart(f"{error.name or 'torch'} is not installed", "pip install 'recon[learned]', then recon models pull") from None
        self._net = loaded("aliked", learned_device(place.work.device), place.work.threads)
        self._material, self._place = material, place
        self._images, self._cameras = material.image_set(place), material.cameras(place.config)
        self._records = {record.name: record for record in material.records}
        self._turns = dict(zip(self._records, turns_by_gimbal(material.records), strict=True))
        self._own: dict[str, Features] = {}

    def match(self, names: Names) -> PairMatches | None:
        one, two = (self._features(name) for name in names)
        sizes = [(self._records[name].width, self._records[name].height) for name in names]
        matches, scores = self._net.match(one, sizes[0], two, sizes[1])
        matches = np.asarray(matches, np.uint32)[np.asarray(scores) >= _SURE_SCORE] + np.array(
            [len(self._material.features[name]) for name in names], np.uint32
        )
        xy = tuple(np.concatenate([self._material.features[name].keypoints[:, :2], self._own[name].keypoints[:, :2]]) for name in names)
        options, cameras = self._place.config.matches, (self._cameras[names[0]], self._cameras[names[1]])
        sure = np.zeros(len(matches))  # the network's matches have no ratio of distances: all count as distinct
        seed = seed_of(names, self._place.work.seed)
        least = max(options.min_inliers, _LEAST_INLIERS)
        return verify(names, cameras, (xy[0], xy[1]), matches, sure, options.max_error_px, least, seed)

    def extended(self, found: Mapping[Names, PairMatches | None]) -> Material:
        """The material with the learned keypoints of all images that were looked at after their own, aligned where pairs agree."""
        features = {name: appended(self._material.features[name], own) for name, own in self._own.items()}
        if self._place.config.sfm.align_keypoints:
            features |= aligned_in(self._images, features, [pair for pair in found.values() if pair is not None])
        return self._material.with_features(features)

    def _features(self, name: str) -> Features:
        if name not in self._own:
            record = self._records[name]
            path, mask = self._images.path(record), self._images.mask_path(record)
            size, max_size_px = (record.width, record.height), self._place.config.recover.learned_size_px
            self._own[name] = self._net.features(path, mask, size, max_size_px, _MAX_KEYPOINTS, self._turns[name])
        return self._own[name]


def appended(features: Features, learned: Features) -> Features:
    """Keypoints of both; those of the network have no descriptor of the other kind."""
    keypoints = np.zeros((len(learned), 4), np.float32)
    keypoints[:, : learned.keypoints.shape[1]] = learned.keypoints[:, :4]
    return Features(
        np.concatenate([features.keypoints, keypoints]),
        np.concatenate([features.descriptors, np.zeros((len(learned), features.descriptors.shape[1]), np.uint8)]),
        np.concatenate([features.rgb, learned.rgb]),
    )
