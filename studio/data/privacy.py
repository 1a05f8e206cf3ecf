"""Finds what looks like a secret or personal data in a text; says the kind and never repeats what it found."""

import re

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
_SIX_DIGITS = re.compile(r"\d{2}[ -]?\d{2}[ -]?\d{2}")
# addresses in examples and manuals belong to nobody
_NOBODY = re.compile(r"@(?:[\w-]+\.)*(?:example|test|localhost|invalid)(?:\.|$)", re.IGNORECASE)


def secrets_in(text: str) -> list[str]:
    """The kinds of secrets in the text, each once."""
    found = [kind for kind, piece, pattern in _SECRETS if piece in text and pattern.search(text)]
    return list(dict.fromkeys(found))


def personal_data_in(text: str) -> list[str]:
    """The kinds of personal data in the text, each once: e-mail address, card number, bank account."""
    kinds = []
    if "@" in text and any(not _NOBODY.search(match.group()) for match in _EMAIL.finditer(text)):
        kinds.append("e-mail address")
    if _SIX_DIGITS.search(text):
        if any(is_card(match.group()) for match in _CARD.finditer(text)):
            kinds.append("card number")
        if any(is_iban(match.group()) for match in _IBAN.finditer(text)):
            kinds.append("bank account")
    return kinds


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
