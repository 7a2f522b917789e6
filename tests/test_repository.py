"""What holds for the repository as a whole: its files, its pins and its imports."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = canonicalize_name(PROJECT["name"])


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    # Whoever runs the tests may not own the checkout.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.exists()]


def lines_matching(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    found = []
    for file in files:
        content = file.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode().splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


@pytest.fixture(scope="module")
def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_no_file_knows_one_machine(tracked):
    """A path of somebody's machine or the address of a package index works nowhere else."""
    of_a_machine = re.compile(
        r"(?<![\w.])/(?:work|root|home|Users)/|index[-_]url|find[-_]links|:/{2}\S*/simple\b",
        re.IGNORECASE,
    )
    assert lines_matching(of_a_machine, tracked) == []


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "constraints.txt", "pyproject.toml"])
def test_set_up_names_no_host(name):
    """Where packages come from is the machine's business."""
    assert lines_matching(re.compile(r"://"), [ROOT / name]) == []


def test_every_tracked_file_is_small(tracked):
    large = [file.relative_to(ROOT) for file in tracked if file.stat().st_size > 2**20]
    assert large == []


def test_pins_admit_every_requirement(pins):
    """`constraints.txt` has a version for each requirement of each extra, in its range."""
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name != NAME:
            assert name in pins, f"{text}: not pinned, run `make lock`"
            assert pins[name] in requirement.specifier, f"{text}: pinned to {pins[name]}"


def test_pins_cover_what_the_tests_install(pins):
    """Nothing that `make test` installs is left to chance, however indirectly it is needed."""
    todo, seen = [Requirement(f"{NAME}[dev]")], set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen:
            continue
        seen.add((name, *sorted(requirement.extras)))
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            extras = ["", *requirement.extras]
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                todo.append(needed)
    assert {name for name, *_ in seen} - {NAME} - set(pins) == set()


def test_the_changelog_has_a_place_for_the_next_change():
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_licence_is_the_one_declared():
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_imports_go_one_way():
    """The layers of docs/architecture.md, as `[tool.importlinter]` states them."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_class_name_means_one_thing(tracked: list[Path]) -> None:
    """`Env` is what programs see, compiled and interpreted; every other name stands once."""
    modules = [file for file in tracked if file.suffix == ".py" and "src" in file.parts]
    names = [
        name
        for file in modules
        for name in re.findall(r"^class ([A-Z]\w*)", file.read_text(), re.MULTILINE)
        if name != "Env"
    ]
    assert len(names) > 100
    assert sorted({name for name in names if names.count(name) > 1}) == []
