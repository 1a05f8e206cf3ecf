"""A collection on the Hub that the repositories of a run are put into, made where it is missing."""

from collections.abc import Sequence

from huggingface_hub import HfApi

from studio.publishing.calls import patiently


def add_to_collection(title: str, repo_ids: Sequence[str], token: str, *, private: bool,
                      endpoint: str | None = None) -> str:
    """Put models into the collection called `title` of their owner; returns its address.

    What is in it already stays as it is. Raises `HubError`.
    """
    api, owner = HfApi(endpoint=endpoint, token=token), repo_ids[0].split("/")[0]
    found = patiently(lambda: [collection for collection in api.list_collections(owner=owner)
                               if collection.title == title], "reading the collections", repo_ids[0])
    collection = found[0] if found else patiently(
        lambda: api.create_collection(title, namespace=owner, private=private, exists_ok=True),
        "making the collection", repo_ids[0])
    for repo_id in repo_ids:
        patiently(lambda repo_id=repo_id: api.add_collection_item(
            collection.slug, item_id=repo_id, item_type="model", exists_ok=True),
            "adding to the collection", repo_id)
    return collection.url
