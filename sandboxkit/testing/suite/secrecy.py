"""What must not be seen: credentials, environment values, the texts of commands: E2."""

from __future__ import annotations

import logging
import secrets
import traceback
from typing import Any

import pytest

import sandboxkit
from sandboxkit.client import AsyncClient
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage


class Secrecy:
    """Tests of errors, reprs, logs and process arguments."""

    @promise("E2", delta=True)
    async def test_values_are_in_no_process_argument(self, stage: Stage) -> None:
        value, control = secrets.token_hex(8), secrets.token_hex(8)
        async with stage.create(env={"OWN": value}) as box:
            look = (
                'a=$(for p in /proc/[0-9]*/cmdline; do tr "\\000" " " 2>/dev/null <$p; echo; done); '
                'case $a in *"$A$B"*) echo "seen $a";; *) echo unseen;; esac; '
                'case $a in *"$C$E"*) echo control;; esac'
            )
            env = {"A": value[:8], "B": value[8:], "C": control[:8], "E": control[8:], "SECRET": value}
            # The control is an argument, and must be found.
            async with box.spawn(["sh", "-c", "echo up; sleep 600; :", control], env={"SECRET": value}) as other:
                await other.__anext__()
                ways: tuple[dict[str, Any], ...] = ({}, {"timeout": 30.0}, {"input": value.encode()})
                for arguments in ways:
                    result = await box.exec(look, env=env, **arguments)
                    assert result.text == "unseen\ncontrol\n"

    @promise("E2", delta=True)
    async def test_the_sandboxs_processes_hold_no_token(self, box: AsyncSandbox) -> None:
        # A command sees its own environment and its parent's arguments, and neither tells how its end is reported.
        result = await box.exec(
            "cat; env; tr '\\000' ' ' </proc/$PPID/cmdline; echo; echo real", input=b"", timeout=30
        )
        assert result.exit_code == 0
        assert result.text.endswith("real\n")
        forged = await box.exec(
            "for t in $( (env; for f in cmdline environ; do tr '\\000' '\\n' </proc/$PPID/$f; done) 2>/dev/null "
            "| grep -o '[0-9a-f]\\{32\\}'); do printf '%s:E0,0;' $t; done; echo end; exit 3"
        )
        assert forged.exit_code == 3
        assert forged.text.endswith("end\n")

    @promise("E2")
    async def test_errors_reprs_and_logs_are_clean(
        self, stage: Stage, client: AsyncClient, box: AsyncSandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        value, text = f"value-{secrets.token_hex(8)}", f"text-{secrets.token_hex(8)}"
        seen: list[str] = []
        caplog.set_level(logging.INFO)
        script, env = f": {text}; exit 3", {"SECRET": value}
        process = await box.spawn(script, env=env)
        async with process:
            seen += [repr(process), repr(box), repr(client)]
        seen.append(repr(await box.exec(f"echo {value}; : {text}", env=env)))
        wrong: tuple[dict[str, Any], ...] = (
            {"command": script, "check": True},
            {"command": f"sleep 600; : {text}", "timeout": 0.5},
            {"command": script, "cwd": "/no/such/directory"},
            {"command": ["true", text, "a\0b"]},
            {"command": ["true", text, "x" * 200_000]},
            {"command": f"kill -9 $PPID; : {text}", "timeout": 5.0},
            {"command": script, "input": value.encode(), "user": 5},
            {"command": script, "timeout": -1},
        )
        for arguments in wrong:
            try:
                await box.exec(**{"env": env, **arguments})
            except Exception as exc:  # noqa: BLE001 - whatever it is, it must not tell
                seen += [str(exc), repr(exc), "".join(traceback.format_exception_only(exc))]
        specs: tuple[dict[str, Any], ...] = (
            {"env": {"A B": value}},
            {"env": {"SECRET": value + "\0"}},
            {"env": env, "ttl": -1},
        )
        for bad in specs:
            with pytest.raises(sandboxkit.InvalidRequest) as caught:
                await stage.create(**bad)
            seen += [str(caught.value), repr(caught.value)]
        async with stage.create(env=env, command=None) as other:
            seen += [
                repr(other),
                repr(await other.info()),
                str([info async for info in client.list(labels=stage.labels)]),
            ]
        logged = "".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
        for place in (*seen, logged):
            assert value not in place
            assert text not in place

    @promise("E2")
    async def test_a_debug_log_tells_no_value(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        value = f"value-{secrets.token_hex(8)}"
        caplog.set_level(logging.DEBUG)
        async with stage.create(env={"SECRET": value}) as box:
            result = await box.exec('echo "$SECRET$MORE"', env={"MORE": value}, input=b"x")
            # The control: the value did get there.
            assert result.text == value + value + "\n"
        assert value not in "".join(f"{record.getMessage()} {record.args}" for record in caplog.records)

    @promise("E2")
    async def test_nothing_is_written_on_the_clients_own_streams(self, stage: Stage, box: AsyncSandbox) -> None:
        with stage.child(acts.run_in, box.id, ["sh", "-c", "echo out; echo err >&2; exit 3"]) as child:
            assert child.finish() == f"{box.id} 3 out"
