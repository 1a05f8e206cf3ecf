"""A GGUF file as a program would meet it: vocabulary, template and end of answers read from the file alone.

Texts are split into words as the training's tokenizer splits them: the file only names the way (`tokenizer.ggml.pre`),
and what that name stands for is known to llama.cpp alone. Tokens, merges, kinds of tokens, template, first and last
token are the file's own.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType, GGUFReader, LlamaFileType, TokenType

from studio.worker.parity_faults import Expected, Shipped

FULL = frozenset({GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16})
ENDS = ("eos", "eot", "eom")
# llama.cpp puts the first token before every text in these, unless the file says otherwise
ADDS_BOS_MODELS, ADDS_BOS_PRE = frozenset({"llama"}), frozenset({"llama3", "llama-v3", "llama-bpe", "tekken"})

Render = Callable[[Any], tuple[list[str], list[list[int]]]]


def head_width(path: Path) -> int | None:
    """How wide an attention head is by a file's own word, None where it says nothing."""
    fields = GGUFReader(path).fields
    said = fields.get(f"{fields['general.architecture'].contents()}.attention.key_length")
    return None if said is None else int(said.contents())


class GgufFile:
    """The metadata of a file, and how its weights are stored. Raises what `GGUFReader` does for a file that is torn."""

    def __init__(self, path: Path):
        reader = GGUFReader(path)
        self._fields = {name: field.contents() for name, field in reader.fields.items()
                        if name.startswith(("tokenizer.", "general.architecture", "general.file_type"))}
        self.rows = next((int(tensor.shape[-1]) for tensor in reader.tensors if tensor.name == "token_embd.weight"), 0)
        self.quantised = any(tensor.tensor_type not in FULL for tensor in reader.tensors)
        self.architecture = self._fields.get("general.architecture", "")
        file_type = self._fields.get("general.file_type")
        self.kind = LlamaFileType(file_type).name.removeprefix("MOSTLY_") if file_type is not None else "GGUF"

    def shipped(self, expected: Expected, tokenizer: Any, render: Render) -> Shipped:
        """What the file makes of prompts and answers; `tokenizer` is the training's, `render` writes all prompts."""
        ends = [self._ggml(f"{end}_token_id") for end in ENDS]
        own = copy.deepcopy(tokenizer)
        own.chat_template = self._fields.get("tokenizer.chat_template")
        for name in ("bos", "eos"):
            token = self._ggml(f"{name}_token_id")
            setattr(own, f"{name}_token", None if token is None else own.convert_ids_to_tokens(token))
        return Shipped(
            vocabulary=self._vocabulary(expected), rows=self.rows, eos_id=ends[0],
            stop_ids=frozenset(end for end in ends if end is not None), settings=None,
            has_template=own.chat_template is not None, render=lambda: self._with_bos(render(own), own.bos_token),
            note=self._note(expected, tokenizer))

    def _vocabulary(self, expected: Expected) -> dict[str, int]:
        """The file's tokens; those that only fill the table up to the model's rows are none."""
        known = {number: token for token, number in expected.vocabulary.items()}
        kinds, found = self._ggml("token_type") or [], {}
        for number, token in enumerate(self._ggml("tokens") or []):
            if number < len(kinds) and kinds[number] == TokenType.UNUSED and number not in known:
                continue
            # the converter writes some tokens as the text they stand for
            same = token != known.get(number) and number in known and token == expected.write(number)
            found[known[number] if same else token] = number
        return found

    def _note(self, expected: Expected, tokenizer: Any) -> str:
        tokens, kinds = self._ggml("tokens") or [], self._ggml("token_type") or []
        if not tokens:
            return "holds no vocabulary."
        if len(tokens) != self.rows:
            return (f"lists {len(tokens):,} tokens and holds weights for {self.rows:,}: llama.cpp would refuse it or "
                    "mix tokens up.")
        for number in sorted(expected.special):
            if number < len(kinds) and kinds[number] == TokenType.NORMAL:
                return f'takes "{expected.write(number)}" for ordinary text, and the training for a token of its own.'
        if self._ggml("model") != "gpt2":
            return ""
        if self._ggml("pre") is None:
            return "does not say how its vocabulary splits text (tokenizer.ggml.pre), so llama.cpp would guess."
        merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("merges")
        wanted = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges or []]
        if merges is not None and self._ggml("merges") != wanted:
            return "joins characters to tokens by other rules (merges) than the training did."
        return ""

    def _with_bos(self, rendered: tuple[list[str], list[list[int]]], bos_token: str | None) -> tuple[
            list[str], list[list[int]]]:
        """The first token before each prompt where llama.cpp puts it, once, and nowhere else."""
        texts, prompts = rendered
        bos, adds = self._ggml("bos_token_id"), self._ggml("add_bos_token")
        if bos is None or bos_token is None:
            return rendered
        if adds is None:
            adds = self._ggml("model") in ADDS_BOS_MODELS or self._ggml("pre") in ADDS_BOS_PRE
        bare = [ids[1:] if ids[:1] == [bos] and not text.startswith(bos_token) else ids
                for text, ids in zip(texts, prompts, strict=True)]
        return texts, [[bos, *ids] if adds and ids[:1] != [bos] else ids for ids in bare]

    def _ggml(self, name: str) -> Any:
        return self._fields.get(f"tokenizer.ggml.{name}")
