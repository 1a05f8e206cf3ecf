"""Whether the licence that a model card states fits those of the base model and the data set."""

import json
from dataclasses import astuple, dataclass

from huggingface_hub import CardData, ModelCard

# they let what is made from a work carry another licence
PERMISSIVE = frozenset({
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "unlicense", "cc0-1.0", "cc-by-2.0",
    "cc-by-3.0", "cc-by-4.0", "pddl", "odc-by", "cdla-permissive-1.0", "cdla-permissive-2.0"})


@dataclass(frozen=True)
class Licence:
    """A licence as the head of a card states it: the Hub's identifier, and what a licence that the Hub has none for
    ("other") is called and where its text is. All "" where no licence is stated."""

    id: str = ""
    name: str = ""
    link: str = ""

    @classmethod
    def of(cls, head: CardData) -> "Licence":
        """The licence in a card's head."""
        stated = head.get("license") or ""
        return cls(stated if isinstance(stated, str) else ", ".join(map(str, stated)),
                   str(head.get("license_name") or ""), str(head.get("license_link") or ""))

    @classmethod
    def unpacked(cls, packed: str) -> "Licence":
        """From the one string that `packed` makes of it; "" is no licence."""
        return cls(*json.loads(packed)) if packed else NONE

    def packed(self) -> str:
        """As one string, for a page's hidden field."""
        return json.dumps(astuple(self)) if self.id else ""

    def __str__(self) -> str:
        more = ", ".join(part for part in (self.name, self.link) if part)
        return f"{self.id} ({more})" if more else self.id


NONE = Licence()


def stated_in(card: str) -> Licence:
    """The licence in the head of a card. The head must be readable."""
    return Licence.of(ModelCard(card).data)


def conflicts(stated: Licence, base: str, base_licence: Licence, dataset: str = "",
              dataset_licence: Licence = NONE) -> list[str]:
    """What speaks against publishing under the licence `stated`, a sentence each; `NONE` stands for what is not known.
    """
    found = []
    same = (stated.id, stated.name) == (base_licence.id, base_licence.name)
    if stated.id and base_licence.id and not same and base_licence.id not in PERMISSIVE:
        found.append(f"The card states the licence {stated}, but the base model {base} states {base_licence}, whose "
                     "terms go on to apply. State that one, or read whether it allows another.")
    if "-nc" in dataset_licence.id and "-nc" not in stated.id:
        found.append(f"The data set {dataset} states {dataset_licence}, which allows no commercial use; the card "
                     f"states {stated.id or 'none'}. Find out whether the model may be used more freely than its data.")
    if dataset_licence.id.endswith("-sa-4.0") and stated.id != dataset_licence.id:
        found.append(f"The data set {dataset} states {dataset_licence}: what is made from it must carry the same "
                     f"licence; the card states {stated.id or 'none'}. Find out whether that holds for a model.")
    return found
