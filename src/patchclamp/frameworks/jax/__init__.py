"""Networks of JAX: flax.nnx, flax.linen, equinox, and plain trees of arrays."""
