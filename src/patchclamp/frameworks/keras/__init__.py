"""Opens live keras networks."""
