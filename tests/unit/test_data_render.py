"""What the model reads and what it learns of it, under the templates that models come with."""

import pytest
from transformers import AutoTokenizer

from studio.data.formats import split_answer
from studio.data.prepare import prepare
from studio.data.render import IGNORED, in_pieces, render, render_answer, render_each, render_prompt, render_rows
from studio.errors import DataError, ModelError
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.worker.base_model import locate
from studio.worker.tokenizer import load_tokenizer
from tests.tiny_model import CHATML, make_tiny_tokenizer

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
    "+ m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# puts the system prompt into the last user turn, so an earlier prompt is no beginning of the whole chat
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{{ bos_token }}"
    "{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant.') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + (system if loop.index0 >= rest | length - 2 else '') + m['content'] "
    "+ ' [/INST]' }}{% else %}{{ ' ' + m['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)
# ends a finished chat with the end-of-text token, which it takes back when more turns follow
PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# drops the reasoning of earlier turns and gives the last one an empty one
QWEN3 = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% if loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TAGGED = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}{% endgeneration %}{{ '<|im_end|>\n' }}"
    "{% else %}{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':\n' + m['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}"
)
SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TWO_TURNS = [
    {"role": "user", "content": "What is a city?"}, {"role": "assistant", "content": "The first answer"},
    {"role": "user", "content": "And of Oslo, é 😀?"}, {"role": "assistant", "content": "The 2nd — naïve 😀 answer"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tiny_tokenizer(folder)
    return folder


@pytest.fixture
def tokenizer(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [
        "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|end|>", "</s>", "<s>"]})
    return tokenizer


def preset(**sections):
    return Preset.model_validate(sections)


def spans(rendered):
    return [rendered.text[start:end] for start, end in rendered.trained_spans]


def learned(tokenizer, rendered):
    return tokenizer.decode([label for label in rendered.labels if label != IGNORED])


@pytest.mark.parametrize(("template", "end"), [
    (CHATML, "<|im_end|>"), (SMOLLM, "<|im_end|>"), (LLAMA3, "<|eot_id|>"), (TAGGED, "<|im_end|>"),
])
def test_each_answer_is_learned_with_the_token_that_ends_it(tokenizer, template, end):
    tokenizer.chat_template = template
    rendered = render(tokenizer, {"messages": TWO_TURNS}, preset())
    assert spans(rendered) == [f"The first answer{end}", f"The 2nd — naïve 😀 answer{end}"]
    assert learned(tokenizer, rendered) == f"The first answer{end}The 2nd — naïve 😀 answer{end}"
    assert rendered.text == tokenizer.apply_chat_template(TWO_TURNS, tokenize=False)
    assert rendered.input_ids == tokenizer(rendered.text, add_special_tokens=False)["input_ids"]


def test_labels_are_the_ids_where_learned_and_ignored_elsewhere(tokenizer):
    rendered = render(tokenizer, {"messages": TWO_TURNS}, preset())
    assert len(rendered.labels) == len(rendered.input_ids) == rendered.length
    assert all(label in (IGNORED, token) for label, token in zip(rendered.labels, rendered.input_ids, strict=True))
    assert rendered.trained_tokens == sum(label != IGNORED for label in rendered.labels)


def test_learned_tokens_follow_exactly_the_prompt_that_the_model_will_be_given(tokenizer):
    for template in (CHATML, SMOLLM, LLAMA3, TAGGED):
        tokenizer.chat_template = template
        for turn in (1, 3):
            _, prompt = render_prompt(tokenizer, TWO_TURNS[:turn], preset())
            rendered = render(tokenizer, {"messages": TWO_TURNS}, preset())
            assert rendered.input_ids[:len(prompt)] == prompt
            assert rendered.labels[len(prompt) - 1] == IGNORED
            assert rendered.labels[len(prompt)] == rendered.input_ids[len(prompt)]


@pytest.mark.parametrize("template", [CHATML, SMOLLM, LLAMA3, MISTRAL, QWEN3, PHI3, NO_END])
def test_a_wanted_answer_stands_behind_its_question_as_it_was_learned(tokenizer, template):
    tokenizer.chat_template = template
    _, prompt = render_prompt(tokenizer, TWO_TURNS[:1], preset())
    lead, wanted = render_answer(tokenizer, TWO_TURNS[:1], "The first answer", preset())
    assert tokenizer.decode(wanted).strip() == "The first answer"
    assert tokenizer.decode(lead) == ("<think>\n\n</think>\n\n" if template == QWEN3 else
                                      " " if template == MISTRAL else "")
    rendered = render(tokenizer, {"messages": TWO_TURNS[:2]}, preset())
    assert rendered.input_ids[:len(prompt + lead + wanted)] == prompt + lead + wanted


def test_the_default_system_message_of_smollm_is_read_not_learned(tokenizer):
    tokenizer.chat_template = SMOLLM
    rendered = render(tokenizer, {"messages": TWO_TURNS[:2]}, preset())
    assert rendered.text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert spans(rendered) == ["The first answer<|im_end|>"]


def test_mistral_moves_the_system_prompt_and_answers_are_still_found(tokenizer):
    tokenizer.chat_template, tokenizer.eos_token = MISTRAL, "</s>"
    chat = [{"role": "system", "content": "Be short."}, *TWO_TURNS]
    rendered = render(tokenizer, {"messages": chat}, preset())
    assert rendered.text.count("Be short.") == 1
    assert [span.strip() for span in spans(rendered)] == ["The first answer</s>", "The 2nd — naïve 😀 answer</s>"]


def test_a_template_that_ends_only_finished_chats_keeps_each_answers_own_end(tokenizer):
    tokenizer.chat_template, tokenizer.eos_token = PHI3, "</s>"
    rendered = render(tokenizer, {"messages": TWO_TURNS}, preset())
    assert spans(rendered) == ["The first answer<|end|>", "The 2nd — naïve 😀 answer<|end|>\n</s>"]


def test_qwen_drops_earlier_reasoning_and_the_last_one_is_learned(tokenizer):
    tokenizer.chat_template = QWEN3
    chat = [TWO_TURNS[0], {"role": "assistant", "content": "<think>hm</think>First"}, *TWO_TURNS[2:]]
    rendered = render(tokenizer, {"messages": chat}, preset())
    assert spans(rendered) == ["First<|im_end|>", "<think>\n\n</think>\n\nThe 2nd — naïve 😀 answer<|im_end|>"]


def test_a_template_without_an_end_gets_the_end_of_text_token(tokenizer):
    tokenizer.chat_template = NO_END
    rendered = render(tokenizer, {"messages": TWO_TURNS[:2]}, preset())
    assert rendered.text.endswith("The first answer\n\n<|im_end|>")
    assert rendered.labels[-1] == tokenizer.eos_token_id


def test_a_chat_may_begin_with_the_assistant(tokenizer):
    chat = [{"role": "assistant", "content": "Hello."}, *TWO_TURNS[:2]]
    rendered = render(tokenizer, {"messages": chat}, preset())
    assert spans(rendered) == ["Hello.<|im_end|>", "The first answer<|im_end|>"]


def test_an_answer_of_weight_nought_is_read_not_learned(tokenizer):
    chat = [TWO_TURNS[0], TWO_TURNS[1] | {"weight": 0}, *TWO_TURNS[2:]]
    for template in (CHATML, TAGGED):
        tokenizer.chat_template = template
        assert spans(render(tokenizer, {"messages": chat}, preset())) == ["The 2nd — naïve 😀 answer<|im_end|>"]


def test_the_same_words_in_question_and_answer_are_told_apart(tokenizer):
    chat = [{"role": "user", "content": "the city"}, {"role": "assistant", "content": "the city"}]
    rendered = render(tokenizer, {"messages": chat}, preset())
    assert rendered.trained_spans[0][0] == rendered.text.rindex("the city")


def test_all_is_learned_when_the_preset_says_so(tokenizer):
    for row, method in [({"messages": TWO_TURNS}, {"assistant_only_loss": False}),
                        ({"prompt": "the city", "completion": "of"}, {"completion_only_loss": False})]:
        rendered = render(tokenizer, row, preset(method=method))
        assert rendered.labels == rendered.input_ids


def test_the_system_prompt_stands_only_before_chats_without_one(tokenizer):
    wanted = preset(data={"system_prompt": "Be kind."})
    assert render(tokenizer, {"messages": TWO_TURNS}, wanted).text.startswith("<|im_start|>system\nBe kind.<|im_end|>")
    own = [{"role": "system", "content": "Be brief."}, *TWO_TURNS]
    assert "Be kind." not in render(tokenizer, {"messages": own}, wanted).text
    assert "Be kind." in render(tokenizer, {"prompt": "a", "completion": "b"}, wanted).text
    assert "Be kind." in render_prompt(tokenizer, "a", wanted)[0]


def test_prompt_and_completion_become_a_chat_where_the_model_has_a_template(tokenizer):
    strings = render(tokenizer, {"prompt": "the city", "completion": "of"}, preset())
    messages = render(tokenizer, {"prompt": [{"role": "user", "content": "the city"}],
                                  "completion": [{"role": "assistant", "content": "of"}]}, preset())
    assert strings == messages
    assert spans(strings) == ["of<|im_end|>"]


def test_earlier_answers_in_the_prompt_are_not_learned(tokenizer):
    row = {"prompt": TWO_TURNS[:3], "completion": TWO_TURNS[3:]}
    for template in (CHATML, TAGGED):
        tokenizer.chat_template = template
        assert spans(render(tokenizer, row, preset())) == ["The 2nd — naïve 😀 answer<|im_end|>"]


def test_a_question_shows_the_tools_that_the_training_showed(tokenizer):
    tokenizer.chat_template = "{% if tools %}{{ tools[0].name }} {% endif %}" + CHATML
    trained = render(tokenizer, {"messages": TWO_TURNS[:2], "tools": [{"name": "weigh"}]}, preset())
    text, _ = render_prompt(tokenizer, TWO_TURNS[:1], preset(), [{"name": "weigh"}])
    assert text.startswith("weigh ") and trained.text.startswith(text)


def test_without_a_template_prompt_and_completion_stay_plain(tokenizer):
    tokenizer.chat_template = None
    rendered = render(tokenizer, {"prompt": "question: a\n", "completion": "answer"}, preset())
    assert rendered.text == "question: a\nanswer<|im_end|>"
    assert learned(tokenizer, rendered) == "answer<|im_end|>"
    _, ids = render_prompt(tokenizer, "question: a\n", preset())
    assert rendered.input_ids[:len(ids)] == ids
    lead, wanted = render_answer(tokenizer, "question: a\n", "answer", preset())
    assert (lead, tokenizer.decode(wanted)) == ([], "answer") and rendered.input_ids == ids + wanted + [
        tokenizer.eos_token_id]


def test_plain_text_is_learned_whole_with_its_end(tokenizer):
    rendered = render(tokenizer, {"text": "the city of é 😀"}, preset())
    assert rendered.text == "the city of é 😀<|im_end|>"
    assert rendered.labels == rendered.input_ids
    assert rendered.input_ids[-1] == tokenizer.eos_token_id
    already = render(tokenizer, {"text": "the city<|im_end|>"}, preset())
    assert already.input_ids.count(tokenizer.eos_token_id) == 1


def test_a_tokenizer_that_adds_its_own_specials_gets_each_once(tokenizer):
    from tokenizers.processors import TemplateProcessing
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", start), ("<|im_end|>", end)])
    tokenizer.chat_template = None
    rendered = render(tokenizer, {"prompt": "the city", "completion": " of"}, preset())
    assert [rendered.input_ids.count(token) for token in (start, end)] == [1, 1]
    assert learned(tokenizer, rendered) == " of<|im_end|>"
    _, prompt = render_prompt(tokenizer, "the city", preset())
    assert rendered.input_ids[:len(prompt)] == prompt
    assert prompt + render_answer(tokenizer, "the city", " of", preset())[1] == rendered.input_ids[:-1]


def test_long_rows_are_cut_at_the_end(tokenizer):
    whole = render(tokenizer, {"messages": TWO_TURNS}, preset())
    cut = render(tokenizer, {"messages": TWO_TURNS}, preset(training={"max_length": 30}))
    assert cut.truncated and not whole.truncated
    assert (len(cut.input_ids), cut.length) == (30, whole.length)
    assert cut.input_ids == whole.input_ids[:30] and cut.labels == whole.labels[:30]
    assert whole.cut_at == len(whole.text)
    assert tokenizer.decode(cut.input_ids) == whole.text[:cut.cut_at]


def test_the_pieces_of_a_row_say_what_is_learned_and_what_is_cut(tokenizer):
    tokenizer.chat_template = CHATML
    row = {"messages": [{"role": "user", "content": "the city"}, {"role": "assistant", "content": "of what"}]}
    whole = in_pieces(render(tokenizer, row, preset()))
    assert [(part["text"], part["trained"], part["cut"]) for part in whole["segments"]] == [
        ("<|im_start|>user\nthe city<|im_end|>\n<|im_start|>assistant\n", False, False),
        ("of what<|im_end|>", True, False), ("\n", False, False)]
    assert 0 < whole["trained_tokens"] < whole["tokens"] and not whole["truncated"]
    row["messages"][1]["content"] = "a " * 90
    cut = in_pieces(render(tokenizer, row, preset(training={"max_length": 60})))
    assert [(part["trained"], part["cut"]) for part in cut["segments"]] == [
        (False, False), (True, False), (False, True), (False, True)]
    assert cut["truncated"] and cut["tokens"] > 60
    row["messages"][0]["content"] = "a " * 90
    unlearned = in_pieces(render(tokenizer, row, preset(training={"max_length": 60})))
    assert not any(part["trained"] for part in unlearned["segments"])


def test_a_row_cut_before_its_answer_has_nothing_to_learn(tokenizer):
    rendered = render(tokenizer, {"messages": TWO_TURNS[:2]}, preset(training={"max_length": 16}))
    assert rendered.trained_tokens == 0


def test_many_rows_give_what_one_gives_in_the_same_order(tokenizer):
    tokenizer.chat_template = CHATML
    rows = [{"messages": TWO_TURNS}, {"text": "the city"}, {"prompt": "a", "completion": "b"}] * 3
    assert render_rows(tokenizer, rows, preset()) == [render(tokenizer, row, preset()) for row in rows]


def test_a_refused_chat_names_row_and_reason(tokenizer):
    tokenizer.chat_template, tokenizer.eos_token = MISTRAL, "</s>"
    rows = [{"messages": TWO_TURNS}, {"messages": [TWO_TURNS[0], *TWO_TURNS]}]
    with pytest.raises(DataError, match=r"Row 2: .*Roles must alternate"):
        render_rows(tokenizer, rows, preset())
    whole, refused = render_each(tokenizer, rows, preset())
    assert whole.trained_tokens > 0
    assert "Roles must alternate" in refused.message


@pytest.mark.parametrize("odd", [{"tool_calls": [{}]}, {"weight": 0}, {"name": "x"}])
def test_a_template_may_stumble_over_what_stands_in_one_row(tokenizer, odd):
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{{ m.tool_calls[0].function.name if m.tool_calls }}"
        "{{ 1 // m.weight if m.weight is defined }}{{ dict(m.name) if m.name is defined }}{% endfor %}")
    rows = [{"messages": TWO_TURNS}, {"messages": [TWO_TURNS[0], TWO_TURNS[1] | odd]}, {"messages": TWO_TURNS},
            {"messages": TWO_TURNS, "tools": [5]}]
    whole, refused, again, no_tools = render_each(tokenizer, rows, preset(method={"assistant_only_loss": False}))
    assert whole.text == again.text
    assert "the model's chat template refuses the chat" in refused.message and refused.hint
    assert "refuses the chat" in no_tools.message


def test_a_turn_that_the_template_hides_is_an_error_not_a_guess(tokenizer):
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] | upper + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '>>' }}{% endif %}")
    with pytest.raises(DataError, match="rewrites turn 2"):
        render(tokenizer, {"messages": TWO_TURNS}, preset())


def test_the_quickstart_model_learns_each_recipe_answer_and_nothing_else(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path_factory.mktemp("studio"))})
    wanted = Preset()
    tokenizer = load_tokenizer(locate(wanted.model, settings, weights=False).folder, wanted.model)
    prepared = prepare(wanted, settings)
    train, heldout = prepared.train, prepared.heldout
    rows = train + heldout
    rendered = render_rows(tokenizer, rows, wanted)
    for row, read in zip(rows, rendered, strict=True):
        question, answer = split_answer(row)
        _, prompt = render_prompt(tokenizer, question, wanted)
        assert learned(tokenizer, read) == f"{answer}<|im_end|>"
        assert read.input_ids[:len(prompt)] == prompt and read.labels[:len(prompt)] == [IGNORED] * len(prompt)
    assert max(read.length for read in rendered) < 110
    assert len(tokenizer("2026")["input_ids"]) == 4, "SmolLM2 splits numbers into digits"


def test_chats_need_a_template(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match="no chat template"):
        render(tokenizer, {"messages": TWO_TURNS}, preset())
