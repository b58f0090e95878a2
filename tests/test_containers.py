"""What Dockerfile and compose file promise; that the text is well formed is for the linters."""

from __future__ import annotations

import json
import re
from pathlib import Path

from monitor.cli import main

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")


def stages() -> list[str]:
    """The Dockerfile without comments, one text a stage, a continued line being one line."""
    code = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    return re.split(r"^FROM ", code.replace("\\\n", " "), flags=re.MULTILINE)[1:]


def said(stage: str, instruction: str) -> list[str]:
    """The arguments of every such instruction."""
    return re.findall(rf"^{instruction} +(.*)$", stage, flags=re.MULTILINE)


def environment(stage: str) -> dict[str, str]:
    pairs = re.findall(r"(\w+)=(\S+)", " ".join(said(stage, "ENV")))
    return dict(pairs)


def service(name: str) -> str:
    """The compose file's lines about one service, without comments."""
    code = "\n".join(line for line in COMPOSE.splitlines() if not line.lstrip().startswith("#"))
    found = re.search(rf"^  {name}:\n((?:    .*\n|\n)*)", code + "\n", flags=re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_image_is_slim_and_made_in_two_stages() -> None:
    bases = [stage.split()[0] for stage in stages()]
    assert len(bases) == 2
    assert len(set(bases)) == 1, "compiled by the Python that it will run on"
    assert bases[0].endswith("-slim")


def test_it_runs_as_a_user_that_is_not_root() -> None:
    (user,) = said(stages()[-1], "USER")
    assert int(user.split(":")[0]) > 0


def test_its_first_process_gets_the_signals() -> None:
    (entry,) = said(stages()[-1], "ENTRYPOINT")
    (command,) = said(stages()[-1], "CMD")
    assert json.loads(entry) == ["python", "-m", "monitor"]
    assert json.loads(command)[0] in main.commands


def test_the_compiled_kernels_are_looked_for_where_they_were_put() -> None:
    build, final = map(environment, stages())
    for name in ("NUMBA_CACHE_DIR", "NUMBA_CPU_NAME"):
        assert build[name] == final[name]
    folder = final["NUMBA_CACHE_DIR"]
    assert said(stages()[-1], "VOLUME") == [folder], "numba must be able to write it"
    assert any(f"10001:10001 {folder} {folder}" in copied for copied in said(stages()[-1], "COPY"))


def test_health_is_what_status_says() -> None:
    (health,) = said(stages()[-1], "HEALTHCHECK")
    assert "python -m monitor status" in health
    assert "|| exit 1" in health


def test_nothing_but_the_store_the_cache_and_tmp_is_written() -> None:
    ours = service("market-monitoring")
    assert "read_only: true" in ours
    assert re.search(r"tmpfs:\n +- /tmp\n", ours)
    assert re.search(r"cap_drop:\n +- ALL\n", ours)
    assert "no-new-privileges:true" in ours
    assert "init: true" in ours
    assert "volumes:" not in ours


def test_a_reader_shares_the_memory_and_is_not_started_unasked() -> None:
    assert "ipc: shareable" in service("market-monitoring")
    reader = service("reader")
    assert "ipc: service:market-monitoring" in reader
    assert "profiles: [reader]" in reader
    images = set(re.findall(r"image: (\S+)", COMPOSE))
    assert len(images) == 1, "a reader of the same version"


def test_every_command_of_the_page_exists() -> None:
    for name in re.findall(r"python -m monitor (\w+)", PAGE):
        assert name in main.commands
    for name in re.findall(r"run --rm market-monitoring (\w+)", PAGE):
        assert name in main.commands
    assert "docker exec -it market-monitoring python read.py" in PAGE
