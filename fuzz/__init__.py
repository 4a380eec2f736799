"""Seeded mutations of valid files: whatever the bytes, opening and reading ends in a result or in one clear error."""
