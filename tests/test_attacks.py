"""Every hostile file is refused or read right; and the runner notices what a bad reader would do."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
try:
    import attacks.__main__ as runner
finally:
    sys.path.remove(str(ROOT))

STANDARD = sys.stdlib_module_names


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_there_are_enough_and_each_says_what_it_tries():
    names = runner.names()
    assert len(names) >= 120
    assert {name.partition("_")[0] for name in names} >= {"plain", "zip", "npy", "pytorch", "gguf"}
    for name in names:
        tree = ast.parse((ROOT / "attacks" / f"{name}.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), name
        assigned = {t.id: node.value for node in tree.body if isinstance(node, ast.Assign) for t in node.targets}
        assert ast.literal_eval(assigned["VERDICT"]) in ("refused", "read", "part"), name
        imported = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        for node in imported:
            roots = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            own = isinstance(node, ast.ImportFrom) and node.level
            assert own or all(root.partition(".")[0] in {*STANDARD, "attacks"} for root in roots if root), name


def test_all_are_as_expected():
    """In a process of its own, so that no framework is imported beside them."""
    command = [sys.executable, "-m", "attacks", "--failed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


EVIL = {
    "code run": ("eval(compile(open(path).read(), 'payload', 'exec'))", "compile of code from payload"),
    "import": ("import sys; sys.path.insert(0, folder); import evidence_module", "import of evidence_module"),
    "foreign import": ("import numpy", "import of numpy"),
    "pickle": ("import pickle; pickle.loads(b'cos\\nsystem\\n.')", "import of pickle|pickle.find_class"),
    "system": ("import os; os.system('true')", "os.system"),
    "process": ("import subprocess; subprocess.run(['true'])", "process ['true']"),
    "other python": ("import subprocess, sys; subprocess.run([sys.executable, '-c', '1'])", "process ["),
    "read outside": ("open('/etc/passwd').read()", "/etc/passwd opened, which lies outside"),
    "climbs out": ("import os; os.open(folder + '/../../x', os.O_CREAT | os.O_WRONLY)", "opened for writing"),
    "through a link": (
        "import os; os.symlink('/etc', folder + '/l'); open(folder + '/l/passwd')",
        "/etc/passwd opened",
    ),
    "write": ("open(folder + '/new', 'w').close()", "opened for writing"),
    "remove": ("import os; os.remove(path)", "os.remove"),
    "socket": ("import socket; socket.socket()", "socket"),
    "map": ("import mmap, os; mmap.mmap(os.open(path, 0), 0, prot=1)", "mmap.__new__"),
    "library": ("import ctypes; ctypes.CDLL(None)", "import of ctypes|ctypes"),
    "hang": ("while True: pass", "hang"),
    "wait": ("import time; time.sleep(60)", "hang"),
    "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crash: ended by SIGSEGV"),
    "leaves": ("import os; os._exit(3)", "crash: exit 3"),
    "foreign error": ("raise KeyError('x')", "bug: KeyError"),
    "bomb": ("bytearray(8 << 30)", "bug: MemoryError"),
    "memory": ("kept = bytearray(200 << 20)", "it took 2"),
    "slow": ("import time\nwhile time.process_time() < 1.5: pass", "it took 1"),
}


READER = """
import json, os, sys
from attacks import _look, _watch

class Evil:
    Look = _look.Look

    @staticmethod
    def look(path, wanted):
        exec(code, {"path": path, "folder": os.path.dirname(path)})
        return _look.Look()

_watch.WALL = 3.0
_watch.preload()
_watch._look = Evil
for what, body, path in json.load(sys.stdin):
    code = compile(body, _look.__file__, "exec")  # as if our own code did it
    print(json.dumps([what, _watch.watched(path, os.path.dirname(path))]), flush=True)
"""


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> dict[str, dict]:
    """What the watch says of a reader that does each of these, in a child of its own like for any file."""
    asked = []
    for what, (body, _) in EVIL.items():
        folder = tmp_path_factory.mktemp("outer") / "inside"
        folder.mkdir()
        (folder / "evidence_module.py").touch()
        (folder / "model.bin").write_text("x = 1")
        asked.append((what, body, str(folder / "model.bin")))
    done = subprocess.run(
        [sys.executable, "-B", "-c", READER], input=json.dumps(asked), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize("what", EVIL)
def test_the_runner_notices(evil, what):
    scripted = type("Script", (), {"__name__": "attacks.evil", "VERDICT": "read"})
    wrong = "\n".join(runner.judge(scripted, evil[what]))
    assert any(word in wrong for word in EVIL[what][1].split("|")), wrong or evil[what]


@pytest.mark.parametrize(
    ("script", "found", "said"),
    [
        ({"VERDICT": "refused"}, {"verdict": "read"}, "it was read, and should be refused"),
        ({"VERDICT": "read"}, {"verdict": "refused"}, "it should be read"),
        ({"VERDICT": "read"}, {"verdict": "part"}, "it should be read"),
        ({"VERDICT": "part"}, {"verdict": "read"}, "some of its arrays"),
        ({"VERDICT": "refused", "CLAIM": "too long"}, {"verdict": "refused"}, "the error should say 'too long'"),
        ({"VERDICT": "read", "READS": ("w", [1.0])}, {"verdict": "read", "values": [2.0]}, "w should be [1.0]"),
        ({"VERDICT": "refused"}, {"verdict": "refused", "mb": 40.0}, "it took 40 MB"),
        ({"VERDICT": "refused"}, {"verdict": "refused", "ms": 1200.0}, "it took 1200 ms"),
        ({"VERDICT": "refused"}, {"verdict": "refused", "watch": ["socket"]}, "socket"),
    ],
)
def test_the_judge_can_say_no(script, found, said):
    scripted = type("Script", (), {"__name__": "attacks.x", **script})
    right = {"said": "", "ms": 1.0, "mb": 0.0, "read": 0, "watch": []}
    assert said in "\n".join(runner.judge(scripted, {**right, **found}))


def test_the_judge_can_say_yes():
    scripted = type("Script", (), {"__name__": "attacks.x", "VERDICT": "read", "READS": ("w", [1.0])})
    found = {"verdict": "part", "values": [1.0], "said": "FileError", "ms": 5.0, "mb": 30.0, "read": 0, "watch": []}
    assert runner.judge(scripted, found) == []


def test_evidence_is_looked_for(tmp_path):
    class Script:
        __name__ = "attacks.evil"
        VERDICT = "refused"

        @staticmethod
        def make(folder):
            return folder / "none"

    class Server:
        @staticmethod
        def look(path, folder, wanted):
            (folder / "EVIDENCE").touch()
            return {"verdict": "refused", "said": "", "ms": 0.0, "mb": 0.0}

    outcome = runner.attack(Script, Server)
    assert any("EVIDENCE" in wrong for wrong in outcome.wrong)
