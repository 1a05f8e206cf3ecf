"""Whether the server can listen where the settings say, asked before it starts: Gradio does not tell why it cannot."""

import errno
import socket

from studio.errors import SettingsError
from studio.settings import Settings


def require_address(settings: Settings) -> None:
    """Raise `SettingsError` for a host that is not this machine's, and a port that is taken or not ours to open."""
    try:
        found = socket.getaddrinfo(settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM)
        family, *_, address = found[0]
        with socket.socket(family) as probe:
            # the remains of connections to an earlier server do not count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise _refusal(settings, error) from None


def port_taken(settings: Settings) -> SettingsError:
    """The error for a port that another program listens on."""
    return SettingsError(f"Port {settings.port} is taken, perhaps by another studio.",
                         "Close that one, or choose another port with serve --port or STUDIO_PORT.")


def _refusal(settings: Settings, error: OSError | UnicodeError) -> SettingsError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return port_taken(settings)
    if number == errno.EACCES:
        return SettingsError(f"You may not open port {settings.port} on this machine.",
                             "Choose a port above 1023, such as 7860, with serve --port or STUDIO_PORT.")
    return SettingsError(f"This machine has no address {settings.host} to listen at.",
                         "Set serve --host or STUDIO_HOST to 127.0.0.1, or to 0.0.0.0 to be reached from others.")
