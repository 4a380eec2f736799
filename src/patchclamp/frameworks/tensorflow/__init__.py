"""Opens live tensorflow networks."""
