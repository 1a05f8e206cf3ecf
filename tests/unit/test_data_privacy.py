"""Secrets and personal data are found by kind, and what only looks like them is not."""

import time

import pytest

from studio.data.privacy import is_card, is_iban, mask_row, mask_text, personal_data_in, secrets_in


@pytest.mark.parametrize(("text", "kind"), [
    ("key sk-proj-" + "a1B2" * 8, "OpenAI or Anthropic key"), ("sk-ant-api03-" + "x" * 40, "OpenAI or Anthropic key"),
    ("HF_TOKEN=hf_" + "aBcDeFgHiJ" * 3 + "kLmN", "Hugging Face token"), ("ghp_" + "a1" * 18, "GitHub token"),
    ("gho_" + "a1" * 18 + " ghp_" + "a1" * 18, "GitHub token"),
    ("github_pat_" + "a1" * 41, "GitHub fine-grained token"),
    ("glpat-" + "x1" * 10, "GitLab token"), ("AKIAIOSFODNN7EXAMPLE", "AWS key"),
    ("AIza" + "Sy1-_" * 7, "Google API key"), ("xoxb-1234567890-abc", "Slack token"),
    ("sk_live_" + "a1" * 12, "Stripe key"), ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk", "JSON web token"),
    ("postgres://me:secret@db.host/x", "password in an address"),
])
def test_secrets_are_found_by_kind(text, kind):
    assert secrets_in(text) == [kind]


@pytest.mark.parametrize("text", [
    "a task-list of risk-free things", "hf_hub_download(repo_id)", "the ghost of ghp_", "AKIA", "AIza is short",
    "see https://host/path@2", "https://user@host/x", "ftp://host:21/x", "a -----BEGIN PUBLIC KEY-----",
])
def test_harmless_texts_hold_no_secrets(text):
    assert secrets_in(text) == []


@pytest.mark.parametrize(("text", "kinds"), [
    ("write to bob.smith+x@mail.firm.co.uk.", ["e-mail address"]), ("bob@example.com", []), ("@bob and a@b", []),
    ("card 4111 1111 1111 1111", ["card number"]), ("5500-0000-0000-0004", ["card number"]), 
    ("3782 822463 10005", ["card number"]),
    ("4111 1111 1111 1112", []), ("0000 0000 0000 0000", []), ("pi is 3.14159265358979323", []),
    ("account DE89 3704 0044 0532 0130 00", ["bank account"]), ("GB82WEST12345698765432", ["bank account"]),
    ("DE89 3704 0044 0532 0130 01", []),
])
def test_personal_data_is_found_by_kind(text, kinds):
    assert personal_data_in(text) == kinds


def test_check_digits():
    assert is_card("378282246310005") and not is_card("37828224631000") and not is_card("4" * 16)
    assert is_iban("FR1420041010050500013M02606") and not is_iban("FR1420041010050500013M02607")


@pytest.mark.parametrize("text", ["a." * 100_000 + "@", "1 " * 100_000, "x@" + "a." * 100_000, "eyJ" * 100_000,
                                  "AA11" * 50_000, "a://" * 50_000, "sk-" * 100_000, "9" * 200_000, "a@b." * 50_000])
def test_hostile_texts_take_no_longer_than_long_ones(text):
    began = time.monotonic()
    secrets_in(text)
    personal_data_in(text)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(("text", "found"), [
    ("call +49 170 1234567 now", True), ("(555) 123-4567", True), ("555-123-4567", True), ("+1 (555) 123 4567", True),
    ("555.123.4567", True), ("+5 apples", False), ("2026-01-31", False), ("192.168.100.2000", False),
    ("1 + 2 = 3", False), ("x=+12345", False), ("3.141.5926.5358", False), ("12:30-13:45", False),
])
def test_phone_numbers_are_told_from_other_digits(text, found):
    assert ("phone number" in personal_data_in(text)) is found


def test_what_is_found_is_masked_and_nothing_else_is_touched():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"
    text = f"{key} and AKIAIOSFODNN7EXAMPLE, bob@firm.com, bob@example.com, 4111 1111 1111 1111, +49 170 1234567."
    secretless = text.replace(key, "[SECRET]").replace("AKIAIOSFODNN7EXAMPLE", "[SECRET]")
    assert mask_text(text, personal=False)[0] == secretless
    assert mask_text(text, personal=True) == (
        "[SECRET] and [SECRET], [EMAIL], bob@example.com, [CARD], [PHONE].",
        ["AWS key", "private key", "e-mail address", "card number", "phone number"])
    assert mask_text("account DE89 3704 0044 0532 0130 00", personal=True)[0] == "account [IBAN]"
    assert mask_text("cut -----BEGIN PRIVATE KEY-----\nMIIabc", personal=False)[0] == "cut [SECRET]"


def test_every_text_of_a_row_is_masked():
    token = "ghp_" + "a1" * 18
    call = {"function": {"name": "f", "arguments": {"key": token, "n": 1}}}
    row = {"messages": [{"role": "assistant", "content": "", "tool_calls": [call], "weight": 1}]}
    masked, kinds = mask_row(row, personal=False)
    assert kinds == ["GitHub token"] and token not in str(masked) and token in str(row)
    assert masked["messages"][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"key": "[SECRET]", "n": 1}}
    clean = {"text": "words"}
    assert mask_row(clean, personal=True) == (clean, [])


def test_hostile_texts_are_masked_in_no_time():
    began = time.monotonic()
    for text in ("+1" * 100_000, "-----BEGIN PRIVATE KEY" * 20_000, "sk-" * 100_000, "a@" * 100_000, "123-" * 100_000,
                 "+1 2" * 50_000, "://a:b" * 50_000):
        mask_text(text, personal=True)
    assert time.monotonic() - began < 3
