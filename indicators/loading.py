"""Modules with stats of one's own: `load` imports them, and they register what they declare.

A reference is the path of a file (`stats/mine.py`: it has a slash or ends in `.py`) or an import
path (`mystrategy.stats`). A module that fails registers nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from .errors import ModuleFailed
from .registry import Registry, default_registry

__all__ = ["load"]


def load(references: Iterable[str], *, registry: Registry | None = None) -> tuple[str, ...]:
    """Import modules that `register` stats; return the names of the stats that are new.

    A module that was loaded before is not loaded again. Raises `ModuleFailed`.
    """
    registry = registry or default_registry()
    return tuple(name for reference in references for name in _load(reference, registry))


def _load(reference: str, registry: Registry) -> list[str]:
    before = {definition.name for definition in registry}
    is_file = "/" in reference or reference.endswith(".py")
    path = Path(reference).expanduser().resolve()
    if is_file and not path.is_file():
        raise ModuleFailed(reference, f"there is no file {path}")
    name = _module_name(path) if is_file else reference
    known = name in sys.modules
    try:
        if not known and is_file:
            _execute(name, path)
        elif not known:
            importlib.import_module(name)
    except (Exception, SystemExit) as error:
        registry.keep(before)
        raise ModuleFailed(reference, _told(error, reference)) from error
    new = [definition.name for definition in registry if definition.name not in before]
    if not new and not known:
        raise ModuleFailed(reference, "it registers no stat; call indicators.register in it")
    return new


def _module_name(path: Path) -> str:
    """Name a module after its file; files of the same name in two folders are two modules."""
    folder = hashlib.sha256(str(path.parent).encode()).hexdigest()[:8]
    return f"stats_{folder}_{path.stem}"


def _execute(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the file exists
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _told(error: BaseException, reference: str) -> str:
    """Say what went wrong, and in which line if that is in the module itself."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "") in _parents(reference):
        return f"there is no module {error.name!r} on Python's path"
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    last = traceback.extract_tb(error.__traceback__)
    stem = Path(reference).stem if reference.endswith(".py") else reference.rpartition(".")[2]
    lines = [frame.lineno for frame in last if Path(frame.filename).stem == stem]
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {str(error).rstrip('.')}"


def _parents(reference: str) -> list[str]:
    parts = reference.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
