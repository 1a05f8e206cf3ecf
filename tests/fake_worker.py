"""A scripted stand-in for `studio.worker`, run by the real supervisor: `python -m tests.fake_worker PHASE RUN_DIR`.

The preset's description is its script, words like `step_s=0.05`:
  step_s=0.02     seconds a training step takes         lines=20        log lines a step writes
  fail=merge      this phase writes an error event      crash=train     this phase dies with a traceback
  fail_on_stop=1  training dies while it saves for a stop
  stubborn=1      training ignores a polite stop        load_s=0        seconds before training counts steps
  waits_at=3      a training from its beginning waits after this step for a stop, or for the file go_on in its folder
Training has `training.max_steps` steps (20 where it is -1).
"""

import json
import math
import sys
import time
from pathlib import Path

from studio.preset import files
from studio.publishing import exports
from studio.publishing.gguf_request import read_request
from studio.runs.events import EventWriter, RunStage


def main(phase: str, run_dir: Path) -> int:
    preset = files.load(run_dir / "preset.yaml")
    script = dict(word.split("=", 1) for word in preset.description.split() if "=" in word)
    journal = EventWriter(run_dir)
    print(f"scripted worker: {phase}", flush=True)
    if script.get("crash") == phase:
        raise RuntimeError("the scripted crash")
    journal.stage(RunStage.RUNNING, phase)
    if script.get("fail") == phase:
        journal.error(phase, f"The scripted failure of {phase}.", "Change the script.")
        return 3
    journal.done(phase, PHASES[phase](run_dir, preset, script, journal))
    return 0


def train(run_dir, preset, script, journal):
    steps = preset.training.max_steps if preset.training.max_steps > 0 else 20
    first = 1 + max((int(path.name.split("-")[1]) for path in (run_dir / "checkpoints").glob("checkpoint-*")),
                    default=0)
    stopped = False
    time.sleep(float(script.get("load_s", "0")))
    journal.progress("train", first - 1, steps, "steps")
    for step in range(first, steps + 1):
        time.sleep(float(script.get("step_s", "0.02")))
        loss = 2 * math.exp(-step / steps) + 0.1 * math.sin(step)
        for line in range(int(script.get("lines", "1"))):
            print(f"step {step} of {steps} line {line} loss {loss:.4f} <b>not bold</b>", flush=True)
        journal.log(step, {"loss": loss, "learning_rate": 2e-4 * (1 - step / steps),
                           "grad_norm": 1.0, "epoch": step / steps,
                           "tokens_per_second": 150.0 + step % 7, "memory_bytes": 1.2e9})
        journal.progress("train", step, steps, "steps")
        if step % 5 == 0:
            journal.eval(step, {"eval_loss": loss + 0.2})
        while first == 1 and script.get("waits_at") == str(step) and not (
                (run_dir / "stop_request").exists() or (run_dir / "go_on").exists()):
            time.sleep(0.01)
        stopped = (run_dir / "stop_request").exists() and script.get("stubborn") != "1"
        if stopped and script.get("fail_on_stop"):
            raise OSError("No space left on device")
        if stopped or step % 10 == 0:
            (run_dir / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True, exist_ok=True)
            journal.checkpoint(step, f"checkpoints/checkpoint-{step}")
        if stopped:
            break
    folder = run_dir / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"\0" * 2000)
    return {"stopped": stopped, "steps": step, "seconds": 1.0}


def evaluate(run_dir, preset, script, journal):
    rows = [{"prompt": f"line {i}", "expected": "{}", "base": "no idea", "tuned": "{}"} for i in range(24)]
    for number, row in enumerate(rows, 1):
        journal.progress("evaluate", number, len(rows), "rows")
        if number <= 3:
            journal.sample(**row)
    figures = {"base": {"value": 0.0, "interval": [0.0, 0.1]}, "tuned": {"value": 0.9, "interval": [0.8, 1.0]},
               "difference": {"value": 0.9, "interval": [0.8, 1.0]}, "higher_is_better": True}
    report = {"n": len(rows), "metric": "exact_match", "metrics": {"exact_match": figures},
              "wins": 23, "ties": 1, "losses": 0, "examples": []}
    (run_dir / "report.json").write_text(json.dumps(report))
    # the more rows it learned from, the more it has right
    share = preset.data.train_share
    judged = [row | {"base_score": 0.0, "tuned_score": float(number < 24 * share)} for number, row in enumerate(rows)]
    (run_dir / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged))
    (run_dir / "environment.json").write_text(json.dumps({"rows": {"train": int(400 * share), "heldout": 80}}))
    return {"rows": len(rows)}


def baselines(run_dir, preset, script, journal):
    journal.progress("baselines", 8, 8, "rows", "The base model answers")
    figure = {"metrics": {"exact_match": {"value": 0.25, "interval": [0.1, 0.4]}}, "prompt_tokens": 40.0, "examples": 0,
              "answer_tokens": 9.0, "seconds_per_request": 0.2, "tokens_per_second": 50.0, "cut_answers": 0}
    ways = {"base": figure, "few_shot": figure | {"prompt_tokens": 180.0, "examples": 3.0}}
    found = {"n": 80, "metric": "exact_match", "ways": ways, "best": "few_shot", "samples": [
        {"prompt": "line 1", "expected": "{}", "base": "no idea", "few_shot": "<b>{}</b>"}]}
    (run_dir / "baselines.json").write_text(json.dumps(found))
    return {"rows": 80, "best": "few_shot"}


def merge(run_dir, preset, script, journal):
    folder = run_dir / "merged"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\0" * 5000)
    return {"size_bytes": 5000}


def parity(run_dir, preset, script, journal):
    from tests.finished_run import checked  # brings in much that no other phase needs

    for done in range(0, 41, 20):
        journal.progress("parity", done, 40, "answers", "The merged model answers")
    checked(run_dir)
    return {"prompts": 20}


def gguf(run_dir, preset, script, journal):
    kinds = read_request(run_dir, preset).kinds
    folder = run_dir / exports.GGUF_DIR
    folder.mkdir(exist_ok=True)
    for number, kind in enumerate(kinds, 1):
        journal.progress("gguf", 4000 * number, 4000 * len(kinds), "bytes", f"Writing {kind.upper()}")
        file = folder / f"scripted-{kind.upper()}.gguf"
        file.write_bytes(b"GGUF" * 1000)
        exports.modelfile_of(file).write_text(f"FROM ./{file.name}\n")
        exports.write_record(exports.gguf_record(file), run_dir / "merged")
    return {"files": [{"kind": kind} for kind in kinds]}


PHASES = {"train": train, "baselines": baselines, "evaluate": evaluate, "merge": merge, "parity": parity, "gguf": gguf}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
