"""SQL answers are judged by what they find, and nothing they hold does harm."""

import tracemalloc

import pytest

from studio.evaluation.sql import all_run, are_queries, sql_scores, tables_in
from tests.seconds import least_seconds

SCHEMA = ("CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER, country VARCHAR(20));"
          "CREATE TABLE song (singer_id INTEGER, title TEXT, sales REAL)")


def score(answer, wanted, schema=SCHEMA):
    return sql_scores([answer], wanted, schema)[0]


@pytest.mark.parametrize(("answer", "wanted"), [
    ("select NAME from Singer where age>30;", "SELECT name FROM singer WHERE age > 30"),
    ("SELECT name FROM singer WHERE NOT age <= 30", "SELECT name FROM singer WHERE age > 30"),
    ("Sure:\n```sql\nSELECT count(id) FROM singer\n```\nDone.", "SELECT count(*) FROM singer"),
    ("The query is\nSELECT max(age) FROM singer", "SELECT age FROM singer WHERE age > 0 ORDER BY age DESC LIMIT 1"),
    ("SELECT DISTINCT country FROM singer", "SELECT country FROM singer GROUP BY country"),
    ("SELECT name FROM singer WHERE country LIKE 'france'", "SELECT name FROM singer WHERE country = 'France'"),
    ("SELECT name FROM singer s JOIN song t ON s.id = t.singer_id",
     "SELECT name FROM song, singer WHERE singer.id = singer_id"),
])
def test_a_query_that_finds_the_same_is_right_however_it_is_written(answer, wanted):
    assert score(answer, wanted) == 1


@pytest.mark.parametrize(("answer", "wanted"), [
    ("SELECT name FROM singer", "SELECT name FROM singer WHERE age > 30"),
    ("SELECT name FROM singer WHERE age >= 30", "SELECT name FROM singer WHERE age > 30"),
    ("SELECT name FROM singer WHERE age > 31", "SELECT name FROM singer WHERE age > 30"),
    ("SELECT name FROM singer WHERE country = 'Spain'", "SELECT name FROM singer WHERE country = 'France'"),
    ("SELECT title FROM song WHERE title LIKE 'love%'", "SELECT title FROM song WHERE title LIKE '%love%'"),
    ("SELECT name, age FROM singer ORDER BY age", "SELECT name, age FROM singer ORDER BY age DESC"),
    ("SELECT sum(sales) FROM song", "SELECT avg(sales) FROM song"),
    ("SELECT country FROM singer", "SELECT DISTINCT country FROM singer"),
    ("", "SELECT name FROM singer"), ("I cannot write SQL.", "SELECT name FROM singer"),
    ("SELECT nothing FROM singer", "SELECT name FROM singer"),
])
def test_a_query_that_finds_something_else_is_wrong(answer, wanted):
    """The tables have no rows of their own: on empty ones each of these would find the same, nothing."""
    assert score(answer, wanted) == 0


def test_rows_of_the_schema_are_kept():
    schema = "CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (5), (6)"
    assert score("SELECT 11", "SELECT sum(x) FROM t", schema) == 1


@pytest.mark.parametrize("answer", [
    "ATTACH DATABASE '/etc/passwd' AS p", "PRAGMA writable_schema = 1", "DELETE FROM singer", "DROP TABLE singer",
    "SELECT load_extension('x')", "SELECT writefile('x', 'y')", "SELECT readfile('/etc/passwd')",
    "SELECT randomblob(9)", "SELECT * FROM pragma_database_list", "SELECT name FROM singer; DELETE FROM singer",
    "INSERT INTO singer VALUES (1)",
    "SELECT zeroblob(1000000000)", "SELECT printf('%1000000000d', 1)", "VACUUM INTO '/tmp/x'", "SELECT \ud800",
    "SELECT '" + "a" * 300_000 + "'", "SELECT " + "(" * 500 + "1" + ")" * 500,
])
def test_what_does_more_than_read_is_wrong_and_changes_nothing(answer):
    wanted = "SELECT count(*) FROM singer"
    assert sql_scores([answer, wanted], wanted, SCHEMA) == [0, 1]


@pytest.mark.parametrize("answer", [
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
    "SELECT count(*) FROM song a, song b, song c, song d, song e, song f, song g, song h",
    "SELECT replace(replace(replace('" + "a" * 9000 + "', 'a', 'aa'), 'a', 'aa'), 'a', 'aa')",
    "SELECT '" + "a" * 9000 + "' LIKE '" + "%a" * 30 + "b'",
])
def test_a_query_without_an_end_is_stopped(answer):
    def stopped():
        assert score(answer, "SELECT name FROM singer") == 0

    assert least_seconds(stopped, below=8) < 8


@pytest.mark.parametrize(("columns", "rows", "most_bytes"), [(1000, 1, 2_000_000), (100, 15**3, 20_000_000)])
def test_a_query_that_finds_gigabytes_is_stopped_early(columns, rows, most_bytes):
    text = f"'{'a' * 9000}'"
    answer = (f"WITH k AS (SELECT replace({text}, 'a', 'bb') AS s) SELECT {', '.join(['s'] * columns)} "
              f"FROM k, song a, song b, song c LIMIT {rows}")
    tracemalloc.start()
    assert score(answer, "SELECT name FROM singer") == 0
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < most_bytes


def test_rows_are_found_up_to_a_number_of_them_and_a_size():
    schema = "CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('%s'), ('b')" % ("a" * 19_000)
    wide = "SELECT x, x, x, x FROM t a WHERE length(x) > 1"
    assert score(wide, wide, schema) == 1
    assert sql_scores([], "SELECT " + ", ".join(["x"] * 60) + " FROM t", schema) is None
    many = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < %s) SELECT x FROM c"
    assert score(many % 2000, many % 2000, schema) == 1
    assert sql_scores([], many % 2001, schema) is None


def test_a_wanted_query_that_does_not_run_judges_nothing():
    assert sql_scores(["SELECT 1"], "SELECT nobody FROM singer", SCHEMA) is None
    assert sql_scores(["SELECT 1"], "SELECT 1", "CREATE TABEL x") is None
    assert sql_scores([], "SELECT 1", "ATTACH ':memory:' AS other; CREATE TABLE t (x)") is None
    assert not all_run(["SELECT 1"], ("",)), "tables are needed"


def test_tables_are_found_in_the_question():
    chat = [{"role": "system", "content": f"Answer in SQL.\n{SCHEMA}\nOnly the query."},
            {"role": "user", "content": "CREATE TABLE broken (x"}]
    assert tables_in(chat) == SCHEMA.replace(";CREATE", ";\nCREATE")
    assert tables_in("create table if not exists t (a DECIMAL(3, 2), b) -- end") == (
        "create table if not exists t (a DECIMAL(3, 2), b)")
    assert tables_in("no tables") == ""


def test_queries_are_told_from_other_answers():
    assert are_queries(["SELECT 1", " with x as (select 1) select * from x"])
    assert not are_queries(["SELECT 1", "DELETE FROM t"])
    assert are_queries(["Here:\n\n \t select 1"])


def test_many_empty_lines_are_read_once():
    lines = ["x" + "\n" * 50_000 + "x"]
    assert not are_queries(lines)
    assert least_seconds(lambda: are_queries(lines), below=0.5) < 0.5
