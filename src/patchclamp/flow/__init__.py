"""Who stands behind each element of each array while a network runs: labels of neurons, carried from layer to layer."""
