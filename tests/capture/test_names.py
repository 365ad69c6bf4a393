from __future__ import annotations

import os
import random

from hypothesis import given
from hypothesis import strategies as st

from recon.capture.names import natural_key, safe_names, shown


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["IMG_10.jpg", "IMG_2.jpg", "img_1.jpg", "a/2.jpg", "IMG_2b.jpg", "b.jpg"]
    assert sorted(names, key=natural_key) == ["a/2.jpg", "b.jpg", "img_1.jpg", "IMG_2.jpg", "IMG_2b.jpg", "IMG_10.jpg"]


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=12), st.randoms())
def test_order_does_not_depend_on_the_file_system(names: list[str], shuffle: random.Random) -> None:
    mixed = names.copy()
    shuffle.shuffle(mixed)
    assert sorted(names, key=natural_key) == sorted(mixed, key=natural_key)


def test_plain_names_stay() -> None:
    names = ["DSC_0423.JPG", "walk 2/0000.jpg", "a/b.jpg"]
    assert safe_names(names) == ["DSC_0423.JPG", "walk_2/0000.jpg", "a/b.jpg"]


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300), unique=True, max_size=20
    )
)
def test_safe_names_are_unique_short_and_plain(names: list[str]) -> None:
    safe = safe_names([f"f/{name}" for name in names])
    assert len({name.casefold() for name in safe}) == len(names)
    for name in safe:
        folder, part = name.split("/")
        assert folder == "f"
        assert 0 < len(part) <= 110
        assert not part.startswith(".")
        assert part.isascii()
        assert not set(part) & set(' \\:*?"<>|\0\n')


def test_a_name_that_meets_another_gets_a_hash_and_the_other_too() -> None:
    first, second, third = safe_names(["a b.jpg", "a_b.jpg", "c.jpg"])
    assert first != second
    assert third == "c.jpg"
    assert first.startswith("a_b-")
    assert first.endswith(".jpg")
    assert safe_names(["a_b.jpg", "a b.jpg"]) == [second, first]


def test_a_converted_photo_cannot_meet_another() -> None:
    heic, jpeg = safe_names(["IMG_1.heic", "IMG_1.heic.jpg"])
    assert f"{heic}.jpg" != jpeg


def test_bytes_that_are_no_utf8_are_shown() -> None:
    name = os.fsdecode(b"caf\xe9\n.jpg")
    assert shown(name) == "caf\\xe9\\n.jpg"
    (safe,) = safe_names([name])
    assert safe.isascii()
    assert safe.endswith(".jpg")
