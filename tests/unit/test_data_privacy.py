"""Secrets and personal data are found by kind, and what only looks like them is not."""

import time

import pytest

from studio.data.privacy import is_card, is_iban, personal_data_in, secrets_in


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
