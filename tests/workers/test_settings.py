from pathlib import Path

import pytest

from api.settings import load_api_settings
from recon.errors import ConfigError
from workers.settings import MAX_SOCKET_PATH, Settings, load_settings


def test_all_is_embedded_in_one_folder_unless_told_otherwise(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/recon.db"
    assert settings.broker_url == f"redis+socket://{tmp_path}/broker.sock"
    assert settings.bucket is None


def test_the_environment_names_a_fleets_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECON_STORE", "s3://photos/recon/")
    monkeypatch.setenv("RECON_DATABASE", "postgresql://u:p@db/recon")
    monkeypatch.setenv("RECON_BROKER", "redis://broker:6379/1")
    settings = load_settings()
    assert settings.bucket == ("photos", "recon/")
    assert settings.database_url == "postgresql+psycopg://u:p@db/recon"
    assert settings.broker_url == "redis://broker:6379/1"


def test_secrets_may_be_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "recon_database").write_text("postgresql://u:p@db/recon\n")
    (tmp_path / "recon_api_secret").write_text("of all APIs\n")
    monkeypatch.setenv("RECON_SECRETS", str(tmp_path))
    assert load_settings().database == "postgresql://u:p@db/recon"
    assert load_api_settings().secret == "of all APIs"
    monkeypatch.setenv("RECON_DATABASE", "postgresql://u:p@other/recon")
    assert load_settings().database == "postgresql://u:p@other/recon"
    monkeypatch.setenv("RECON_SECRETS", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nowhere', which is no folder"):
        load_api_settings()


def test_wrong_settings_are_told_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="RECON_STORE is 'gs://photos'"):
        _ = Settings(store="gs://photos").bucket
    monkeypatch.setenv("RECON_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="RECON_CACHE_GB is 'much': input should be a valid number"):
        load_settings()


def test_a_long_home_gets_a_short_socket(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("x" * 120))
    assert len(str(settings.broker_socket)) <= MAX_SOCKET_PATH
    assert settings.broker_socket == Settings(home=tmp_path / ("x" * 120)).broker_socket
