"""Builds the page and serves it: `build_app(settings)` for tests, `launch(settings)` for everyone else."""

import threading
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware

from studio.address import port_taken, require_address
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui.downloads import build_downloads
from studio.ui.layout import build_layout
from studio.ui.theme import STYLE_SHEETS, build_theme
from studio.ui.visitors import OwnersUpload

MAX_UPLOAD = "2gb"
CACHE_SWEEP_S, CACHE_LIFE_S = 3600, 86400


def build_app(settings: Settings, open_run: str = "", store: RunStore | None = None) -> gr.Blocks:
    """The whole page. `open_run` is the id of the run it opens with where the address names none."""
    with gr.Blocks(
        analytics_enabled=False, title=text("app.title"), fill_width=True, delete_cache=(CACHE_SWEEP_S, CACHE_LIFE_S),
    ) as demo:
        build_layout(settings, store or RunStore(settings), demo, open_run)
    return demo


def launch(settings: Settings, open_run: str = "", prevent_thread_lock: bool = False) -> gr.Blocks:
    """Serve the page at `settings.host:port` until interrupted (or return at once with `prevent_thread_lock`).

    Raises `SettingsError` when the port is taken, or the host is none of this machine's.
    """
    require_address(settings)
    store = RunStore(settings)
    # gigabytes of small files on a slow disk must not keep the page waiting
    threading.Thread(target=store.clear_deleted, daemon=True).start()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        app.mount("/download", build_downloads(settings, store, app))
        yield

    demo = build_app(settings, open_run, store)
    launched = dict(
        server_name=settings.host, server_port=settings.port, prevent_thread_lock=True, quiet=True,
        theme=build_theme(), css_paths=STYLE_SHEETS, ssr_mode=False, run_history=False, enable_monitoring=False,
        show_error=False, footer_links=[], max_file_size=MAX_UPLOAD,
        _frontend=False,  # Gradio asks itself for its page and gives up after 3 s, as where a training takes every core
        auth=("owner" if not settings.owners else settings.owners[0], settings.password) if settings.password else None,
        app_kwargs={"lifespan": lifespan, "openapi_url": None,
                    "middleware": [Middleware(OwnersUpload, settings=settings)]})
    try:
        demo.launch(**launched)
    except OSError:
        raise port_taken(settings) from None
    if not prevent_thread_lock:
        page = f"?run={open_run}" if open_run else ""
        print(f"The studio is at http://localhost:{settings.port}/{page}\nCtrl-C closes it; runs go on.", flush=True)
        demo.block_thread()
    return demo
