"""What kind of capture it is, in words: by what its devices wrote into the files, never by what its user says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from recon.capture.photos import Header
from recon.capture.video import VideoInfo

_DRONES = re.compile(
    r"dji (fc|l1|l2|m3|m4|ef|zenmuse|mavic|mini|air|phantom|inspire|matrice|avata|neo|spark|flip)|autel|parrot|skydio|sensefly|sentera"
    r"|hasselblad l[12]d|gopro karma|yuneec|drone",
    re.IGNORECASE,
)
_ACTION = re.compile(r"gopro|osmo|insta360|dji (action|pocket)", re.IGNORECASE)
_TABLETS = re.compile(r"ipad|galaxy tab|sm-[tx]\d|\bpad\b", re.IGNORECASE)
_PHONES = re.compile(
    r"iphone|samsung (sm-|galaxy|gt-)|google pixel|xiaomi|redmi|poco|huawei|honor|oneplus|oppo|vivo|realme|motorola|nothing|fairphone"
    r"|sony (xq-|so-)|nokia|hmd|lge? (lm-|lg)|htc|asus_|android",
    re.IGNORECASE,
)
_FEW = 3


class VideoSeen(NamedTuple):
    """A video, with what tells its kind."""

    info: VideoInfo
    telemetry: str
    """Format of its telemetry; empty without any."""
    beside: bool
    """Whether that lies in a file of its own."""


def kind_of_capture(headers: Sequence[Header], videos: Sequence[VideoSeen], with_depth: int, apps: Sequence[str] = ()) -> str:
    """The kinds of photos and videos in a capture with their devices, the photos' first: ``"drone photos (DJI FC300S)"``.

    ``with_depth`` counts photos with a depth image, ``apps`` are those whose scans it holds. Empty where there is nothing that can
    be used.
    """
    if apps:
        return ", ".join(f"{app} scan" for app in dict.fromkeys(apps))
    devices: dict[str, dict[str, None]] = {}
    if with_depth:
        devices["RGB-D folder"] = dict.fromkeys(header.device for header in headers)
    else:
        for header in headers:
            devices.setdefault(_of_photo(header), {})[header.device] = None
    for seen in videos:
        devices.setdefault(_of_video(seen), {})[_device_of(seen.telemetry) or seen.info.camera] = None
    return ", ".join(f"{kind}{_named(names)}" for kind, names in devices.items())


def _of_photo(header: Header) -> str:
    if header.projection == "equirectangular":
        return "360 photos"
    holder = _holder(header.device)
    if header.gimbal_deg is not None and holder != "action camera":
        return "drone photos"
    return f"{holder} photos".lstrip()


def _of_video(seen: VideoSeen) -> str:
    if seen.info.lens:
        return "Project Aria recording"
    if seen.info.projection == "equirectangular":
        return "360 video"
    device = f"{seen.info.camera} {_device_of(seen.telemetry)}"
    if seen.telemetry.startswith("DJI subtitles"):
        return "drone video with subtitles" if seen.beside else "drone video with subtitles inside"
    if "gopro" in device.lower() or seen.telemetry.startswith("GoPro"):
        return "GoPro video"
    return f"{_holder(seen.info.camera)} video".lstrip()


def _holder(device: str) -> str:
    """What kind of thing the camera sits in; empty where its name does not tell."""
    known = (("drone", _DRONES), ("action camera", _ACTION), ("tablet", _TABLETS), ("phone", _PHONES))
    return next((holder for holder, names in known if names.search(device)), "")


def _device_of(telemetry: str) -> str:
    """The device that a telemetry's format names in brackets: the rest are dialects."""
    found = re.match(r"GoPro GPMF \((?:Camera, )?([^)]*)\)", telemetry)
    return found[1] if found else ""


def _named(names: Iterable[str]) -> str:
    known = [name for name in names if name]
    if not known:
        return ""
    return f" ({', '.join(known)})" if len(known) <= _FEW else f" ({len(known)} cameras)"
