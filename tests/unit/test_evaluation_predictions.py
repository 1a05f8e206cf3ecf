"""The answers row by row: the right rows, only those that are read, and damage that hides no other row."""

import json

import pytest

from studio.evaluation.predictions import Order, Turnout, file_mark, read_page


@pytest.fixture
def path(tmp_path):
    """Row i is won by the tuned model where i % 3 is 0, lost where it is 1, and even, both right, where it is 2."""
    file = tmp_path / "predictions.jsonl"
    rows = [{"prompt": f"question {i}", "expected": "ja", "base": "Ne" if i % 3 == 0 else "ja", "few_shot": "ja",
             "tuned": "ne" if i % 3 == 1 else "Да, ja", "base_score": float(i % 3 != 0), "few_shot_score": 1.0,
             "tuned_score": float(i % 3 != 1)} for i in range(25)]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def numbers(page):
    return [row.number for row in page.rows]


def test_pages_hold_all_rows_in_order(path):
    pages = [read_page(path, "", Turnout.ALL, number, 10) for number in (1, 2, 3)]
    assert [number for page in pages for number in numbers(page)] == list(range(1, 26))
    assert (pages[0].found, pages[0].total, pages[0].pages, pages[0].damaged) == (25, 25, 3, 0)
    row = pages[0].rows[0]
    assert (row.prompt, row.expected, row.turnout) == ("question 0", "ja", Turnout.BETTER)
    assert row.answers == [("base", "Ne", 0.0), ("few_shot", "ja", 1.0), ("tuned", "Да, ja", 1.0)]


@pytest.mark.parametrize(("asked", "shown"), [(0, 1), (-5, 1), (99, 3), (2, 2)])
def test_a_page_that_is_not_there_is_the_nearest_one(path, asked, shown):
    assert read_page(path, "", Turnout.ALL, asked, 10).page == shown


@pytest.mark.parametrize(("turnout", "rest"), [("better", {0}), ("worse", {1}), ("same", {2}), ("wrong", {0, 1})])
def test_each_filter_keeps_its_rows(path, turnout, rest):
    page = read_page(path, "", Turnout(turnout), 1, 100)
    assert {(number - 1) % 3 for number in numbers(page)} == rest
    assert page.found == len(page.rows) and page.total == 25


@pytest.mark.parametrize(("search", "found"), [
    ("QUESTION 7", [8]), ("  question   7 ", [8]), ("да", None), ("nothing like it", []), ('"prompt"', []), (".*", []),
    ("base_score", [])])
def test_search_reads_questions_and_answers_in_any_case(path, search, found):
    page = read_page(path, search, Turnout.ALL, 1, 100)
    assert numbers(page) == found if found is not None else page.found == 17
    assert page.pages == 1


def test_search_and_filter_work_together(path):
    assert numbers(read_page(path, "question 1", Turnout.WORSE, 1, 100)) == [2, 11, 14, 17, 20]


def test_what_is_torn_or_of_another_form_is_left_out_and_counted(path):
    lines = path.read_text().splitlines(keepends=True)
    lines[1:3] = ["{\"prompt\": \"question\n", "[1]\n", "7\n", '{"prompt": "p", "expected": "e"}\n', "\n",
                  lines[1].replace('"ne"', "5"), lines[2].replace("1.0", '"x"')]
    path.write_text("".join(lines) + lines[0][:30])
    page = read_page(path, "", Turnout.ALL, 1, 10)
    assert (page.total, page.damaged) == (23, 8)
    assert numbers(page)[:2] == [1, 9], "rows keep the number of their line"


def test_a_file_that_is_written_anew_is_read_anew(path):
    before = file_mark(path)
    assert read_page(path, "", Turnout.ALL, 1, 10).total == 25
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert file_mark(path) != before
    assert read_page(path, "", Turnout.ALL, 3, 10).total == 1


def test_an_empty_file_has_no_rows_and_a_missing_one_no_mark(path):
    path.write_text("")
    page = read_page(path, "a", Turnout.WRONG, 4, 10)
    assert (page.rows, page.found, page.page, page.pages) == ([], 0, 1, 1)
    path.unlink()
    assert file_mark(path) == ""
    with pytest.raises(FileNotFoundError):
        read_page(path, "", Turnout.ALL, 1, 10)


@pytest.mark.parametrize(("order", "first", "last", "rival"), [
    (Order.FILE, [1, 2, 3], 25, ""), (Order.GAIN, [1, 4, 7], 23, "base"), (Order.LOSS, [2, 5, 8], 25, "base"),
    (Order.GAIN_ON_BEST, [1, 3, 4], 23, "few_shot"), (Order.LOSS_ON_BEST, [2, 5, 8], 25, "few_shot")])
def test_rows_are_sorted_by_gain_and_stay_in_order_where_it_is_equal(path, order, first, last, rival):
    pages = [read_page(path, "", Turnout.ALL, number, 10, order) for number in (1, 2, 3)]
    shown = [number for page in pages for number in numbers(page)]
    assert shown[:3] == first and shown[-1] == last and sorted(shown) == list(range(1, 26))
    assert {page.rival for page in pages} == {rival}


def test_order_search_and_filter_work_together(path):
    page = read_page(path, "question 1", Turnout.WRONG, 1, 3, Order.LOSS)
    assert numbers(page) == [2, 11, 14] and (page.found, page.pages) == (8, 3)
