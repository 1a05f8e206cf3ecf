"""Every error a person can meet: one plain sentence with the cause, one with the next step.

A `StudioError` is shown as it is, in a widget, in the terminal (exit code 2, no traceback) and in the log.
Anything else that escapes is a defect of the studio and keeps its traceback.
"""


class StudioError(Exception):
    """A failure the person can do something about.

    `message` names the cause, `hint` the next step, `field` the dotted preset name it belongs to ("" for none).
    """

    def __init__(self, message: str, hint: str = "", field: str = ""):
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint
        self.field = field


class SettingsError(StudioError):
    """The environment asks for something that cannot be had: a taken port, a number that is none, a folder."""


class PresetError(StudioError):
    """The preset cannot be read or does not fit the schema; `problems` holds one error per field."""

    def __init__(self, message: str, hint: str = "", field: str = "", problems: "tuple[PresetError, ...]" = ()):
        super().__init__(message, hint, field)
        self.problems = problems or (self,)


class DataError(StudioError):
    """The data set cannot be read, is empty, or holds nothing the chosen method can learn from."""


class ModelError(StudioError):
    """The base model is unknown, gated, unreachable, or lacks what the run needs (a chat template, safe weights)."""


class UnknownShapeError(ModelError):
    """The model's memory and time cannot be worked out from its config; it may run all the same."""


class CheckError(StudioError):
    """The preflight found something that would make the run fail on this machine."""


class RunError(StudioError):
    """The run does not exist, or is not in a stage in which the request makes sense."""


class HubError(StudioError):
    """The Hub refused or could not be reached: token, permission, name, quota, network."""


class EndpointError(StudioError):
    """A service that answers chats (another model, a judge) is down, refuses, or answers in no known form."""


class AccessError(StudioError):
    """The person may look but not start, stop, delete or publish here."""
