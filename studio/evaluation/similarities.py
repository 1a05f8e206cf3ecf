"""How alike in meaning answers and wanted answers are: the measure's name, and how a pair of texts is found again."""

import hashlib
import json

METRIC = "embedding_similarity"


def similarity_key(encoder: str, answer: str, wanted: str) -> str:
    """Names a pair of texts under an encoder, which is told by its mark."""
    return hashlib.sha256(json.dumps([encoder, answer, wanted]).encode()).hexdigest()[:24]
