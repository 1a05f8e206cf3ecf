"""Finds and masks what looks like a secret or personal data in a text; says the kind, never repeats what it found.

No pattern goes on over a line end, except that of a private key: the lines of several texts are looked at as one.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

# name -> pieces of text of which the pattern needs one (a quick look first, so rare ones), and the pattern; where it
# has a group, only that is the secret. A key may be glued to a word by a sign (key_sk-...), not by a letter (task-...).
SECRETS = {
    "OpenAI or Anthropic key": (
        ("sk-",), r"(?<![A-Za-z0-9])sk-(?:(?:ant|proj|svcacct|admin|or|lf)-[\w-]{20,}|[A-Za-z0-9]{20,})"),
    "Hugging Face token": (("hf_", "api_org_"), r"(?<![A-Za-z0-9])(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    "GitHub token": (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,}"),
    "GitHub fine-grained token": (("github_pat_",), r"github_pat_\w{60,}"),
    "GitLab token": (("glpat-",), r"glpat-[\w-]{20,}"),
    "AWS key": (("AKIA", "ASIA"), r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "AWS secret key": (
        ("ecret_access_key", "SECRET_ACCESS_KEY", "ecretAccessKey", "ecret access key"),
        r"(?i:secret[_ ]?access[_ ]?key)\\?[\"']?[ \t]*(?:=>|:=|[=:])?[ \t]*\\?[\"']?"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"),
    "Azure key": (("AccountKey=", "SharedAccessKey="), r"(?:Account|SharedAccess)Key=([A-Za-z0-9/+]{40,}={0,2})"),
    "Google API key": (("AIza",), r"(?<![A-Za-z0-9])AIza[\w-]{35,}"),
    "Google sign-in secret": (("GOCSPX-", "ya29."), r"(?<![A-Za-z0-9])(?:GOCSPX-|ya29\.)[\w-]{24,}"),
    "Groq key": (("gsk_",), r"(?<![A-Za-z0-9])gsk_[A-Za-z0-9]{20,}"),
    "xAI key": (("xai-",), r"(?<![A-Za-z0-9])xai-[A-Za-z0-9]{40,}"),
    "Perplexity key": (("pplx-",), r"(?<![A-Za-z0-9])pplx-[A-Za-z0-9]{40,}"),
    "Replicate token": (("r8_",), r"(?<![A-Za-z0-9])r8_[A-Za-z0-9]{37,}"),
    "Slack token": (("xox", "xapp-"), r"(?<![A-Za-z0-9])(?:xox[abeoprs]-[\w-]{10,}|xapp-\d-[\w-]{10,})"),
    "address of a web hook": (
        ("hooks.slack.com/", "/api/webhooks/"),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([\w/-]{20,})|/api/webhooks/(\d{8,}/[\w-]{40,})"),
    "Stripe key": (("k_live_", "k_test_", "whsec_"),
                   r"(?<![A-Za-z0-9])(?:[rsp]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}"),
    "SendGrid key": (("SG.",), r"(?<![A-Za-z0-9])SG\.[\w-]{16,40}\.[\w-]{16,}"),
    "Telegram bot token": ((":AA",), r"(?<!\d)\d{8,10}:AA[\w-]{32,34}(?![\w-])"),
    "npm token": (("npm_",), r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36,}"),
    "PyPI token": (("pypi-AgE",), r"pypi-AgE[\w-]{50,}"),
    "Databricks token": (("dapi",), r"(?<![A-Za-z0-9])dapi[a-f0-9]{32}"),
    "DigitalOcean token": (("do_v1_", "dop_v1_"), r"(?<![A-Za-z0-9])do[opr]?_v1_[a-f0-9]{64}"),
    "private key": (("PRIVATE KEY",), r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY"),
    "JSON web token": (
        ("eyJ",), r"(?<![\w-])(?:[A-Za-z]{1,20}[_-])?(eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"),
    "password in an address": (
        ("://",), r"://([^\s/:@\"'<>`]{0,100}:(?!(?i:pass(?:word|wd)?|pwd|\*+|x+|\$?\{[^}\s]*\}|\$\w+|%\w+|\[\w+\])@)"
                  r"[^\s/\"'<>`]{1,100})@(?=[\w.-])"),
}
_SECRETS = [(kind, pieces, re.compile(pattern)) for kind, (pieces, pattern) in SECRETS.items()]
# pieces by a sign in them that most texts lack, since one character is found sooner than a piece
_QUICK: dict[str, list[tuple[str, int]]] = {}
for _number, (_, _pieces, _) in enumerate(_SECRETS):
    for _piece in _pieces:
        _QUICK.setdefault(next((sign for sign in "_=-/:." if sign in _piece), ""), []).append((_piece, _number))
# of a private key the lines between its marks are the secret
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY[\s\S]*?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY[A-Z ]{0,10}-----|\Z)")
# a column or an argument whose name says that its value is one
_NAMED_SECRET = re.compile(r"(?i)secret[_ ]?access[_ ]?key\Z")

# also what word processors write for a space and a hyphen
_GAP = " \u00a0\u2007\u2009\u202f"
_SIGN = f"[{_GAP}.\u2010\u2011\u2013-]"
# every number below has seven characters of digits and the signs between them
_NUMBER = re.compile(rf"\d[\d()/{_SIGN[1:-2]}-]{{5}}\d")
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?!\d+\.\d+|\dx\.)[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}"
    r"\.(?:xn--[A-Za-z0-9-]{2,59}|[^\W\d_]{2,24})(?![^\W_]|[@(])")
# those of RFC 2606 belong to nobody; git@ stands in addresses of code, self. in Python
_NOBODY = re.compile(r"(?i)@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|example|test|invalid|localhost)\Z|\Agit@|@self\.")
_CARD = re.compile(
    rf"(?<!\d)(?<!\d\.)(?:(?:4\d|5[0-8]|2[2-7]|35|6\d)\d\d(?:({_SIGN})\d{{4}}\1\d{{4}}\1\d{{4}}|\d{{12}})"
    rf"|3[47]\d\d(?:({_SIGN})\d{{6}}\2\d{{5}}|\d{{11}})|3[068]\d\d(?:({_SIGN})\d{{6}}\3\d{{4}}|\d{{10}}))"
    r"(?!\d|\.(?!0(?!\d))\d|[A-Za-z_])")
_IBAN = re.compile(rf"(?<![A-Za-z0-9])[A-Za-z]{{2}}\d\d(?:[{_GAP}-]?[A-Za-z0-9]{{4}}){{2,7}}"
                   rf"(?:[{_GAP}-]?[A-Za-z0-9]{{1,4}})?(?![A-Za-z0-9])")
_PHONE = re.compile(
    rf"(?<![\w.+/-])(?:(?:\+|00[{_GAP}]?(?=[1-9]))\d{{1,3}}[{_GAP}./-]?(?:\(\d{{1,4}}\)[{_GAP}./-]?)?"
    rf"\d{{1,4}}(?:[{_GAP}./-]?\d{{2,4}}){{2,4}}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})(?![\w-]|\.\d)")


def found_in(text: str) -> tuple[list[str], list[str]]:
    """The kinds of secrets and the kinds of personal data in the text, each once; as `mask_text` would mask them."""
    secrets = secrets_in(text)
    return secrets, personal_data_in(_without_secrets(text) if secrets else text)


def secrets_in(text: str) -> list[str]:
    """The kinds of secrets in the text, each once."""
    numbers = set()
    for sign, pieces in _QUICK.items():
        if sign in text:
            numbers.update(number for piece, number in pieces if piece in text)
    return [kind for kind, _, pattern in map(_SECRETS.__getitem__, sorted(numbers)) if pattern.search(text)]


def personal_data_in(text: str) -> list[str]:
    """The kinds of personal data in the text, each once: e-mail address, bank account, card or phone number."""
    if "@" not in text and not _NUMBER.search(text):
        return []
    return _without_personal_data(text)[1]


def places(row: dict[str, Any]) -> str:
    """Everything in a normalised row that `mask_row` looks at, as lines."""
    return "\n".join(_texts(row))


def mask_row(row: dict[str, Any], personal: bool) -> tuple[dict[str, Any], list[str]]:
    """A normalised row with its secrets and, if `personal`, its personal data masked; and the kinds found, each once.

    Looked at are all texts, long numbers and names in it, however deep. The row itself comes back where there is none.
    """
    kinds: list[str] = []
    masked = _masked(row, personal, kinds)
    return (masked, list(dict.fromkeys(kinds))) if kinds else (row, [])


def mask_text(text: str, personal: bool) -> tuple[str, list[str]]:
    """The text with [SECRET] and, if `personal`, [EMAIL], [IBAN], [CARD], [PHONE] in place of what was found."""
    kinds = secrets_in(text)
    if kinds:
        text = _without_secrets(text)
    if not personal or ("@" not in text and not _NUMBER.search(text)):
        return text, kinds
    text, found = _without_personal_data(text)
    return text, kinds + found


def _without_secrets(text: str) -> str:
    text = _KEY_BLOCK.sub("[SECRET]", text)
    for _, pieces, pattern in _SECRETS:
        if any(piece in text for piece in pieces):
            text = pattern.sub(_secret_out, text)
    return text


def _secret_out(match: re.Match[str]) -> str:
    """[SECRET] in place of the match or, where its pattern has a group, of that."""
    start, end = match.span(match.lastindex or 0)
    return match.string[match.start():start] + "[SECRET]" + match.string[end:match.end()]


def _without_personal_data(text: str) -> tuple[str, list[str]]:
    kinds = []
    for kind, pattern, out in _PERSONAL:
        masked = pattern.sub(out, text)
        if masked != text:
            text = masked
            kinds.append(kind)
    return text, kinds


def _email_out(match: re.Match[str]) -> str:
    return match.group() if _NOBODY.search(match.group()) else "[EMAIL]"


def _iban_out(match: re.Match[str]) -> str:
    return _longest_out(match.group(), is_iban, "[IBAN]")


def _longest_out(text: str, is_one: Callable[[str], bool], mark: str) -> str:
    """What follows a number may look like its last groups: the longest right one counts."""
    for end in range(len(text), 7, -1):
        if text[end - 1].isalnum() and not text[end:end + 1].isalnum() and is_one(text[:end]):
            return mark + text[end:]
    return text


def _card_out(match: re.Match[str]) -> str:
    return "[CARD]" if is_card(match.group()) else match.group()


def _phone_out(match: re.Match[str]) -> str:
    return _longest_out(match.group(), is_phone, "[PHONE]")


_PERSONAL = (("e-mail address", _EMAIL, _email_out), ("bank account", _IBAN, _iban_out),
             ("card number", _CARD, _card_out), ("phone number", _PHONE, _phone_out))


def _texts(value: Any, name: str = "") -> Iterator[str]:
    """As `_masked` goes through a value."""
    if isinstance(value, str):
        yield f"{name}={value}" if _NAMED_SECRET.search(name) else value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield key
                yield from _texts(inner, key)
            else:
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif is_long_number(value):
        yield f"{value:.0f}"


def _masked(value: Any, personal: bool, kinds: list[str], name: str = "") -> Any:
    if isinstance(value, str):
        before = f"{name}=" if _NAMED_SECRET.search(name) else ""
        text, found = mask_text(before + value, personal)
        kinds += found
        return text[len(before):]
    if isinstance(value, dict):
        masked: dict[Any, Any] = {}
        for key, inner in value.items():
            inner = _masked(inner, personal, kinds, key) if isinstance(key, str) else _masked(inner, personal, kinds)
            key = _masked(key, personal, kinds)
            # two names may be masked alike
            masked[f"{key} {len(masked)}" if key in masked else key] = inner
        return masked
    if isinstance(value, list):
        return [_masked(inner, personal, kinds) for inner in value]
    if personal and is_long_number(value):
        text, found = mask_text(f"{value:.0f}", personal)
        kinds += found
        return text if found else value
    return value


def is_long_number(value: Any) -> bool:
    """Whether a value is a whole number of as many digits as a card has."""
    return type(value) in (int, float) and 1e12 <= value < 1e19 and value == value // 1


def is_phone(text: str) -> bool:
    """Whether a number is as long as those of its country; after 00 it must be one that could be given out there,
    since numbers of orders begin so too. Without a country it has 10 digits.
    """
    digits = "".join(c for c in text if c.isdigit())
    if text[0] == "+":
        return _could_be_called(digits, is_sure=False)
    if text.startswith("00"):
        return _could_be_called(digits[2:], is_sure=True)
    return len(digits) == 10


def _could_be_called(digits: str, is_sure: bool) -> bool:
    import phonenumbers  # only where there is a number at all

    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:  # no such country
        return False
    return phonenumbers.is_valid_number(number) if is_sure else phonenumbers.is_possible_number(number)


def is_card(text: str) -> bool:
    """13 to 19 digits with a right check digit (Luhn) that are not all the same."""
    from stdnum import luhn

    digits = "".join(c for c in text if c.isdigit())
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn.is_valid(digits)


def is_iban(text: str) -> bool:
    """An account number as its country writes it, with right check digits (ISO 13616)."""
    from stdnum import iban

    return iban.is_valid("".join(c for c in text if c.isalnum()))
