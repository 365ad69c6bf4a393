import pickle
import sys

import pytest

import workers.errors  # noqa: F401  (its kinds join the tree)
from recon import errors


def every_error() -> list[type[errors.ReconError]]:
    found, left = [], [errors.ReconError]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error())
def test_errors_survive_pickling_with_message_and_remedy(kind: type[errors.ReconError]) -> None:
    again = pickle.loads(pickle.dumps(kind("3 of 40 images", "film more slowly")))
    assert type(again) is kind
    assert (again.message, again.remedy) == ("3 of 40 images", "film more slowly")
    assert str(again) == "3 of 40 images. film more slowly"


def test_codes_are_unique_and_every_error_is_drawn_in_the_tree() -> None:
    kinds = every_error()
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.__name__ in (sys.modules[kind.__module__].__doc__ or "")  # of recon.errors or workers.errors
        assert kind.exit_code != 0
