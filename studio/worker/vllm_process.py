"""`python -m studio.worker vllm`: answers prompts with vLLM until its input ends; nothing of the GPU outlives it.

Reads JSON lines: first {"model", "adapter", "settings"}, where `adapter` is "" or a folder and `settings` are arguments
of `vllm.LLM`; then requests {"prompts", "tuned", "max_new_tokens", "stop_ids"} with prompts as lists of tokens. Answers
each with a line {"answers", "seconds"}, or with {"error"} and its end.
"""

import importlib
import json
import os
import sys
import time
from typing import Any, TextIO


def main() -> int:
    """Load the model, answer the requests, and return the exit code."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # vLLM logs to where the answers go
    try:
        _serve(json.loads(sys.stdin.readline()), answers)
    except Exception as error:  # whatever vLLM meets, the comparison goes on without it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return 1
    return 0


def _serve(job: dict[str, Any], answers: TextIO) -> None:
    # optional, and named in no requirements: it brings a torch of its own
    vllm = importlib.import_module("vllm")
    model = vllm.LLM(model=job["model"], skip_tokenizer_init=True, trust_remote_code=False,
                     enable_lora=bool(job["adapter"]), **job["settings"])
    requests = importlib.import_module("vllm.lora.request")
    lora = requests.LoRARequest("tuned", 1, job["adapter"]) if job["adapter"] else None
    for line in sys.stdin:
        request = json.loads(line)
        greedy = vllm.SamplingParams(temperature=0.0, max_tokens=request["max_new_tokens"],
                                     stop_token_ids=request["stop_ids"], detokenize=False)
        began = time.monotonic()
        outputs = model.generate([{"prompt_token_ids": ids} for ids in request["prompts"]], greedy, use_tqdm=False,
                                 lora_request=lora if request["tuned"] else None)
        said = [list(output.outputs[0].token_ids) for output in outputs]
        print(json.dumps({"answers": said, "seconds": time.monotonic() - began}), file=answers)
