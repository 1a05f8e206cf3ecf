"""What a push does when it is ended: cancelled, it takes away the repositories that it has made and not filled.

Paused or killed it leaves them: the next push goes on there.
"""

import os
import signal
import sys
from pathlib import Path

from huggingface_hub import HfApi

from studio.publishing.hub import HUBS_OWN
from studio.publishing.request import is_cancelled

EXIT_ENDED = 128 + signal.SIGTERM


class NewRepositories:
    """The repositories that were not there before this push, and to which it has committed nothing yet."""

    def __init__(self, run_dir: Path, token: str | None):
        self.run_dir, self.token = run_dir, token
        self.repo_ids: list[str] = []

    def watch(self) -> None:
        """From now on a polite end of this process removes them, where the push was cancelled."""
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        """Whatever the process is at, also waiting for the Hub, is over; who ended it waits two seconds at most."""
        try:
            if is_cancelled(self.run_dir):
                for repo_id in self.repo_ids:
                    remove_empty(repo_id, self.token)
        except Exception as error:  # it stays, empty and private, as after a kill
            print(f"The empty repository stays on the Hub: {error}", file=sys.stderr, flush=True)
        os._exit(EXIT_ENDED)


def remove_empty(repo_id: str, token: str | None, endpoint: str | None = None) -> None:
    """Delete a repository that nobody has put anything into, on any branch; leave any other. Raises what the Hub's
    client does."""
    api = HfApi(endpoint=endpoint, token=token)
    info = api.repo_info(repo_id)
    branches = api.list_repo_refs(repo_id).branches
    written = {sibling.rfilename for sibling in info.siblings or []} - {HUBS_OWN}
    if not written and all(branch.target_commit == info.sha for branch in branches):
        api.delete_repo(repo_id)
        print(f"Removed {repo_id}, which was empty", flush=True)
