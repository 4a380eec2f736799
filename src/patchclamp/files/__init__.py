"""File formats: one module a format, each with `sniff(head, size)` and `open_file(path)`. No framework is imported."""
