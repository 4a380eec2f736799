"""PyTorch: opens live modules, taps their forward, edits their memory."""
