"""The language mix of a data set, from short chat rows to rows that are no language at all."""

import json
from itertools import pairwise

from studio.data import doctor, languages
from studio.preset.schema import DataSection
from studio.settings import Settings
from tests.seconds import least_seconds

ROWS = {
    "en": ["I forgot my login, please help me get back into my account.", "What should I cook with rice and beans?"],
    "de": ["Ich habe meine Zugangsdaten vergessen, bitte helfen Sie mir.", "Was koche ich heute mit Reis und Bohnen?"],
    "fr": ["J'ai oublié mes identifiants, aidez-moi à retrouver mon compte.", "Que cuisiner avec du riz ce soir ?"],
    "es": ["Olvidé mi usuario, ayúdame a recuperar mi cuenta.", "¿Qué cocino esta noche con arroz y frijoles?"],
    "pl": ["Zapomniałem loginu, proszę pomóż mi odzyskać konto.", "Co ugotować dziś wieczorem z ryżem i fasolą?"],
    "tr": ["Giriş bilgilerimi unuttum, lütfen hesabıma dönmeme yardım et.", "Bu akşam pirinç ile ne pişirmeliyim?"],
    "ru": ["Я забыл логин, помогите мне вернуться в аккаунт.", "Что приготовить сегодня вечером из риса и фасоли?"],
    "zh": ["我忘记了登录信息，请帮我找回账户。", "今晚用米饭和豆子做什么菜？"],
    "ja": ["ログイン情報を忘れました。助けてください。", "今夜は米と豆で何を作ればいいですか？"],
    "ar": ["نسيت بيانات الدخول، ساعدني من فضلك.", "ماذا أطبخ الليلة بالأرز والفول؟"],
}


def test_short_rows_of_ten_languages_are_told_apart():
    found = languages.mix([text for texts in ROWS.values() for text in texts])
    assert found == dict.fromkeys(ROWS, 2)


def test_the_most_frequent_comes_first():
    assert list(languages.mix(ROWS["de"] + ROWS["en"][:1])) == ["de", "en"]


def test_what_is_too_short_or_no_language_is_said_to_be_unknown():
    odd = ["ok", "12345", "POSITIVE", "A", "", "👍👍", "print('hello')", "def f(x): return x + 1", '{"a": 1}', "\0\0",
           "<div class='a'><p></p></div>", "for (int i=0;i<n;i++) { sum += a[i]; }", "https://example.com/a?b=c"]
    assert languages.mix(odd) == {"und": len(odd)}


def test_no_rows_no_languages():
    assert languages.mix([]) == {}


def test_half_a_character_is_no_obstacle():
    assert languages.mix([ROWS["en"][0] + "\ud800"]) == {"en": 1}


def test_a_sample_is_spread_over_the_whole_stream_and_bounded():
    sample = languages.Sample()
    for number in range(100_000):
        sample.add(f"row {number}")
    numbers = [int(text.split()[1]) for text in sample.texts]
    assert languages.SAMPLE_ROWS / 2 <= len(numbers) < languages.SAMPLE_ROWS
    steps = {b - a for a, b in pairwise(numbers)}
    assert len(steps) == 1, "evenly spaced"
    assert numbers[0] == 0 and numbers[-1] > 99_000


def test_a_small_set_is_looked_at_whole():
    sample = languages.Sample()
    for number in range(120):
        sample.add(str(number))
    assert len(sample.texts) == 120


def test_a_full_sample_is_judged_in_well_under_half_a_second():
    text = "It is hard to say which of these languages is the longest, but this row is long. " * 100
    languages.mix([text])  # the model is loaded once
    assert least_seconds(lambda: languages.mix([text] * languages.SAMPLE_ROWS), below=0.4) < 0.4


def test_the_doctor_counts_languages_of_what_is_said_and_not_of_the_shared_system_prompt(tmp_path):
    system = {"role": "system", "content": "You are a helpful assistant who answers questions about accounts. " * 8}
    turns = [[system, {"role": "user", "content": text}, {"role": "assistant", "content": "12"}] for text in ROWS["de"]]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": turn}) + "\n" for turn in turns))
    report = doctor.examine(DataSection(dataset_name=str(path)), Settings(data_dir=tmp_path))
    assert report.as_json()["languages"] == {"de": 2}
