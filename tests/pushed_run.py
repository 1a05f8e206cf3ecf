"""A finished run whose journal tells of a push that went well, for what follows; nothing is on any Hub."""

from studio.runs.events import EventWriter, RunStage
from studio.runs.store import RunStore, RunView
from tests.finished_run import finished_run

URL = "https://huggingface.co/ana/recipes"


def pushed_run(store: RunStore, what: tuple[str, ...] = ("merged",), private: bool = True, revision: str = "",
               pull_request: str = "") -> RunView:
    """The run, pushed to ana/recipes."""
    run_id = finished_run(store)
    journal = EventWriter(store.run_dir(run_id))
    repository = {
        "repo_id": "ana/recipes", "url": URL, "commit": "0" * 40, "commit_url": f"{URL}/commit/{'0' * 40}",
        "private": private, "files": 6, "total_bytes": 300_000, "sent_bytes": 300_000, "pull_request": pull_request,
        "what": list(what)}
    journal.stage(RunStage.STARTING, "publish")
    journal.done("publish", repository | {
        "repositories": [repository], "revision": revision, "tag": "", "collection": "", "load_test": None,
        "seconds": 2.0})
    journal.stage(RunStage.COMPLETED)
    journal.close()
    return store.get(run_id)
