"""The presets a person can start from, as cards: real radio buttons in a list, so mouse and keyboard both choose."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from studio import words
from studio.errors import ModelError, PresetError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.base_model import known_shape
from studio.runs.checks import check_device
from studio.runs.device import Device, probe_device
from studio.runs.estimates import RowLengths, estimate_memory, estimate_time
from studio.settings import Settings
from studio.texts import text

# what the time on a card is for
USUAL_ROWS, USUAL_ROW_TOKENS = 1000, 100
HEADER_KEY = re.compile(r"^([A-Z][a-z]+): (.*)")
# a card is a label around a radio button; a change of the radio is told to the server by its value
CHOOSE_JS = """
element.addEventListener('change', event => trigger('select', {card: event.target.value}));
"""


@dataclass(frozen=True)
class Card:
    """One preset of the gallery; `id` is its file name, the texts come from the file's header.

    `fit` says whether it runs on this machine: fits, tight, too_big, or "" where that is not known; `here` in words.
    """

    id: str
    path: Path
    preset: Preset
    title: str
    sentence: str
    needs: str
    fit: str
    here: str


class Cards(list[Card]):
    """The cards of the gallery; `broken` has what is wrong with each preset that cannot be read."""

    broken: tuple[PresetError, ...] = ()


def list_cards(settings: Settings) -> Cards:
    """The presets that come with the studio and those beside the data.

    Those that need no GPU come first: anyone can try them at once.
    """
    readable, broken = files.list_readable(settings)
    device = probe_device()
    cards = Cards(_card(path, preset, device) for path, preset in readable.items())
    cards.sort(key=lambda card: card.preset.model.load_in_4bit or card.preset.training.packing)
    cards.broken = tuple(broken)
    return cards


def find_card(settings: Settings, card_id: str) -> Card:
    """The card of that id. Raises `PresetError` where there is none."""
    for card in list_cards(settings):
        if card.id == card_id:
            return card
    raise PresetError(f'There is no preset "{card_id[:80]}".', "Reload the page to see those that exist.")


def cards_html(cards: Cards, chosen: str = "") -> str:
    """The gallery; `chosen` is the id of the card that is marked. Below it, the presets that cannot be read."""
    if not cards:
        return f'<p class="empty">{html.escape(text("train.what.no_presets"))}</p>'
    return (f'<div class="cards" role="radiogroup" aria-label="{html.escape(text("train.what.gallery"))}">'
            + "".join(_card_html(card, card.id == chosen) for card in cards) + "</div>" + _broken_html(cards.broken))


def chosen_html(name: str) -> str:
    """Says that a preset which is no card is the one in work."""
    return f'<p class="status ok" role="status">✓ {html.escape(text("train.what.chosen", name=name))}</p>'


def _card_html(card: Card, chosen: bool) -> str:
    facts = {"model": card.preset.model.model_name_or_path, "needs": card.needs, "here": card.here}
    rows = "".join(f'<dt>{html.escape(text(f"train.what.{key}"))}</dt>'
                   f'<dd class="{card.fit if key == "here" else ""}">{html.escape(value)}</dd>'
                   for key, value in facts.items() if value)
    return (
        f'<label class="card"><input type="radio" name="preset-card" value="{html.escape(card.id)}"'
        f'{" checked" if chosen else ""}><span class="card-title">{html.escape(card.title)}</span>'
        f'<span class="card-text">{html.escape(card.sentence)}</span><dl>{rows}</dl></label>')


def _broken_html(broken: tuple[PresetError, ...]) -> str:
    if not broken:
        return ""
    items = "".join(f"<li>{html.escape(str(error))}</li>" for error in broken)
    return f'<div class="status broken">✕ {html.escape(text("train.what.broken"))}<ul>{items}</ul></div>'


def _card(path: Path, preset: Preset, device: Device) -> Card:
    """The card of a preset. Its file's header opens with "Title: what it makes" and goes on in lines "Needs: ..."."""
    first, *rest = files.header(path).splitlines() or [""]
    title, _, sentence = first.partition(": ")
    if not sentence:
        title, sentence = preset.name.replace("-", " ").capitalize(), preset.description
    return Card(path.name, path, preset, title, _capital(sentence.rstrip(".")) + ".",
                _first_clause(_entries(rest).get("Needs", "")), *_here(preset, device))


def _here(preset: Preset, device: Device) -> tuple[str, str]:
    """Whether the preset runs on this device, as a mark and in words with the time for a thousand usual rows."""
    if check_device(preset, device):
        return "too_big", text("train.what.not_here")
    try:
        shape = known_shape(preset.model)
    except ModelError:  # its folder is broken, which the check says to those who choose it
        shape = None
    if shape is None:
        return "", ""
    tokens = min(USUAL_ROW_TOKENS, preset.training.max_length)
    lengths = RowLengths(USUAL_ROWS, tokens, tokens)
    fit = estimate_memory(preset, shape, device, lengths).verdict(device).name.lower()
    verdict = text(f"train.what.{fit}")
    time = estimate_time(preset, shape, device, lengths)
    return fit, verdict if time is None else text(
        "train.what.with_time", fit=verdict, time=words.rough_duration(time.seconds), rows=words.count(USUAL_ROWS))


def _entries(lines: list[str]) -> dict[str, str]:
    """The header's "Key: text" lines, each with the lines that continue it."""
    entries: dict[str, str] = {}
    key = ""
    for line in lines:
        if match := HEADER_KEY.match(line):
            key = match[1]
            entries[key] = match[2]
        elif key:
            entries[key] += f" {line.strip()}"
    return entries


def _first_clause(sentence: str) -> str:
    return _capital(re.split(r"[;.](?:\s|$)", sentence)[0])


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
