"""Names of a capture's files: what every machine can hold, and nothing that leads out."""

from __future__ import annotations

import pytest

from recon.errors import InputError
from workers.names import checked_name


@pytest.mark.parametrize(
    "name", ["a.jpg", "flight 1/DJI_0001.JPG", "ä/ö ü.HEIC", "..a", "a..b/c...", ".hidden", "x" * 250, "写真.jpg", "~"]
)
def test_names_stay_as_they_are(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b", "a\nb", "a\r\nSet-Cookie: x", "\x7f", "\x85",
        "a\u2028b", "\ud800", "a\\b", "..\\x", "C:/x", "c:x", "x" * 251, "/".join(["x" * 200] * 6), "ä" * 126,
    ],
)  # fmt: skip
def test_names_that_lead_out_or_that_some_machine_could_not_hold_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no name of a file within a capture") as refused:
        checked_name(name)
    assert all(" " <= letter <= "~" for letter in refused.value.message)
