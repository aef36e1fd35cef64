"""What a container says on its way out: its termination message file, or the end of its log."""

from __future__ import annotations

from pathlib import Path

from sampan.apimachinery.object import Object
from sampan.kubelet.container_config import TERMINATION_POLICY
from sampan.kubelet.logs import tail_text
from sampan.kubelet.pod_state import PodContainer

MAX_FILE_BYTES = 4096
MAX_LOG_BYTES = 2048
MAX_LOG_LINES = 80


def message_file(pod_dir: Path, name: str, attempt: int) -> Path:
    """The file that is mounted at the container's terminationMessagePath."""
    return pod_dir / "containers" / name / str(attempt)


def create(pod_dir: Path, container: Object, attempt: int) -> Path:
    """An empty one that any user in the container may write to."""
    path = message_file(pod_dir, container["name"], attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)
    return path


def read(pod_dir: Path, run: PodContainer) -> str:
    """The message of an ended container, empty if it left none."""
    text = ""
    path = message_file(pod_dir, run.name, run.status.attempt)
    try:
        if not path.is_symlink():
            with path.open("rb") as file:
                text = file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    policy = run.status.annotations.get(TERMINATION_POLICY)
    if not text and policy == "FallbackToLogsOnError" and run.status.exit_code != 0:
        text = tail_text(Path(run.status.log_path), MAX_LOG_LINES, MAX_LOG_BYTES)
    return text
