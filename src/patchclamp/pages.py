"""What an act found, as a page: counts, an accounting, a check, a record. Pure functions of the results."""

from __future__ import annotations

from typing import Any

from .parts.tree import Column, Fields, Heading, Page, Part, Table, Text

__all__ = ["accounting_page", "check_page", "count_page", "record_page"]

MOST = 8
"""How many names a line lists before it says how many more there are."""


def count_page(found: Any) -> Page:
    """The counts of a network (`count.Count`) as a table, with the totals under both conventions."""
    columns = (
        Column("layer"),
        Column("kind"),
        Column("known"),
        Column("neurons", "right"),
        Column("positions", "right"),
        Column("neurons x positions", "right"),
        Column("fan-in", "right"),
        Column("parameters", "right"),
        Column("counts"),
    )
    rows = tuple(
        (
            row.layer,
            row.kind,
            row.known,
            row.neurons,
            None if row.positions is None else " x ".join(map(str, row.positions)) or "1",
            row.placed,
            row.fan_in,
            row.parameters,
            "yes" if row.role == "neuron" else f"no ({row.role})",
        )
        for row in found.layers
    )
    footer = (("total", "", "", found.neurons, "", found.placed, "", found.parameters, ""),)
    given = f" on an input of {found.input}" if found.input else "; without an input size there are no positions"
    return Page((Table(columns, rows, f"neurons{given}", footer),))


def accounting_page(found: Any) -> Page:
    """Where every number is (`account.Accounting`): one row an array, and the totals."""
    columns = (
        Column("array"),
        Column("shape"),
        Column("numbers", "right"),
        Column("role"),
        Column("status"),
        Column("of"),
    )
    rows = tuple((entry.path, entry.shape, entry.size, entry.role, entry.status, entry.of) for entry in found.entries)
    verdict = "every parameter is accounted for"
    if not found.complete:
        verdict = f"not known: {_list([entry.path for entry in found.unknown if entry.role == 'parameter'])}"
    fields = Fields(
        (("parameters", found.total()), ("on a neuron's axis", found.total("neuron")), ("verdict", verdict))
    )
    return Page((fields, Table(columns, rows)))


def check_page(check: Any) -> Page:
    """The outcome of a verification (`verify.Check`): the verdict, both numbers, the tolerance and its reason."""
    at = ", ".join(f"{name} {number}" for name, number in check.where.items())
    rows: list[tuple[str, object]] = [
        ("verdict", "holds" if check.ok else "DOES NOT HOLD"),
        ("compared", check.compared),
        ("shown at", at or None),
        ("recorded", repr(float(check.recorded))),
        ("recomputed", repr(float(check.recomputed))),
        ("difference", f"{check.difference:.3g} ({check.ulp:.3g} ulp)"),
        ("tolerance", f"{check.tolerance:.3g}: {check.reason}"),
    ]
    rows += [("cause", check.cause)] if check.cause else []
    rows += [("failed", _list(check.failed))] if check.failed else []
    parts: list[Part] = [Heading(check.address), Fields(tuple(rows))]
    if check.weights.size:
        parts.append(Text(check.sum()))
    return Page(tuple(parts))


def record_page(record: Any) -> Page:
    """What was recorded (`record.Record`): for each call the shape and axes of each value, and where it came from."""
    columns = (Column("call", "right"), Column("value"), Column("shape"), Column("axes"), Column("source"))
    rows = []
    for number, call in enumerate(record.calls):
        values = {"inputs": call.inputs, "pre_activation": call.pre_activation, "output": call.output}
        values |= {**{f"gate {gate}": value for gate, value in call.gates.items()}, "cell": call.cell}
        for name, value in values.items():
            if value is not None:
                axes = " ".join(call.axes.get(name, ()))
                rows.append((number, name, _shape(value), axes, call.source.get(name, "")))
    return Page((Heading(record.address), Table(columns, tuple(rows))))


def _shape(value: Any) -> object:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else tuple(shape)


def _list(names: Any) -> str:
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
