"""Finds and masks what looks like a secret or personal data in a text; says the kind, never repeats what it found."""

import re
from collections.abc import Callable
from typing import Any

# name -> pieces of text of which the pattern needs one (a quick look first, so rare ones), and the pattern
SECRETS = {
    "OpenAI or Anthropic key": (("sk-",), r"(?<![\w-])sk-(?:ant-|proj-|svcacct-|or-)?[\w-]{20,300}"),
    "Hugging Face token": (("hf_",), r"(?<!\w)hf_[A-Za-z]{30,60}(?!\w)|(?<!\w)hf_[A-Za-z0-9]{34,40}(?!\w)"),
    "GitHub token": (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"(?<!\w)gh[pousr]_[A-Za-z0-9]{36,255}"),
    "GitHub fine-grained token": (("github_pat_",), r"github_pat_\w{60,100}"),
    "GitLab token": (("glpat-",), r"(?<!\w)glpat-[\w-]{20,60}"),
    "AWS key": (("AKIA", "ASIA"), r"(?<!\w)(?:AKIA|ASIA)[A-Z0-9]{16}(?!\w)"),
    "Google API key": (("AIza",), r"(?<!\w)AIza[\w-]{35}(?![\w-])"),
    "Slack token": (("xox",), r"(?<!\w)xox[abprs]-[\w-]{10,200}"),
    "Stripe key": (("_live_",), r"(?<!\w)[rsp]k_live_[A-Za-z0-9]{16,200}"),
    "private key": (("PRIVATE KEY",), r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY"),
    "JSON web token": (("eyJ",), r"(?<!\w)eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,2000}"),
    "password in an address": (("://",), r"\b[a-z][a-z0-9+.]{1,15}://[^\s/:@]{1,100}:[^\s/:@]{3,100}@[\w.-]{1,200}"),
}
_SECRETS = [(kind, piece, re.compile(pattern)) for kind, (pieces, pattern) in SECRETS.items() for piece in pieces]
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}(?![\w@])")
_CARD = re.compile(
    r"(?<![\d.,-])(?<!\d )(?:[2-6]\d{12,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{1,4}|3\d{3}([ -])\d{6}\2\d{5})"
    r"(?![.,]?\d| \d|[\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
# every number below has seven characters of digits and the signs between them
_NUMBER = re.compile(r"\d[\d ()./-]{5}\d")
# addresses in examples and manuals belong to nobody
_NOBODY = re.compile(r"@(?:[\w-]+\.)*(?:example|test|localhost|invalid)(?:\.|$)", re.IGNORECASE)


_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ ./-]?(?:\(\d{1,4}\)[ ./-]?)?\d{1,4}(?:[ ./-]?\d{2,4}){2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})(?![\w-]|\.\d)")
# of a private key the lines between its marks are the secret
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY[A-Z ]{0,10}-----|\Z)")


def secrets_in(text: str) -> list[str]:
    """The kinds of secrets in the text, each once."""
    found = [kind for kind, piece, pattern in _SECRETS if piece in text and pattern.search(text)]
    return list(dict.fromkeys(found))


def personal_data_in(text: str) -> list[str]:
    """The kinds of personal data in the text, each once: e-mail address, card, bank account or phone number."""
    kinds = []
    if "@" in text and any(not _NOBODY.search(match.group()) for match in _EMAIL.finditer(text)):
        kinds.append("e-mail address")
    if _NUMBER.search(text):
        if any(is_card(match.group()) for match in _CARD.finditer(text)):
            kinds.append("card number")
        if any(is_iban(match.group()) for match in _IBAN.finditer(text)):
            kinds.append("bank account")
        if any(is_phone(match.group()) for match in _PHONE.finditer(text)):
            kinds.append("phone number")
    return kinds


def mask_row(row: dict[str, Any], personal: bool) -> tuple[dict[str, Any], list[str]]:
    """A normalised row with its secrets and, if `personal`, its personal data masked; and the kinds found, each once.

    The row itself comes back where there are none.
    """
    kinds: list[str] = []
    masked = _mask_value(row, personal, kinds)
    return (masked, list(dict.fromkeys(kinds))) if kinds else (row, [])


def mask_text(text: str, personal: bool) -> tuple[str, list[str]]:
    """The text with [SECRET] and, if `personal`, [EMAIL], [CARD], [IBAN], [PHONE] in place of what was found."""
    kinds = secrets_in(text)
    if kinds:
        text = _KEY_BLOCK.sub("[SECRET]", text)
        for _, piece, pattern in _SECRETS:
            if piece in text:
                text = pattern.sub("[SECRET]", text)
    found = personal_data_in(text) if personal else []
    if found:
        text = _EMAIL.sub(_instead("[EMAIL]", lambda address: not _NOBODY.search(address)), text)
        text = _CARD.sub(_instead("[CARD]", is_card), text)
        text = _IBAN.sub(_instead("[IBAN]", is_iban), text)
        text = _PHONE.sub(_instead("[PHONE]", is_phone), text)
    return text, kinds + found


def _mask_value(value: Any, personal: bool, kinds: list[str]) -> Any:
    if isinstance(value, str):
        text, found = mask_text(value, personal)
        kinds += found
        return text
    if isinstance(value, dict):
        return {key: _mask_value(inner, personal, kinds) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mask_value(inner, personal, kinds) for inner in value]
    return value


def _instead(mark: str, is_one: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    return lambda match: mark if is_one(match.group()) else match.group()


def is_phone(text: str) -> bool:
    """8 to 15 digits, as the international plan (E.164) allows."""
    return 8 <= sum(c.isdigit() for c in text) <= 15


def is_card(text: str) -> bool:
    """13 to 19 digits with a right check digit (Luhn) that are not all the same."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    doubled = (sum(divmod(2 * d, 10)) for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """An account number with right check digits (ISO 13616)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1
