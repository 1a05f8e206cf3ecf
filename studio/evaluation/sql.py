"""SQL answers are judged by what they find: wanted and given query run on the same small databases in memory.

A schema seldom comes with rows, so that every query would find nothing: empty tables are filled at random, with the
values that the wanted query asks for among the others (the idea of test-suite accuracy, Zhong et al. 2020,
arXiv:2010.02840). Queries are hostile: they read only, may call plain functions only, and end after a number of steps.
"""

import random
import re
import sqlite3
import time
from collections import Counter
from typing import Any

import regex

from studio.evaluation.ways import Question

DATABASES, FILLED_ROWS = 5, 15
STEPS_A_CALL, MAX_CALLS, SECONDS = 100, 10_000, 2.0
MAX_FOUND, MAX_FOUND_SIZE = 2000, 1_000_000
LIMITS = {sqlite3.SQLITE_LIMIT_LENGTH: 20_000, sqlite3.SQLITE_LIMIT_SQL_LENGTH: 200_000,
          sqlite3.SQLITE_LIMIT_COLUMN: 100,
          sqlite3.SQLITE_LIMIT_ATTACHED: 0, sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
          sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100, sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0}
FUNCTIONS = frozenset((
    "abs", "avg", "coalesce", "count", "date", "datetime", "dense_rank", "first_value", "group_concat", "ifnull", "iif",
    "instr", "julianday", "lag", "last_value", "lead", "length", "like", "lower", "ltrim", "max", "min", "nullif",
    "ntile", "rank", "replace", "round", "row_number", "rtrim", "sign", "strftime", "substr", "substring", "sum",
    "time", "total", "trim", "typeof", "upper"))
READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
BUILDING = READING | {sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_INSERT,
                      sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_REINDEX, sqlite3.SQLITE_TRANSACTION}
TABLE = re.compile(r"\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?[^\s(]+\s*\(", re.IGNORECASE)
FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
# possessive, and within the line: many empty lines would be gone through again from each of them
QUERY = re.compile(r"^[^\S\n]*+(?:SELECT|WITH)\b", re.IGNORECASE | re.MULTILINE)
LITERAL = re.compile(r"'((?:[^']|'')*)'|\"([^\"]*)\"|(?<![\w.])(-?\d+(?:\.\d+)?)")
WORDS = ("alpha", "beta", "gamma", "delta", "2020-01-15", "2021-06-30", "7")
ERRORS = (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, MemoryError)

Found = list[tuple[Any, ...]]


def tables_in(question: Question) -> str:
    """The CREATE TABLE statements that stand in a question or its system message, "" where there are none."""
    text = question if isinstance(question, str) else "\n".join(str(turn["content"]) for turn in question)
    statements, position = [], 0
    while (found := TABLE.search(text, position)) is not None:
        end = _closing(text, found.end())
        if end is None:
            break
        statements.append(text[found.start():end])
        position = end
    return ";\n".join(statements)


def are_queries(expected: list[str]) -> bool:
    """Whether every wanted answer begins as a query does."""
    return all(QUERY.match(_query(text)) for text in expected)


def all_run(expected: list[str], tables: tuple[str, ...]) -> bool:
    """Whether each wanted query runs on its tables."""
    return all(schema and sql_scores([], wanted, schema) is not None
               for wanted, schema in zip(expected, tables, strict=True))


def sql_scores(answers: list[str], wanted: str, schema: str) -> list[float] | None:
    """1 for each answer that finds what the wanted query finds, on every one of the databases; None if that fails.

    The order of the rows counts where the wanted query has ORDER BY; names of columns do not count.
    """
    ordered = re.search(r"\border\s+by\b", wanted, re.IGNORECASE) is not None
    same = [True] * len(answers)
    for seed in range(DATABASES):
        try:
            database = _database(schema, wanted, seed)
            found = _run(database, wanted)
        except ERRORS:
            return None
        for i, answer in enumerate(answers):
            same[i] = same[i] and _finds(database, answer, found, ordered)
        database.close()
    return [float(hit) for hit in same]


def _finds(database: sqlite3.Connection, answer: str, wanted: Found, ordered: bool) -> bool:
    try:
        found = _run(database, answer)
    except ERRORS:
        return False
    return found == wanted if ordered else Counter(found) == Counter(wanted)


def _database(schema: str, wanted: str, seed: int) -> sqlite3.Connection:
    """A database with the schema's tables, those without rows filled; from then on it can only be read."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    for limit, most in LIMITS.items():
        database.setlimit(limit, most)
    for arguments in (2, 3):
        database.create_function("like", arguments, _like, deterministic=True)
    _restrict(database, BUILDING)
    _limit_steps(database)
    database.executescript(schema)
    database.set_progress_handler(None, 0)
    database.set_authorizer(None)
    _fill(database, wanted, random.Random(seed))
    _restrict(database, READING)
    return database


def _restrict(database: sqlite3.Connection, allowed: frozenset[int]) -> None:
    def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        is_plain = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS
        return sqlite3.SQLITE_OK if action in allowed or is_plain else sqlite3.SQLITE_DENY

    database.set_authorizer(authorise)


def _run(database: sqlite3.Connection, answer: str) -> Found:
    """What a query finds. Raises one of `ERRORS` where it does not run, takes too long or finds too much."""
    _limit_steps(database)
    found, size = [], 0
    for row in database.execute(_query(answer)):
        size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
        if len(found) == MAX_FOUND or size > MAX_FOUND_SIZE:
            raise sqlite3.DataError("finds too much")
        found.append(tuple(round(value, 6) if isinstance(value, float) else value for value in row))
    return found


def _limit_steps(database: sqlite3.Connection) -> None:
    """End the next statements after so many steps of SQLite's machine, or seconds of processor time, under any load."""
    calls, ends = 0, time.thread_time() + SECONDS

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > MAX_CALLS or time.thread_time() > ends

    database.set_progress_handler(stop, STEPS_A_CALL)


def _query(answer: str) -> str:
    """The query of an answer: that of the first code block, or from the first line that begins one."""
    if (fenced := FENCED.search(answer)) is not None:
        answer = fenced[1]
    found = QUERY.search(answer)
    return answer[found.start():].strip() if found is not None else answer.strip()


def _fill(database: sqlite3.Connection, wanted: str, drawn: random.Random) -> None:
    texts, numbers = _literals(wanted)
    names = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in names:
        table = f'"{name.replace(chr(34), chr(34) * 2)}"'
        if database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:
            continue
        columns = database.execute(f"PRAGMA table_info({table})").fetchall()
        for _ in range(FILLED_ROWS):
            row = [_value(str(kind), bool(required or key), texts, numbers, drawn)
                   for _, _, kind, required, _, key in columns]
            database.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def _value(kind: str, required: bool, texts: list[str], numbers: list[float], drawn: random.Random) -> Any:
    if not required and drawn.random() < 0.05:
        return None
    kind = kind.upper()
    if "INT" in kind or "BOOL" in kind:
        return drawn.choice([*range(8), *[int(number) for number in numbers]])
    if any(word in kind for word in ("REAL", "FLOA", "DOUB", "NUM", "DEC")):
        return drawn.choice([0.5, 1.0, 2.0, 3.5, 7.0, *numbers])
    return drawn.choice([*WORDS, *texts, *[f"{number:g}" for number in numbers]])


def _literals(query: str) -> tuple[list[str], list[float]]:
    """Texts and numbers a query asks for, each often enough to be drawn, with near misses of the numbers."""
    texts, numbers = [], []
    for single, double, number in LITERAL.findall(query):
        if number:
            numbers += [float(number) - 1, float(number), float(number), float(number) + 1]
        elif single or double:
            text = (single or double).replace("''", "'")
            # what meets a LIKE pattern, barely and amply
            texts += [text.replace("%", filler).replace("_", "x") for filler in ("", "", "zz", "zz")]
    return texts, [number for number in numbers if abs(number) < 2**53]


def _like(pattern: Any, text: Any, escape: str = "") -> bool | None:
    """SQLite's own LIKE takes exponential time on some patterns, and nothing could end it."""
    if pattern is None or text is None:
        return None
    form, characters = "", iter(str(pattern))
    for character in characters:
        if character == escape:
            form += re.escape(next(characters, ""))
        else:
            form += {"%": ".*", "_": "."}.get(character, re.escape(character))
    return regex.fullmatch(form, str(text), regex.IGNORECASE | regex.DOTALL, timeout=0.1) is not None


def _closing(text: str, position: int) -> int | None:
    """Where the bracket that was opened before `position` has closed; None where it stays open."""
    depth = 1
    for found in re.finditer(r"[()]", text[position:]):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return position + found.end()
    return None
