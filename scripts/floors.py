"""Read the imports and sizes of the sources and print every rule that is broken; exit 1 if there is one.

A file imports only its own floor or lower ones. Rows of one floor do not import each other, nor do the folders of one
row. Imports under `if TYPE_CHECKING`, inside functions, and `import_module("literal")` count like any other.

    python scripts/floors.py [path/to/patchclamp]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "patchclamp"

# One tuple of rows a floor, lowest first; "name/" is a folder.
FLOORS: tuple[tuple[frozenset[str], ...], ...] = (
    (frozenset({"errors", "frozen", "axes", "layout", "address"}),),
    (
        frozenset(
            {
                "arrays",
                "attended",
                "clamps",
                "flow/",
                "formulas/",
                "frames",
                "geometry",
                "kinds/",
                "locate",
                "model",
                "parts/",
                "plan",
                "protocols",
                "suggest",
                "use",
                "views",
            }
        ),
    ),
    (
        frozenset(
            {
                "ablate",
                "account",
                "activated",
                "against",
                "beside",
                "capture",
                "card",
                "check",
                "closure",
                "compare",
                "count",
                "cutting",
                "difference",
                "edit",
                "explain",
                "fold",
                "forecast",
                "freeze",
                "gates",
                "heads",
                "listing",
                "matched",
                "merge",
                "pages",
                "proof",
                "read",
                "recorded",
                "regular",
                "remove",
                "routed",
                "shown",
                "silenced",
                "slot",
                "stack",
                "tape",
                "units",
                "verify",
                "wiring/",
            }
        ),
        frozenset({"frameworks/", "files/"}),
    ),
    (frozenset({"export", "record", "save", "wiring_file"}),),
    (frozenset({"head", "neuron", "network", "opening"}),),
    (frozenset({"__init__", "__main__", "cli/", "testing/"}),),
)
# What a member, or one file of it, may import beside the standard library; unnamed: floors 0 and 1 nothing, else NumPy.
THIRD_PARTY = {
    "formulas/": {"numpy"},
    "flow/": {"numpy"},
    "plan": {"numpy"},
    # which Keras, JAX and ONNX bring: NumPy types of 16 and 8 bits
    "frameworks/": {"numpy", "ml_dtypes"},
    "cli/": {"numpy", "rich"},
    "parts/rich": {"rich"},
}
# Each framework's import names, at home only in frameworks/<key>.py or frameworks/<key>/.
FRAMEWORKS = {
    "torch": {"torch", "torchvision"},
    "keras": {"keras"},
    "tensorflow": {"tensorflow"},
    "jax": {"jax", "jaxlib", "flax", "equinox"},
    "onnx": {"onnx", "onnxruntime"},
}
ADAPTERS = {"frameworks/", "files/"}

FILE_LINES = 400
FUNCTION_LINES = 80
PARAMETERS = 6
PUBLIC_METHODS = 15
ROOT_NAMES = 25

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Finding:
    """One broken rule at one place."""

    path: Path
    line: int
    rule: str
    cause: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.cause}"


@dataclass(frozen=True)
class Import:
    """A dotted module name as it is imported, and the function it is imported in ("" at module level)."""

    name: str
    line: int
    function: str


@dataclass(frozen=True)
class Source:
    """One file: its dotted name, and its member of the floor table ("axes", "kinds/", "__init__")."""

    path: Path
    root: Path

    @cached_property
    def parts(self) -> tuple[str, ...]:
        return self.path.relative_to(self.root).with_suffix("").parts

    @property
    def member(self) -> str:
        return self.parts[0] + "/" if len(self.parts) > 1 else self.parts[0]

    @property
    def name(self) -> str:
        return ".".join((PACKAGE, *(part for part in self.parts if part != "__init__")))

    @property
    def package(self) -> str:
        """What a relative import starts from."""
        return ".".join((PACKAGE, *self.parts[:-1]))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @cached_property
    def framework(self) -> str:
        """`torch` for frameworks/torch.py and for all of frameworks/torch/."""
        return self.parts[1] if self.member == "frameworks/" else ""


def sources(root: Path) -> list[Source]:
    return [Source(path, root) for path in sorted(root.rglob("*.py"))]


def check(root: Path) -> list[Finding]:
    """Every finding in the package folder `root`."""
    found = sources(root)
    modules = {source.name: source for source in found}
    findings = [finding for source in found for finding in (*imports_of_one(source, modules), *budgets(source))]
    return [*findings, *cycle(modules)]


# Imports


def imports(source: Source, modules: dict[str, Source]) -> Iterator[Import]:
    """Every import of a file; `from patchclamp import axes` is the module axes, not a name of the root."""
    for node, function in walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, function)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, source)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if full in modules else base, node.lineno, function)
        elif isinstance(node, ast.Call) and (name := imported_by_call(node, source)):
            yield Import(name, node.lineno, function)


def walk(node: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node with the name of the outermost function around it."""
    for child in ast.iter_child_nodes(node):
        yield child, function
        inside = function or (child.name if isinstance(child, Function) else "")
        yield from walk(child, inside or ("lambda" if isinstance(child, ast.Lambda) else ""))


def absolute(node: ast.ImportFrom, source: Source) -> str:
    if not node.level:
        return node.module or ""
    package = source.package.split(".")
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def imported_by_call(node: ast.Call, source: Source) -> str:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in {"import_module", "__import__"} or not node.args:
        return ""
    name = node.args[0]
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        return ""
    return source.package + name.value if name.value.startswith(".") else name.value


def target(name: str, modules: dict[str, Source]) -> Source | None:
    """The file an import of our own package ends in: the longest prefix that is a file."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if source := modules.get(".".join(parts[:length])):
            return source
    return None


def place(member: str) -> tuple[int, int] | None:
    """Floor and row of a member."""
    for floor, rows in enumerate(FLOORS):
        for row, members in enumerate(rows):
            if member in members:
                return floor, row
    return None


def imports_of_one(source: Source, modules: dict[str, Source]) -> Iterator[Finding]:
    here = place(source.member)
    if here is None:
        cause = f"{source.member} is not in the table of scripts/floors.py: give it a floor"
        yield Finding(source.path, 1, "no floor", cause)
        return
    for entry in dict.fromkeys(imports(source, modules)):
        if entry.function and not may_hide(source, entry.function):
            cause = f"{entry.name} is imported inside {entry.function}(): move it to the head of the file"
            yield Finding(source.path, entry.line, "hidden import", cause)
        if entry.name.split(".")[0] == PACKAGE:
            cause = wrong_neighbour(source, target(entry.name, modules), here)
        else:
            cause = wrong_third_party(source, entry.name.split(".")[0], here[0])
        if cause:
            yield Finding(source.path, entry.line, "floors", f"imports {entry.name}: {cause}")


def may_hide(source: Source, function: str) -> bool:
    lazy = source.path.name == "__init__.py" and function == "__getattr__"
    return lazy or source.member in ADAPTERS


def wrong_neighbour(source: Source, other: Source | None, here: tuple[int, int]) -> str:
    if other is None or other.member == source.member:
        return ""
    there = place(other.member)
    if there is None or there[0] < here[0]:
        return ""
    if there[0] != here[0]:
        return f"{other.member} is on floor {there[0]}, {source.member} on floor {here[0]}"
    if there[1] != here[1]:
        return f"{source.member} and {other.member} share floor {here[0]} and stay apart"
    if source.member.endswith("/") and other.member.endswith("/"):
        return f"{source.member} and {other.member} are sibling folders of floor {here[0]}"
    return ""


def wrong_third_party(source: Source, root: str, floor: int) -> str:
    if root in sys.stdlib_module_names:
        return ""
    for framework, names in FRAMEWORKS.items():
        if root in names:
            return "" if source.framework == framework else f"a framework is at home in frameworks/{framework} only"
    usual: set[str] = {"numpy"} if floor > 1 else set()
    allowed = THIRD_PARTY.get("/".join(source.parts), THIRD_PARTY.get(source.member, usual))
    if root in allowed:
        return ""
    return f"{source.member} may import the standard library{''.join(f' and {name}' for name in sorted(allowed))} only"


def cycle(modules: dict[str, Source]) -> Iterator[Finding]:
    """The first cycle of files that import each other, if there is one."""
    graph: dict[str, set[str]] = {}
    for name, source in modules.items():
        ends = (target(entry.name, modules) for entry in imports(source, modules) if entry.name.startswith(PACKAGE))
        graph[name] = {end.name for end in ends if end and end is not source}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        loop = error.args[1]
        yield Finding(modules[loop[0]].path, 1, "cycle", " <- ".join(loop))


# Budgets


def budgets(source: Source) -> Iterator[Finding]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES:
        yield Finding(source.path, 1, "file length", f"{lines} lines, at most {FILE_LINES}")
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield from function_budgets(source, node)
        elif isinstance(node, ast.ClassDef):
            yield from class_budgets(source, node)
    if source.parts == ("__init__",):
        yield from root_names(source)


def function_budgets(source: Source, node: Function) -> Iterator[Finding]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > FUNCTION_LINES:
        cause = f"{node.name}: {lines} lines, at most {FUNCTION_LINES}"
        yield Finding(source.path, node.lineno, "function length", cause)
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parameters = [argument.arg for argument in (*named, arguments.vararg, arguments.kwarg) if argument]
    if parameters and parameters[0] in {"self", "cls"}:
        del parameters[0]
    if len(parameters) > PARAMETERS:
        cause = f"{node.name}: {len(parameters)} ({', '.join(parameters)}), at most {PARAMETERS}"
        yield Finding(source.path, node.lineno, "parameters", cause)


def class_budgets(source: Source, node: ast.ClassDef) -> Iterator[Finding]:
    """Properties count; the parts of one property and the overloads of one method count once."""
    public = {item.name for item in node.body if isinstance(item, Function) and not item.name.startswith("_")}
    if len(public) > PUBLIC_METHODS:
        cause = f"{node.name}: {len(public)} public methods, at most {PUBLIC_METHODS}"
        yield Finding(source.path, node.lineno, "public methods", cause)


def root_names(source: Source) -> Iterator[Finding]:
    for node in source.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(name, ast.Name) and name.id == "__all__" for name in targets):
                yield from count_root_names(source, node)
                return
    yield Finding(source.path, 1, "front door", "the package root has no __all__")


def count_root_names(source: Source, node: ast.Assign | ast.AnnAssign) -> Iterator[Finding]:
    names = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else []
    if not isinstance(node.value, ast.List | ast.Tuple) or not all(isinstance(name, ast.Constant) for name in names):
        yield Finding(source.path, node.lineno, "front door", "__all__ must be a plain list of names")
    elif len(names) > ROOT_NAMES:
        cause = f"__all__ has {len(names)} names, at most {ROOT_NAMES}"
        yield Finding(source.path, node.lineno, "front door", cause)


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "src" / PACKAGE
    findings = check(root)
    for finding in findings:
        print(finding)
    print(f"floors: {len(findings)} findings in {len(sources(root))} files", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
