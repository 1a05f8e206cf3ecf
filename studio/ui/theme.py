"""The look: Gradio's own variables, calm in light and dark, one accent colour for the next action."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

# Gradio 6.31 ships the semi-bold cut with most letters missing
WEIGHTS = (400, 700)
STYLE_SHEETS = sorted(Path(__file__).parent.glob("style*.css"))


def build_theme() -> gr.themes.Base:
    """Teal on slate; white on the accent has a contrast of 5.5 to 1."""
    return gr.themes.Base(
        primary_hue=colors.teal, secondary_hue=colors.teal, neutral_hue=colors.slate,
        text_size=sizes.text_md, spacing_size=sizes.spacing_md, radius_size=sizes.radius_md,
        font=(fonts.LocalFont("IBM Plex Sans", WEIGHTS), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", WEIGHTS), "ui-monospace", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950",
        color_accent="*primary_700",
        block_border_width="1px", block_shadow="none",
        block_label_text_weight="600", block_title_text_weight="600",
        button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700", button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white", button_primary_text_color_dark="white",
        input_border_color="*neutral_300", input_border_color_dark="*neutral_600",
        input_border_color_focus="*primary_600", input_border_color_focus_dark="*primary_400",
        input_placeholder_color="*neutral_600", input_placeholder_color_dark="*neutral_300",
        block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300",
    )
