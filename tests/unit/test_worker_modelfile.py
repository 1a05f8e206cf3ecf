"""Ollama's Modelfile: the chat template in its language, or none where that has no equal."""

import jinja2
import pytest

from studio.worker.modelfile import find_turns, modelfile, ollama_template
from tests.tiny_model import CHATML

SMOLLM = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
          "{{ '<|im_start|>system\nYou are SmolLM.<|im_end|>\n' }}{% endif %}"
          "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA = ("{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\n\n' + message['content'] | trim"
         " + '<|eot|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n\n' }}{% endif %}")
MISTRAL = ("{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}"
           "{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
           "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}")
# the system message goes into the first question
GEMMA = ("{{ bos_token }}{% set lead = '' %}{% if messages[0]['role'] == 'system' %}"
         "{% set lead = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
         "{% for m in messages %}{{ '<turn>' + m['role'] + '\n' + (lead if loop.first else '') + m['content']"
         " + '<end>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}")
# these would be read as Ollama's own language
BRACES = CHATML.replace("<|im_start|>", "<{' + '{>")
COUNTING = "{% for m in messages %}{{ loop.index ~ ': ' + m['content'] + '\n' }}{% endfor %}"


class Tokenizer:
    """What the Modelfile asks of a tokenizer, with the real template language behind it."""

    bos_token, eos_token = "<s>", "<|im_end|>"

    def __init__(self, chat_template):
        self.chat_template = chat_template

    def get_vocab(self):
        return {"<s>": 0, "<|im_end|>": 1, "<|eot|>": 2}

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        def refuse(message):
            raise jinja2.TemplateError(message)

        assert tokenize is False
        return jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(self.chat_template).render(
            messages=messages, add_generation_prompt=add_generation_prompt, bos_token=self.bos_token,
            eos_token=self.eos_token, raise_exception=refuse)


def written(template, adds_bos=False, system="", context=4096):
    return modelfile("recipes-Q4_K_M.gguf", Tokenizer(template), context, system, adds_bos)


def test_a_modelfile_as_a_whole():
    assert written(SMOLLM) == '''FROM ./recipes-Q4_K_M.gguf
TEMPLATE """{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system
{{ .Content }}<|im_end|>
{{ else if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ .Content }}<|im_end|>
{{ end }}{{ end }}<|im_start|>assistant
"""
SYSTEM """You are SmolLM."""
PARAMETER stop "<|im_end|>"
PARAMETER num_ctx 4096
'''


def test_the_system_prompt_of_the_data_comes_before_the_template_s_own():
    assert 'SYSTEM """Turn it into JSON."""' in written(SMOLLM, system="Turn it into JSON.")
    assert "SYSTEM" not in written(CHATML)
    assert "SYSTEM" not in written(MISTRAL, system="Be brief."), "the template refuses one"


@pytest.mark.parametrize("template", [CHATML, SMOLLM, LLAMA, MISTRAL])
def test_turns_render_as_the_template_does(template):
    tokenizer = Tokenizer(template)
    turns = find_turns(tokenizer)
    chat = [{"role": role, "content": f"MARK-{i}-"} for i, role in enumerate(("user", "assistant", "user"))]
    assert turns.render(("user", "assistant", "user"), True) == tokenizer.apply_chat_template(chat, False, True)


def test_the_first_token_is_left_to_a_runner_that_puts_it_there():
    turns = find_turns(Tokenizer(LLAMA))
    assert ollama_template(turns, "<s>").startswith("{{ range .Messages }}")
    assert ollama_template(turns, "").startswith("<s>{{ range .Messages }}")


def test_an_answer_also_stops_where_its_turn_ends():
    assert 'PARAMETER stop "<|im_end|>"\nPARAMETER stop "<|eot|>"\n' in written(LLAMA)


@pytest.mark.parametrize("template", [GEMMA, COUNTING, BRACES])
def test_a_template_that_does_more_is_left_to_ollama_and_llama_cpp(template):
    said = written(template)
    assert "TEMPLATE" not in said and "llama-server --jinja -m recipes-Q4_K_M.gguf" in said


def test_a_model_without_a_template_has_none():
    assert written(None) == 'FROM ./recipes-Q4_K_M.gguf\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 4096\n'


def test_the_context_is_bounded_by_what_a_laptop_holds():
    assert "num_ctx 8192" in written(CHATML, context=131_072)


@pytest.mark.parametrize("token", [
    '</s>"\nADAPTER /etc/passwd\nPARAMETER stop "', 'end"', "end\\", "a\nFROM b", "a\x85b"])
def test_a_token_adds_no_line_of_its_own(token):
    class Hostile(Tokenizer):
        eos_token = token

        def get_vocab(self):
            return {token: 0}

    said = modelfile("m.gguf", Hostile(None), 4096, "", False)
    assert said == "FROM ./m.gguf\nPARAMETER num_ctx 4096\n"


@pytest.mark.parametrize("system", ['Say "yes"', '"Yes" is the answer.', 'a """\nFROM b'])
def test_a_system_prompt_that_would_end_its_quotes_is_left_out(system):
    assert "SYSTEM" not in written(CHATML, system=system)
    assert 'SYSTEM """Say "yes" or no."""' in written(CHATML, system='Say "yes" or no.')


def test_a_template_that_would_end_its_quotes_is_left_out():
    quoting = CHATML.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant\n\"'")
    assert quoting != CHATML and "TEMPLATE" not in written(quoting)
