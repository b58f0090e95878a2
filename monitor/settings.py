"""Settings of the service: what can be set, where from, and what is said about mistakes.

Sources, the first one that has a value wins: arguments, environment, ``.env``, ``monitor.toml``,
the default. The two files are looked for in the working directory. Variables carry the prefix
``MONITOR_``; in ``monitor.toml`` the names stand without it, in lower case::

    markets = ["btcusd_perp", "perps"]
    history = 1440

`Settings.load` is for the commands: it collects every problem into one `SettingsError` and lists
names that nobody knows in `Settings.warnings`. Whether a market exists or a stat is well spelled
is not decided here: `markets.resolve` and the stat grammar do.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from monitor import budget
from monitor.errors import Problem, SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ENV_FILE", "HISTORY_MAX", "PREFIX", "TOML_FILE", "Settings"]

PREFIX = "MONITOR_"
ENV_FILE = ".env"
TOML_FILE = "monitor.toml"

HISTORY_MAX = 366 * 1_440
"""A leap year of minutes: 8 MB a column and market, as every row is kept twice. More than that is
rather a slipped digit than a wish, and would be refused late, when memory is reserved."""

_URLS = {
    "mainnet": ("wss://api.hyperliquid.xyz/ws", "https://api.hyperliquid.xyz"),
    "testnet": ("wss://api.hyperliquid-testnet.xyz/ws", "https://api.hyperliquid-testnet.xyz"),
}

# The name is a file's, its keep link and lock file are longer, and 255 bytes is all there is.
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_FOUND_MAX = 80

_EXPECTED = {
    "markets": "at least one market or selector, separated by commas or as a JSON list",
    "stats": "stat names separated by commas or as a JSON list",
    "stats_modules": "files or import paths separated by commas or as a JSON list",
    "history": f"a whole number of candles from 2 to {HISTORY_MAX}",
    "segment": "1 to 200 letters, digits, '_', '-' or '.', not beginning with '-' or '.', "
    "not ending with .keep or .lock",
    "segment_mode": "permission bits as an octal string such as 0600 or 0640: "
    "read and write for the owner at least, execute for nobody",
    "network": "mainnet or testnet",
    "ws_url": "a URL such as ws://127.0.0.1:8000/ws, scheme ws or wss",
    "api_url": "a URL such as http://127.0.0.1:8000, scheme http or https",
    "log_level": "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "log_format": "text or json",
    "rest_weight": f"a whole number from 60 to {budget.REST_WEIGHT_LIMIT}",
    "rest_burst": f"a whole number from MONITOR_REST_WEIGHT to {budget.REST_WEIGHT_LIMIT}",
    "subscriptions": f"a whole number from 2 to {budget.SUBSCRIPTIONS_LIMIT}",
    "redundant": "true or false",
    "archive": "a folder, or off",
    "grace_ms": "a whole number of milliseconds from 0 to 30000",
    "metrics_file": "the path of a file that ends in .prom",
}


class _TomlSource(PydanticBaseSettingsSource):
    """``monitor.toml``; pydantic's own reader would hide which keys nobody knows."""

    def __call__(self) -> dict[str, Any]:
        known = {name: value for key, value in _toml().items() if (name := _toml_name(key))}
        if isinstance(known.get("segment_mode"), int):
            # 400 and 0o400 are both likely and mean different things; a string has one meaning.
            known["segment_mode"] = f"{known['segment_mode']} without quotes"
        return known

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("values are given all at once")


class Settings(BaseSettings):
    """Everything that can be set. Immutable; the URLs are always filled in."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        validate_default=False,
    )

    markets: Annotated[tuple[str, ...], NoDecode] = ("btcusd_perp", "ethusd_perp")
    """Names and selectors, in the order of every output."""
    stats: Annotated[tuple[str, ...], NoDecode] = ("ATR14", "RSI5")
    """Stat names, in the order of every output."""
    stats_modules: Annotated[tuple[str, ...], NoDecode] = ()
    """Modules that register stats of one's own: files or import paths."""
    history: int = Field(default=1_440, ge=2, le=HISTORY_MAX)
    """Candles kept readable for each market, the open one included. The first fill brings at most
    the 5,000 that the exchange keeps; a longer history grows while the service runs."""
    segment: str = "market_monitor"
    """Name of the shared memory."""
    segment_mode: int = 0o600
    """Permission bits of the shared memory."""
    network: Literal["mainnet", "testnet"] = "mainnet"
    """Which exchange."""
    ws_url: str = ""
    """Websocket URL; empty: the network's."""
    api_url: str = ""
    """REST URL without ``/info``; empty: the network's."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """Least severe level that is logged."""
    log_format: Literal["text", "json"] = "text"
    """Lines for people or for machines."""
    rest_weight: int = Field(default=budget.REST_WEIGHT, ge=60, le=budget.REST_WEIGHT_LIMIT)
    """REST weight a minute for work in the background."""
    rest_burst: int = Field(default=budget.REST_BURST, ge=60, le=budget.REST_WEIGHT_LIMIT)
    """REST weight within any minute for the first fill and repairs."""
    subscriptions: int = Field(default=budget.SUBSCRIPTIONS, ge=2, le=budget.SUBSCRIPTIONS_LIMIT)
    """Websocket subscriptions at once, over all sockets."""
    redundant: bool = True
    """Whether markets are subscribed on two sockets, as far as the subscriptions go."""
    grace_ms: int = Field(default=2_500, ge=0, le=30_000)
    """How long after a minute's end its last trades may still arrive before it counts as closed."""
    archive: Path | None = None
    """Folder for confirmed rows as Parquet files; None: they are kept in memory only."""
    metrics_file: Path | None = None
    """Where to write metrics for Prometheus' node exporter; None: nowhere."""

    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the name is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the module's docstring says."""
        return init_settings, env_settings, dotenv_settings, _TomlSource(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read all sources; `overrides` that are None do not count.

        Raises `SettingsError` with every problem found.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            settings = cls(**given)
            settings._warnings = (*_unknown_names(), *_half_overridden(settings))
        except ValidationError as error:
            raise SettingsError(map(_problem, error.errors())) from None
        except tomllib.TOMLDecodeError as error:
            raise SettingsError([Problem(TOML_FILE, str(error), "valid TOML")]) from None
        except PermissionError as error:
            name = f"{ENV_FILE} or {TOML_FILE}"
            expected = "to be in a folder that this user may look into, such as after cd /"
            raise SettingsError([Problem(name, str(error.strerror), expected)]) from None
        except (OSError, UnicodeError, SourceError) as error:
            name = f"{ENV_FILE} or {TOML_FILE}"
            raise SettingsError([Problem(name, str(error), "readable UTF-8 text")]) from None
        return settings

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `load` found that is no error but hardly meant so, one sentence each."""
        return self._warnings

    @property
    def info_url(self) -> str:
        """Where REST requests are posted."""
        return f"{self.api_url}/info"

    @field_validator("markets", "stats", "stats_modules", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            text = value.strip()
            # A glob pattern may begin with a bracket as well, but has no quotes.
            is_json = text.startswith("[") and ('"' in text or text == "[]")
            value = json.loads(text) if is_json else text.split(",")
        if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
            raise ValueError("not a list of names")
        return tuple(dict.fromkeys(name for each in value if (name := each.strip())))

    @field_validator("markets")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("empty")
        return value

    @field_validator("segment")
    @classmethod
    def _file_name(cls, value: str) -> str:
        if not _SEGMENT.fullmatch(value) or value.endswith((".keep", ".lock")):
            raise ValueError("no segment name")
        return value

    @field_validator("segment_mode", mode="before")
    @classmethod
    def _octal(cls, value: object) -> int:
        mode = int(value, 8) if isinstance(value, str) else value
        if type(mode) is not int or not 0 <= mode <= 0o777 or mode & 0o111 or mode & 0o600 != 0o600:
            raise ValueError("no such mode")
        return mode

    @field_validator("network", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("archive", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        text = value.strip()
        return None if text.lower() in {"", "off"} else Path(text).expanduser()

    @field_validator("ws_url")
    @classmethod
    def _websocket_url(cls, value: str) -> str:
        return _url(value, {"ws", "wss"})

    @field_validator("api_url")
    @classmethod
    def _rest_url(cls, value: str) -> str:
        return _url(value, {"http", "https"}).rstrip("/").removesuffix("/info").rstrip("/")

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if self.rest_burst < self.rest_weight:
            raise PydanticCustomError(
                "together", "burst", {"name": "rest_burst", "found": self.rest_burst}
            )
        ws_url, api_url = _URLS[self.network]
        # Frozen for everybody else: the defaults depend on another field.
        self.__dict__["ws_url"] = self.ws_url or ws_url
        self.__dict__["api_url"] = self.api_url or api_url
        return self


def _url(value: str, schemes: set[str]) -> str:
    if not value.strip():
        return ""
    parts = urlsplit(value.strip())
    # Reading the port checks it.
    if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
        raise ValueError("no such URL")
    if parts.query or parts.fragment:
        raise ValueError("no query expected")
    return parts.geturl()


def _problem(error: Mapping[str, Any]) -> Problem:
    context = error.get("ctx", {})
    field = str(error["loc"][0]) if error["loc"] else str(context["name"])
    found = context["found"] if not error["loc"] else error["input"]
    text = found if isinstance(found, str) else repr(found)
    shown = text if len(text) <= _FOUND_MAX else text[:_FOUND_MAX] + "..."
    return Problem(
        PREFIX + field.upper(),
        repr(shown) if isinstance(found, str) else shown,
        _EXPECTED.get(field, str(error["msg"])),
    )


def _toml() -> dict[str, Any]:
    path = Path(TOML_FILE)
    if not path.is_file():
        return {}
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _toml_name(key: str) -> str | None:
    name = key.lower().removeprefix(PREFIX.lower())
    return name if name in Settings.model_fields else None


def _unknown_names() -> Iterable[str]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    places: list[tuple[str, Iterable[str]]] = [("the environment", os.environ)]
    if Path(ENV_FILE).is_file():
        places.append((ENV_FILE, dotenv_values(ENV_FILE, encoding="utf-8")))
    for place, names in places:
        for name in names:
            if name.upper().startswith(PREFIX) and name.upper() not in known:
                yield _unknown(name, place, name.upper(), known)
    for key in _toml():
        if _toml_name(key) is None:
            yield _unknown(key, TOML_FILE, key.lower(), list(Settings.model_fields))


def _unknown(name: str, place: str, spelled: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(spelled, known, n=1, cutoff=0.0)
    return f"{name} in {place} is not a setting and has no effect; nearest: {nearest[0]}"


def _half_overridden(settings: Settings) -> Iterable[str]:
    ours = (settings.ws_url, settings.api_url)
    same = [url == default for url, default in zip(ours, _URLS[settings.network], strict=True)]
    if any(same) and not all(same):
        given, left = ("API_URL", "WS_URL") if same[0] else ("WS_URL", "API_URL")
        yield (
            f"{PREFIX}{given} is set but {PREFIX}{left} is not: candles and history would come "
            f"from different places; set both"
        )
