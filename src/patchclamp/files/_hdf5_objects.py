"""The objects of an HDF5 file, each claim of theirs held against the bytes that are there. Runs in the child process.

`_hdf5_child.py` loads this file by its path and gives it h5py and NumPy; nothing else of patchclamp is loaded there.
Source of the format: The HDF Group, HDF5 File Format Specification, version 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

__all__ = ["Reader", "Refused", "shortly"]

OBJECTS_MOST = 20_000
SOME, SECONDS_EACH = 256, 4e-4
"""Processor time that an object may take, given after so many; one takes a quarter of it."""
DEPTH_MOST = 64
NAME_MOST = 1024
NOTES_MOST = 100
TEXT_MOST = 32 << 20
"""Longest text of all attributes together, in bytes."""
ITEMS_MOST = 1 << 16
CHUNK_MOST = 64 << 20
"""Largest chunk, unpacked: one is unpacked as a whole."""
RATIO_MOST = 1100
"""Deflate makes nothing smaller than by 1032; more numbers than that the stored bytes do not explain."""
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}
LISTS = ("layer_names", "weight_names")
TEXTS = ("model_config", "keras_version", "backend")


class Refused(Exception):
    """Why an object, or the file, is not read."""


class Reader:
    """An open HDF5 file: its objects, and numbers out of them."""

    def __init__(self, source: Any, size: int, libraries: tuple[Any, Any], extend: Callable[[float], None]) -> None:
        h5py, self.np = libraries
        self.h5 = h5py
        self.size = size
        self.extend = extend
        self.file = h5py.File(source, "r", rdcc_nbytes=1 << 20)
        self.objects: list[dict[str, Any]] = []
        self.notes: list[tuple[str, str]] = []
        self.unsaid = self.linked = 0
        self.text = 0

    def listing(self) -> dict[str, Any]:
        """Every group and dataset, each once, and what was found that is not read."""
        root = self.h5.h5g.open(self.file.id, b"/")
        seen = {self._place(root)}
        self._group(root, [])
        waiting = [(root, [], iter(self._links(root, [])))]  # type: ignore[var-annotated]
        while waiting:
            group, path, links = waiting[-1]
            name = next(links, None)
            if name is None:
                waiting.pop()
                continue
            here = [*path, name.decode("utf-8", "backslashreplace")]
            try:
                inner = self._object(group, name, here, seen)
            except Refused as refused:
                self._note(here, str(refused))
                continue
            except (KeyError, OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
                self._note(here, f"cannot be read ({shortly(error)})")
                continue
            if inner is not None:
                waiting.append((inner, here, iter(self._links(inner, here))))
        return {"objects": self.objects, "notes": self.notes, "unsaid": self.unsaid}

    def numbers(self, command: dict[str, Any]) -> Any:
        """The bytes of a part of a dataset, little-endian, in C order."""
        did = self._open(command["path"])
        found = self._dataset(did)
        if (found["shape"], found["dtype"]) != (command["shape"], command["dtype"]):
            raise Refused("it is not what it was when the file was opened")
        tid, space = did.get_type(), did.get_space()
        out = self.np.empty(tuple(command["count"]), dtype=f"V{tid.get_size()}")
        if not out.nbytes:
            return b""
        memory = self.h5.h5s.ALL
        if command["count"]:
            space.select_hyperslab(*(tuple(command[word]) for word in ("start", "count", "step")))
            memory = self.h5.h5s.create_simple(out.shape)
        did.read(memory, space if command["count"] else self.h5.h5s.ALL, out, tid)
        if found["swapped"]:
            width = tid.get_size() // (2 if found["dtype"].startswith("complex") else 1)
            out = out.reshape(-1).view(f">u{width}").astype(f"<u{width}")
        return out.reshape(-1).view("B").data

    def _open(self, path: list[str]) -> Any:
        """The dataset at a path that leads over groups of this file only."""
        at = self.h5.h5g.open(self.file.id, b"/")
        for name in path:
            raw = name.encode()
            if at.links.get_info(raw).type != self.h5.h5l.TYPE_HARD:
                raise Refused("it is not what it was when the file was opened")
            at = self.h5.h5o.open(at, raw)
        return at

    def _links(self, group: Any, path: list[str]) -> Iterator[bytes]:
        try:
            count = group.get_num_objs()
            self.linked += count
            if self.linked > OBJECTS_MOST:
                raise Refused(f"it holds more than {OBJECTS_MOST:,} objects, so many are not read")
            yield from list(group)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            self._note(path, f"what the group holds cannot be read ({shortly(error)})")

    def _object(self, group: Any, name: bytes, path: list[str], seen: set[Any]) -> Any:
        """Note an object down; a group that was not seen before is given back, to be looked into."""
        if len(name) > NAME_MOST or b"/" in name or name in (b"", b".", b".."):
            raise Refused("its name is none that an object of a group can have")
        kind = group.links.get_info(name).type
        links = self.h5.h5l
        if kind == links.TYPE_EXTERNAL:
            file, inside = group.links.get_val(name)
            raise Refused(f"an external link, to {short(inside)} in the file {short(file)}: not followed")
        if kind == links.TYPE_SOFT:
            raise Refused(f"a soft link, to {short(group.links.get_val(name))}: not followed")
        if kind != links.TYPE_HARD:
            raise Refused("a link of a kind that is not known")
        found = self.h5.h5o.open(group, name)
        place = self._place(found)
        if place in seen:
            raise Refused("a second name of an object that is read under its first")
        seen.add(place)
        if len(seen) % SOME == 0:
            self.extend(SOME * SECONDS_EACH)
        if isinstance(found, self.h5.h5g.GroupID):
            if len(path) > DEPTH_MOST:
                raise Refused(f"it lies deeper than {DEPTH_MOST} groups")
            self._group(found, path)
            return found
        if not isinstance(found, self.h5.h5d.DatasetID):
            raise Refused("a stored type, which holds no numbers")
        self.objects.append({"path": path, **self._dataset(found)})
        return None

    def _place(self, found: Any) -> Any:
        info = self.h5.h5o.get_info(found)
        return info.addr if hasattr(info, "addr") else bytes(info.token)

    def _note(self, path: list[str], reason: str) -> None:
        if len(self.notes) < NOTES_MOST:
            self.notes.append(("/".join(path)[:NAME_MOST], reason))
        else:
            self.unsaid += 1

    def _group(self, group: Any, path: list[str]) -> None:
        said: dict[str, Any] = {}
        if len(path) <= 2:
            for name in (*TEXTS, *LISTS):
                self._said(group, name, path, said)
        if path and path[-1] == "vars":
            self._said(group, "name", path, said)
        self.objects.append({"path": path, "said": said})

    def _said(self, group: Any, name: str, path: list[str], said: dict[str, Any]) -> None:
        """An attribute of text, or a list of texts, which Keras cuts in pieces (`layer_names0`, ...) if it is long."""
        try:
            if self.h5.h5a.exists(group, name.encode()):
                said[name] = self._attribute(group, name)
            elif name in LISTS and self.h5.h5a.exists(group, f"{name}0".encode()):
                pieces: list[str] = []
                number = 0
                while self.h5.h5a.exists(group, f"{name}{number}".encode()) and len(pieces) < ITEMS_MOST:
                    pieces += self._attribute(group, f"{name}{number}")
                    number += 1
                said[name] = pieces
        except Refused as refused:
            self._note(path, f"its attribute {name}: {refused}")
        except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
            self._note(path, f"its attribute {name} cannot be read ({shortly(error)})")

    def _attribute(self, thing: Any, name: str) -> str | list[str]:
        attribute = self.h5.h5a.open(thing, name.encode())
        tid, shape = attribute.get_type(), attribute.shape
        if shape == (0,):
            return []
        if not isinstance(tid, self.h5.h5t.TypeStringID) or len(shape) > 1:
            raise Refused("it is not text")
        count, wide = prod(shape), 16 if tid.is_variable_str() else tid.get_size()
        if count > ITEMS_MOST or count * wide > TEXT_MOST or count * wide > self.size:
            raise Refused(f"{count:,} texts of {wide:,} bytes are more than is read, or than the file holds")
        out = self.np.empty(shape, dtype=tid.dtype)
        attribute.read(out)
        texts = [item if isinstance(item, bytes) else bytes(str(item), "utf-8") for item in out.reshape(-1).tolist()]
        self.text += sum(map(len, texts))
        if self.text > TEXT_MOST:
            raise Refused(f"the texts of its attributes have more than {TEXT_MOST:,} bytes")
        decoded = [text.rstrip(b"\0").decode("utf-8", "backslashreplace") for text in texts]
        return decoded if shape else decoded[0]

    def _dataset(self, did: Any) -> dict[str, Any]:
        """What a dataset is, as far as its numbers can be read; each claim held against the bytes that are there."""
        plist, layouts = did.get_create_plist(), self.h5.h5d
        layout = plist.get_layout()
        if layout == layouts.VIRTUAL:
            raise Refused("a virtual dataset, whose numbers lie in other datasets: not read")
        if plist.get_external_count():
            file = plist.get_external(0)[0]
            raise Refused(f"its numbers lie in another file ({short(file)}): not read")
        tid = did.get_type()
        dtype, swapped = self._type(tid, did)
        if did.get_space().get_simple_extent_type() == self.h5.h5s.NULL:
            raise Refused("it is empty: it has no shape and no numbers")
        shape, stored = list(did.shape), did.get_storage_size()
        total = prod(shape) * tid.get_size()
        found = {"shape": shape, "dtype": dtype, "swapped": swapped, "offset": None, "how": ""}
        if layout == layouts.CHUNKED:
            return {**found, "how": self._chunked(plist, total, stored, tid.get_size())}
        if total and total != stored:
            raise Refused(f"shape {shape[:8]} of {dtype} takes {total:,} bytes, {stored:,} are stored")
        if layout == layouts.CONTIGUOUS:
            offset = did.get_offset() if total else 0
            if offset is None or offset + total > self.size:
                raise Refused(f"its {total:,} bytes do not lie in the file")
            found["offset"] = offset
        return found

    def _chunked(self, plist: Any, total: int, stored: int, itemsize: int) -> str:
        chunk = prod(plist.get_chunk()) * itemsize
        names = []
        for number in range(plist.get_nfilters()):
            code = plist.get_filter(number)[0]
            if code not in FILTERS:
                raise Refused(f"it is packed by filter {code}, a plugin; only {', '.join(FILTERS.values())} are read")
            names.append(FILTERS[code])
        if stored > self.size or total > stored * RATIO_MOST:
            raise Refused(f"{total:,} bytes of numbers are more than its {stored:,} stored bytes explain")
        if chunk > CHUNK_MOST or chunk > max(stored, 1) * RATIO_MOST:
            raise Refused(
                f"its chunks have {chunk:,} bytes; at most {CHUNK_MOST:,} are read, and what is stored explains"
            )
        return f"in chunks{', packed by ' + ' and '.join(names) if names else ''}"

    def _type(self, tid: Any, did: Any) -> tuple[str, bool]:
        """patchclamp's name of an element type, and whether its bytes are big-endian."""
        types = self.h5.h5t
        kind, size = tid.get_class(), tid.get_size()
        if kind == types.INTEGER and size in (1, 2, 4, 8) and tid.get_precision() == 8 * size and not tid.get_offset():
            sign = "int" if tid.get_sign() == types.SGN_2 else "uint"
            return f"{sign}{8 * size}", size > 1 and tid.get_order() == types.ORDER_BE
        if kind == types.FLOAT:
            for name, word in (("float16", "F16"), ("float32", "F32"), ("float64", "F64")):
                for order in ("LE", "BE"):
                    if tid.equal(getattr(types, f"IEEE_{word}{order}")):
                        return name, order == "BE"
        if kind == types.ENUM and tid.dtype == self.np.dtype("?"):
            return "bool", False
        if kind == types.COMPOUND and tid.dtype.kind == "c" and size in (8, 16):
            return f"complex{8 * size}", tid.dtype.byteorder == ">"
        marked = kind == types.OPAQUE and size == 2 and self.h5.h5a.exists(did, b"dtype")
        if marked and self._attribute(did, "dtype") == "bfloat16":
            return "bfloat16", False
        names = {types.STRING: "text", types.VLEN: "lists", types.REFERENCE: "references", types.OPAQUE: "raw bytes"}
        what = names.get(kind, f"elements of {size} bytes of type class {kind}")
        raise Refused(f"it holds {what}, no plain numbers: not read")


def short(raw: Any) -> str:
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)
    return repr(text[:80])


def shortly(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:160]}"
