"""What the environment decides."""

import pytest

from studio.errors import SettingsError
from studio.settings import Settings


def test_a_machine_of_ones_own(tmp_path):
    settings = Settings.from_environment({"XDG_DATA_HOME": str(tmp_path)})
    assert settings.data_dir == tmp_path / "fine-tune-studio" and settings.runs_dir.is_dir()
    assert (settings.host, settings.port, settings.owners, settings.data_is_lasting) == ("127.0.0.1", 7860, (), True)


def test_a_space_belongs_to_its_author_and_may_forget(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = {"SYSTEM": "spaces", "SPACE_ID": "ana/studio", "SPACE_AUTHOR_NAME": "ana", "ACCELERATOR": "t4-small"}
    settings = Settings.from_environment(environment)
    assert settings.on_space and settings.owners == ("ana",) and settings.host == "0.0.0.0"
    assert settings.space_hardware == "t4-small"
    assert Settings.from_environment(environment | {"STUDIO_OWNER": "ben, eva"}).owners == ("ben", "eva")


@pytest.mark.parametrize("name", ["STUDIO_PORT", "STUDIO_PRICE_PER_HOUR"])
def test_a_number_that_is_none_is_named(tmp_path, name):
    with pytest.raises(SettingsError, match=f'{name} is "many"'):
        Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path), name: "many"})


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "file" / "below")})


def test_owners_off_a_space_need_a_password(tmp_path):
    environment = {"STUDIO_DATA_DIR": str(tmp_path), "STUDIO_OWNER": "ana"}
    with pytest.raises(SettingsError, match="STUDIO_OWNER"):
        Settings.from_environment(environment)
    assert Settings.from_environment(environment | {"STUDIO_PASSWORD": "x"}).owners == ("ana",)
