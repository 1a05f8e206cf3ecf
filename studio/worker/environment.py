"""What a worker sets before torch, the Hub client and Unsloth are imported, and what it records of the machine."""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studio import __version__
from studio.runs.device import Device, usable_cores
from studio.settings import Settings

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors",
            "huggingface_hub", "unsloth", "unsloth_zoo", "bitsandbytes", "triton", "numpy")
# training speed of one core of a present server CPU, in FLOP/s, measured with SmolLM2-135M in bfloat16 (Zen 4)
CORE_FLOPS = 65e9
# a compiled model starts 20 to 30 s later and trains a fifth faster
COMPILE_PAYS_AFTER_S = 150


def prepare(settings: Settings) -> None:
    """Set the process's environment; what the person has set already is kept, except what keeps the worker quiet.

    Unsloth must neither install system packages nor phone home. Caches go to the data folder. On a CPU OpenMP threads
    wait passively: with the usual busy waiting one other active process makes training three times slower.
    """
    cache = settings.cache_dir
    os.environ.update(
        UNSLOTH_DISABLE_STATISTICS="1", UNSLOTH_AUTO_INSTALL="0", UNSLOTH_COMPILE_LOCATION=str(cache / "unsloth"),
        HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TOKENIZERS_PARALLELISM="false",
        TRL_EXPERIMENTAL_SILENCE="1", WANDB_DISABLED="true", PYTHONUNBUFFERED="1", TQDM_DISABLE="1")
    defaults = dict(
        HF_HUB_ETAG_TIMEOUT="10", HF_HUB_DOWNLOAD_TIMEOUT="30", OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="0",
        OMP_NUM_THREADS=str(threads()), TRITON_CACHE_DIR=str(cache / "triton"),
        TORCHINDUCTOR_CACHE_DIR=str(cache / "inductor"))
    # HF_HOME stays: it also holds the token of `hf auth login`
    if "HF_HOME" not in os.environ:
        defaults |= dict(HF_HUB_CACHE=str(cache / "hub"), HF_XET_CACHE=str(cache / "xet"),
                         HF_DATASETS_CACHE=str(cache / "datasets"))
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def threads() -> int:
    """Threads to train with: every core this process may use on small machines, else all but one for the server."""
    cores = usable_cores()
    return cores if cores <= 4 else cores - 1


def choose_compile(parameters: int, tokens: int) -> bool:
    """Switch Unsloth's CPU compilation on where a compiler exists and the run is long enough to win by it.

    `tokens` counts those the run will see in all. Cost of a step: 6 FLOP per weight and token (Kaplan et al. 2020,
    arXiv:2001.08361). The choice of the person's environment is kept. Call before adapters are added.
    """
    if "UNSLOTH_CPU_COMPILE" not in os.environ:
        expected_s = 6 * parameters * tokens / (CORE_FLOPS * threads())
        worthwhile = shutil.which("g++") is not None and expected_s > COMPILE_PAYS_AFTER_S
        os.environ["UNSLOTH_CPU_COMPILE"] = "1" if worthwhile else "0"
    return os.environ["UNSLOTH_CPU_COMPILE"] == "1"


def record(run_dir: Path, device: Device, facts: dict) -> None:
    """Write environment.json: versions, hardware, and the `facts` of this run (seed, data, chosen settings)."""
    run = json.loads((run_dir / "run.json").read_text())
    values = {
        "studio": __version__, "git_revision": run.get("git_revision", ""),
        "python": platform.python_version(), "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "device": {"kind": device.kind, "name": device.name, "memory_bytes": device.memory_bytes,
                   "cores": device.cores, "capability": device.capability},
        **facts,
    }
    partial = run_dir / ".environment.json"
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    os.replace(partial, run_dir / "environment.json")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
