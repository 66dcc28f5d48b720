"""Creating: idempotent by key, also when replies are lost; and nothing left behind by what failed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from sandboxkit_docker import DockerOptions
from sandboxkit_docker import labels as marks
from sandboxkit_docker import spec as mapping
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.options import ConnectOptions
from sandboxkit_docker.provider import DockerProvider

import sandboxkit
from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.errors import (
    DeadlineExceeded,
    IdempotencyConflict,
    ImageNotFound,
    InvalidSpec,
    ProviderError,
    ProviderUnavailable,
)
from sandboxkit.model import CreateRequest, SandboxSpec, Status
from sandboxkit.sync import Client
from sandboxkit.worlds import BlockingWorld

from .conftest import USUAL, eventually
from .proxy import Proxy


def request(owner: str, key: str = "k", ttl: float = 120.0, **given: Any) -> CreateRequest:
    return CreateRequest(
        spec=SandboxSpec(**{"image": USUAL, **given}),
        owner=owner,
        key=key,
        key_given=True,
        fingerprint=repr(sorted(given)),
        expires_at=time.time() + ttl,
    )


@pytest.fixture
def provider(daemon: Daemon) -> Any:
    made = DockerProvider(BlockingWorld(), ConnectOptions())
    yield made
    made.daemon.close()


@pytest.fixture
def faulty(proxy: Proxy) -> Any:
    """A provider behind the proxy."""
    made = DockerProvider(BlockingWorld(), ConnectOptions(base_url=proxy.url))
    yield made
    made.daemon.close()


def once(method: str, part: str, fault: Any) -> Callable[[str, str], Any]:
    """Decide for the first request of this method and path only."""
    left = [1]

    def decide(seen: str, target: str) -> Any:
        if seen == method and part in target and left[0]:
            left[0] = 0
            return fault
        return "pass"

    return decide


# -- the key ----------------------------------------------------------------------------------------------------


def test_the_same_key_and_specification_give_the_same_sandbox(provider: DockerProvider, remains: Any) -> None:
    first = run(provider.create(request(remains.owner), until=None))
    again = run(provider.create(request(remains.owner, ttl=500.0), until=None))
    assert (first.id, first.expires_at) == (again.id, again.expires_at)
    assert remains() == ["running"]


def test_the_same_key_with_another_specification_is_an_error(provider: DockerProvider, remains: Any) -> None:
    run(provider.create(request(remains.owner), until=None))
    with pytest.raises(IdempotencyConflict, match="'k' is in use"):
        run(provider.create(request(remains.owner, env={"A": "hunter2-secret"}), until=None))
    assert remains() == ["running"]


def test_after_delete_a_key_may_be_used_again(provider: DockerProvider, remains: Any) -> None:
    first = run(provider.create(request(remains.owner), until=None))
    assert run(provider.delete(first.id, until=None))
    second = run(provider.create(request(remains.owner, cwd="/tmp"), until=None))
    assert first.id != second.id


def test_the_key_of_a_sandbox_whose_time_is_up_may_be_used_again(provider: DockerProvider, remains: Any) -> None:
    first = run(provider.create(request(remains.owner, ttl=0.5), until=None))
    eventually(lambda: remains() == ["exited"], "the deadline")
    second = run(provider.create(request(remains.owner, cwd="/tmp"), until=None))
    assert first.id != second.id
    assert remains() == ["running"]


def test_a_sandbox_whose_command_has_ended_is_given_and_not_run_again(provider: DockerProvider, remains: Any) -> None:
    asked = request(remains.owner, command=("/bin/sh", "-c", "exit 3"))
    first = run(provider.create(asked, until=None))
    eventually(lambda: remains() == ["exited"], "the command's end")
    again = run(provider.create(asked, until=None))
    assert (first.id, Status.STOPPED, "3") == (again.id, again.status, again.details["exit_code"])


def test_one_that_was_created_and_never_started_is_started(provider: DockerProvider, remains: Any) -> None:
    asked = request(remains.owner)
    body = mapping.container_body(asked, attempt="a creator that died", now=time.time())
    name = marks.container_name(asked.owner, asked.key)
    assert (
        provider.daemon.request("POST", "/containers/create", until=None, query={"name": name}, body=body).status
        == 201
    )
    found = run(provider.create(asked, until=None))
    assert found.status == Status.RUNNING
    assert remains() == ["running"]


def test_a_foreign_container_with_the_name_is_left_alone(provider: DockerProvider, remains: Any) -> None:
    asked = request(remains.owner)
    name = marks.container_name(asked.owner, asked.key)
    body = {"Image": USUAL, "Cmd": ["sleep", "60"], "Labels": {"sandboxkit.owner": remains.owner}}
    provider.daemon.request("POST", "/containers/create", until=None, query={"name": name}, body=body)
    with pytest.raises(ProviderError, match="taken by a container that is not sandboxkit's"):
        run(provider.create(asked, until=None))
    assert remains() == ["created"]


def test_twenty_at_once_are_twenty(client: Client, daemon: Daemon) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(
            pool.map(lambda n: client.create(ttl=120, ports=[80], labels={"n": str(n)}).__enter__(), range(20))
        )
    try:
        assert len({box.id for box in made}) == 20
        assert len({box.info().ports[80] for box in made}) == 20
    finally:
        with ThreadPoolExecutor(20) as pool:
            assert all(pool.map(lambda box: box.delete(), made))


def test_one_key_from_many_threads_is_one_sandbox(provider: DockerProvider, remains: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: run(provider.create(request(remains.owner), until=None)).id, range(8)))
    assert len(set(found)) == 1
    assert remains() == ["running"]


# -- lost replies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["/containers/create", "/start"])
@pytest.mark.parametrize("fault", ["lose_reply", "refuse", "garbage"])
def test_a_lost_reply_is_made_good(faulty: DockerProvider, proxy: Proxy, remains: Any, part: str, fault: str) -> None:
    proxy.decide = once("POST", part, fault)
    info = run(faulty.create(request(remains.owner), until=None))
    assert proxy.requests("POST", part) == 2
    assert remains() == ["running"]
    assert info.id == run(faulty.get(info.id, until=None)).id


@pytest.mark.parametrize("part", ["/containers/create", "/start"])
def test_a_create_that_gets_no_answer_fails_at_its_deadline_and_leaves_nothing(
    faulty: DockerProvider, proxy: Proxy, remains: Any, part: str
) -> None:
    proxy.decide = once("POST", part, "stall_reply")
    with pytest.raises(DeadlineExceeded) as caught:
        run(faulty.create(request(remains.owner), until=time.monotonic() + 2.0))
    assert caught.value.leftover is None
    assert remains() == []


def test_a_late_reply_is_waited_for(faulty: DockerProvider, proxy: Proxy, remains: Any) -> None:
    proxy.decide = once("POST", "/containers/create", "late_reply")
    run(faulty.create(request(remains.owner), until=time.monotonic() + 20.0))
    assert proxy.requests("POST", "/containers/create") == 1
    assert remains() == ["running"]


def test_replies_in_the_smallest_pieces_are_read(faulty: DockerProvider, proxy: Proxy, remains: Any) -> None:
    proxy.slice = 1
    info = run(faulty.create(request(remains.owner, ports=(80,)), until=None))
    assert info.ports
    assert [info.id] == [
        found.id
        for found in run(faulty.list(labels={}, statuses=(), cursor=None, until=None)).items
        if found.owner == remains.owner
    ]


def test_when_the_clean_up_cannot_reach_the_daemon_the_error_has_the_key(
    faulty: DockerProvider, proxy: Proxy, remains: Any
) -> None:
    proxy.decide = lambda method, target: "pass" if "create" in target or "_ping" in target else "refuse"
    with pytest.raises(ProviderUnavailable) as caught:
        run(faulty.create(request(remains.owner), until=None))
    assert caught.value.leftover == "k"
    assert remains() == ["created"]


def test_a_daemon_that_was_never_reached_leaves_nothing_to_speak_of(remains: Any) -> None:
    provider = DockerProvider(BlockingWorld(), ConnectOptions(base_url="unix:///nonexistent/docker.sock"))
    with pytest.raises(ProviderUnavailable, match="no docker daemon at unix:///nonexistent") as caught:
        run(provider.create(request(remains.owner), until=None))
    assert caught.value.leftover is None
    provider.daemon.close()


def test_the_clean_up_spares_what_another_attempt_made(faulty: DockerProvider, proxy: Proxy, remains: Any) -> None:
    first = run(faulty.create(request(remains.owner), until=None))
    proxy.decide = lambda method, target: "stall_reply" if method == "POST" else "pass"
    with pytest.raises(DeadlineExceeded):
        run(faulty.create(request(remains.owner), until=time.monotonic() + 1.0))
    assert first.id == run(faulty.get(first.id, until=None)).id
    assert remains() == ["running"]


# -- failures that the daemon tells -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"image": "sandboxkit-test:nosuch", "options": DockerOptions(pull="never")}, ImageNotFound, "pull='never'"),
        ({"user": "nosuchuser"}, InvalidSpec, "nosuchuser"),
        ({"options": DockerOptions(runtime="nosuchruntime")}, InvalidSpec, "nosuchruntime"),
        ({"options": DockerOptions(cap_add=("NOSUCH",))}, InvalidSpec, "NOSUCH"),
        ({"options": DockerOptions(volumes={"relative/path": "/x"})}, InvalidSpec, "relative/path"),
        ({"cwd": "/etc/passwd"}, InvalidSpec, "/etc/passwd"),
    ],
)
def test_a_refused_specification_says_so_and_leaves_nothing(
    provider: DockerProvider, remains: Any, given: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        run(provider.create(request(remains.owner, env={"TOKEN": "hunter2-secret"}, **given), until=None))
    assert remains() == []


def test_an_image_without_a_shell_is_named_as_the_reason(
    provider: DockerProvider, remains: Any, daemon: Daemon
) -> None:
    image = f"sandboxkit-test-noshell:{remains.owner}"
    with DockerFiles(daemon, image):
        with pytest.raises(InvalidSpec, match="no /bin/sh"):
            run(provider.create(request(remains.owner, image=image), until=None))
        assert remains() == []


@attrs.define(eq=False)
class DockerFiles:
    """An image with nothing in it, for as long as the block lasts."""

    daemon: Daemon
    image: str

    def __enter__(self) -> None:
        import io
        import tarfile

        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("empty"))
        self.daemon.api.import_image_from_data(data.getvalue(), *self.image.split(":"))

    def __exit__(self, *exc: object) -> None:
        self.daemon.request("DELETE", f"/images/{self.image}", until=None)


# -- giving up ----------------------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cancelled create wait for its clean-up to the end, however long a busy daemon takes for a start."""
    monkeypatch.setattr("sandboxkit_docker.provider.SETTLE", 60.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("part", ["/containers/create", "/start"])
def test_a_cancelled_create_has_left_nothing_when_it_raises(proxy: Proxy, remains: Any, part: str) -> None:
    reached = threading.Event()

    def decide(method: str, target: str) -> Any:
        if part in target:
            reached.set()
            return "late_reply"
        return "pass"

    proxy.decide = decide

    async def body() -> None:
        world = AsyncioWorld()
        provider = DockerProvider(world, ConnectOptions(base_url=proxy.url))
        task = asyncio.create_task(provider.create(request(remains.owner), until=None))
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider.close()
        await world.close()

    asyncio.run(body())
    assert remains() == []


@pytest.mark.usefixtures("patient")
def test_a_cancellation_at_any_moment_leaves_nothing(daemon: Daemon, remains: Any) -> None:
    async def body() -> None:
        world = AsyncioWorld()
        provider = DockerProvider(world, ConnectOptions())
        for n in range(12):
            task = asyncio.create_task(provider.create(request(remains.owner, key=f"k{n}"), until=None))
            await asyncio.sleep(0.02 * n)
            task.cancel()
            done = (await asyncio.gather(task, return_exceptions=True))[0]
            if not isinstance(done, BaseException):
                await provider.delete(done.id, until=None)
        await provider.close()
        await world.close()

    asyncio.run(body())
    assert remains() == []


def test_an_interrupt_in_any_call_leaves_nothing(
    provider: DockerProvider, remains: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = provider.daemon.request
    for position in range(1, 4):
        left = [position]

        def interrupted(*args: Any, left: list[int] = left, **kwargs: Any) -> Any:
            answer = plain(*args, **kwargs)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return answer

        monkeypatch.setattr(provider.daemon, "request", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(provider.create(request(remains.owner, key=f"k{position}", ports=(80,)), until=None))
        assert remains() == []


def test_labels_and_ports_are_there_from_the_start(client: Client, owner: str) -> None:
    with client.create(ttl=60, labels={"job": "7"}, ports=[8080]) as box:
        info = box.info()
        assert info.labels == {"job": "7"}
        assert info.ports[8080].startswith("127.0.0.1:")
        assert [box.id] == [found.id for found in client.list(labels={"job": "7"})]
    with sandboxkit.connect("docker", owner=owner) as other:
        assert not list(other.list(labels={"job": "7"}))


@pytest.mark.parametrize("program", ["nosuchprogram", "/no/such/program", "/etc/passwd", "exit", "/tmp"])
def test_a_command_that_cannot_be_run_is_refused_and_leaves_nothing(
    provider: DockerProvider, remains: Any, program: str
) -> None:
    with pytest.raises(InvalidSpec, match=program):
        run(provider.create(request(remains.owner, command=(program, "3")), until=None))
    assert remains() == []
