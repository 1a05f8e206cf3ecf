"""What the environment decides."""

import socket
from dataclasses import replace

import pytest

from studio.address import require_address
from studio.errors import SettingsError
from studio.settings import Settings
from tests.conftest import free_port


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


@pytest.mark.parametrize("port", ["70000", "0", "-1", "78.5"])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    with pytest.raises(SettingsError, match=f'STUDIO_PORT is "{port}", which is no port. Set it to .* 1 to 65535'):
        Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path), "STUDIO_PORT": port})


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_number_without_size_is_none(tmp_path, number):
    for name in ("STUDIO_PORT", "STUDIO_PRICE_PER_HOUR"):
        with pytest.raises(SettingsError, match="which is no number"):
            Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path), name: number})


def test_a_host_that_is_not_ours_is_told_from_a_port_that_is_taken(tmp_path):
    settings = Settings(data_dir=tmp_path, port=free_port())
    with socket.create_server(("127.0.0.1", settings.port)), pytest.raises(
            SettingsError, match=rf"Port {settings.port} is taken"):
        require_address(settings)
    require_address(settings)
    # an address for documentation, and no name at all
    for host in ("203.0.113.7", "no host", "x" * 70 + ".y"):
        with pytest.raises(SettingsError, match=r"has no address .* Set serve --host or STUDIO_HOST to"):
            require_address(replace(settings, host=host))


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "file" / "below")})


def test_owners_off_a_space_need_a_password(tmp_path):
    environment = {"STUDIO_DATA_DIR": str(tmp_path), "STUDIO_OWNER": "ana"}
    with pytest.raises(SettingsError, match="STUDIO_OWNER"):
        Settings.from_environment(environment)
    assert Settings.from_environment(environment | {"STUDIO_PASSWORD": "x"}).owners == ("ana",)
