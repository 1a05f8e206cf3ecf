"""Let base and tuned model answer the same held-out rows, and write the report."""

import json
import os
import time
from pathlib import Path

# isort: off
import unsloth  # noqa: F401  before anything that imports transformers
# isort: on
import torch
from unsloth import FastLanguageModel

from studio.data.formats import split_answer
from studio.data.jsonl import read_jsonl
from studio.data.render import IGNORED, render_prompt, render_rows
from studio.errors import RunError
from studio.evaluation import metrics
from studio.evaluation.report import Answers, RowLosses, compare_answers, compare_perplexity
from studio.runs.device import probe_device
from studio.worker import base_model
from studio.worker import model as models
from studio.worker.phase import Phase

SAMPLE_ROWS = 5


def evaluate(phase: Phase) -> dict:
    """Compare base and tuned model on `compare_rows` held-out rows; writes report.json and predictions.jsonl.

    Chats and prompts are answered and judged by the metric; plain text is judged by perplexity. Returns the phase's
    facts. Raises `RunError` where there is no trained model.
    """
    rows = _heldout_rows(phase)
    if not rows:
        return {"skipped": "There are no held-out rows to compare on."}
    if "text" in rows[0]:
        base, tuned = _both(phase, lambda model, tokenizer, name: _row_losses(phase, model, tokenizer, rows, name))
        report, predictions = compare_perplexity(base, tuned, phase.preset.training.seed), []
    else:
        prompts, expected = map(list, zip(*map(_question, rows), strict=True))
        metric = metrics.choose_metric(phase.preset.evaluation.metric, expected)
        base, tuned = _both(phase, lambda model, tokenizer, name: _answers(phase, model, tokenizer, rows, name))
        report, predictions = compare_answers(prompts, expected, base, tuned, metric, phase.preset.training.seed)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in predictions]
    _write(phase.run_dir / "predictions.jsonl", "".join(lines))
    _write(phase.run_dir / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    for row in predictions[:SAMPLE_ROWS]:
        phase.journal.sample(row["prompt"], row["expected"], row["base"], row["tuned"])
    figures = report["metrics"][report["metric"]]
    base, tuned = figures["base"]["value"], figures["tuned"]["value"]
    print(f"{report['metric']} on {report['n']} held-out rows: base {base:.3f}, tuned {tuned:.3f}", flush=True)
    return {"metric": report["metric"], "rows": report["n"], "base": base, "tuned": tuned}


def _heldout_rows(phase: Phase) -> list[dict]:
    return read_jsonl(phase.run_dir / "data" / "heldout.jsonl")[:phase.preset.evaluation.compare_rows]


def _both(phase: Phase, measure):
    """Call `measure(model, tokenizer, name)` for base and tuned model; with an adapter one loaded model serves both."""
    preset, run_dir, device = phase.preset, phase.run_dir, probe_device()
    base = base_model.locate(preset.model, phase.settings)
    if (run_dir / "adapter" / "adapter_config.json").is_file():
        model, tokenizer = models.load_tuned(preset, base, run_dir / "adapter", device, phase.settings)
        FastLanguageModel.for_inference(model)
        with model.disable_adapter():
            untouched = measure(model, tokenizer, "base")
        return untouched, measure(model, tokenizer, "tuned")
    if not (run_dir / "merged" / "config.json").is_file():
        raise RunError("The run has no trained model yet.", "Resume the run, then compare again.")
    measured = []
    for name, folder in [("base", base.folder), ("tuned", run_dir / "merged")]:
        model, tokenizer = models.load_whole(preset, folder, device)
        FastLanguageModel.for_inference(model)
        measured.append(measure(model, tokenizer, name))
        del model
    return measured


def _question(row: dict) -> tuple[str, str]:
    """The question as a person would read it, and the wanted answer."""
    prompt, answer = split_answer(row)
    return prompt if isinstance(prompt, str) else prompt[-1]["content"], answer


@torch.inference_mode()
def _answers(phase: Phase, model, tokenizer, rows: list[dict], name: str) -> Answers:
    """Answer all rows greedily, in batches of like length so that little is padded."""
    preset = phase.preset
    prompts = [render_prompt(tokenizer, split_answer(row)[0], preset)[1] for row in rows]
    order = sorted(range(len(rows)), key=lambda index: len(prompts[index]), reverse=True)
    stop_ids = _stop_ids(model, tokenizer)
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    texts, tokens, cut, began = [""] * len(rows), 0, 0, time.monotonic()
    size = preset.evaluation.per_device_eval_batch_size
    for start in range(0, len(order), size):
        _progress(phase, name, start, len(rows))
        batch = order[start:start + size]
        width = max(len(prompts[index]) for index in batch)
        pads = [width - len(prompts[index]) for index in batch]
        ids = torch.tensor([[pad_id] * pad + prompts[i] for i, pad in zip(batch, pads, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads])
        output = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), do_sample=False,
            max_new_tokens=preset.evaluation.max_new_tokens, eos_token_id=stop_ids, pad_token_id=pad_id)
        for index, generated in zip(batch, output[:, width:].tolist(), strict=True):
            length = next((i for i, token in enumerate(generated) if token in stop_ids), len(generated))
            cut += length == preset.evaluation.max_new_tokens
            tokens += length
            texts[index] = tokenizer.decode(generated[:length], skip_special_tokens=True).strip()
    _progress(phase, name, len(rows), len(rows))
    return Answers(texts, tokens, time.monotonic() - began, cut)


def _stop_ids(model, tokenizer) -> list[int]:
    """The tokens that end an answer: the tokenizer's and those the model's own generation settings name."""
    configured = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *([configured] if isinstance(configured, int) else configured or [])})


@torch.inference_mode()
def _row_losses(phase: Phase, model, tokenizer, rows: list[dict], name: str) -> RowLosses:
    """Loss of each held-out text, one row at a time so that none is padded."""
    nll, tokens, began = [], [], time.monotonic()
    for done, rendered in enumerate(render_rows(tokenizer, rows, phase.preset)):
        if done % 10 == 0:
            _progress(phase, name, done, len(rows))
        ids = torch.tensor([rendered.input_ids], device=model.device)
        labels = torch.tensor(rendered.labels[1:], device=model.device)
        logits = model(input_ids=ids).logits[0, :-1].float()
        nll.append(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").item())
        tokens.append(int((labels != IGNORED).sum()))
    _progress(phase, name, len(rows), len(rows))
    return RowLosses(nll, tokens, time.monotonic() - began)


def _progress(phase: Phase, name: str, done: int, rows: int) -> None:
    before = rows if name == "tuned" else 0
    message = "The base model answers" if name == "base" else "The tuned model answers"
    phase.journal.progress("evaluate", before + done, 2 * rows, "rows", message)


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)
