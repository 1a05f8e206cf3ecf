"""Files of a run as plain downloads, `/download/<run_id>/<name>`: streamed, never copied into Gradio's cache.

Gradio's login does not cover routes of our own, so each request is checked here.
"""

from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from studio.errors import RunError
from studio.evaluation.preferences import PREFERENCES_FILE, preference_lines
from studio.evaluation.votes import VOTES_FILE
from studio.publishing.exports import list_exports
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.start import DATA_REPORT_FILE
from studio.ui.visitors import request_from_owner, request_may_look

# what a run may hand out, by the name in the link
FILES = {
    "preset.yaml": "text/yaml; charset=utf-8", "worker.log": "text/plain; charset=utf-8",
    "events.jsonl": "application/x-ndjson", "environment.json": "application/json", "report.json": "application/json",
    "report.html": "text/html; charset=utf-8", "predictions.jsonl": "application/x-ndjson",
    VOTES_FILE: "application/x-ndjson", PREFERENCES_FILE: "application/x-ndjson",
    DATA_REPORT_FILE: "application/json", "card.md": "text/markdown; charset=utf-8",
}
# these grow while they are sent: more bytes than were announced would break the download off
GROWING, BLOCK_BYTES = ("worker.log", "events.jsonl"), 256 * 1024


def build_downloads(settings: Settings, store: RunStore, gradio_app: FastAPI) -> FastAPI:
    """The sub-application that serves `FILES`; mount it at `/download`."""
    downloads = FastAPI(openapi_url=None)

    @downloads.get("/{run_id}/{name}")
    def download(run_id: str, name: str, request: Request) -> Response:
        if not request_may_look(settings, gradio_app, request):
            raise HTTPException(401, "Sign in first.")
        if name not in FILES:
            raise HTTPException(404, "There is no such file.")
        try:
            path = store.run_dir(run_id) / name
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        if name == PREFERENCES_FILE and (lines := preference_lines(path.parent)):
            return Response(lines, media_type=FILES[name], headers={
                "Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{run_id}-{name}"'})
        # a link could lead to anything on the machine
        if path.is_symlink() or not path.is_file():
            raise HTTPException(404, "The run has not written this file.")
        if name in GROWING:
            size = path.stat().st_size
            return StreamingResponse(first_bytes(path, size), media_type=FILES[name], headers={
                "Cache-Control": "no-store", "Content-Length": str(size),
                "Content-Disposition": f'attachment; filename="{run_id}-{name}"'})
        return FileResponse(path, media_type=FILES[name], filename=f"{run_id}-{name}",
                            headers={"Cache-Control": "no-store"})

    @downloads.get("/{run_id}/gguf/{name}")
    def download_gguf(run_id: str, name: str, request: Request) -> Response:
        # the weights, which whoever looks on has not been given
        if not request_from_owner(settings, gradio_app, request):
            raise HTTPException(401, "Sign in as the owner first.")
        try:
            run_dir = store.run_dir(run_id)
            exports = list_exports(run_dir)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        path = next((file for export in exports if export.form == "gguf" for file in export.files
                     if file.name == name and file.resolve().is_relative_to(run_dir.resolve())), None)
        if path is None:
            raise HTTPException(404, "There is no such file.")
        return FileResponse(path, media_type="application/octet-stream", filename=name,
                            headers={"Cache-Control": "no-store"})

    return downloads


def first_bytes(path: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file in blocks, however long it is by then."""
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, BLOCK_BYTES))):
            size -= len(block)
            yield block
