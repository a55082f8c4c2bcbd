"""What `make lint` finds wrong with manifests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/check-manifests.sh"
GOOD = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: one
spec:
  maxUnavailable: 1
"""


def checked(project: Path, manifest: str) -> subprocess.CompletedProcess[str]:
    """Check a project with one manifest."""
    folder = project / "deploy/kubernetes/only"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text("resources: [manifest.yaml]\n")
    (folder / "manifest.yaml").write_text(manifest)
    (project / ".venv").symlink_to(Path(sys.executable).parents[1])
    (project / "scripts").mkdir()
    script = shutil.copy(SCRIPT, project / "scripts")
    return subprocess.run(  # noqa: S603 (our own script)
        [script], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_manifest_that_an_api_server_would_take_passes(tmp_path: Path) -> None:
    done = checked(tmp_path, GOOD)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("maxUnavailable", "maxUnavailabel"),
        ("kind: PodDisruptionBudget", "kind: PodDisruptionBudgets"),
        ("policy/v1", "policy/v1beta1"),  # which a cluster has no more
    ],
)
def test_a_field_a_kind_or_a_version_that_does_not_exist_is_named(
    tmp_path: Path, right: str, wrong: str
) -> None:
    done = checked(tmp_path, GOOD.replace(right, wrong))
    assert done.returncode == 1
    assert wrong.removeprefix("kind: ") in done.stderr
