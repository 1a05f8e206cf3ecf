"""What the environment decides, read once at start and passed on; no other module reads studio variables."""

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.errors import SettingsError

DEFAULT_PORT, MOST_PORT = 7860, 65535
PROJECT_DIR = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Where things are kept, where the server listens, and who owns this studio.

    `owners` empty means: nobody is barred (a studio on one's own machine). `data_is_lasting` is False where a restart
    empties the disk, which the page then says. `worker_module` is started for each phase of a run; tests put a scripted
    one there. `price_per_hour` is what this machine costs in US dollars, None where nobody said; `space_hardware` is
    the flavor of a Space. A push to the Hub on which nothing moves for `push_silence_s` seconds is ended.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 7860
    on_space: bool = False
    owners: tuple[str, ...] = ()
    public_view: bool = False
    password: str = ""
    data_is_lasting: bool = True
    presets_dir: Path = PROJECT_DIR / "presets"
    worker_module: str = "studio.worker"
    price_per_hour: float | None = None
    space_hardware: str = ""
    push_silence_s: float = 120

    @property
    def runs_dir(self) -> Path:
        return self.data_dir / "runs"

    @property
    def uploads_dir(self) -> Path:
        return self.data_dir / "uploads"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"

    @property
    def user_presets_dir(self) -> Path:
        return self.data_dir / "presets"

    @property
    def playground_dir(self) -> Path:
        return self.data_dir / "playground"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read `STUDIO_*` and the variables that a Space sets; create the data folder.

        On a Space the data folder is the mounted volume `/data` where that is writable; without one the container's
        own disk serves and `data_is_lasting` is False. Raises `SettingsError`.
        """
        on_space = environ.get("SYSTEM") == "spaces" or "SPACE_ID" in environ
        data_dir, lasting = _data_dir(environ, on_space)
        try:
            for folder in ("runs", "uploads", "cache", "presets", "playground"):
                (data_dir / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"The data folder {data_dir} cannot be used: {error.strerror}.",
                                "Set STUDIO_DATA_DIR to a folder you may write to.") from None
        owners = environ.get("STUDIO_OWNER", environ.get("SPACE_AUTHOR_NAME", "") if on_space else "")
        password = environ.get("STUDIO_PASSWORD", "")
        if owners and not on_space and not password:
            raise SettingsError("STUDIO_OWNER names owners, but nothing here can tell who somebody is.",
                                "Set STUDIO_PASSWORD too, or remove STUDIO_OWNER.")
        return cls(
            data_dir=data_dir,
            host=environ.get("STUDIO_HOST", "0.0.0.0" if on_space else "127.0.0.1"),
            port=read_port(environ),
            on_space=on_space,
            owners=tuple(name.strip() for name in owners.split(",") if name.strip()),
            public_view=environ.get("STUDIO_PUBLIC_VIEW", "0") == "1",
            password=password,
            data_is_lasting=lasting,
            worker_module=environ.get("STUDIO_WORKER_MODULE", "studio.worker"),
            price_per_hour=_number(environ, "STUDIO_PRICE_PER_HOUR"),
            push_silence_s=_number(environ, "STUDIO_PUSH_SILENCE_S") or cls.push_silence_s,
            space_hardware=environ.get("ACCELERATOR", "") if on_space else "",
        )


def _number(environ: Mapping[str, str], name: str) -> float | None:
    if not environ.get(name):
        return None
    try:
        number = float(environ[name])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f'{name} is "{environ[name]}", which is no number.', "Mend it or remove it.")
    return number


def read_port(environ: Mapping[str, str], name: str = "STUDIO_PORT") -> int:
    """The port that is written under a name, or the usual one. Raises `SettingsError` for what is no port."""
    number = _number(environ, name)
    if number is None:
        return DEFAULT_PORT
    if not (number.is_integer() and 1 <= number <= MOST_PORT):
        raise SettingsError(f'{name} is "{environ[name]}", which is no port.',
                            f"Set it to a whole number from 1 to {MOST_PORT}, such as {DEFAULT_PORT}, or remove it.")
    return int(number)


def _data_dir(environ: Mapping[str, str], on_space: bool) -> tuple[Path, bool]:
    if chosen := environ.get("STUDIO_DATA_DIR"):
        return Path(chosen).expanduser().resolve(), True
    if on_space:
        volume = Path("/data")
        return (volume / "fine-tune-studio", True) if _writable(volume) else (Path.home() / "studio-data", False)
    base = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base.resolve() / "fine-tune-studio", True


def _writable(folder: Path) -> bool:
    """Bucket mounts may refuse a write whatever their mode bits say, so try one."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
