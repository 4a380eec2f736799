"""The documentation is whole: every page is reached, every module has one, every command on a page gives what it says.

The Python blocks of README.md and docs/ are run by the conftest.py of the top folder.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import floors
import patchclamp as pc

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "patchclamp"
PAGES = sorted(DOCS.rglob("*.md"))
EVERY = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")] + PAGES

# How the acts do their work: the reference shows what they give.
INNER = {
    "capture", "card", "compare", "frames", "frozen", "gates", "opening", "pages", "protocols", "read", "shown",
    "attended", "heads", "routed", "stack", "suggest", "units", "use", "views", "__main__", "formulas", "frameworks",
    "files", "against", "beside", "listing", "matched", "activated",
    "clamps", "closure", "cutting", "flow", "fold", "plan", "regular", "silenced", "tape",
}  # fmt: skip


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def leaves(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [leaf for part in parts for leaf in leaves(part)]


def test_every_page_is_in_the_navigation():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(leaves(settings["nav"])) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_every_module_has_a_page_or_is_inner():
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    documented = {page.stem for page in (DOCS / "reference").glob("*.md")} - {"index"}
    assert modules - {"__init__"} - INNER == {name for name in documented if "." not in name}


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "reference" and page.stem != "index"])
def test_a_reference_page_names_its_module(page):
    (module,) = re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert module == f"patchclamp.{page.stem}"
    assert importlib.import_module(module).__doc__
    assert f"({page.name})" in (DOCS / "reference" / "index.md").read_text(encoding="utf-8")


def test_every_public_name_is_shown_somewhere():
    text = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *PAGES])
    homes = {name: getattr(pc, name).__module__ for name in pc.__all__ if not name.startswith("__")}
    for name, module in homes.items():
        shown = re.search(rf"\b(pc|patchclamp)\.{name}\b", text)
        assert shown or (DOCS / "reference" / f"{module.removeprefix('patchclamp.')}.md").exists(), name


def test_thirty_questions_each_with_code():
    recipes = [page for page in (DOCS / "cookbook").glob("*.md") if page.stem != "index"]
    index = (DOCS / "cookbook" / "index.md").read_text(encoding="utf-8")
    assert sorted(int(page.stem[:2]) for page in recipes) == list(range(1, 31))
    for page in recipes:
        text = page.read_text(encoding="utf-8")
        question = text.splitlines()[0].removeprefix("# ")
        assert f"{int(page.stem[:2])}. [{question}]({page.name})" in index
        assert "```python" in text
        assert "assert " in text or ">>> " in text, "a recipe checks what it says"


@pytest.mark.parametrize("page", EVERY, ids=named)
def test_python_blocks_can_be_read(page):
    """A block that is no Python would be a block that is not run."""
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if not block.startswith(">>>"):
            ast.parse(block)


@pytest.mark.parametrize("page", EVERY, ids=named)
def test_nothing_is_skipped(page):
    text = page.read_text(encoding="utf-8")
    assert page.name == "CONTRIBUTING.md" or "<!-- skip" not in text


@pytest.mark.parametrize("page", EVERY, ids=named)
def test_links_between_files_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", EVERY, ids=named)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=`|\s{2}|$)", page.read_text(encoding="utf-8"))) <= targets


def test_the_floors_are_those_of_the_script():
    block = re.search(r"^```text\n(0 .*?)```$", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.M | re.S)
    written: list[set[str]] = []
    for line in block.group(1).splitlines():
        if line[0] != " ":
            assert int(line[0]) == len(written)
            written.append(set())
        written[-1] |= set(line[1:].split())
    assert written == [set().union(*rows) for rows in floors.FLOORS]


def commands(page: Path) -> list[tuple[str, str]]:
    """Each `$ patchclamp ...` of the console blocks, and what stands below it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(step.partition("\n")[0], step.partition("\n")[2]) for step in steps]


def test_the_command_line_prints_what_its_page_says(tmp_path):
    page = DOCS / "command-line.md"
    source = re.search(r"^```python\n(# models\.py.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    (tmp_path / "models.py").write_text(source.group(1), encoding="utf-8")
    assert len(commands(page)) == 10
    for command, expected in commands(page):
        program, *arguments = shlex.split(command)
        assert program == "patchclamp"
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "-m", "patchclamp", *arguments],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
        )
        pattern = re.escape(expected.rstrip()).replace(r"\.\.\.", "[^\n]+")  # three dots stand for the rest of a line
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(pattern, "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())), (
            done.stdout
        )


@pytest.mark.slow
def test_the_documentation_builds(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_the_readme_says_what_the_coverage_table_says():
    table = (DOCS / "coverage.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^\| layers of transformers \|.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    built, types, whole, neurons, heads = re.findall(r"\b\d[\d,]*\b", said.partition("[The table]")[0])
    assert f"model types: {types}; built and run: {built};" in table
    assert f"every parameter accounted for: {whole} of {built} (100.0%)" in table
    assert f"neurons recomputed: {neurons}; heads: {heads};" in table
    assert "with a wrong answer: 0;" in table


def test_the_readme_says_what_the_coverage_table_of_keras_says():
    table = (DOCS / "coverage-keras.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^\| layers of Keras \|.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    built, whole, neurons = re.findall(r"\b\d[\d,]*\b", said.partition("All ")[2].partition("[The table]")[0])
    assert f"architectures: {built}; built and run: {built}" in table
    assert f"every parameter accounted for: {whole} of {built}" in table
    assert f"neurons recomputed: {neurons};" in table
    assert "with a wrong answer: 0; with something left behind: 0" in table
