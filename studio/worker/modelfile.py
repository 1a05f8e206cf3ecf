"""Ollama's Modelfile for a GGUF file. Imports no torch.

Ollama does not run the chat template inside a GGUF file: it compares its text with those it knows and takes its own
version of the nearest, or hands the question over bare where none is near (ollama/ollama, template/template.go and
docs/template.md). So the template is written in Ollama's own language, worked out from what the real one renders for
some chats, and left out where it would not render the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

# chats by the roles of their messages
SHAPES = (("user",), ("user", "assistant"), ("user", "assistant", "user"), ("system", "user"),
          ("system", "user", "assistant", "user"))
MOST_CONTEXT_TOKENS = 8192
# these would be read as part of the file's own language
NOT_LITERAL = ("{{", "}}", '"""')


@dataclass(frozen=True)
class Turns:
    """A chat template that puts a text before and after each message: {role: (before, after)}.

    `head` opens each chat, `opening` stands before the answer; `default_system` is the system prompt of chats without
    one.
    """

    head: str
    around: Mapping[str, tuple[str, str]]
    opening: str
    default_system: str = ""

    def render(self, shape: tuple[str, ...], opening: bool) -> str:
        chat = [(role, _mark(place)) for place, role in enumerate(shape)]
        if self.default_system and shape[0] != "system":
            chat.insert(0, ("system", self.default_system))
        turns = "".join(self.around[role][0] + content + self.around[role][1] for role, content in chat)
        return self.head + turns + (self.opening if opening else "")


def modelfile(gguf_name: str, tokenizer: Any, context_tokens: int, system_prompt: str, adds_bos: bool) -> str:
    """The Modelfile for a GGUF file beside it.

    `context_tokens` is what the model reads at most; `adds_bos` says that whoever runs the file puts the first token
    before the prompt by itself.
    """
    lines = [f"FROM ./{gguf_name}"]
    turns = find_turns(tokenizer) if tokenizer.chat_template else None
    template = ollama_template(turns, tokenizer.bos_token if adds_bos else "") if turns else ""
    if not _quotable(template):
        turns = None
    stops = [tokenizer.eos_token]
    if turns is not None:
        lines.append(f'TEMPLATE """{template}"""')
        system_prompt = system_prompt or turns.default_system
        stops.append(turns.around["assistant"][1].strip())
    elif tokenizer.chat_template:
        lines += ["# Ollama's language has no equal of this model's chat template; it takes the nearest it knows.",
                  f"# llama.cpp runs the template itself: llama-server --jinja -m {gguf_name}"]
    takes_system = turns is None or "system" in turns.around
    if system_prompt and takes_system and _quotable(system_prompt):
        lines.append(f'SYSTEM """{system_prompt}"""')
    lines += [f'PARAMETER stop "{stop}"' for stop in dict.fromkeys(stops)
              if stop in tokenizer.get_vocab() and _plain(stop)]
    lines.append(f"PARAMETER num_ctx {min(context_tokens, MOST_CONTEXT_TOKENS)}")
    return "\n".join(lines) + "\n"


def ollama_template(turns: Turns, bos: str | None) -> str:
    """The turns in Ollama's language, without the token `bos` that its runner puts first by itself."""
    branches = ["else if"] * len(turns.around)
    branches[0] = "if"
    said = "".join(
        f'{{{{ {branch} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for branch, (role, (before, after)) in zip(branches, turns.around.items(), strict=True))
    head = turns.head.removeprefix(bos or "")
    return f"{head}{{{{ range .Messages }}}}{said}{{{{ end }}}}{{{{ end }}}}{turns.opening}"


def find_turns(tokenizer: Any) -> Turns | None:
    """The tokenizer's chat template as texts around each message; None for a template that does more than that."""
    rendered = {shape: texts for shape in SHAPES if (texts := _rendered(tokenizer, shape))}
    chat = ("user", "assistant", "user")
    if not {("user",), ("user", "assistant"), chat} <= set(rendered):
        return None
    lead, after_user = rendered["user",][0].split(_mark(0))
    after_answer = rendered["user", "assistant"][0].split(_mark(1))[1]
    _, to_answer, to_user, _ = _pieces(rendered[chat][0], 3)
    if not (to_answer.startswith(after_user) and to_user.startswith(after_answer)):
        return None
    before_user = to_user.removeprefix(after_answer)
    if not lead.endswith(before_user):
        return None
    head, default_system = lead.removesuffix(before_user), ""
    around = {"user": (before_user, after_user), "assistant": (to_answer.removeprefix(after_user), after_answer)}
    if ("system", "user") in rendered:
        system_lead, to_user, _ = _pieces(rendered["system", "user"][0], 2)
        if not to_user.endswith(before_user):
            return None
        after_system = to_user.removesuffix(before_user)
        first = tokenizer.bos_token or ""
        # in ChatML the first token is also what opens each turn
        opens = first if head.startswith(first) and not before_user.startswith(first) else ""
        before_system = system_lead.removeprefix(opens)
        if head != opens:
            default_system = head.removeprefix(opens).removeprefix(before_system).removesuffix(after_system)
            head = opens
        around = {"system": (before_system, after_system)} | around
    turns = Turns(head, around, rendered["user",][1].removeprefix(rendered["user",][0]), default_system)
    literal = [head, turns.opening, default_system, *(text for pair in around.values() for text in pair)]
    if any(mark in text for mark in NOT_LITERAL for text in literal):
        return None
    same = all(turns.render(shape, opening) == texts[opening] for shape, texts in rendered.items()
               for opening in (False, True))
    return turns if same else None


def _quotable(text: str) -> bool:
    """Whether a text within three quotes ends where they do; they cannot be escaped."""
    return '"""' not in text and not text.startswith('"') and not text.endswith('"')


def _plain(token: str) -> bool:
    """Whether a token within quotes stays on its line and ends where they do; what it holds is anybody's text."""
    return token.isprintable() and not set(token) & {'"', "\\"}


def _rendered(tokenizer: Any, shape: tuple[str, ...]) -> tuple[str, str] | None:
    """A chat as the template renders it, without and with the opening of the answer; None where it refuses the chat."""
    messages = [{"role": role, "content": _mark(place)} for place, role in enumerate(shape)]
    try:
        texts = [tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opening)
                 for opening in (False, True)]
    except TemplateError:
        return None
    # a template may move or drop a message
    whole = all(text.count(_mark(place)) == 1 for text in texts for place in range(len(shape)))
    return (texts[0], texts[1]) if whole else None


def _pieces(text: str, marks: int) -> list[str]:
    """What stands before, between and behind the marks."""
    pieces = []
    for place in range(marks):
        piece, text = text.split(_mark(place))
        pieces.append(piece)
    return [*pieces, text]


def _mark(place: int) -> str:
    """The content of a message at a place of a chat: in no template, and nothing that one would strip."""
    return f"MARK-{place}-"
