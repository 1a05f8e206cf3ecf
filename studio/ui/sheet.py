"""What shows a preset on the Train tab: its YAML, the line below it, the messages inside fields, the draft
the browser keeps, all fields.
"""

from typing import Any

from studio.preset import files
from studio.preset.schema import Preset
from studio.ui.draft import Draft, widget_values
from studio.ui.field_problems import field_problems
from studio.ui.findings_view import status_html


def filled(preset: Preset, origin: str) -> list[Any]:
    """Updates of the sheet (YAML, its status, messages inside fields, the draft, all fields) that show this preset."""
    written = files.dumps(preset, comments=False)
    return [written, status_html([]), field_problems({}), Draft(written, origin).to_json(), *widget_values(preset)]
