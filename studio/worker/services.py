"""Rows answered by another model behind its address, and pairs of answers judged by one.

A service that fails costs its own part only: that is said as a warning, and what it answered before is kept. The
report may be published, so it tells no service's address and none of its words.
"""

from collections.abc import Callable
from typing import Any

from studio import words
from studio.errors import EndpointError
from studio.evaluation import judge
from studio.evaluation.answers import Answer, AnswerFile, answer_key
from studio.evaluation.endpoint import ENDPOINT_KEY, JUDGE_KEY, Chat, Reply, Service, ask_all, key_for
from studio.evaluation.judge import Pair
from studio.evaluation.report import WayAnswers
from studio.evaluation.summary import way_name
from studio.evaluation.ways import ENDPOINT, Example, build_prompt
from studio.worker.phase import Phase

JUDGED = "judge"
TOLD = {ENDPOINT: "The other service", JUDGED: "The judge"}


def answer_by_endpoint(phase: Phase, tokenizer: Any, rows: list[Example], answers: AnswerFile) -> WayAnswers | None:
    """What the other model answers to the rows, None where it could not answer all of them.

    Tokens that the service does not count are counted with the run's own tokenizer.
    """
    evaluation = phase.preset.evaluation
    key = key_for(ENDPOINT_KEY, evaluation.endpoint_url)
    service = Service(evaluation.endpoint_url, evaluation.endpoint_model, key, evaluation.requests_at_once,
                      evaluation.request_timeout_s)
    asked = _Asked(phase, service, answers, ENDPOINT, "answers", f"{service.host} answers")
    name = way_name(ENDPOINT)
    if any(row.tools for row in rows):
        phase.note(f"{service.host} is asked without the tools that the rows name.",
                   f"{name}: asked without the tools that the rows name.")
    chats = [_chat(phase, row) for row in rows]
    given = asked.ask(chats, evaluation.max_new_tokens, lambda chat, reply: _answer(tokenizer, chat, reply))
    if given is None:
        return None
    silent = sum(not answer.text for answer in given)
    if silent:
        count = f"{words.count(silent)} of {words.count(len(rows))} rows"
        phase.note(f"{service.host} answered nothing to {count}{asked.refusal}; they count as they are.",
                   f"{name}: no answer to {count}, which count as they are; the run's log says why.")
    return WayAnswers(given, [0] * len(rows))


def note_service_left_out(phase: Phase) -> None:
    """Say that the other service, where one is named, is not asked because perplexity decides."""
    if phase.preset.evaluation.endpoint_url:
        phase.note(f"{way_name(ENDPOINT)} is left out of the comparison: it does not tell how likely it finds a wanted "
                   "answer, so that it has no perplexity.")


def judge_pairs(phase: Phase, pairs: list[Pair], answers: AnswerFile) -> dict[str, Any] | None:
    """The report's `judge`, None where the judge could not be asked. Pairs of equal answers are ties unasked."""
    preset, evaluation = phase.preset, phase.preset.evaluation
    key = key_for(JUDGE_KEY, evaluation.judge_url)
    service = Service(evaluation.judge_url, evaluation.judge_model, key, evaluation.requests_at_once,
                      evaluation.request_timeout_s)
    asked = _Asked(phase, service, answers, JUDGED, "verdicts", f"{service.host} judges")
    unequal = [i for i, pair in enumerate(pairs) if pair.tuned != pair.other]
    chats = [chat for i in unequal for chat in judge.judge_chats(pairs[i], preset.plan.good_answer)]
    given = asked.ask(
        chats, judge.MAX_NEW_TOKENS,
        lambda chat, reply: Answer(reply.text, reply.prompt_tokens or 0, reply.tokens or 0, reply.seconds, reply.cut),
        lambda answer: judge.read_verdict(answer.text) is not None)
    if given is None:
        return None
    read = [judge.read_verdict(answer.text) for answer in given]
    verdicts: list[tuple[str | None, str | None]] = [(judge.TIE, judge.TIE)] * len(pairs)
    for i, both in zip(unequal, zip(read[::2], read[1::2], strict=True), strict=True):
        verdicts[i] = both
    report = judge.judge_report(verdicts, service.model, evaluation.judge_against)
    if report["unclear"]:
        phase.journal.warning(
            f"The judge {service.model} did not answer in form on {words.count(report['unclear'])} of "
            f"{words.count(len(pairs))} pairs{asked.refusal}; they are left out.")
    return report


class _Asked:
    """A service and what it answered before; `refusal` is why it refused rows, " (...)" or ""."""

    def __init__(self, phase: Phase, service: Service, answers: AnswerFile, way: str, unit: str, doing: str):
        self._phase, self._service, self._answers, self._way = phase, service, answers, way
        self._unit, self._doing = unit, doing
        self.refusal = ""

    def ask(self, chats: list[Chat], max_tokens: int, as_answer: Callable[[Chat, Reply], Answer],
            in_form: Callable[[Answer], bool] = lambda answer: True) -> list[Answer] | None:
        """The answers to all chats, None where the service failed; rows it refused have an empty one.

        A refusal and an answer not in form are not kept, so that they are asked again another time.
        """
        mark = f"{self._service.url} {self._service.model}"
        keys = [answer_key(mark, chat, max_tokens) for chat in chats]
        self._answers.take_over(self._phase.settings.runs_dir.glob("*/answers.jsonl"), dict.fromkeys(keys, self._way))
        given = {i: answer for i, key in enumerate(keys) if (answer := self._answers.find(key)) and in_form(answer)}
        missing = [i for i in range(len(chats)) if i not in given]
        refused: dict[int, Answer] = {}
        self._say(len(given), len(chats))
        try:
            for position, reply in ask_all(self._service, [chats[i] for i in missing], max_tokens, bool(given)):
                i = missing[position]
                answer = as_answer(chats[i], reply)
                if reply.refused:
                    refused[i], self.refusal = answer, f" ({reply.refused})"
                else:
                    given[i] = answer
                    if in_form(answer):
                        self._answers.add({keys[i]: answer}, self._way)
                self._say(len(given) + len(refused), len(chats))
        except EndpointError as error:
            kept = f" It gave {words.count(len(given))} of {words.count(len(chats))} {self._unit}." if given else ""
            self._phase.note(f"{error.message}{kept} {error.hint} The comparison goes on without it.", (
                f"{TOLD[self._way]} is left out: it gave {words.count(len(given))} of {words.count(len(chats))} "
                f"{self._unit}. The run's log says why."))
            return None
        said = given | refused
        return [said[i] for i in range(len(chats))]

    def _say(self, done: int, total: int) -> None:
        self._phase.journal.progress(self._phase.name, done, total, self._unit, self._doing)


def _chat(phase: Phase, row: Example) -> Chat:
    """The row's question as the other model gets it: with the system prompt that the base model gets too."""
    preset = phase.preset
    messages = build_prompt(ENDPOINT, row.question, [], preset.evaluation.base_system_prompt, as_chat=True)
    if preset.data.system_prompt and not any(message["role"] in ("system", "developer") for message in messages):
        return [{"role": "system", "content": preset.data.system_prompt}, *messages]
    return messages


def mean_tokens(tokenizer: Any, texts: list[str]) -> float:
    """Tokens of a text on average."""
    return round(sum(_counted(tokenizer, text) for text in texts) / len(texts), 1)


def _counted(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _answer(tokenizer: Any, chat: Chat, reply: Reply) -> Answer:
    asked, tokens = reply.prompt_tokens, reply.tokens
    if asked is None:
        asked = _counted(tokenizer, "\n".join(str(message["content"]) for message in chat))
    return Answer(reply.text, asked, _counted(tokenizer, reply.text) if tokens is None else tokens, reply.seconds,
                  reply.cut)
