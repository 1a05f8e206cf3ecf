"""Which training rows go into a prompt: drawn once at random, or the nearest to each question by BM25."""

import random

import bm25s

from studio.evaluation.ways import FEW_SHOT, RETRIEVAL, Example, Question, last_words
from studio.preset.schema import EvaluationSection

WORDS = r"(?u)\b\w+\b"


def choose_examples(way: str, questions: list[Question], train: list[Example], evaluation: EvaluationSection,
                    seed: int) -> list[list[Example]]:
    """The training rows that go into the prompt of each question, the most useful first; none for base and tuned.

    Examples chosen at random are the same for every question, as in a prompt that is written once.
    """
    if way == FEW_SHOT and evaluation.few_shot_choice == "random":
        drawn = random.Random(seed).sample(train, min(evaluation.few_shot_examples, len(train)))
        return [drawn for _ in questions]
    count = {FEW_SHOT: evaluation.few_shot_examples, RETRIEVAL: evaluation.retrieval_rows}.get(way, 0)
    return nearest(questions, train, count) if count else [[] for _ in questions]


def nearest(questions: list[Question], train: list[Example], count: int) -> list[list[Example]]:
    """The `count` training rows whose question is likest to each question by BM25 (Lucene's form), nearest first."""
    corpus = bm25s.tokenize([last_words(row.question) for row in train], token_pattern=WORDS, stopwords=None,
                            show_progress=False)
    if not any(corpus.ids):  # no word in any row: none is nearer than another
        return [train[:count] for _ in questions]
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    asked = bm25s.tokenize([last_words(question) for question in questions], token_pattern=WORDS, stopwords=None,
                           show_progress=False)
    found, _ = index.retrieve(asked, k=min(count, len(train)), show_progress=False)
    return [[train[i] for i in row] for row in found]
