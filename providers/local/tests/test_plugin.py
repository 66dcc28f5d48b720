"""The plugin: its options, its probe, and its words where it cannot work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit import capabilities
from sandboxkit.worlds import BlockingWorld
from sandboxkit_local import creation, refusal
from sandboxkit_local.declared import capabilities as declared
from sandboxkit_local.options import LocalConnect, LocalOptions
from sandboxkit_local.plugin import sandboxkit_probe, sandboxkit_provider
from sandboxkit_local.state import State, find_state


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(sandboxkit.InvalidSpec, match=r"no option 'isolaton' \(known: isolation, state_dir\)"):
        sandboxkit_provider(BlockingWorld(), {"isolaton": "none"})
    with pytest.raises(sandboxkit.InvalidSpec, match="'namespaces' or 'none'"):
        LocalConnect.read({"isolation": "landlock"})
    for odd in (5, b"/state", "", "a\0b"):
        with pytest.raises(sandboxkit.InvalidSpec, match="state_dir"):
            LocalConnect.read({"state_dir": odd})
    assert LocalConnect.read({"state_dir": Path("/state")}).state_dir == "/state"


@pytest.mark.parametrize("path", ["relative", "/", "/proc/1", "/tmp/../etc", "/dev", "/no/such/place"])
def test_paths_that_cannot_be_shown_are_refused(path: str) -> None:
    with pytest.raises(sandboxkit.InvalidSpec):
        LocalOptions(read_only=(path,)).check("/state")
    LocalOptions(read_only=("/usr/share",)).check("/state")
    with pytest.raises(sandboxkit.InvalidSpec, match="state directory"):
        LocalOptions(read_only=("/usr/share",)).check("/usr")


def test_every_capability_is_declared_with_a_reason_where_it_is_missing() -> None:
    for isolated in (True, False):
        made = declared(isolated=isolated)
        assert set(made) == set(capabilities.NAMES)
        assert all(made[name] for name in capabilities.MANDATORY)
        assert [name for name, capability in made.items() if not capability and not capability.reason] == []


def test_the_state_directory_follows_option_environment_and_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SANDBOXKIT_LOCAL_STATE", "/from/environment")
    assert find_state("/given") == State("/given")
    assert find_state(None) == State("/from/environment")
    monkeypatch.delenv("SANDBOXKIT_LOCAL_STATE")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert find_state(None) == State("/var/lib/sandboxkit")
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert find_state(None) == State(f"{tmp_path}/sandboxkit")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    assert find_state(None) == State("/tmp/sandboxkit-4711")


def test_the_probe_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = sandboxkit_probe()
    assert isinstance(answer.works, bool)
    assert answer.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("step", "code", "files", "words"),
    [
        ("unshare", 1, {"/proc/self/status": "Seccomp:\t2"}, "--security-opt seccomp=unconfined"),
        ("unshare", 28, {}, "user.max_user_namespaces"),
        ("unshare", 1, {"/proc/sys/kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        (
            "mapping ids",
            13,
            {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1", "/proc/self/status": "Uid:\t1000"},
            "AppArmor",
        ),
        ("building the root (mount ../etc/root/proc)", 1, {}, "systempaths=unconfined"),
        ("building the root (mount_setattr x)", 38, {}, "Linux 5.12"),
        ("unshare", 1, {}, "the kernel or its security modules"),
    ],
)
def test_a_refusal_says_what_failed_why_and_what_would_work(
    monkeypatch: pytest.MonkeyPatch, step: str, code: int, files: dict[str, str], words: str
) -> None:
    monkeypatch.setattr(refusal, "_read", lambda path: files.get(path, ""))
    told = [b"failed", step.encode(), b"%d" % code, b"text"]
    error = creation.failure(told)
    assert isinstance(error, sandboxkit.Unsupported)
    assert error.capability == "isolation"
    assert str(error).startswith(f"local sandbox not possible here: {step}: E")
    assert words in str(error)
    assert "provider 'docker'" in str(error)
    assert "isolation='none'" in str(error)


def test_a_refusal_by_this_kernel_leaves_nothing(tmp_path: Path) -> None:
    """In a user namespace that permits no further one, as a container's filter would."""
    program = """
import sys, sandboxkit, os
from pathlib import Path
Path("/proc/sys/user/max_user_namespaces").write_text("0")
print(sandboxkit.plugins.probe("local"))
try:
    sandboxkit.connect("local", state_dir=sys.argv[1]).create()
except sandboxkit.Unsupported as exc:
    print(exc.capability, exc)
    print(sorted(os.listdir(sys.argv[1])), os.listdir(sys.argv[1] + "/trash"), os.listdir(sys.argv[1] + "/claims"))
"""
    command = ["unshare", "-U", "--map-user=4711", "--map-group=4711", "--keep-caps", sys.executable, "-c", program]
    done = subprocess.run([*command, str(tmp_path / "state")], capture_output=True, text=True, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no user namespace to refuse in: {done.stderr}")
    assert done.returncode == 0, done.stderr
    probe, refused, rest = done.stdout.splitlines()
    assert "works=False" in probe
    assert refused.startswith(
        "isolation local sandbox not possible here: unshare: ENOSPC; user namespaces are switched"
    )
    assert rest.endswith("[] []")
    assert "sk-" not in rest


def test_importing_the_plugin_imports_nothing_of_the_provider() -> None:
    program = (
        "import sandboxkit_local.plugin, sys; "
        "print(sorted(name for name in sys.modules if name.startswith('sandboxkit_local')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['sandboxkit_local', 'sandboxkit_local.plugin']\n"


def test_elsewhere_than_on_linux_it_refuses_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(sandboxkit.Unsupported, match="needs Linux, this is darwin; use provider 'docker'"):
        sandboxkit_provider(BlockingWorld(), {})
    assert sandboxkit_probe().works is False
