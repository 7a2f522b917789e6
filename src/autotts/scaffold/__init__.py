"""A package of plug-ins to begin with: `autotts init FOLDER --plugin`."""

import re
from importlib import resources
from pathlib import Path
from string import Template

from autotts.errors import RunError, SpecError
from autotts.files import write_text

_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "module.py": "src/{module}/__init__.py",
    "controller.py": "src/{module}/controller.py",
    "explorer.py": "src/{module}/explorer.py",
    "reader.py": "src/{module}/reader.py",
    "importer.py": "src/{module}/importer.py",
    "test_conformance.py": "tests/test_conformance.py",
    "sample.jsonl": "tests/sample.jsonl",
}
"""Where each template goes."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_package(folder: Path) -> list[Path]:
    """Write a package with one plug-in of each kind and tests that hold them to the kit.

    Args:
        folder: a new one; its name is that of the package, such as `autotts-mine`.

    Returns:
        The files.

    Raises:
        SpecError: the folder's name can't be a package's.
        RunError: something is there already, or a file can't be written.
    """
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"{name}: the folder is called as its package will be, in small letters, digits and"
            " single hyphens, such as autotts-mine"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is there already; name a new folder")
    blanks = {"package": name, "module": name.replace("-", "_")}
    templates = resources.files("autotts.scaffold") / "template"
    written = []
    try:
        for template, place in _FILES.items():
            path = folder / place.format(**blanks)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (templates / f"{template}.txt").read_text(encoding="utf-8")
            write_text(path, Template(text).substitute(blanks))
            written.append(path)
    except OSError as error:
        raise RunError(f"{error.filename}: {error.strerror}") from error
    return written
