"""``report.html``: one file that opens from the disk, without a network."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image

from recon.products.report.scene import SceneData
from recon.products.report.verdict import scale_source

_VIEWER = Path(__file__).parent.parent / "viewer"
_PREVIEW_QUALITY = 88


def render_page(facts: dict[str, Any], charts: dict[str, Any], scene: SceneData, preview: Path) -> str:
    """The page as HTML; every text from facts is escaped."""
    environment = Environment(
        loader=PackageLoader("recon.products.report", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": clock,
        "grouped": grouped,
        "bytes": in_bytes,
        "fixed": fixed,
        "sentence": sentence,
        "source": scale_source,
    }
    return environment.get_template("report.html").render(
        facts=facts,
        charts=charts,
        scene=scene,
        preview=_jpeg_uri(preview),
        style=Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
        viewer=Markup((_VIEWER / "viewer.js").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
        licence=(_VIEWER / "LICENSE.three.txt").read_text(encoding="utf-8"),
        config_text=json.dumps(facts["config"], indent=2, sort_keys=True, ensure_ascii=False),
    )


def clock(seconds: float | None) -> str:
    """1.5 s, 2 min 5 s, 1 h 3 min; a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def grouped(number: int | None) -> str:
    """1 234 567 with thin spaces."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


def in_bytes(count: int) -> str:
    """12 kB, 3.4 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def fixed(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def sentence(text: str) -> str:
    """With a capital, where the first word is a word and not a file's name, and a full stop."""
    first = text.split(" ", 1)[0]
    text = text[:1].upper() + text[1:] if first.isalpha() else text
    return text if text.endswith((".", "!", "?")) else text + "."


def _jpeg_uri(path: Path) -> str:
    packed = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(packed, "JPEG", quality=_PREVIEW_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
