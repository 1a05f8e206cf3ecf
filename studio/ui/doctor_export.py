"""Writes the cleaned rows for a download: the rows that a run would learn from and be judged by, and an account."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.data.preview_client import ask_worker
from studio.preset.files import dumps
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import hub_token, require_owner
from studio.ui.draft import preset_from
from studio.ui.messages import shown

TIME_LIMIT_S = 1800
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class ExportPart:
    """The button, and the files once they are written."""

    button: gr.Button
    files: gr.File


def build_export() -> ExportPart:
    """The button, and below it room for the files."""
    button = gr.Button(text("doctor.export.button"), size="md", elem_classes="narrow", elem_id="export")
    return ExportPart(button, gr.File(
        label=text("doctor.export.files"), visible=False, interactive=False, elem_id="export-files"))


def wire_export(settings: Settings, part: ExportPart, fields: dict[str, Any], hub_key: gr.Textbox) -> None:
    """Write the files on a click; they are kept as long as the page's other downloads. `hub_key`: a pasted token."""

    @shown
    def export_rows(
        pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, **values: Any
    ) -> Iterator[gr.File]:
        require_owner(settings, profile)
        with tempfile.TemporaryDirectory() as folder:
            request = {"preset": dumps(preset_from(values), comments=False), "to": folder}
            ask_worker("export", request, settings, hub_token(settings, token, pasted), TIME_LIMIT_S)
            # the page copies what it is given before this goes on
            yield gr.File([str(path) for path in sorted(Path(folder).glob("*.jsonl"))], visible=True)

    part.button.click(
        lambda: gr.Button(text("doctor.export.working"), interactive=False), None, part.button, **QUIET).then(
        export_rows, hub_key, part.files, inputs_kwargs=fields, show_progress="hidden", **CLICK).then(
        lambda: gr.Button(text("doctor.export.button"), interactive=True), None, part.button, **QUIET)
