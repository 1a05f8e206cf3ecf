"""The training worker with real Unsloth and TRL on a tiny model."""

import json
import shutil

import pytest
from conftest import chats, events, losses, results
from safetensors.torch import load_file, save_file

from studio.data.doctor_reports import REPORT_FILE
from studio.worker import checkpoints

PAIRS = [{"prompt": f"question {i}", "completion": f"city {i}"} for i in range(16)]
TEXTS = [{"text": f"the city {i} of the country {i} is in the country"} for i in range(16)]


@pytest.mark.parametrize("rows", [chats(16), PAIRS, TEXTS], ids=["messages", "prompt_completion", "text"])
def test_each_shape_of_rows_trains(runs, rows):
    run_dir = runs.create(rows)
    result = runs.train(run_dir)
    assert (result["steps"], result["stopped"], result["output"]) == (6, False, "adapter")
    assert list(losses(run_dir)) == [1, 2, 3, 4, 5, 6]
    assert [event.values["phase"] for event in events(run_dir, "stage")] == ["train"]
    config = json.loads((run_dir / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == runs.model.name
    assert len((run_dir / "data" / "train.jsonl").read_text().splitlines()) == 12


def test_rows_that_are_left_out_are_in_the_account_of_the_run(runs):
    run_dir = runs.create([*chats(16), {"messages": []}, {"messages": [{"role": "tool", "content": "x"}]}],
                          data__bad_rows="drop", training__max_steps=1)
    (run_dir / REPORT_FILE).unlink()
    runs.train(run_dir)
    report = json.loads((run_dir / REPORT_FILE).read_text())
    assert (report["rows"], report["usable_rows"], report["tokens"]["rows"]) == (18, 16, 16) and report["complete"]
    account = [json.loads(line) for line in (run_dir / "data" / "left_out.jsonl").read_text().splitlines()]
    assert [(entry["row"], entry["line"], entry["reason"]) for entry in account] == [
        (17, 17, "missing_messages_list"), (18, 18, "example_missing_assistant_message")]
    warnings = [event.values["message"] for event in events(run_dir, "warning")]
    assert warnings[0] == ("2 rows are left out: 1 missing messages list, 1 example missing assistant message. "
                           "data/left_out.jsonl lists them.")


def test_journal_holds_what_a_reader_needs(runs):
    run_dir = runs.create(
        chats(16), evaluation__eval_strategy="steps", evaluation__eval_steps=3, training__save_steps=4)
    runs.train(run_dir)
    metrics = events(run_dir, "log")[2].values["metrics"]
    wanted = {"loss", "learning_rate", "grad_norm", "num_tokens", "tokens_per_second", "memory_bytes", "eta_s"}
    assert wanted <= set(metrics)
    assert metrics["memory_bytes"] > 100e6
    assert [event.values["step"] for event in events(run_dir, "eval")] == [3, 6]
    assert [event.values["path"] for event in events(run_dir, "checkpoint")] == [
        "checkpoints/checkpoint-4", "checkpoints/checkpoint-6"]
    steps = [event.values for event in events(run_dir, "progress") if event.values["unit"] == "steps"]
    assert (steps[-1]["done"], steps[-1]["total"]) == (6, 6)
    record = json.loads((run_dir / "environment.json").read_text())
    assert record["rows"] == {"train": 12, "heldout": 4} and len(record["data_fingerprint"]) == 64
    assert record["packages"]["unsloth"] and record["settings"]["dtype"] in ("bfloat16", "float32")


def test_loss_is_taken_on_answers_only(runs):
    """The loss of the first step equals the one computed by hand over the answers' tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run_dir = runs.create(chats(4), data__test_size=0.0, model__dtype="float32", training__max_steps=1)
    runs.train(run_dir)
    tokenizer = AutoTokenizer.from_pretrained(runs.model)
    model = AutoModelForCausalLM.from_pretrained(runs.model)
    total, count = 0.0, 0
    for row in chats(4):
        whole = tokenizer.apply_chat_template(row["messages"], tokenize=False).rstrip("\n")
        prompt = tokenizer.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(whole, add_special_tokens=False, return_tensors="pt")["input_ids"]
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        logits = model(ids).logits[0, start - 1:-1]
        total += torch.nn.functional.cross_entropy(logits, ids[0, start:], reduction="sum").item()
        count += ids.shape[1] - start
    assert losses(run_dir)[1] == pytest.approx(total / count, rel=1e-4)


def test_refuses_a_run_in_which_nothing_is_learned(runs):
    long_questions = [{"prompt": f"{i} " + "question " * 60, "completion": "city"} for i in range(8)]
    run_dir = runs.create(long_questions, training__max_length=16, data__test_size=0.0)
    assert runs.work("train", run_dir) == 3
    error = events(run_dir, "error")[0].values
    assert "cut at 16 tokens" in error["message"] and "training.max_length" in error["hint"]
    assert not (run_dir / "adapter").exists()


def test_rows_without_a_learned_token_stop_the_run_or_are_left_out_and_counted(runs):
    long = {"messages": [{"role": "user", "content": "question " * 200}, {"role": "assistant", "content": "city"}]}
    refused = runs.create([*chats(10), long], "refused", data__test_size=0.0)
    assert runs.work("train", refused) == 3 and not (refused / "adapter").exists()
    error = events(refused, "error")[0].values
    assert "1 row has nothing left to learn" in error["message"] and "line 11" in error["message"]
    run_dir = runs.create([*chats(10), long], data__test_size=0.0, data__bad_rows="drop")
    runs.train(run_dir)
    warnings = [event.values["message"] for event in events(run_dir, "warning")]
    assert warnings == ["1 of 11 training rows are left out: they have nothing to learn, "
                        "1 of them because they are cut at 128 tokens."]


def test_stopped_run_resumes_with_the_losses_of_an_unbroken_one(runs):
    """With dropout, and with measurements in the unbroken run that the stopped one leaves out."""
    settings = dict(training__max_steps=14, lora__lora_dropout=0.2, training__learning_rate=5e-3,
                    evaluation__eval_strategy="epoch", training__save_steps=6)
    unbroken = runs.create(chats(16), "unbroken", **settings)
    runs.train(unbroken)

    broken = runs.create(chats(16), "broken", **settings)
    stop_request = broken / "stop_request"
    # there once it has saved, so that it is stopped by the step after, in the middle of an epoch
    stop_request.symlink_to(broken / "checkpoints" / "checkpoint-6")
    stopped = runs.train(broken)
    assert stopped["stopped"] and stopped["steps"] == 7
    assert (broken / "adapter" / "adapter_config.json").is_file()
    assert checkpoints.newest(broken / "checkpoints").name == f"checkpoint-{stopped['steps']}"

    stop_request.unlink()
    (runs.data_dir / "broken.jsonl").write_text("")
    (broken / "merged").mkdir()
    for name in ("report.json", "report.html", "predictions.jsonl"):
        (broken / name).write_text("{}")
    resumed = runs.train(broken)
    earlier = ("merged", "report.json", "report.html", "predictions.jsonl")
    assert not [name for name in earlier if (broken / name).exists()], "they told of earlier weights"
    assert resumed["resumed_from"] == f"checkpoint-{stopped['steps']}" and not resumed["stopped"]
    assert losses(broken) == losses(unbroken)
    ours, theirs = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (broken, unbroken))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_stopped_run_measures_nothing_more(runs):
    """Measuring many held-out rows would keep the person waiting for the stop."""
    run_dir = runs.create(chats(16), evaluation__eval_strategy="epoch")
    (run_dir / "stop_request").write_text("stop")
    result = runs.train(run_dir)
    assert (result["stopped"], result["steps"]) == (True, 1)
    assert events(run_dir, "eval") == []
    assert (run_dir / "adapter" / "adapter_config.json").is_file()


def test_same_seed_gives_the_same_losses_and_another_seed_others(runs):
    one, same, other = (runs.create(chats(16), name, training__seed=seed)
                        for name, seed in [("one", 1), ("same", 1), ("other", 2)])
    for run_dir in (one, same, other):
        runs.train(run_dir)
    assert losses(one) == losses(same) != losses(other)


def test_early_stopping_ends_the_run_and_keeps_the_best_weights(runs):
    """Held-out answers contradict the trained ones, so the held-out loss rises after the first measurements."""
    rows = chats(12, "city of the country")
    heldout = runs.data_dir / "heldout.jsonl"
    heldout.write_text("".join(json.dumps(row) + "\n" for row in chats(6, "{i}{i}{i} question answer")))
    run_dir = runs.create(
        rows, data__dataset_test_split=str(heldout), method__full_finetuning=True, training__learning_rate=3e-3,
        training__max_steps=60, evaluation__eval_strategy="steps", evaluation__eval_steps=2,
        evaluation__early_stopping_patience=2, training__save_total_limit=1)
    result = runs.train(run_dir)
    measured = {event.values["step"]: event.values["metrics"]["eval_loss"] for event in events(run_dir, "eval")}
    best = min(measured, key=measured.get)
    assert result["steps"] == best + 4 < 60
    assert result["best_eval_loss"] == measured[best]
    saved = load_file(run_dir / "merged" / "model.safetensors")
    at_best = load_file(run_dir / "checkpoints" / f"checkpoint-{best}" / "model.safetensors")
    assert all((saved[name] == at_best[name].to(saved[name].dtype)).all() for name in at_best)


def test_full_finetuning_lowers_the_loss_and_leaves_a_whole_model(runs):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run_dir = runs.create(chats(16), method__full_finetuning=True, training__learning_rate=3e-3, training__max_steps=40)
    (run_dir / "report.json").write_text("{}")
    result = runs.train(run_dir)
    assert not (run_dir / "report.json").exists(), "it told of earlier weights"
    history = losses(run_dir)
    assert result["output"] == "merged" and not (run_dir / "adapter").exists()
    assert history[40] < 0.6 * history[1]
    assert str(AutoModelForCausalLM.from_pretrained(run_dir / "merged", dtype="auto").dtype) == "torch.bfloat16"
    assert AutoTokenizer.from_pretrained(run_dir / "merged").chat_template
    assert runs.work("merge", run_dir) == 0
    assert results(run_dir)[-1]["parameters"] == 98816


def test_loss_that_is_no_number_ends_the_run_with_the_reason(runs, tmp_path):
    weights = load_file(runs.model / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    folder = tmp_path / "broken"
    shutil.copytree(runs.model, folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    run_dir = runs.create(chats(16), model__model_name_or_path=str(folder))
    assert runs.work("train", run_dir) == 1
    error = events(run_dir, "error")[-1].values
    assert "no longer a number at step 1" in error["message"] and "learning_rate" in error["hint"]
    assert "Traceback" in (run_dir / "worker.log").read_text()
    assert not (run_dir / "adapter").exists()


BAD = {
    "no such folder": (dict(model__model_name_or_path="./nowhere"), "./nowhere"),
    "no such gguf": (dict(model__model_name_or_path="./nowhere.gguf"), "nowhere.gguf"),
    "unreachable": (dict(model__model_name_or_path="owner/unknown"), "owner/unknown is not on this machine"),
    "4-bit on a CPU": (dict(model__load_in_4bit=True), "4 bit"),
    "packing on a CPU": (dict(training__packing=True), "Packing"),
    "8-bit optimizer on a CPU": (dict(training__optim="adamw_8bit"), "adamw_8bit"),
    "no such layer": (dict(lora__target_modules=["query"]), "query"),
    "early stopping unmeasured": (
        dict(evaluation__early_stopping_patience=1, evaluation__eval_strategy="no"), "Early stopping"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_what_cannot_work_is_refused_with_one_sentence(runs, case):
    overrides, mention = BAD[case]
    run_dir = runs.create(chats(8), **overrides)
    assert runs.work("train", run_dir) == 3
    error, = (event.values for event in events(run_dir, "error"))
    assert mention in error["message"] and error["hint"]
    assert "Traceback" not in (run_dir / "worker.log").read_text()


@pytest.mark.parametrize("damage, mention", [
    ("no template", "chat template"), ("pickle only", "model.safetensors"), ("adapter", "adapter"),
    ("own code", "code of its own"), ("no gguf", "cannot be read")])
def test_base_models_that_cannot_serve(runs, tmp_path, damage, mention):
    folder = tmp_path / "base"
    shutil.copytree(runs.model, folder)
    name = str(folder)
    if damage == "no template":
        (folder / "chat_template.jinja").unlink()
    elif damage == "pickle only":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif damage == "adapter":
        (folder / "config.json").rename(folder / "adapter_config.json")
    elif damage == "own code":
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "novel", "auto_map": {"AutoModelForCausalLM": "modeling.Novel"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    else:
        name = str(folder / "broken.gguf")
        (folder / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    run_dir = runs.create(chats(8), model__model_name_or_path=name)
    assert runs.work("train", run_dir) == 3, (run_dir / "worker.log").read_text()
    error, = (event.values for event in events(run_dir, "error"))
    assert mention in error["message"] + error["hint"] and error["hint"]
    assert not (tmp_path / "ran").exists()


def test_chatml_serves_a_model_without_a_template(runs, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(runs.model, folder)
    (folder / "chat_template.jinja").unlink()
    run_dir = runs.create(chats(8), model__model_name_or_path=str(folder), model__chat_template="chatml")
    runs.train(run_dir)
    assert "<|im_start|>" in (run_dir / "adapter" / "chat_template.jinja").read_text()


def test_a_document_is_trained_whole_in_pieces_that_fit(runs):
    text = "".join(f"The city {i} of the country {i} is in the country.\n\n" for i in range(400))
    run_dir = runs.create([{"text": part} for part in (text[:9000], text[9000:])], training__max_length=64,
                          data__test_size=0, training__max_steps=1)
    runs.train(run_dir)
    rows = [json.loads(line)["text"] for line in (run_dir / "data" / "train.jsonl").read_text().splitlines()]
    assert "".join(rows) == text and len(rows) > 50
    assert not any("cut" in event.values["message"] for event in events(run_dir, "warning"))
