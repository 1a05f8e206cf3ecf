"""parity.json: which checks still hold, what stops a push, and what people read of it. No model is loaded."""

import json
import os
from dataclasses import replace

import pytest

from studio.errors import RunError
from studio.publishing import parity
from studio.publishing.exports import gguf_record, write_record
from studio.publishing.parity_words import parity_words
from studio.ui.parity_view import parity_html
from tests.finished_run import checked, finished_run

BOTH = ("merged", "adapter")
REFUSED = {"outcome": "refused", "sentence": "The merged model has <b>another</b> template.", "hint": "Merge again."}


@pytest.fixture
def run_dir(store):
    return store.run_dir(finished_run(store))


def change(run_dir, form, **values):
    """Have the check of a form say something else."""
    found = parity.read(run_dir)
    found.forms[form] = replace(found.forms[form], **values)
    parity.write(run_dir, found)


def test_what_is_written_is_read_back(run_dir):
    first = parity.Difference(2, 7, "yes", "no")
    change(run_dir, "merged", figures=replace(parity.read(run_dir).forms["merged"].figures, first=first))
    found = parity.read(run_dir)
    parity.write(run_dir, found)
    assert parity.read(run_dir) == found and found.forms["merged"].figures.first == first


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rules": 0, "forms": {}}', '{"rules": 1, "forms": {"a": 3}}'])
def test_a_file_that_is_torn_or_of_other_rules_is_no_check(run_dir, content):
    (run_dir / parity.FILE).write_text(content)
    assert parity.read(run_dir) is None
    assert parity.verdict(run_dir, BOTH).state == "missing"


def test_checked_files_may_be_published(run_dir):
    assert parity.verdict(run_dir, BOTH) == parity.Verdict("passed")
    assert not parity.needs_check(run_dir, BOTH)
    parity.require_parity(run_dir, BOTH)


@pytest.mark.parametrize(("file", "stale"), [
    ("merged/model.safetensors", {"merged"}), ("merged/tokenizer_config.json", {"merged"}),
    ("adapter/adapter_model.safetensors", {"merged", "adapter"}),
    ("adapter/adapter_config.json", {"merged", "adapter"}), ("merged/new.json", {"merged"})])
def test_a_check_holds_only_for_the_files_it_was_made_of(run_dir, file, stale):
    path = run_dir / file
    content = path.read_bytes() if path.exists() else b"{}"
    path.write_bytes(content[:-1] + b" ")
    os.utime(path, ns=(1, 1))  # a clock too coarse to tell the two writes apart
    for form in BOTH:
        assert parity.verdict(run_dir, [form]).state == ("stale" if form in stale else "passed")
    assert parity.needs_check(run_dir, BOTH)
    with pytest.raises(RunError, match="has changed since it was compared"):
        parity.require_parity(run_dir, BOTH)


def test_hidden_files_and_times_of_small_ones_change_nothing(run_dir):
    (run_dir / "merged" / ".made_from.json").write_text("{}")
    os.utime(run_dir / "merged" / "config.json", ns=(1, 1))
    assert parity.verdict(run_dir, ["merged"]).state == "passed"


def test_a_refused_form_stops_its_own_push_alone(run_dir):
    change(run_dir, "merged", **REFUSED)
    assert parity.verdict(run_dir, ["adapter"]).state == "passed"
    for ask in (parity.needs_check, parity.require_parity):
        with pytest.raises(RunError, match="another") as refused:
            ask(run_dir, BOTH)
        assert refused.value.hint == "Merge again."
    assert parity.needs_check(run_dir, ["adapter"]) is False


def test_a_form_that_differs_may_be_published(run_dir):
    change(run_dir, "merged", outcome="differs", sentence="It differs.")
    assert parity.verdict(run_dir, ["merged"]).state == "passed"


def test_a_form_that_is_new_is_missing_from_the_check(run_dir):
    (run_dir / "gguf").mkdir()
    (run_dir / "gguf" / "recipes-F16.gguf").write_bytes(b"GGUF")
    write_record(gguf_record(run_dir / "gguf" / "recipes-F16.gguf"), run_dir / "merged")
    assert parity.forms_of(run_dir, ["merged", "gguf"]) == ["merged", "gguf/recipes-F16.gguf"]
    assert parity.verdict(run_dir, parity.forms_of(run_dir, ["gguf"])).state == "missing"
    assert [row.outcome for row in parity_words(run_dir).rows] == ["same", "same", "missing"]
    checked(run_dir)
    assert parity.verdict(run_dir, parity.forms_of(run_dir, ["gguf"])).state == "passed"


def test_the_page_tells_figures_verdict_and_reason_and_escapes_them(store, run_dir):
    view = store.get(run_dir.name)
    page = parity_html(view)
    assert "Merged model" in page and "✓" in page and "5e-5 nats" in page and "20 held-out prompts" in page
    assert "alert" not in page
    change(run_dir, "merged", **REFUSED)
    page = parity_html(view)
    assert "✗" in page and "&lt;b&gt;another&lt;/b&gt;" in page and 'role="alert"' in page and "Merge again." in page
    (run_dir / "merged" / "config.json").write_text("{ }")
    assert "changed since" in parity_html(view) and "another" not in parity_html(view)
    (run_dir / parity.FILE).unlink()
    assert "That happens by itself when you publish" in parity_html(view)


def test_a_run_without_exports_says_nothing(store):
    run_dir = store.run_dir(finished_run(store, merged=False, adapter=False))
    assert parity_html(store.get(run_dir.name)) == "" and json.loads((run_dir / parity.FILE).read_text())["forms"] == {}
