"""What a push would replace in repositories that hold something, and the box to tick before it may."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.texts import text
from studio.ui.publish_view import replaced_html


@dataclass(frozen=True)
class ReplacedPart:
    """`replaced` (hidden) is what `confirm` asks about, and `replacing` shows it."""

    replacing: gr.HTML
    confirm: gr.Checkbox
    replaced: gr.Textbox

    @property
    def drawn(self) -> list[gr.components.Component]:
        """What `asked_first` may change."""
        return [self.confirm, self.replaced, self.replacing]


def build_replaced(name: str) -> ReplacedPart:
    """Both, hidden until something would be replaced; `name` begins their element ids."""
    replacing = gr.HTML("", visible=False, elem_id=f"{name}-replaced", elem_classes="publish-part")
    confirm = gr.Checkbox(False, label=text("publish.confirm.label"), visible=False, elem_id=f"{name}-confirm")
    return ReplacedPart(replacing, confirm, gr.Textbox("", visible=False))


def asked_first(part: ReplacedPart, replaced: str) -> dict[Any, Any]:
    """The box to tick before what it names is replaced; none where that is nothing."""
    return {part.confirm: gr.Checkbox(False, visible=bool(replaced)), part.replaced: replaced,
            part.replacing: gr.HTML(replaced_html(replaced), visible=bool(replaced))}
