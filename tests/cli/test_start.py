"""Exit codes, help, errors in one line, an interrupt, a reader that stops reading."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from patchclamp.cli.start import COMMANDS

MODEL = "model.safetensors"


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",)])
def test_help_names_every_command_and_gives_examples(run, words):
    found = run(*words)
    assert (found.returncode, found.stderr) == (0, "")
    assert all(f"  {name} " in found.stdout for name in COMMANDS)
    assert "examples:" in found.stdout and "exit codes:" in found.stdout


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [("{}", "--help"), ("help", "{}"), ("{}", "model", "-h")])
def test_every_command_has_help_with_examples(run, command, words):
    found = run(*(word.format(command) for word in words))
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(f"usage: patchclamp {command} ")
    assert f"  patchclamp {command} " in found.stdout.split("examples:")[1]


def test_version(run):
    import patchclamp

    assert run("--version").stdout == f"patchclamp {patchclamp.__version__}\n"


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("shwo",), 2, "no command 'shwo'", "did you mean show?"),
        (("help", "shwo"), 2, "no command 'shwo'", "did you mean show?"),
        (("show", MODEL), 2, "required: ADDRESS", "patchclamp show --help"),
        (("layers",), 2, "required: MODEL", "patchclamp layers --help"),
        (("layers", MODEL, "--fromat", "json"), 2, "--fromat", "did you mean --format?"),
        (("layers", MODEL, "--format", "xml"), 2, "invalid choice", "patchclamp layers --help"),
        (("layers", MODEL, "--form", "csv"), 2, "--form", "did you mean --format?"),
        (("show", MODEL, "4"), 1, "'4'", "there are: 0, 3"),
        (("show", MODEL, "0[77]"), 1, "out of range", "0 to 5"),
        (("show", MODEL, "0[x]"), 1, "cannot read the index", "10:20:2"),
        (("show", MODEL, "3.forget[1]"), 1, "forget", ""),
        (("layers", "none.safetensors"), 1, "there is no such file", "relative to"),
        (("layers", "none"), 1, "is no file", "module:function"),
        (("layers", "models.py"), 1, "models.py", ""),
        (("layers", "/dev"), 1, "/dev: it holds no network", "give the file or folder"),
        (("layers", "modles:make"), 1, "no module 'modles'", "looked for in"),
        (("layers", "models.py:make"), 1, "no module", "models:function"),
        (("layers", "models:mkae"), 1, "no 'mkae'", "did you mean make?"),
        (("layers", "models:number"), 1, "int", ""),
        (("layers", "models:broken"), 1, "models:broken() raised ValueError: no weights here", "--traceback"),
        (("layers", "models:leaves"), 1, "raised SystemExit: 7", "--traceback"),
        (("layers", "breaks:make"), 1, "importing breaks raised RuntimeError: on import", "--traceback"),
        (("layers", "needs:make"), 1, "no_such_module_anywhere", "--traceback"),
    ],
)
def test_errors_are_one_line_and_a_hint(run, words, code, message, hint):
    found = run(*words)
    assert (found.returncode, found.stdout) == (code, "")
    said = [line for line in found.stderr.splitlines() if "may print" not in line]
    assert said[0].startswith("patchclamp: ") and message in said[0]
    assert hint in found.stderr
    assert len(said) <= 2 and all(line.startswith("hint: ") for line in said[1:])


def test_nothing_at_all_is_usage(run):
    found = run()
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("usage: patchclamp COMMAND")


def test_a_traceback_is_shown_when_asked_for(run):
    found = run("layers", "models:broken", "--traceback")
    assert found.returncode == 1
    assert "Traceback (most recent call last)" in found.stderr and "raise ValueError" in found.stderr


def test_a_fault_of_ours_is_one_line_too(run, monkeypatch):
    import patchclamp.cli.layers

    def fails(model):
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr(patchclamp.cli.layers, "network_card", fails)
    found = run("layers", MODEL)
    assert found.returncode == 1
    assert found.stderr.splitlines()[0] == "patchclamp: ZeroDivisionError: oh no"


def test_what_a_file_says_cannot_steer_the_terminal(run, folder):
    (folder / "evil\x1b[31m.safetensors").write_bytes(b"not safetensors at all")
    found = run("layers", "evil\x1b[31m.safetensors")
    assert found.returncode == 1
    assert "\x1b" not in found.stderr and r"\x1b[31m" in found.stderr


def test_an_interrupt_is_130_and_one_line(run):
    found = run("layers", "models:interrupted")
    assert (found.returncode, found.stdout) == (130, "")
    assert found.stderr.splitlines()[-1] == "patchclamp: interrupted"


def test_ctrl_c_in_a_process_of_its_own(folder):
    (folder / "slow.py").write_text("import time\nprint('started', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "patchclamp", "layers", "slow:make"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "patchclamp: interrupted\n")


@pytest.mark.parametrize("form", ["csv", "json", "human"])
def test_a_reader_that_stops_reading_is_no_error(folder, form):
    address = "*[*]" if form != "human" else "*"
    command = f"{sys.executable} -m patchclamp show {MODEL} '{address}' --format {form} | head -c 1"
    command += "; exit ${PIPESTATUS[0]}"
    found = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert found.stderr == ""
    assert found.returncode in (0, 141)


def test_a_closed_reader_is_141_and_silent(folder):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "patchclamp", "show", MODEL, "3", "--format", "csv"]
    found = subprocess.run(command, cwd=folder, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (found.returncode, found.stderr) == (141, "")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_closed_stdout_is_one_line(folder, closed):
    command = f"{sys.executable} -m patchclamp show {MODEL} 3 {closed}"
    found = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    said = (
        "patchclamp: stdout is closed, so there is nowhere to write to\nhint: > /dev/null, if nothing is to be seen\n"
    )
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "" if "2>" in closed else said)


def test_without_stderr_errors_are_not_written_to_stdout(folder):
    command = f"{sys.executable} -m patchclamp show {MODEL} nothing 2>&-"
    found = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line(folder):
    command = f"{sys.executable} -m patchclamp show {MODEL} 3 --format csv > /dev/full"
    found = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.startswith("patchclamp: ") and "Traceback" not in found.stderr


def test_an_ascii_terminal_gets_escapes_and_no_error(process):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    found = process("layers", MODEL, env=env)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.isascii()


@pytest.mark.parametrize("model", [MODEL, "models:make"])
def test_on_a_terminal_the_same_words_are_shown(folder, model):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "patchclamp", "show", model, "3[1]"]
    env = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(command, cwd=folder, stdout=theirs, stderr=subprocess.PIPE, env=env)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert done.returncode == 0
    assert b"3[1]" in text and b"Linear (stated)" in text
    assert (b"\x1b[" in text) == (model != MODEL)
