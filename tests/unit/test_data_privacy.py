"""Secrets and personal data are found by kind, and what only looks like them is not."""

import pytest

from studio.data.privacy import (
    found_in,
    is_card,
    is_iban,
    mask_row,
    mask_text,
    personal_data_in,
    places,
    secrets_in,
)
from tests.seconds import least_seconds

LETTERS = "aB3dE6gH9j" * 10
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
FOUND = [
    ("OpenAI or Anthropic key", "sk-proj-" + LETTERS), ("OpenAI or Anthropic key", "sk-ant-api03-" + "x_-Y" * 100),
    ("OpenAI or Anthropic key", "sk-" + LETTERS[:48]), ("OpenAI or Anthropic key", "sk-or-v1-" + "0a" * 32),
    ("Hugging Face token", "hf_" + LETTERS[:34]), ("Hugging Face token", "hf_" + "aBcDeFgHiJ" * 3 + "kLmN"),
    ("GitHub token", "ghp_" + LETTERS[:36]), ("GitHub token", "gho_" + LETTERS[:36]),
    ("GitHub fine-grained token", "github_pat_" + LETTERS[:82]), ("GitLab token", "glpat-" + LETTERS[:20]),
    ("AWS key", "AKIAIOSFODNN7EXAMPLE"), ("Google API key", "AIza" + "Sy1-_" * 7),
    ("Google API key", "AIza" + LETTERS[:34] + "-"), ("Groq key", "gsk_" + LETTERS[:52]),
    ("Slack token", "xoxb-1234567890-abcdef"), ("Slack token", "xapp-1-A012-34-" + "0a" * 20),
    ("Stripe key", "sk_live_" + LETTERS[:24]), ("Stripe key", "sk_test_" + LETTERS[:24]),
    ("Stripe key", "rk_live_" + LETTERS[:24]), ("SendGrid key", f"SG.{LETTERS[:22]}.{LETTERS[:43]}"),
    ("Telegram bot token", "123456789:AA" + LETTERS[:33]), ("npm token", "npm_" + LETTERS[:36]),
    ("xAI key", "xai-" + LETTERS[:80]), ("private key", PEM), ("JSON web token", JWT),
    ("JSON web token", f"eyJ{LETTERS * 30}.eyJ{LETTERS * 50}.{LETTERS}"),
    ("e-mail address", "bob.smith+x@mail.firm.co.uk"), ("e-mail address", "jan@škola.cz"),
    ("e-mail address", "jana.nováková@seznam.cz"), ("e-mail address", "bob@sub_domain.com"),
    ("e-mail address", "bob@test.cz"), ("e-mail address", "bob@xn--kola-3ib.xn--p1ai"),
    ("e-mail address", "bob@examplecorp.com"), ("e-mail address", "bob@163.com"),
    ("card number", "4111111111111111"), ("card number", "4111 1111 1111 1111"),
    ("card number", "5500-0000-0000-0004"), ("card number", "3782 822463 10005"), ("card number", "378282246310005"),
    ("card number", "4111\u00a01111\u00a01111\u00a01111"), ("card number", "4111.1111.1111.1111"),
    ("card number", "4111\u20131111\u20131111\u20131111"), ("card number", "2223003122003222"),
    ("bank account", "DE89 3704 0044 0532 0130 00"), ("bank account", "GB82WEST12345698765432"),
    ("bank account", "cz6508000000192000145399"), ("bank account", "CZ65\u00a00800 0000 1920 0014 5399"),
    ("phone number", "+49 170 1234567"), ("phone number", "(555) 123-4567"), ("phone number", "555-123-4567"),
    ("phone number", "+1 (555) 123 4567"), ("phone number", "555.123.4567"), ("phone number", "00420777123456"),
    ("phone number", "00420 777 123 456"), ("phone number", "+420\u00a0777\u00a0123\u00a0456"),
]
AROUND = ["{}", "it is {}.", "a,{},b", "x={}&y", "\u201c{}\u201d", "({})", '{{"n": "{}"}}', "one\n{}\ntwo"]
PARTLY = [
    ("OPENAI_KEY=sk-proj-" + LETTERS, "OPENAI_KEY=[SECRET]"), ("key_sk-" + "a" * 30, "key_[SECRET]"),
    ("jwt_" + JWT, "jwt_[SECRET]"), ("id4111111111111111", "id[CARD]"),
    ("HF hf_" + "aB" * 17 + "_x", "HF [SECRET]_x"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [SECRET]"),
    ('"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', '"SecretAccessKey": "[SECRET]"'),
    ("AccountKey=" + LETTERS[:86] + "==;x", "AccountKey=[SECRET];x"),
    ("https://hooks.slack.com/services/T00/B00/" + "X" * 24 + " x", "https://hooks.slack.com/services/[SECRET] x"),
    ("https://discord.com/api/webhooks/123456789/" + LETTERS[:68],
     "https://discord.com/api/webhooks/[SECRET]"),
    ("postgres://me:secret@db.host/x", "postgres://[SECRET]@db.host/x"),
    ("postgres://u:p@ss@host/db", "postgres://[SECRET]@host/db"),
    ("redis://:hunter2pass@redis.io:1", "redis://[SECRET]@redis.io:1"),
    ("4111 1111 1111 1111 12/27 123", "[CARD] 12/27 123"), ("+420 777 123 456 1234 5678", "[PHONE] 1234 5678"),
    ("4111111111111111 5500000000000004", "[CARD] [CARD]"), ("4111111111111111,5500000000000004", "[CARD],[CARD]"),
    ("4111 1111 1111 1111 5500 0000 0000 0004", "[CARD] [CARD]"), ("[1,4111111111111111]", "[1,[CARD]]"),
    ("CZ65 0800 0000 1920 0014 5399 from Bob", "[IBAN] from Bob"),
    ("mail <bob@firm.com>, bob@firm.com's", "mail <[EMAIL]>, [EMAIL]'s"), ("_a@b.com_", "[EMAIL]_"),
]
NOT_FOUND = [
    "a task-list of risk-free things", "hf_hub_download(repo_id)", "the ghost of ghp_", "AKIA", "AIza is short",
    "see https://host/path@2", "https://user@host/x", "ftp://host:21/x", "a -----BEGIN PUBLIC KEY-----",
    '<div class="sk-estimator-doc-link-element sk-toggleable__label-arrow">', "desk-" + "a" * 30,
    "risk_test_abcdefghijklmnopqrstuv", "my_test_case_of_something_long_enough", "npm_config_registry_of_the_package",
    "postgres://user:password@localhost/db", "postgres://user:${DB_PASSWORD}@host/db", "https://user:<pass>@host",
    "secret_access_key must be kept safe", "the JWT begins with eyJhbGciOiJIUzI1NiJ9.", "git@github.com:owner/name.git",
    "bob@example.com", "bob@mail.example.org", "bob@firm.test", "@bob and a@b", "@app.route('/x')",
    "out = x@self.weight", "y = a@b.transpose(1, 2)", "icon@2x.png", "react@18.2.0-rc.beta", "left@right",
    "4111 1111 1111 1112", "0000 0000 0000 0000", "pi is 3.14159265358979323", "0.4111111111111111", "1700000000000",
    "ISBN 978-3-16-148410-0", "ISBN 9783161484100", "order 4006381333931", "EAN 4012345678901",
    "id 1234567890123456789",
    "2013 2014 2015 2016 2017 2018", "1000 2000 3000 4000 5000 6000 7000 8000", "1,234,567,890,123",
    "550e8400-e29b-41d4-a716-446655440000", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "d41d8cd98f00b204e9800998ecf8427e", "DE89 3704 0044 0532 0130 01", "ab12 this that them then they",
    "+5 apples", "2026-01-31", "192.168.100.2000", "1 + 2 = 3", "x=+12345", "3.141.5926.5358", "12:30-13:45",
    "2026-01-31 12:30:15", "order 000123456789", "invoice 0020240001", "item 00123456789012", "10.1000/182.555.1234",
    "192.168.100.200", "1,000,000 rows in 3.5 s", "def f(x: int) -> int: return x - 1", "$1,299.00 + 21 % VAT",
    "version 1.2.3-beta.4+build.567", "lat 50.0755381, lon 14.4378005", "f(1) = 2, f(2) = 3; 10 - 20 - 30",
    "4532 1234 5678 9012", "5 000 000 000 000 000", "0x4111111111111111a", "7.5e-10", "#4111aa",
    "chapters 1-2-3-4-5-6-7-8",
]


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_every_form_is_found_and_masked_as_a_whole_wherever_it_stands(kind, text):
    mark = {"e-mail address": "[EMAIL]", "card number": "[CARD]", "bank account": "[IBAN]", "phone number": "[PHONE]"}
    for around in AROUND:
        secrets, personal = found_in(around.format(text))
        assert secrets + personal == [kind]
        assert mask_text(around.format(text), personal=True) == (around.format(mark.get(kind, "[SECRET]")), [kind])


@pytest.mark.parametrize(("text", "masked"), PARTLY)
def test_what_stands_around_a_secret_stays(text, masked):
    assert mask_text(text, personal=True)[0] == masked


@pytest.mark.parametrize("text", NOT_FOUND)
def test_harmless_texts_are_left_alone(text):
    assert found_in(text) == ([], []) and mask_text(text, personal=True) == (text, [])


def test_each_kind_is_named_once():
    assert secrets_in("gho_" + "a1" * 18 + " ghp_" + "a1" * 18) == ["GitHub token"]


def test_check_digits():
    assert is_card("378282246310005") and not is_card("37828224631000") and not is_card("4" * 16)
    assert is_iban("FR1420041010050500013M02606") and not is_iban("FR1420041010050500013M02607")


@pytest.mark.parametrize("text", ["a." * 100_000 + "@", "1 " * 100_000, "x@" + "a." * 100_000, "eyJ" * 100_000,
                                  "AA11" * 50_000, "a://" * 50_000, "sk-" * 100_000, "9" * 200_000, "a@b." * 50_000])
def test_hostile_texts_take_no_longer_than_long_ones(text):
    assert least_seconds(lambda: (secrets_in(text), personal_data_in(text)), below=3) < 3


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
    clean = {"text": "words", "n": 1700000000000, "card": 4111111111111112, "score": 4.5}
    assert mask_row(clean, personal=True) == (clean, [])


def test_numbers_names_and_named_values_are_masked_too():
    row = {"messages": [{"role": "user", "name": "jan@seznam.cz", "content": "pay"}, {
        "role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {
            "card": 4111111111111111, "float": 4111111111111111.0, "a@b.cz": 1, "c@d.cz": 2,
            "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}}]}]}
    masked, kinds = mask_row(row, personal=True)
    assert kinds == ["e-mail address", "card number", "AWS secret key"]
    assert masked["messages"][0]["name"] == "[EMAIL]"
    assert masked["messages"][1]["tool_calls"][0]["function"]["arguments"] == {
        "card": "[CARD]", "float": "[CARD]", "[EMAIL]": 1, "[EMAIL] 3": 2, "aws_secret_access_key": "[SECRET]"}
    assert mask_row(row, personal=False)[1] == ["AWS secret key"]


@pytest.mark.parametrize("value", [
    "sk-" + "a" * 30, 4111111111111111, {"a@b.cz": 1}, [["+420 777 123 456"]],
    {"x": [{"y": "DE89370400440532013000"}]},
    {"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, "none", 5, None, True,
    4111111111111112, [PEM, "a"],
    {"secret_access_key": {"x": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}, ["4111 1111", "1111 1111"],
])
def test_what_is_looked_for_is_what_is_masked(value):
    row = {"messages": [{"role": "user", "content": "hi", "extra": value}]}
    secrets, personal = found_in(places(row))
    assert sorted(secrets + personal) == sorted(mask_row(row, personal=True)[1])


def test_hostile_texts_are_masked_in_no_time():
    texts = ("+1" * 100_000, "_eyJ" * 50_000, "eyJ" + "a" * 200_000, "://:" * 50_000, "AB12 abcd " * 20_000,
             "4111 " * 40_000, "00420 " * 30_000, "4" * 200_000, "a@b-" * 50_000, "_sk-proj-" * 20_000,
             "-----BEGIN PRIVATE KEY" * 20_000, "sk-" * 100_000, "a@" * 100_000, "123-" * 100_000,
             "+1 2" * 50_000, "://a:b" * 50_000)
    assert least_seconds(lambda: [mask_text(text, personal=True) for text in texts], below=3) < 3
