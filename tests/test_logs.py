"""Log lines: one form for people, one for machines, and not by the thousand."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from monitor import logs
from monitor.logs import RateLimited


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    libraries = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
    root.setLevel(level)
    for name, old in libraries.items():
        logging.getLogger(name).setLevel(old)


class Ticker:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def lines(form: str, level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    logs.setup(level, form, stream)
    return stream


def test_text_lines_have_utc_time_level_name_message_and_fields() -> None:
    stream = lines("text")
    record = logging.makeLogRecord(
        {
            "name": "monitor.feed",
            "levelname": "INFO",
            "levelno": logging.INFO,
            "msg": "up %d",
            "args": (3,),
            "created": 1_791_278_880.1234,
            "market": "BTC",
        }
    )
    logging.getLogger().handle(record)
    assert stream.getvalue() == "2026-10-06T09:28:00.123Z INFO    monitor.feed: up 3 market=BTC\n"


def test_json_lines_are_one_object_each_with_fields_and_exception() -> None:
    stream = lines("json")
    logger = logging.getLogger("monitor.test")
    try:
        raise ValueError("broken\nbadly")
    except ValueError:
        logger.exception("it %s", "failed", extra={"market": "BTC", "level": "mine", "odd": {1}})
    only = stream.getvalue().splitlines()
    assert len(only) == 1
    document = json.loads(only[0])
    assert list(document)[:4] == ["time", "level", "logger", "message"]
    assert document["time"].endswith("Z")
    assert (document["level"], document["logger"]) == ("ERROR", "monitor.test")
    assert (document["message"], document["market"], document["odd"]) == ("it failed", "BTC", "{1}")
    assert "broken" in document["exception"]


def test_a_message_of_several_lines_cannot_pass_for_two_records() -> None:
    stream = lines("text")
    logging.getLogger("monitor").warning("one\ntwo")
    assert stream.getvalue().splitlines()[1].startswith("    two")


def test_libraries_are_held_at_warnings_and_we_at_the_level_asked_for() -> None:
    stream = lines("text", "debug")
    logging.getLogger("aiohttp.client").info("noise")
    logging.getLogger("monitor").debug("ours")
    assert "noise" not in stream.getvalue()
    assert "ours" in stream.getvalue()


def test_setting_up_again_replaces_the_former_output() -> None:
    first = lines("text")
    second = lines("json")
    logging.getLogger("monitor").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'text' or 'json'"):
        logs.setup("INFO", "xml")


def test_a_key_is_logged_at_once_then_rarely_with_a_count() -> None:
    stream, ticker = lines("text"), Ticker()
    limited = RateLimited(logging.getLogger("monitor"), 10.0, monotonic=ticker)
    told = []
    for second in range(25):
        ticker.seconds = float(second)
        told.append(limited.log(("price", "BTC"), logging.WARNING, "bad row of %s", "BTC"))
    assert [second for second, was in enumerate(told) if was] == [0, 10, 20]
    written = stream.getvalue().splitlines()
    assert written[0].endswith("bad row of BTC")
    assert written[1].endswith("bad row of BTC (and 9 more like it since the last such line)")


def test_keys_do_not_silence_each_other() -> None:
    stream, ticker = lines("text"), Ticker()
    limited = RateLimited(logging.getLogger("monitor"), monotonic=ticker)
    assert limited.log("a", logging.INFO, "a", market="BTC")
    assert limited.log("b", logging.INFO, "b")
    assert "a market=BTC" in stream.getvalue()


def test_what_was_held_back_last_is_said_at_the_end() -> None:
    stream, ticker = lines("text"), Ticker()
    limited = RateLimited(logging.getLogger("monitor"), monotonic=ticker)
    for _ in range(3):
        limited.log("odd", logging.INFO, "100 % odd")
    limited.flush()
    assert stream.getvalue().splitlines()[1].endswith("odd: 2 more like the last such line")
    assert limited.log("odd", logging.INFO, "100 % odd")


def test_a_percent_sign_without_arguments_survives_the_count() -> None:
    stream, ticker = lines("text"), Ticker()
    limited = RateLimited(logging.getLogger("monitor"), 1.0, monotonic=ticker)
    for second in (0.0, 0.5, 2.0):
        ticker.seconds = second
        limited.log("odd", logging.INFO, "100 % odd")
    assert "100 % odd (and 1 more" in stream.getvalue()


def test_memory_is_bounded_whatever_the_keys() -> None:
    lines("text")
    limited = RateLimited(logging.getLogger("monitor"), max_keys=8, monotonic=Ticker())
    for key in range(1_000):
        limited.log(key, logging.INFO, "x")
    assert len(limited._keys) == 8


def test_a_level_that_is_off_costs_no_state() -> None:
    lines("text", "WARNING")
    limited = RateLimited(logging.getLogger("monitor"), monotonic=Ticker())
    assert not limited.log("a", logging.INFO, "a")
    assert limited.log("a", logging.WARNING, "a")
