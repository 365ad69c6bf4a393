from pathlib import Path

import pytest

from recon.config import PRESETS, Config, load, option_names, parse
from recon.errors import ConfigError, NotFound


def test_layers_override_in_order(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("seed = 3\n[mesh]\nfaces = 1234\n[features]\nmax_size_px = 900\n")
    config = load("fast", file, ("mesh.faces=4321", "sfm.mapper=global", "camera.params=[1, 2.5]"), seed=7)
    assert config.mesh.faces == 4321
    assert config.features.max_size_px == 900
    assert config.features.max_keypoints == PRESETS["fast"]["features"]["max_keypoints"]
    assert config.sfm.mapper == "global"
    assert config.camera.params == (1.0, 2.5)
    assert config.seed == 7


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_are_valid_and_differ(preset: str) -> None:
    assert (load(preset) == Config()) == (preset == "default")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("mesh.face=10", "unknown option 'mesh.face'. Did you mean 'mesh.faces'?"),
        ("mash.faces=10", "unknown option 'mash'. Did you mean 'mesh'?"),
        ("mesh.faces=10", "option 'mesh.faces' is 10: input should be greater than or equal to 100"),
        ("mesh.faces=many", "option 'mesh.faces' is 'many'"),
        ("mesh.faces", "'mesh.faces' sets nothing. Write --set stage.key=value"),
        ("depth.max_angle_deg=nan", "option 'depth.max_angle_deg' is nan"),
    ],
)
def test_a_wrong_option_is_told_with_its_remedy(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(overrides=(override,))
    assert told in str(error.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"absent\.toml can't be read: No such file"):
        load(file=tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("mesh = [")
    with pytest.raises(ConfigError, match=r"broken\.toml is not TOML"):
        load(file=broken)


def test_only_hides_every_other_section() -> None:
    config = load(overrides=("mesh.faces=777", "depth.pairs_a_view=9"), seed=5)
    seen = config.only(("mesh",))
    assert seen.mesh.faces == 777
    assert seen.depth.pairs_a_view == Config().depth.pairs_a_view
    assert seen.seed == 5


def test_every_option_can_be_set_by_its_name() -> None:
    for name in option_names()[1:]:
        section, key = name.split(".")
        value = getattr(getattr(Config(), section), key)
        assert parse({section: {key: value}}) == Config()
