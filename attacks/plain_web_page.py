"""A login page that was saved under the name of a checkpoint."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "web page"


def make(folder: Path) -> Path:
    path = folder / "pytorch_model.bin"
    path.write_text("<!DOCTYPE html><html><script>location='evil'</script><body>Sign in</body></html>")
    return path
