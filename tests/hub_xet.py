"""The Xet way of the stand-in Hub, for uploads alone: it takes what hf_xet sends, counts it, and keeps none of it."""

import time

from tests.hub_content import Blob, HubError, git_sha1, lfs_pointer


class XetRoutes:
    """Mixed into the handler of tests/hub_routes.py. Only clients without HF_HUB_DISABLE_XET come here."""

    def _xet_token(self, kind: str, repo_id: str):
        self._writable(kind, repo_id)
        return {"casUrl": self.hub.endpoint, "accessToken": "xet", "exp": int(time.time()) + 3600}

    def _xet_route(self, parts: list[str]):
        """What hf_xet asks of the storage: to take a xorb (chunks) and a shard (which file is which chunks)."""
        match parts:
            case ["v1", "xorbs", "default", _]:
                return "xet-xorb", lambda: self._taken({"was_inserted": True})
            case ["v1", "shards"]:
                return "xet-shard", self._shard
        return "unknown", self._unknown

    def _taken(self, answer: dict):
        self._drain()
        return answer

    def _shard(self):
        self.hub.shards += 1
        return self._taken({"result": 1})

    def _by_xet(self, oid: str, size: int) -> Blob:
        """A file that came by Xet, whose checksum the commit names. A Hub would know it from the shards."""
        if not self.hub.shards:
            raise HubError(400, f"LFS object {oid} was never uploaded")
        empty = self.hub.folder / "by-xet"
        empty.touch()
        return Blob(empty, size, git_sha1(lfs_pointer(oid, size)), oid, True)
