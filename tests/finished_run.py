"""A trained run on disk, as the workers leave it, with made-up weights: for everything that comes after training."""

import json
import os
from pathlib import Path

from studio.evaluation.answers import Answer
from studio.evaluation.page import render_page
from studio.evaluation.report import WayAnswers, compare_answers
from studio.preset.files import validate
from studio.preset.schema import Preset
from studio.publishing import parity
from studio.publishing.exports import GGUF_DIR, gguf_record, modelfile_of, write_record
from studio.runs.events import EventWriter, RunStage
from studio.runs.store import RunStore

REPORT = {"n": 80, "metric": "json_match", "wins": 70, "ties": 9, "losses": 1, "best": [], "worst": [], "metrics": {
    name: {"base": {"value": base, "interval": [0.0, base + 0.03]},
           "tuned": {"value": tuned, "interval": [tuned - 0.07, tuned + 0.06]},
           "difference": {"value": tuned - base, "interval": [tuned - 0.1, tuned]}, "higher_is_better": True}
    for name, base, tuned in (("json_match", 0.0125, 0.8875), ("exact_match", 0.0, 0.8))}}


def report_with_ways(prompt: str = "2 cups flour") -> dict:
    """A report as the evaluation writes it: of 80 rows the tuned model has 70 right, the best prompt 5."""
    costs = {"base": (0, 40, 0.4), "few_shot": (5, 180, 0.9), "retrieval": (2, 190, 1.0), "tuned": (70, 40, 0.3)}
    ways = {way: WayAnswers([Answer("{}" if i < right else "no", tokens, 10, seconds, False) for i in range(80)],
                            [0] * 80) for way, (right, tokens, seconds) in costs.items()}
    return compare_answers([prompt] * 80, ["{}"] * 80, ways, "json_match", 3, training_seconds=391)[0]


FOODS = ("flour", "sugar", "rye flour, sifted", "butter", "milk", "oats", "honey", "walnuts, chopped")


def compared_run(store: RunStore, rows: int = 80, said: str = "", **options) -> str:
    """A finished run with report, page and predictions of four ways; `said` is put into each answer of the base."""
    prompts = [f"{i + 1} cups {FOODS[i % len(FOODS)]}" for i in range(rows)]
    wanted = [json.dumps({"quantity": i + 1, "unit": "cup", "name": FOODS[i % len(FOODS)]}) for i in range(rows)]
    near = [text.replace('"cup"', '"cups"') for text in wanted]
    wrong = {"few_shot": 2, "retrieval": 3, "tuned": 12}  # every so many answers
    texts = {"base": [f"Sure. {said} I turn {ask} into a list." if i % 9 else "" for i, ask in enumerate(prompts)]}
    texts |= {way: [wanted[i] if i % every else near[i] for i in range(rows)] for way, every in wrong.items()}
    costs = {"base": (40, 0.4), "few_shot": (180, 0.9), "retrieval": (190, 1.0), "tuned": (40, 0.3)}
    ways = {way: WayAnswers([Answer(text, costs[way][0], 10, costs[way][1], False) for text in texts[way]], [0] * rows)
            for way in costs}
    report, predictions = compare_answers(prompts, wanted, ways, "auto", 3, training_seconds=391)
    run_id = finished_run(store, report=report, **options)
    run_dir = store.run_dir(run_id)
    (run_dir / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in predictions))
    (run_dir / "report.html").write_text(render_page(report, "recipes", "Turn an ingredient line into JSON.", "smol"))
    return run_id


def finished_run(store: RunStore, *, weights: dict[str, int] | None = None, name: str = "recipes",
                 report: dict | None = REPORT, merged: bool = True, adapter: bool = True,
                 preset: Preset | None = None, gguf: bool = False) -> str:
    """Create a run folder of a completed run and return its id; `weights` maps weight files to their size in bytes."""
    preset = preset or validate({"name": name, "description": "Turn an ingredient line into JSON."})
    run_id = store.create(preset, name=name)
    run_dir = store.run_dir(run_id)
    if merged:
        small = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b'{"version": "1.0"}',
                 "tokenizer_config.json": b"{}", "chat_template.jinja": b"{{ messages }}"}
        _write_model(run_dir / "merged", small, weights or {"model.safetensors": 300_000})
    if adapter:
        config = json.dumps({"base_model_name_or_path": "/somewhere/cache/smol", "r": 16}).encode()
        _write_model(run_dir / "adapter", {"adapter_config.json": config, "README.md": b"from PEFT",
                                           "training_args.bin": b"pickle"}, {"adapter_model.safetensors": 50_000})
    if gguf:
        _write_gguf(run_dir)
    if report:
        (run_dir / "report.json").write_text(json.dumps(report))
    _write_record(run_dir)
    _write_journal(run_dir)
    checked(run_dir)
    return run_id


def checked(run_dir: Path) -> None:
    """Have every form that the run has now pass the parity check, as the phase writes it."""
    figures = parity.Figures(equal_tokens=1.0, equal_answers=1.0, max_abs=0.57, mean_kl=5e-5, same_top=1.0)
    forms = {form: parity.FormCheck(form, "bfloat16", "same", parity.fingerprint(run_dir, form),
                                    parity.fingerprint(run_dir, parity.ADAPTER), figures=figures, seconds=9.5)
             for form in parity.forms_of(run_dir, ("adapter", "merged", "gguf"))}
    parity.write(run_dir, parity.Parity("made up", 20, "heldout", "float32 on the CPU", 1.01, forms))


def _write_model(folder: Path, files: dict[str, bytes], weights: dict[str, int]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for name, size in weights.items():
        (folder / name).write_bytes(os.urandom(size))


def _write_gguf(run_dir: Path) -> None:
    file = run_dir / GGUF_DIR / "recipes-Q8_0.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF" + os.urandom(100_000))
    modelfile_of(file).write_text("FROM ./recipes-Q8_0.gguf\n")
    write_record(gguf_record(file), run_dir / "merged")


def _write_record(run_dir: Path) -> None:
    (run_dir / "environment.json").write_text(json.dumps({
        "packages": {"torch": "2.13.0", "trl": "1.14.2", "transformers": "5.17.0", "unsloth": "2026.10.9"},
        "device": {"kind": "cpu", "name": "CPU, 2 cores", "memory_bytes": 24e9, "cores": 2, "capability": 0},
        "rows": {"train": 400, "heldout": 80},
        "base_model": {"name": "HuggingFaceTB/SmolLM2-135M-Instruct", "note": ""}, "seed": 3407}))


def _write_journal(run_dir: Path) -> None:
    journal = EventWriter(run_dir)
    journal.stage(RunStage.QUEUED, "train")
    journal.stage(RunStage.STARTING, "train")
    journal.stage(RunStage.RUNNING, "train")
    for step in range(1, 51):
        journal.log(step, {"loss": 2.4 / step**0.5, "learning_rate": 2e-4})
    journal.eval(50, {"eval_loss": 0.41})
    journal.progress("train", 50, 50, "steps")
    journal.done("train", {"stopped": False, "steps": 50, "train_seconds": 92.4, "seconds": 101.0})
    for phase in ("evaluate", "merge"):
        journal.done(phase, {})
    journal.stage(RunStage.COMPLETED)
    journal.close()
