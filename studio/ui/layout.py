"""The page as a whole: header, four tabs, and the events that lead from one tab to another.

What a tab offers to the others is in the frozen dataclass that its `build_<name>_tab(settings, store)` returns:
- `RunsTab.run_id`: hidden text box; writing a run's id into it (its `.change` fires) shows that run.
"""

import importlib
import importlib.util

import gradio as gr

from studio.runs.store import RunStore
from studio.settings import Settings
from studio.ui.texts import text

TABS = ("train", "runs", "playground", "publish")


def build_layout(settings: Settings, store: RunStore, open_run: str = "") -> None:
    """Build header and tabs into the present `gr.Blocks`."""
    gr.HTML(f"<h1>{text('app.title')}</h1>")
    with gr.Tabs(elem_id="tabs"):
        for name in TABS:
            with gr.Tab(text(f"app.tabs.{name}"), id=name):
                if importlib.util.find_spec(f"studio.ui.{name}_tab"):
                    module = importlib.import_module(f"studio.ui.{name}_tab")
                    getattr(module, f"build_{name}_tab")(settings, store)
