"""`python -m studio.worker PHASE RUN_DIR` and other parts (see USAGE): dispatch, nothing else.

The environment is set before the chosen part is imported, since torch, the Hub client and Unsloth read it at import.
"""

import sys
from pathlib import Path

USAGE = ("usage: python -m studio.worker train|baselines|evaluate|merge|gguf|parity RUN_DIR"
         " | preview | rows | doctor | export | tokens | vllm | load_test | infer ...")


def main(argv: list[str]) -> int:
    """Run one worker and return its exit code: 0 done, 1 defect or machine trouble, 3 the person can mend it."""
    match argv:
        case ["train" | "baselines" | "evaluate" | "merge" | "gguf" | "parity" as name, run_dir]:
            from studio.worker.phase import run_phase
            return run_phase(name, Path(run_dir).resolve())
        case ["preview"]:
            from studio.worker import preview
            return preview.main()
        case ["rows"]:
            from studio.worker import rows
            return rows.main()
        case ["doctor"]:
            from studio.worker import doctor
            return doctor.main()
        case ["export"]:
            from studio.worker import export
            return export.main()
        case ["tokens"]:
            from studio.worker import tokens
            return tokens.main()
        case ["load_test"]:
            from studio.worker import load_test
            return load_test.main()
        case ["vllm"]:
            from studio.worker import vllm_process
            return vllm_process.main()
        case ["infer", *rest]:
            from studio.worker import infer
            return infer.main(rest)
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
