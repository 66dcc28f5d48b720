"""What a sandbox must not reach. Each test shows first that what is refused inside is there outside."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit.sync import Client, Sandbox

PYTHON = "/usr/bin/python3"


def inside(box: Sandbox, script: str) -> tuple[int, str]:
    """Run a shell script in the sandbox; give its exit code and all that it wrote."""
    result = box.exec(script + "\n", timeout=30)
    return result.exit_code, result.text + result.stderr_text


def python(box: Sandbox, script: str) -> tuple[int, str]:
    if not Path(PYTHON).exists():
        pytest.skip(f"needs {PYTHON}")
    result = box.exec([PYTHON, "-I", "-c", script], timeout=30)
    return result.exit_code, result.text + result.stderr_text


def test_only_listed_directories_of_the_host_are_seen(shared: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    assert secret.read_text() == "of the host"
    _, seen = inside(shared, "ls /")
    assert {"boot", "mnt", "srv", "media", "lost+found", "work"}.isdisjoint(seen.split())
    assert {"usr", "etc", "workspace", "tmp"} <= set(seen.split())
    assert inside(shared, f"cat {secret}")[0] == 1
    assert inside(shared, f"ls {Path.home()}/.ssh {tmp_path}")[0] == 2


def test_etc_shadow_is_unreadable(shared: Sandbox) -> None:
    assert Path("/etc/shadow").exists()
    assert inside(shared, "head -c 1 /etc/passwd | wc -c") == (0, "1\n")
    code, words = inside(shared, "cat /etc/shadow")
    assert code == 1
    assert "Permission denied" in words


def test_shown_directories_are_read_only_with_all_that_is_mounted_in_them(shared: Sandbox) -> None:
    for place in ("/usr", "/etc", "/usr/bin", "/opt", "/dev", "/", "/proc/sys/kernel", "/sys"):
        code, words = inside(shared, f"[ -d {place} ] && : > {place}/sandboxkit-was-here")
        assert code != 0, place
        assert "Read-only" in words or "Permission" in words or "nonexistent" in words or code == 1, place
        assert not Path(place, "sandboxkit-was-here").exists()
    assert inside(shared, ": > /workspace/here && : > /tmp/here && : > /root/here && : > /var/tmp/here")[0] == 0


def test_read_only_holds_for_mounts_below_what_is_shown(client: Client, tmp_path: Path) -> None:
    from sandboxkit_local.options import LocalOptions

    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    below = tmp_path / "below"
    below.mkdir()
    for place in (tmp_path, *tmp_path.parents[:2]):
        place.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0777", "tmpfs", str(below)], check=True)
    try:
        (below / "control").write_text("writable outside")
        with client.create(ttl=60, options=LocalOptions(read_only=(str(tmp_path),))) as box:
            assert inside(box, f"cat {below}/control") == (0, "writable outside")
            assert "Read-only" in inside(box, f"touch {below}/x")[1]
    finally:
        subprocess.run(["umount", str(below)], check=True)


def test_the_state_directory_is_hidden_where_it_would_be_shown(
    client: Client, state: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from sandboxkit_local.options import LocalOptions

    shown = state.parent
    for place in (shown, *shown.parents[:2]):
        place.chmod(0o755)
    (shown / "beside").write_text("seen")
    with client.create(ttl=60, options=LocalOptions(read_only=(str(shown),))) as box:
        assert inside(box, f"cat {shown}/beside") == (0, "seen")
        assert inside(box, f"ls -A {state}") == (0, "")
        assert inside(box, "find / -type s 2>/dev/null")[1] == ""


def test_sandboxes_do_not_see_each_other(client: Client, state: Path) -> None:
    with client.create(ttl=60) as one, client.create(ttl=60) as two:
        one.exec("echo secret > /workspace/mine; sleep 60 & echo secret > /dev/shm/mine")
        assert inside(one, "cat /workspace/mine")[1] == "secret\n"
        assert (state / one.id / "workspace" / "mine").read_text() == "secret\n"
        assert inside(two, "ls -A /workspace /dev/shm | grep mine")[0] == 1
        assert inside(two, f"ls {state} {state}/{one.id}/workspace")[0] == 2
        assert inside(two, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 60'")[1] == "0\n"
        assert inside(one, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 60'")[1] != "0\n"


def test_host_processes_are_neither_seen_nor_signalled(shared: Sandbox) -> None:
    with subprocess.Popen(["sleep", "600"]) as outside:
        try:
            assert Path(f"/proc/{outside.pid}").exists()
            _, listed = inside(shared, "ls /proc")
            assert len([name for name in listed.split() if name.isdigit()]) < 10
            # The number may be that of a process of the sandbox, but it is never the host's.
            inside(shared, f"kill -9 {outside.pid}")
            assert outside.poll() is None
        finally:
            outside.kill()


@pytest.mark.parametrize(
    "call",
    [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /",
        "mount -o remount,bind,rw /usr",
        "umount /usr",
        "unshare -U true",
        "unshare -m true",
        "unshare -Urm true",
        "mknod /tmp/disk b 254 0",
        "mknod /tmp/mem c 1 1",
        "chroot / true",
        "hostname elsewhere",
        "sysctl -w kernel.hostname=elsewhere",
        "echo 1 > /proc/sys/vm/swappiness",
        "echo b > /proc/sysrq-trigger",
        "echo 100 > /proc/sys/user/max_user_namespaces",
        "chown 12345 /workspace",
        "dmesg",
    ],
)
def test_privileged_calls_are_refused(shared: Sandbox, call: str) -> None:
    assert inside(shared, "true; echo $?") == (0, "0\n")
    code, words = inside(shared, call)
    assert code != 0, words
    assert "not found" not in words, "the tool is missing: this shows nothing"


def test_no_capability_is_left_or_can_come_back(shared: Sandbox) -> None:
    _, status = inside(shared, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


def test_root_of_the_sandbox_is_not_root_of_the_host(box: Sandbox, state: Path) -> None:
    box.exec("echo x > /workspace/made; id -u > /workspace/uid")
    assert (state / box.id / "workspace" / "uid").read_text() == "0\n"
    assert (state / box.id / "workspace" / "made").stat().st_uid != 0


def test_setuid_programs_gain_nothing(box: Sandbox) -> None:
    code, words = inside(
        box, "cp /bin/sh /workspace/s && chmod 4755 /workspace/s && /workspace/s -c 'cat /proc/self/status'"
    )
    assert code == 0
    assert "CapEff:\t0000000000000000" in words


def test_host_network_is_out_of_reach(shared: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        code, words = python(shared, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
        assert code == 1
        assert "Connection refused" in words
    assert python(shared, "import os; print(sorted(os.listdir('/sys/class/net')))") == (0, "['lo']\n")
    assert "unreachable" in python(shared, "import socket; socket.create_connection(('192.0.2.1', 80), 2)")[1]


def test_loopback_of_its_own_works(shared: Sandbox) -> None:
    code, words = python(
        shared,
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname()); print(socket.gethostbyname('sandbox'))",
    )
    assert (code, words) == (0, "127.0.0.1\n")


@pytest.fixture
def abstract() -> Iterator[str]:
    name = f"sandboxkit-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        yield name


def test_abstract_sockets_of_the_host_are_out_of_reach(shared: Sandbox, abstract: str) -> None:
    with socket.socket(socket.AF_UNIX) as outside:
        outside.connect("\0" + abstract)
    code, words = python(shared, f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{abstract}')")
    assert code == 1
    assert "Connection refused" in words


def test_sockets_of_daemons_are_not_there(shared: Sandbox, state: Path) -> None:
    for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
        assert inside(shared, f"[ -e {path} ]")[0] == 1
    assert (state / shared.id / "sock").is_socket()
    assert inside(shared, "find / -type s 2>/dev/null")[1] == ""


def test_session_keyring_of_the_host_is_out_of_reach(client: Client) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of the calls are those of x86_64")
    # In a process of its own, so that the key goes with it; the sandbox is made under that keyring.
    program = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(250, 1, None) >= 0
key = libc.syscall(248, b"user", b"sandboxkit-secret", b"topsecret", 9, -3)
assert key > 0, ctypes.get_errno()
assert libc.syscall(250, 10, -3, b"user", b"sandboxkit-secret", 0) == key
import sandboxkit
with sandboxkit.connect("local", state_dir=sys.argv[1]) as client, client.create(ttl=60) as box:
    print(box.exec(["/usr/bin/python3", "-I", "-c", '''
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(250, 10, -3, b"user", b"sandboxkit-secret", 0), ctypes.get_errno())
''']).text, box.exec("cat /proc/keys").text)
"""
    if not Path(PYTHON).exists():
        pytest.skip(f"needs {PYTHON}")
    done = subprocess.run(
        [sys.executable, "-c", program, _state_of(client)], capture_output=True, text=True, check=False
    )
    if "AssertionError" in done.stderr:
        pytest.skip(f"no key can be added here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["-1", "1"]


def _state_of(client: Client) -> str:
    return str(client._async.provider.state.path)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("keyctl", "libc.syscall(250, 0, -3, 0)"),
        ("add_key", "libc.syscall(248, b'user', b'a', b'b', 1, -3)"),
        ("bpf", "libc.syscall(321, 0, 0, 0)"),
        ("userfaultfd", "libc.syscall(323, 0)"),
        ("io_uring_setup", "libc.syscall(425, 8, buffer)"),
        ("perf_event_open", "libc.syscall(298, buffer, 0, -1, -1, 0)"),
        ("unshare user", "libc.unshare(0x10000000)"),
        ("setns", "libc.setns(0, 0)"),
        ("open_tree", "libc.syscall(428, -100, b'/usr', 1)"),
        ("TIOCSTI", "libc.ioctl(0, 0x5412, b'x')"),
        ("prlimit of PID 1", "libc.prlimit(1, 7, 0, buffer)"),
        ("scheduler of PID 1", "libc.sched_setscheduler(1, 5, buffer)"),
        ("affinity of PID 1", "libc.sched_setaffinity(1, 8, b'\\1' + bytes(7))"),
        ("priority of PID 1", "libc.setpriority(0, 1, 19)"),
        ("priority of its group", "libc.setpriority(1, 1, 19)"),
        ("priority of all", "libc.setpriority(2, 0, 19)"),
    ],
)
def test_calls_around_the_namespaces_are_refused(shared: Sandbox, what: str, call: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the filter is for x86_64")
    script = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); buffer = ctypes.create_string_buffer(256)\n"
        f"assert libc.syscall(39) > 0; print({call}, ctypes.get_errno())"
    )
    assert python(shared, script) == (0, "-1 1\n")


def test_virtual_machine_sockets_are_refused(shared: Sandbox) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the filter is for x86_64")
    assert python(shared, "import socket; socket.socket(socket.AF_UNIX)")[0] == 0
    assert "Address family not supported" in python(shared, "import socket; socket.socket(40, 1)")[1]


def test_new_namespaces_are_refused_to_clone(shared: Sandbox) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the filter is for x86_64")
    script = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.syscall(56, {flags} | 17, 0, 0, 0, 0) if {flags} else 0, ctypes.get_errno())"
    )
    assert python(shared, script.format(flags=0)) == (0, "0 0\n")
    assert python(shared, script.format(flags=0x10000000)) == (0, "-1 1\n")
    assert python(shared, script.format(flags=0x20000000)) == (0, "-1 1\n")


def test_pid_1_cannot_be_ended_stopped_or_read(box: Sandbox, first_pid: Callable[[str], int]) -> None:
    before = first_pid(box.id)
    assert before
    for signal in (*range(1, 32), 34, 64):
        inside(box, f"kill -{signal} 1")
    for path in ("environ", "mem", "maps", "fd/0", "root", "cwd"):
        assert inside(box, f"head -c 1 /proc/1/{path} || readlink /proc/1/{path}")[0] != 0, path
    assert inside(box, "head -c 4 /proc/self/maps | wc -c") == (0, "4\n")
    code, words = python(
        box,
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())",
    )
    assert (code, words) == (0, "-1 1\n")
    assert first_pid(box.id) == before
    assert inside(box, "echo alive") == (0, "alive\n")


def test_environment_of_the_client_stays_outside(
    client: Client, monkeypatch: pytest.MonkeyPatch, first_pid: Callable[[str], int]
) -> None:
    monkeypatch.setenv("SANDBOXKIT_TEST_SECRET", "topsecret")
    with client.create(ttl=60, env={"GIVEN": "hushhush"}) as box:
        assert "topsecret" not in inside(box, "env; cat /proc/[0-9]*/environ 2>/dev/null")[1]
        assert inside(box, "echo $GIVEN") == (0, "hushhush\n")
        assert b"hushhush" not in Path(f"/proc/{first_pid(box.id)}/cmdline").read_bytes()
        assert "hushhush" not in Path(_state_of(client), box.id, "meta.json").read_text()


def test_files_of_the_client_are_not_inherited(client: Client, tmp_path: Path) -> None:
    secret = tmp_path / "open"
    secret.write_text("of the host")
    fd = os.open(secret, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        control = subprocess.run(["ls", "/proc/self/fd"], pass_fds=(fd,), capture_output=True, text=True, check=True)
        assert str(fd) in control.stdout.split()
        with client.create(ttl=60) as box:
            _, listed = inside(box, "ls -l /proc/self/fd")
            assert len(listed.splitlines()) <= 5  # 0 to 2, and ls's own
            assert str(secret) not in listed
    finally:
        os.close(fd)


def test_limits_do_not_change_pid_1(box: Sandbox, first_pid: Callable[[str], int]) -> None:
    libc = ctypes.CDLL(None)
    assert libc
    inside(box, "ulimit -n 10; ulimit -u 10; true")
    assert inside(box, "echo fine") == (0, "fine\n")
    assert first_pid(box.id)
