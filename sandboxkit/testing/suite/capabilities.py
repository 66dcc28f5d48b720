"""What a provider declares, and what it refuses: declared must work, undeclared must not be tried."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest

import sandboxkit
from sandboxkit.capabilities import MANDATORY, NAMES
from sandboxkit.client import AsyncClient
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import has
from sandboxkit.testing.promises import NOT_YET_CAPABILITIES, promise
from sandboxkit.testing.stage import Stage


class Capabilities:
    """Tests of declarations, of the error tree and of what an image must have."""

    @promise("E1")
    async def test_declarations_are_whole(self, client: AsyncClient) -> None:
        declared = client.capabilities
        assert set(declared) <= set(NAMES)
        for name in MANDATORY:
            assert declared[name].value is True
        assert declared["ttl"].value in ("enforced", "cooperative")
        for name, capability in declared.items():
            assert capability or name in NOT_YET_CAPABILITIES or capability.reason, (
                f"{name} is false without a reason"
            )
            assert not capability.reason.endswith("\n")

    @promise("E1")
    async def test_what_is_not_declared_is_refused_before_anything_is_sent(self, stage: Stage) -> None:
        nowhere = await stage.create()
        await nowhere.delete()
        before = await stage.listed()
        client = stage.client
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            # A sandbox that does not exist would be noticed by whatever was sent.
            "exec_user": lambda: nowhere.exec("true", user="nobody"),
            "extend": lambda: nowhere.extend(60.0),
            "tmux": lambda: nowhere.tmux.start("true"),
            "image": lambda: stage.create(image="sandboxkit-test.invalid/no:none"),
            "command": lambda: stage.create(command=["true"]),
            "cpu": lambda: stage.create(cpu=1.0),
            "memory": lambda: stage.create(memory_gib=1.0),
            "user": lambda: stage.create(user="nobody"),
            "ports": lambda: stage.create(ports=[8080]),
            "network_on": lambda: stage.create(network=True),
            "network_off": lambda: stage.create(network=False),
        }
        for name, call in calls.items():
            if client.capabilities.get(name):
                continue
            with pytest.raises(sandboxkit.Unsupported) as caught:
                await call()
            assert caught.value.capability == name
            assert isinstance(caught.value, NotImplementedError)
        if not client.capabilities.get("pty"):
            with pytest.raises(sandboxkit.Unsupported):
                await nowhere.spawn("true", terminal=(24, 80))
        if not client.capabilities.get("exec_user"):
            with pytest.raises(sandboxkit.Unsupported):
                await nowhere.spawn("true", user="nobody")
        assert await stage.listed() == before

    @promise("E1", needs="network_off", delta=True)
    async def test_no_network_means_none(self, stage: Stage) -> None:
        async with stage.create(network=False) as box:
            names = (await box.exec("cat /proc/net/dev")).text
            assert "lo:" in names
            routes = (await box.exec("cat /proc/net/route")).text.splitlines()[1:]
            assert routes == []

    @promise("E1", needs="network_on", delta=True)
    async def test_a_network_is_more_than_a_loopback(self, stage: Stage) -> None:
        async with stage.create(network=True) as box:
            lines = (await box.exec("cat /proc/net/dev")).text.splitlines()[2:]
            assert {line.split(":")[0].strip() for line in lines} - {"lo"}

    @promise("E1", needs="cpu", delta=True)
    async def test_a_share_of_a_core_is_kept(self, stage: Stage) -> None:
        async with stage.create(cpu=0.25) as box:
            assert (await box.info()).cpu == 0.25
            # What the shell itself has used, in hundredths of a second, out of the 100 that it ran.
            used = "read -r l </proc/self/stat; set -- ${l##*) }; echo $((${12}+${13}))"
            spin = f"(sleep 1; kill $$) & trap '{used}; exit' TERM; while :; do :; done"
            assert int((await box.exec(spin, timeout=60)).text) <= 50

    @promise("E1", needs="memory", delta=True)
    async def test_a_memory_limit_holds(self, stage: Stage) -> None:
        async with stage.create(memory_gib=0.0625) as box:
            assert (await box.exec("dd if=/dev/zero of=/dev/null bs=16M count=1 2>/dev/null")).exit_code == 0
            result = await box.exec("dd if=/dev/zero of=/dev/null bs=512M count=1 2>/dev/null", timeout=60)
            assert result.exit_code != 0
            assert (await box.exec("echo usable")).text == "usable\n"

    @promise("E2")
    async def test_errors_are_one_tree_with_stable_codes(self) -> None:
        kinds = [
            value for value in vars(sandboxkit).values() if isinstance(value, type) and issubclass(value, Exception)
        ]
        assert len(kinds) > 20
        assert all(issubclass(kind, sandboxkit.SandboxError) for kind in kinds)
        codes = [kind.__dict__["code"] for kind in kinds]
        assert len(set(codes)) == len(codes)
        error = sandboxkit.Throttled("slow down", provider_code="Throttling.User", request_id="r-1", retry_after=2.0)
        assert (error.code, error.provider_code, error.request_id) == ("throttled", "Throttling.User", "r-1")

    @promise("E2")
    async def test_the_logger_is_silent_by_default(self) -> None:
        logger = logging.getLogger("sandboxkit")
        assert logger.level == logging.NOTSET
        assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)

    @promise("E4", delta=True)
    async def test_a_shell_and_small_tools_are_enough(self, box: AsyncSandbox) -> None:
        # What of these an image has must not matter; what they would show is that none is needed: see the images.
        script = "PATH=/bin:/usr/bin; cat; echo; exit 3"
        result = await box.exec(script, input=b"x" * 70_000, timeout=30, env={"A": "b"}, cwd="/")
        assert (result.exit_code, len(result.stdout)) == (3, 70_001)
        assert await has(box, "sh")

    @promise("E4", delta=True)
    async def test_exec_needs_no_writable_directory(self, box: AsyncSandbox) -> None:
        # As it were from inside: no file is there during a command that was not there before it.
        look = 'for d in . "$HOME" /tmp /var/tmp /dev/shm /run; do ls -A "$d" 2>/dev/null; done; :'
        before = (await box.exec(look)).text
        during = await box.exec(
            ": " + "x" * 300_000 + "\n" + look + "; cat >/dev/null", input=b"x" * 100_000, timeout=30
        )
        assert during.text == before
        assert (await box.exec(look)).text == before
