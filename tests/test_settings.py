"""Settings: where they come from, and what is said about each mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.errors import Problem, SettingsError
from monitor.settings import HISTORY_MAX, Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.upper().startswith("MONITOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings.load()
    assert settings.model_dump() == {
        "markets": ("btcusd_perp", "ethusd_perp"),
        "stats": ("ATR14", "RSI5"),
        "stats_modules": (),
        "history": 1_440,
        "segment": "market_monitor",
        "segment_mode": 0o600,
        "network": "mainnet",
        "ws_url": "wss://api.hyperliquid.xyz/ws",
        "api_url": "https://api.hyperliquid.xyz",
        "log_level": "INFO",
        "log_format": "text",
        "rest_weight": 600,
        "rest_burst": 1_000,
        "subscriptions": 800,
        "redundant": True,
        "grace_ms": 2_500,
        "archive": None,
        "metrics_file": None,
    }
    assert settings.info_url == "https://api.hyperliquid.xyz/info"
    assert settings.warnings == ()


def test_arguments_beat_environment_beats_dotenv_beats_toml(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = 'history = 10\nsegment = "t"\nlog_level = "debug"\nmarkets = ["a", "b"]\n'
    (folder / "monitor.toml").write_text(toml)
    (folder / ".env").write_text("MONITOR_HISTORY=20\nMONITOR_SEGMENT=d\nMONITOR_LOG_LEVEL=error\n")
    monkeypatch.setenv("MONITOR_HISTORY", "30")
    monkeypatch.setenv("MONITOR_SEGMENT", "e")
    settings = Settings.load(history=40, network=None)
    assert settings.history == 40
    assert settings.segment == "e"
    assert settings.log_level == "ERROR"
    assert settings.markets == ("a", "b")
    assert settings.network == "mainnet"
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" a , b ,, a,", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("perps,dex:xyz,*usdc", ("perps", "dex:xyz", "*usdc")),
        ("[be]t[ch]usd_perp", ("[be]t[ch]usd_perp",)),
        ("@107,PURR/USDC", ("@107", "PURR/USDC")),
    ],
)
def test_lists_may_be_comma_separated_or_json(
    text: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_MARKETS", text)
    monkeypatch.setenv("MONITOR_STATS", text)
    settings = Settings.load()
    assert settings.markets == names
    assert settings.stats == names


def test_stats_may_be_none_but_markets_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_STATS", "[]")
    assert Settings.load().stats == ()
    monkeypatch.setenv("MONITOR_MARKETS", "[]")
    with pytest.raises(SettingsError, match=r"MONITOR_MARKETS: .*at least one market"):
        Settings.load()


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HISTORY", "WS_URL", "MARKETS", "LOG_LEVEL"):
        monkeypatch.setenv(f"MONITOR_{name}", "")
    assert Settings.load() == Settings.load(history=1_440)


WRONG = [
    ("MARKETS", ","),
    ("MARKETS", '["a"'),
    ("STATS", '["a", 1]'),
    ("HISTORY", "1"),
    ("HISTORY", "many"),
    ("HISTORY", "10.5"),
    ("HISTORY", str(HISTORY_MAX + 1)),
    ("SEGMENT", "a/b"),
    ("SEGMENT", ".hidden"),
    ("SEGMENT", "a b"),
    ("SEGMENT", "a\n"),
    ("SEGMENT", "a" * 201),
    ("SEGMENT_MODE", "rw"),
    ("SEGMENT_MODE", "0400"),
    ("SEGMENT_MODE", "0700"),
    ("SEGMENT_MODE", "1600"),
    ("SEGMENT_MODE", "-600"),
    ("SEGMENT_MODE", "0689"),
    ("NETWORK", "devnet"),
    ("WS_URL", "http://127.0.0.1/ws"),
    ("WS_URL", "ws://"),
    ("WS_URL", "ws://host:99999/ws"),
    ("WS_URL", "ws://host/ws?x=1"),
    ("API_URL", "127.0.0.1:8000"),
    ("API_URL", "ws://127.0.0.1"),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
    ("REST_WEIGHT", "0"),
    ("REST_WEIGHT", "1201"),
    ("REST_BURST", "1201"),
    ("SUBSCRIPTIONS", "1001"),
    ("GRACE_MS", "-1"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_line_with_name_found_and_expected(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MONITOR_{name}", value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    (problem,) = caught.value.problems
    assert problem.name == f"MONITOR_{name}"
    assert repr(value)[1:20].rstrip("'") in problem.found
    assert problem.expected
    assert "Value error" not in problem.expected
    assert len(str(caught.value).splitlines()) == 1


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_HISTORY", "0")
    monkeypatch.setenv("MONITOR_NETWORK", "moon")
    with pytest.raises(SettingsError) as caught:
        Settings.load(segment="")
    assert {problem.name for problem in caught.value.problems} == {
        "MONITOR_HISTORY",
        "MONITOR_NETWORK",
        "MONITOR_SEGMENT",
    }
    assert len(str(caught.value).splitlines()) == 3


def test_a_burst_below_the_weight_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_REST_BURST", "300")
    with pytest.raises(SettingsError, match=r"MONITOR_REST_BURST: found 300, expected .*WEIGHT"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "mode"), [("0600", 0o600), ("600", 0o600), ("0o640", 0o640), ("0666", 0o666)]
)
def test_the_mode_is_octal_text(text: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_SEGMENT_MODE", text)
    assert Settings.load().segment_mode == mode
    assert Settings(segment_mode=mode).segment_mode == mode


def test_a_mode_without_quotes_in_toml_is_refused_rather_than_guessed(folder: Path) -> None:
    (folder / "monitor.toml").write_text("segment_mode = 400\n")
    with pytest.raises(SettingsError, match="400 without quotes"):
        Settings.load()
    (folder / "monitor.toml").write_text('segment_mode = "0660"\n')
    assert Settings.load().segment_mode == 0o660


def test_the_network_gives_the_urls_and_both_can_be_overridden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONITOR_NETWORK", "testnet")
    settings = Settings.load()
    assert settings.ws_url == "wss://api.hyperliquid-testnet.xyz/ws"
    assert settings.info_url == "https://api.hyperliquid-testnet.xyz/info"
    monkeypatch.setenv("MONITOR_WS_URL", "ws://127.0.0.1:8000/ws")
    monkeypatch.setenv("MONITOR_API_URL", "http://127.0.0.1:8000/info/")
    settings = Settings.load()
    assert settings.ws_url == "ws://127.0.0.1:8000/ws"
    assert settings.api_url == "http://127.0.0.1:8000"
    assert settings.info_url == "http://127.0.0.1:8000/info"
    assert settings.warnings == ()


def test_one_url_overridden_without_the_other_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONITOR_WS_URL", "ws://127.0.0.1:8000/ws")
    (warning,) = Settings.load().warnings
    assert warning.startswith("MONITOR_WS_URL is set but MONITOR_API_URL is not")


def test_names_that_nobody_knows_are_warnings_with_the_nearest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_MARKET", "x")
    (folder / ".env").write_text("MONITOR_HISTROY=5\nOTHER=1\n")
    (folder / "monitor.toml").write_text('stat = ["RSI5"]\nMONITOR_SEGMENT = "mine"\n')
    settings = Settings.load()
    assert settings.warnings == (
        (
            "MONITOR_MARKET in the environment is not a setting and has no effect; "
            "nearest: MONITOR_MARKETS"
        ),
        "MONITOR_HISTROY in .env is not a setting and has no effect; nearest: MONITOR_HISTORY",
        "stat in monitor.toml is not a setting and has no effect; nearest: stats",
    )
    assert settings.segment == "mine"
    assert settings.history == 1_440


def test_a_folder_that_we_may_not_look_into_says_where_to_go(folder: Path) -> None:
    folder.chmod(0)
    privileged = os.geteuid() == 0
    if privileged:  # root may look everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(SettingsError, match=r"found Permission denied, expected .* cd /"):
            Settings.load()
    finally:
        if privileged:
            os.seteuid(0)
        folder.chmod(0o700)


def test_files_that_cannot_be_read_are_problems_too(folder: Path) -> None:
    (folder / "monitor.toml").write_text("history = \n")
    with pytest.raises(SettingsError, match=r"monitor.toml: found .*, expected valid TOML"):
        Settings.load()
    (folder / "monitor.toml").unlink()
    (folder / ".env").write_bytes(b"MONITOR_HISTORY=\xff\n")
    with pytest.raises(SettingsError, match=r"expected readable UTF-8"):
        Settings.load()


def test_settings_cannot_be_changed() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.history = 5


texts = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.sampled_from(sorted(Settings.model_fields)), texts)
def test_no_text_in_any_setting_does_more_than_raise_a_settings_error(name: str, text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        Settings.load(**{name: text})
    except SettingsError as error:
        problems = error.problems
    assert all(problem.name == f"MONITOR_{name.upper()}" for problem in problems)
