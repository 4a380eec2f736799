"""Files on servers: the numbers of the local file, in few requests, and one clear error for whatever a server does."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from samples_folder import arrays, sharded

import patchclamp as pc
from patchclamp.files import remote
from patchclamp.files.opening import open_stored

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is no news."""


class Web:
    """A server on this machine for the files of a folder; `asked` are the requests, `mode` what it does wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.mode, self.tag = folder, [], "", "1"
        web = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                web.answer(self, False)

            def do_GET(self) -> None:
                web.answer(self, True)

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, asked: Any, body: bool) -> None:
        place = asked.path.partition("?")[0]
        wanted = asked.headers.get("Range")
        self.asked.append((asked.command, place, wanted))
        file = self.folder / place.lstrip("/")
        if self.mode in ("403", "500") or not file.is_file():
            asked.send_response(int(self.mode) if self.mode else 404)
            asked.send_header("Content-Length", "0")
            asked.end_headers()
            return
        data = file.read_bytes()
        begin, end = 0, len(data)
        if wanted and self.mode != "whole":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last) + 1, len(data))
            asked.send_response(206)
            asked.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        else:
            asked.send_response(200)
        if self.mode != "no size":
            asked.send_header("Content-Length", str(end - begin))
        asked.send_header("ETag", f'"{self.tag}"')
        asked.end_headers()
        if body:
            part = data[begin:end]
            asked.wfile.write(part[: len(part) // 2] if self.mode == "cut" else part)
            if self.mode == "cut":
                asked.close_connection = True

    def requests(self) -> int:
        return len(self.asked)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    sharded(tmp_path / "set")
    draw = torch.Generator().manual_seed(1)
    wide = {"fc.weight": torch.randn(1500, 700, generator=draw), "fc.bias": torch.randn(1500, generator=draw)}
    save_file(wide, tmp_path / "wide.safetensors")
    found = Web(tmp_path)
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_sharded_set_takes_few_requests(web: Web) -> None:
    neuron = pc.open(f"{web.url}/set/model.safetensors.index.json")["fc1[2]"]
    assert torch.tensor(neuron.weight.tolist()).equal(arrays()["fc1.weight"][2])
    assert neuron.bias.tolist() == arrays()["fc1.bias"][2].item()
    assert web.requests() <= 6
    one = [asked for asked in web.asked if asked[0] == "GET"]
    assert all(ranged for _, _, ranged in one) and len(one) == 3


def test_a_row_and_a_column_take_few_requests(web: Web) -> None:
    weight = load_file(web.folder / "wide.safetensors")["fc.weight"]
    net = pc.open(f"{web.url}/wide.safetensors")
    assert torch.tensor(net["fc[1400]"].weight.tolist()).equal(weight[1400])
    assert web.requests() <= 3
    got = sum(int(r.split("-")[1]) - int(r.split("=")[1].split("-")[0]) + 1 for _, _, r in web.asked if r)
    assert got <= remote.HEAD + 2 * remote.AHEAD
    web.asked.clear()
    column = net.model.arrays["fc.weight"].read((slice(None), 350))
    assert torch.tensor(column.tolist()).equal(weight[:, 350])
    assert web.requests() <= 4
    web.asked.clear()
    net.model.arrays["fc.weight"].read((slice(None), 351))
    assert web.requests() <= 1


def last_row(url: str) -> Any:
    return pc.open(url).model.arrays["fc.weight"].read((1499,))


SERVERS = {
    "403": "no permission",
    "500": "the server",
    "cut": "the server fails|the server gave",
    "whole": "whole files only",
    "no size": "whole files only|the server",
}


@pytest.mark.parametrize("mode", SERVERS)
def test_what_servers_do_wrong(mode: str, web: Web) -> None:
    web.mode = mode
    with pytest.raises(pc.FileError, match=SERVERS[mode]) as caught:
        last_row(web.url.replace("//", "//me:secret@") + "/wide.safetensors?signature=hidden")
    assert "secret" not in str(caught.value) and "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.hint


def test_what_is_not_there(web: Web) -> None:
    with pytest.raises(pc.FileError, match="there is no such file on the server"):
        pc.open(f"{web.url}/nothing.safetensors")
    with pytest.raises(pc.FileError, match="the server cannot be reached"):
        pc.open("http://127.0.0.1:9/x.safetensors")
    with pytest.raises(pc.FileError, match="several steps"):
        pc.open("https://a::file:///etc/passwd")


def test_a_changed_file_is_noticed(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    net = pc.open(f"{web.url}/wide.safetensors")
    _ = net["fc[3]"].weight
    web.tag = "2"
    _ = net["fc[3]"].bias
    monkeypatch.setattr(remote, "AGAIN", 0.0)
    with pytest.raises(pc.FileError, match="was changed since it was opened"):
        _ = net["fc[3]"].weight


NAMES = ("../secret", "/etc/passwd", "a//b", "x?y", "x#y", "http://e/x", "a/../../b", "%2e%2e/x", "", "..", "a\\b", "*")


@pytest.mark.parametrize("name", NAMES)
def test_names_that_leave_the_folder(name: str, web: Web) -> None:
    source = open_stored(f"{web.url}/wide.safetensors").sources[0]
    before = web.requests()
    with pytest.raises(pc.FileError, match="does not lie in its own folder"):
        source.sibling(name)
    assert web.requests() == before


def test_what_is_kept_is_bounded(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "KEPT", 300_000)
    source: Any = open_stored(f"{web.url}/wide.safetensors").sources[0]
    local = (web.folder / "wide.safetensors").read_bytes()
    for offset in range(0, source.size - 100, 150_000):
        assert source.read(offset, 100) == local[offset : offset + 100]
        assert sum(map(len, source._pieces.values())) <= 300_000
    assert source.read(0, source.size) == local
    with pytest.raises(pc.FileError, match="ends early"):
        source.read(source.size - 5, 6)
    source.close()
    with pytest.raises(pc.FileError, match="was closed"):
        source.read(0, 1)


def numbers(path: str) -> dict[str, Any]:
    """Every array's bytes, or that it is refused."""
    found: dict[str, Any] = {}
    for name, array in pc.open(path).model.arrays.items():
        try:
            found[name] = array.read().data
        except pc.FileError:
            found[name] = "refused"
    return found


@pytest.mark.parametrize("form", ["safetensors", "npy", "gguf", "onnx", "pytorch"])
def test_every_format_reads_alike_from_a_server(form: str, tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    made = importlib.import_module(f"samples_{form}").samples(tmp_path)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            files.pipe_file(f"/{form}/{file.relative_to(tmp_path)}", file.read_bytes())
    assert made
    for path in made:
        assert numbers(str(path)) == numbers(f"memory://{form}/{path.relative_to(tmp_path)}")


def test_memory_and_local_urls(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    files = fsspec.filesystem("memory")
    for file in tmp_path.iterdir():
        files.pipe_file(f"/nets/one/{file.name}", file.read_bytes())
    for url in ("memory://nets/one/model.safetensors.index.json", "memory://nets/one", f"file://{index}"):
        net = pc.open(url)
        assert torch.tensor(net["fc1[5]"].weight.tolist()).equal(arrays()["fc1.weight"][5])
    files.pipe_file("/nets/two/a.txt", b"x")
    with pytest.raises(pc.FileError, match=r"it holds no network; there are: a\.txt"):
        pc.open("memory://nets/two")


def test_the_hub_by_its_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network here: a file system takes the place of that of huggingface_hub, with folders named as there."""
    from fsspec.implementations.dirfs import DirFileSystem
    from fsspec.implementations.local import LocalFileSystem

    sharded(tmp_path / "me" / "net")

    class Hub(DirFileSystem):
        protocol = "hf"

        def __init__(self, **more: Any) -> None:
            super().__init__(path=str(tmp_path), fs=LocalFileSystem(), **more)

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", Hub)
    for url in ("hf://me/net", "hf://me/net/model.safetensors.index.json"):
        net = pc.open(url)
        assert torch.tensor(net["fc1[5]"].weight.tolist()).equal(arrays()["fc1.weight"][5])
        assert net.model.source == "hf://me/net/model.safetensors.index.json"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_s3(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for word, value in (("KEY_ID", "testing"), ("SECRET", "s3cr3t")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID" if word == "KEY_ID" else "AWS_SECRET_ACCESS_KEY", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    sharded(tmp_path)
    files: Any = fsspec.filesystem("s3")
    files.mkdir("nets")
    for file in tmp_path.iterdir():
        files.pipe_file(f"nets/one/{file.name}", file.read_bytes())
    net = pc.open("s3://nets/one/model.safetensors.index.json")
    assert torch.tensor(net["fc1[5]"].weight.tolist()).equal(arrays()["fc1.weight"][5])
    assert torch.tensor(pc.open("s3://nets/one")["fc2[1]"].weight.tolist()).equal(arrays()["fc2.weight"][1].float())
    with pytest.raises(pc.FileError, match="there is no such file"):
        pc.open("s3://nets/nothing.safetensors")
    command = [sys.executable, "-m", "patchclamp", "show", "s3://nets/one/model-00001-of-00002.safetensors", "fc1[3]"]
    ran = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    shown = shown[0] if isinstance(shown, list) else shown
    assert torch.tensor(shown["arrays"]["weight"]["values"]).equal(arrays()["fc1.weight"][3])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.startswith("fsspec"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="fsspec")
        return real(name, package)

    monkeypatch.setattr(remote, "import_module", without)
    with pytest.raises(pc.FileError, match="fsspec is not installed\n  hint: pip install patchclamp"):
        pc.open("s3://bucket/model.safetensors")
