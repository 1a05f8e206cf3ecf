"""Whether the licence that a model card states fits those of the base model and the data set."""

from huggingface_hub import ModelCard

# they let what is made from a work carry another licence
PERMISSIVE = frozenset({
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "unlicense", "cc0-1.0", "cc-by-2.0",
    "cc-by-3.0", "cc-by-4.0", "pddl", "odc-by", "cdla-permissive-1.0", "cdla-permissive-2.0"})


def stated_in(card: str) -> str:
    """The licence in the head of a card, "" where it names none. The head must be readable."""
    stated = ModelCard(card).data.license
    return stated if isinstance(stated, str) else ", ".join(stated or [])


def conflicts(stated: str, base: str, base_licence: str, dataset: str = "", dataset_licence: str = "") -> list[str]:
    """What speaks against publishing under the licence `stated`, a sentence each; "" stands for what is not known."""
    found = []
    if stated and base_licence and stated != base_licence and base_licence not in PERMISSIVE:
        found.append(f"The card states the licence {stated}, but the base model {base} states {base_licence}, whose "
                     "terms go on to apply. State that one, or read whether it allows another.")
    if dataset_licence and "-nc" in dataset_licence and "-nc" not in stated:
        found.append(f"The data set {dataset} states {dataset_licence}, which allows no commercial use; the card "
                     f"states {stated or 'none'}. Find out whether the model may be used more freely than its data.")
    if dataset_licence and dataset_licence.endswith("-sa-4.0") and stated != dataset_licence:
        found.append(f"The data set {dataset} states {dataset_licence}: what is made from it shall carry the same "
                     f"licence; the card states {stated or 'none'}. Find out whether that holds for a model.")
    return found
