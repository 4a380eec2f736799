"""Hostile files: one small script an attack, and a runner that opens each under watch (`python -m attacks`)."""
