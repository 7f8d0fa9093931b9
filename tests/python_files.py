"""The Python files of the checkout."""

from pathlib import Path


def python_files(folder: Path) -> list[Path]:
    """List those below a folder, sorted; JupyterLab keeps copies of opened ones in hidden folders."""
    found = sorted(folder.rglob("*.py"))
    return [file for file in found if not any(part[0] == "." for part in file.relative_to(folder).parts)]
