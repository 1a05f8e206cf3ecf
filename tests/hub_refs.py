"""More routes of the stand-in Hub: branches, tags, history, pull requests and collections."""

from tests.hub_content import HubError, Pull, Repo

TIME = "2026-01-01T00:00:00.000Z"


class RefRoutes:
    """Mixed into the handler of tests/hub_routes.py."""

    def _ref_route(self, kind: str, repo_id: str, rest: list[str]):
        """The route and the work of a request below a repository, None for one that is not of these."""
        match rest:
            case ["refs"]:
                return "refs", lambda: self._refs(kind, repo_id)
            case ["branch", name]:
                return "branch", lambda: self._branch(kind, repo_id, name)
            case ["tag", revision]:
                return "tag", lambda: self._tag(kind, repo_id, revision)
            case ["commits", revision]:
                return "commits", lambda: self._commits(kind, repo_id, revision)
            case ["discussions"]:
                return "discussions", lambda: self._discussions(kind, repo_id)
        return None

    def _refs(self, kind: str, repo_id: str):
        repo = self._allowed(kind, repo_id)
        lines = {"main": repo.commits} | repo.branches
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": line[-1].oid}
                    for name, line in lines.items()]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in repo.tags.items()]
        return {"branches": branches, "converts": [], "tags": tags}

    def _branch(self, kind: str, repo_id: str, name: str):
        asked, repo = self._json(), self._writable(kind, repo_id)
        if repo.line(name):
            raise HubError(409, f"Reference already exists: {name}")
        start = self._commit_at(repo, asked.get("startingPoint", "main"))
        repo.branches[name] = [start]
        return {}

    def _tag(self, kind: str, repo_id: str, revision: str):
        asked, repo = self._json(), self._writable(kind, repo_id)
        if asked["tag"] in repo.tags:
            raise HubError(409, f"Tag reference exists already: {asked['tag']}")
        repo.tags[asked["tag"]] = self._commit_at(repo, revision).oid
        return {}

    def _commits(self, kind: str, repo_id: str, revision: str):
        repo = self._allowed(kind, repo_id)
        line = repo.line(revision)
        if line is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return [{"id": commit.oid, "title": commit.title, "message": "", "date": TIME, "authors": []}
                for commit in reversed(line)]

    def _discussions(self, kind: str, repo_id: str):
        repo, status = self._allowed(kind, repo_id), self._query.get("status", ["all"])[0]
        found = [{"num": pull.number, "title": pull.title, "status": pull.status, "isPullRequest": True,
                  "author": {"name": pull.author}, "createdAt": TIME,
                  "repo": {"name": repo_id, "type": kind.removesuffix("s")}}
                 for pull in repo.pulls if status in ("all", pull.status)]
        return {"discussions": found, "count": len(found), "start": 0}

    def _opened(self, repo: Repo, title: str, author: str) -> Pull:
        """A new pull request upon main."""
        pull = Pull(len(repo.pulls) + 1, title, author, list(repo.commits))
        repo.pulls.append(pull)
        return pull

    # -- collections

    def _collections(self, slug: str, adds: bool):
        """List them, make one, show one, or add to one."""
        if adds:
            return self._add_to(self._collection(slug))
        if slug:
            return self._collection(slug)
        if self.command == "POST":
            return self._new_collection()
        owners = self._query.get("owner", [])
        # in a list each one's place is its position
        return [{name: value for name, value in collection.items() if name != "position"}
                for collection in self.hub.collections if collection["owner"]["name"] in owners]

    def _new_collection(self):
        asked, user = self._json(), self._signed_in()
        if not self._may_write(user, f"{asked['namespace']}/any"):
            raise HubError(403, "You don't have the rights to create a collection here.")
        number = len(self.hub.collections) + 1
        made = {"slug": f"{asked['namespace']}/{asked['title'].lower().replace(' ', '-')}-{number:024x}",
                "title": asked["title"], "owner": {"name": asked["namespace"]}, "items": [], "lastUpdated": TIME,
                "position": 0, "private": asked["private"], "theme": "green", "upvotes": 0}
        self.hub.collections.append(made)
        return made

    def _collection(self, slug: str) -> dict:
        for collection in self.hub.collections:
            if collection["slug"] == slug:
                return collection
        raise HubError(404, "Collection not found")

    def _add_to(self, collection: dict):
        item = self._json()["item"]
        if any(known["id"] == item["id"] for known in collection["items"]):
            raise HubError(409, "Item already in collection")
        collection["items"].append(item | {"_id": f"{len(collection['items']):024x}",
                                           "position": len(collection["items"])})
        return collection
