import pytest

from recon.stage import blocks


@pytest.mark.parametrize("count", range(40))
@pytest.mark.parametrize("most", [1, 3, 8])
def test_blocks_hold_everything_once_and_end_together(count: int, most: int) -> None:
    parts = blocks(count, most)
    assert [i for part in parts for i in part] == list(range(count))
    sizes = [len(part) for part in parts]
    assert all(0 < size <= most for size in sizes)
    assert len(parts) == 1 if 0 < count <= most else len(parts) % 2 == 0 or len(parts) == count
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
