"""What is not known of the API: each doubt in each of its positions, as the real SDK sees them."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import attrs
import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator import podstatus
from sandboxkit_eci.emulator.delays import Delays
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.limits import Limits
from sandboxkit_eci.emulator.quirks import Quirks, convert
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.signature import Key
from sandboxkit_eci.emulator.testing import Emulator, emulator
from Tea.exceptions import TeaException
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .asking import PATIENCE, REGION, code, create, delete, execute, groups, listing, no_proxy, running, sdk, until
from .positions import holds, left_out
from .scene import scene
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


def refusal(call: Any) -> str:
    """Give the code with which a call is refused; nothing if it is not."""
    try:
        call()
    except TeaException as exc:
        return str(exc.code)
    return ""


def one(eci: Emulator, **given: Any) -> tuple[Any, str]:
    """Give a client and a group that runs."""
    client = sdk(eci)
    made = create(client, **given)
    running(client, made)
    return client, made


# -- groups ---------------------------------------------------------------------------------------------------------


NOT_FOUND = ("InvalidParameter.NotFound", "InvalidContainerGroupId.NotFound", "ContainerGroup.NotFound")


@holds("not_found_code", {name: name for name in NOT_FOUND})
def test_a_group_that_does_not_exist_has_the_code(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    assert code(lambda: execute(client, "eci-nothing", '["a"]')) == expected
    assert code(lambda: delete(client, "eci-nothing")) == expected


@holds("not_found_status", {404: 404, 400: 400})
def test_a_group_that_does_not_exist_has_the_status(eci: Emulator, expected: int) -> None:
    with pytest.raises(TeaException) as caught:
        execute(sdk(eci), "eci-nothing", '["a"]')
    assert caught.value.statusCode == expected


@holds("delete_missing", {"error": "InvalidParameter.NotFound", "success": ""})
def test_deleting_what_is_not_there(eci: Emulator, expected: str) -> None:
    assert refusal(lambda: delete(sdk(eci), "eci-nothing")) == expected


@holds(
    "delete_terminating",
    {"success": "", "IncorrectStatus": "IncorrectStatus", "OperationConflict": "OperationConflict"},
)
def test_deleting_what_is_being_deleted(eci: Emulator, expected: str) -> None:
    client, made = one(eci)
    eci.service.runtime.clock.scale = 1000.0
    delete(client, made)
    assert groups(client, made)[0].status == "Terminating"
    assert refusal(lambda: delete(client, made)) == expected


@holds("deadline_status", {"Failed": "Failed", "Expired": "Expired", "Succeeded": "Succeeded", "gone": "gone"})
def test_the_deadline_of_a_group(quirks: dict[str, Any], expected: str) -> None:
    async def body() -> None:
        async with scene(quirks=Quirks(**quirks), ActiveDeadlineSeconds=100) as it:
            await it.run()
            await it.clock.advance(100)
            assert (it.status == expected, it.gone == [it.group]) == (expected != "gone", expected == "gone")

    asyncio.run(body())


@holds("restart_files", {"lost": 2, "kept": 1})
def test_the_containers_of_a_restarted_group(eci: Emulator, backend: ScriptedBackend, expected: int) -> None:
    client, made = one(eci)
    client.restart_container_group(models.RestartContainerGroupRequest(region_id=REGION, container_group_id=made))
    until(lambda: groups(client, made)[0].containers[0].restart_count == 1)
    running(client, made)
    assert (len(backend.machines), backend.machines[0].restarts) == (expected, 2 - expected)


@holds("status_while_pulling", {"Pending": "Pending", "Scheduling": "Scheduling"})
def test_the_status_of_a_group_whose_image_is_pulled(quirks: dict[str, Any], expected: str) -> None:
    async def body() -> None:
        async with scene(quirks=Quirks(**quirks)) as it:
            await it.clock.advance(it.runtime.delays.scheduling + it.runtime.delays.pending + 1)
            assert (it.reasons()[-1], it.status) == ("Pulling", expected)
            await it.clock.advance(it.runtime.delays.pull)
            assert it.status == "Running"

    asyncio.run(body())


@holds("usual_events", {True: ["Scheduled", "Pulling", "Pulled", "Created", "Started"], False: ["Scheduled"]})
def test_the_events_of_a_group(eci: Emulator, expected: list[str]) -> None:
    client, made = one(eci)
    assert [event.reason for event in groups(client, made, with_event=True)[0].events] == expected


@holds("memory_rounding", {"table": (8.0, 16.0), "even": (8.0, 14.0)})
def test_the_size_of_the_documents_example(eci: Emulator, expected: tuple[float, float]) -> None:
    client = sdk(eci)
    (found,) = groups(client, create(client, cpu=7.0, memory=13.0))
    assert (found.cpu, found.memory) == expected


@holds("last_token", {"empty": "", "absent": None})
def test_the_token_of_the_last_page(eci: Emulator, expected: str | None) -> None:
    assert listing(sdk(eci)).next_token == expected


@holds("not_applicable_times", {"empty": "", "absent": None})
def test_times_that_do_not_apply(eci: Emulator, expected: str | None) -> None:
    client, made = one(eci)
    (found,) = groups(client, made)
    times = (found.succeeded_time, found.failed_time, found.expired_time)
    assert (*times, found.containers[0].current_state.finish_time) == (expected,) * 4


@holds("started_at_key", {name: name for name in ("startedAt", "StartedAt", "StartedAtstartedAt")})
def test_the_key_of_the_time_at_which_a_container_started(quirks: dict[str, Any], expected: str) -> None:
    async def body() -> None:
        async with scene(quirks=Quirks(**quirks)) as it:
            await it.run()
            (found,) = podstatus.group(it.group, it.runtime.quirks)["PodStatus"]["ContainerStatuses"]
            assert list(found["State"]["Running"]) == [expected]

    asyncio.run(body())


@holds("unique_names", {False: "", True: "InvalidParameter.DuplicatedName"})
def test_a_second_group_of_one_name(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    create(client, "same")
    assert refusal(lambda: create(client, "same")) == expected
    create(client, "other")


@holds("create_limits", {True: "InvalidParameter.ValueExceeded", False: ""})
def test_the_limits_of_the_sdks_words(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    variable = models.CreateContainerGroupRequestContainerEnvironmentVar(key="A", value="x" * 257)
    for given in (
        {"command": ["x"] * 21},
        {"command": ["x" * 257]},
        {"arg": ["x"] * 11},
        {"environment_var": [variable]},
    ):
        assert refusal(lambda given=given: create(client, container=given)) == expected
    create(client, container={"command": ["x" * 256] * 20, "arg": ["x"] * 10})


@holds("snapshot_ids", {"snapshot": "ImageSnapshot.NotFound", "either": ""})
def test_a_group_from_a_caches_id(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    request = models.CreateImageCacheRequest(region_id=REGION, image_cache_name="cache", image=["busybox"])
    made = client.create_image_cache(request).body.image_cache_id
    until(lambda: eci.service.images.caches[made].status == "Ready")
    assert refusal(lambda: create(client, image_snapshot_id=made)) == expected
    create(client, image_snapshot_id=eci.service.images.caches[made].snapshot_id)


def ended(eci: Emulator, backend: ScriptedBackend) -> Any:
    """Have two groups end; give a client."""
    client = sdk(eci)
    for name in ("older", "newer"):
        running(client, create(client, name, restart_policy="Never"))
        eci.run(_end(backend))
        until(lambda name=name: not groups(client, container_group_name=name, status="Running"))
    return client


async def _end(backend: ScriptedBackend) -> None:
    backend.machines[-1].end(0)


@holds("terminal_kept_seconds", {3600.0: ["newer", "older"], 0.0: ["newer"]}, terminal_kept_most=1)
def test_ended_groups_are_kept_for_a_while(eci: Emulator, backend: ScriptedBackend, expected: list[str]) -> None:
    _kept(ended(eci, backend), expected)


@holds("terminal_kept_most", {100: ["newer", "older"], 1: ["newer"]}, terminal_kept_seconds=0)
def test_so_many_ended_groups_are_kept_after_that(
    eci: Emulator, backend: ScriptedBackend, expected: list[str]
) -> None:
    _kept(ended(eci, backend), expected)


def _kept(client: Any, expected: list[str]) -> None:
    until(lambda: [each.container_group_name for each in groups(client)] == expected)


# -- tokens ---------------------------------------------------------------------------------------------------------


@holds("client_token_seconds", {86400.0: True, 0.0: False})
def test_a_client_token_is_remembered_for_a_while(eci: Emulator, expected: bool) -> None:
    client = sdk(eci)
    first = create(client, client_token="t")
    assert (create(client, client_token="t") == first) == expected


@holds("client_token_compared", {True: "IdempotentParameterMismatch", False: ""})
def test_a_client_token_with_something_else(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    create(client, client_token="t")
    assert refusal(lambda: create(client, "other", client_token="t")) == expected


@holds("client_token_of_deleted", {"original": True, "new": False})
def test_the_client_token_of_a_group_that_is_gone(eci: Emulator, expected: bool) -> None:
    client = sdk(eci)
    first = create(client, client_token="t")
    delete(client, first)
    until(lambda: not groups(client))
    assert (create(client, client_token="t") == first) == expected


# -- commands -------------------------------------------------------------------------------------------------------

LONG = "InvalidParameter.ValueExceeded"


@holds("command_limit", {2048: "", 100: LONG})
def test_a_command_of_200_bytes(eci: Emulator, expected: str) -> None:
    client, made = one(eci)
    assert refusal(lambda: execute(client, made, '["' + "x" * 196 + '"]')) == expected


@holds("command_limit_code", {name: name for name in (LONG, "InvalidParameter")})
def test_a_command_that_is_too_long(eci: Emulator, expected: str) -> None:
    client, made = one(eci)
    assert code(lambda: execute(client, made, '["' + "x" * 2045 + '"]')) == expected


@holds("command_elements", {"unlimited": "", "documented": LONG})
def test_a_command_of_many_or_long_words(eci: Emulator, expected: str) -> None:
    client, made = one(eci)
    for command in ('["' + "x" * 257 + '"]', "[" + ",".join(['"x"'] * 21) + "]"):
        assert refusal(lambda command=command: execute(client, made, command)) == expected
    execute(client, made, "[" + ",".join(['"' + "x" * 90 + '"'] * 20) + "]")


@holds("bash_needs_tty", {False: "", True: "InvalidParameter"})
def test_bash_without_a_terminal(eci: Emulator, expected: str) -> None:
    client, made = one(eci)
    assert refusal(lambda: execute(client, made, '["/bin/bash"]')) == expected
    execute(client, made, '["/bin/bash"]', tty=True)


@holds("exec_statuses", {"Running": "IncorrectStatus", "Running,Pending": ""})
def test_a_command_in_a_group_that_waits_for_another_image(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    parts = [
        models.CreateContainerGroupRequestContainer(name=name, image=image)
        for name, image in (("main", "busybox"), ("other", "missing"))
    ]
    request = models.CreateContainerGroupRequest(region_id=REGION, container_group_name="group", container=parts)
    made = client.create_container_group(request).body.container_group_id
    until(lambda: groups(client, made)[0].containers[0].current_state.state == "Running")
    assert groups(client, made)[0].status == "Pending"
    assert refusal(lambda: execute(client, made, '["a"]')) == expected


@holds("exec_starts", {"on-open": [], "on-call": [("a",)]})
def test_the_moment_at_which_a_command_starts(
    eci: Emulator, backend: ScriptedBackend, expected: list[tuple[str, ...]]
) -> None:
    client, made = one(eci)
    uri = execute(client, made, '["a"]').web_socket_uri
    assert backend.machines[0].asked == expected
    opened(uri)
    assert backend.machines[0].asked == [("a",)]


def opened(uri: str) -> int:
    """Open a session; give the HTTP status."""
    try:
        with connect(uri, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@holds("uri_seconds", {30.0: 101, 0.0: 403})
def test_an_address_after_a_while(eci: Emulator, expected: int) -> None:
    client, made = one(eci)
    assert opened(execute(client, made, '["a"]').web_socket_uri) == expected


@holds("uri_single_use", {True: 403, False: 101})
def test_an_address_a_second_time(eci: Emulator, expected: int) -> None:
    client, made = one(eci)
    uri = execute(client, made, '["a"]').web_socket_uri
    assert (opened(uri), opened(uri)) == (101, expected)


@holds("uri_refused_status", {403: 403, 404: 404})
def test_an_address_that_is_not_good(eci: Emulator, expected: int) -> None:
    client, made = one(eci)
    assert opened(execute(client, made, '["a"]').web_socket_uri + "x") == expected


@attrs.define(eq=False)
class Waits:
    """Says nothing, and does not end."""

    exit_code: int | None = None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        return []


@holds("sync_seconds", {60.0: "", 0.05: "RequestTimeout"})
def test_a_sync_command_that_takes_its_time(eci: Emulator, backend: ScriptedBackend, expected: str) -> None:
    backend.responder = lambda argv: Waits()
    client, made = one(eci)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(refusal, lambda: execute(client, made, '["a"]', sync=True))
        (stream,) = until(lambda: backend.machines[0].streams)
        if expected:
            wait([asked], PATIENCE)  # its limit ends it, however late a busy machine sees that
        else:
            time.sleep(0.2)  # longer than the shorter limit
        eci.run(stream.kill())
        assert asked.result() == expected


@holds("sync_bytes", {1 << 20: "abcdef\n", 3: "abc"})
def test_the_output_of_a_sync_command(eci: Emulator, expected: str) -> None:
    client, made = one(eci)
    assert execute(client, made, '["abcdef"]', sync=True).sync_response == expected


# -- limits ---------------------------------------------------------------------------------------------------------


@holds("expired_token_status", {403: 403, 400: 400})
def test_a_token_that_has_expired(quirks: dict[str, Any], expected: int) -> None:
    key = Key(id="emulator", secret="emulator-secret", token="token", expires=1.0)
    with emulator(ScriptedBackend(), quirks=quirks, keys=[key]) as eci, pytest.raises(TeaException) as caught:
        groups(sdk(eci, security_token="token"))
    assert (caught.value.code, caught.value.statusCode) == ("InvalidSecurityToken.Expired", expected)


def throttled(eci: Emulator) -> Any:
    """Have a call throttled; give the error."""
    eci.inject("*:throttle")
    with pytest.raises(TeaException) as caught:
        groups(sdk(eci))
    return caught.value


@holds("throttle_status", {400: 400, 429: 429, 503: 503})
def test_the_status_of_throttling(eci: Emulator, expected: int) -> None:
    assert throttled(eci).statusCode == expected


@holds("throttle_code", {name: name for name in ("Throttling.User", "Throttling", "Throttling.Api")})
def test_the_code_of_throttling(eci: Emulator, expected: str) -> None:
    assert throttled(eci).code == expected


@holds("retry_after_ms", {0: None, 1500: 1500})
def test_when_to_come_back(eci: Emulator, expected: int | None) -> None:
    assert getattr(throttled(eci), "retry_after", None) == expected


def passed(limits: Limits, calls: int, now: float) -> int:
    """Give how many restarts pass of so many."""
    for number in range(calls):
        try:
            limits.count("account", "region", "RestartContainerGroup", now=now)
        except ApiError:
            return number
    return calls


@holds("limits", {"published": 1000, "older": 500, "none": 3000})
def test_the_restarts_of_a_minute(quirks: dict[str, Any], expected: int) -> None:
    assert passed(Limits(Quirks(**quirks)), 3000, 0.0) == expected


@holds("limit_window", {"sliding": 0, "fixed": 1000})
def test_the_second_after_a_full_minute(quirks: dict[str, Any], expected: int) -> None:
    limits = Limits(Quirks(**quirks))
    assert passed(limits, 1001, 59.0) == 1000
    assert passed(limits, 1000, 60.0) == expected


@holds("quota_cpu", {1000.0: "", 3.0: "QuotaExceeded"})
def test_the_second_group_of_two_processors(eci: Emulator, expected: str) -> None:
    client = sdk(eci)
    create(client)
    assert refusal(lambda: create(client)) == expected


@holds("quota_code", {name: name for name in ("QuotaExceeded", LONG)}, quota_cpu=1)
def test_a_quota_that_is_used_up(eci: Emulator, expected: str) -> None:
    assert code(lambda: create(sdk(eci))) == expected


@holds(
    "gpu_code",
    {each: each for each in ("InvalidParameter", "InvalidParameter.ValueExceeded", "InvalidInstanceTypeForEciBuy")},
)
def test_gpus_that_the_instance_type_has_not(eci: Emulator, expected: str) -> None:
    assert code(lambda: create(sdk(eci), container={"gpu": 1}, instance_type="ecs.c6.large")) == expected


@holds("price_per", {"hour": 0.4410, "second": 0.0001225})
def test_the_price_of_the_usual_size(eci: Emulator, expected: float) -> None:
    request = models.DescribeContainerGroupPriceRequest(region_id=REGION, cpu=2.0, memory=4.0)
    price = sdk(eci).describe_container_group_price(request).body.price_info.price
    assert price.trade_price == pytest.approx(expected, rel=1e-2)


# -- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Delays)])
def test_the_services_own_times_are_set_like_quirks(name: str) -> None:
    with emulator(ScriptedBackend(), quirks={name.replace("_", "-"): 7}) as eci:
        assert attrs.evolve(Delays(), **{name: 7.0}) == eci.service.runtime.delays
    with pytest.raises(ValueError, match=name.replace("_", "-")), emulator("none", quirks={name: -1}):
        pass


@pytest.mark.parametrize(("scheduling", "pending", "pull"), [(1.0, 3.0, 0.0), (3.0, 10.0, 60.0)])
def test_a_group_takes_the_times_that_are_set(scheduling: float, pending: float, pull: float) -> None:
    async def body() -> None:
        async with scene(delays=Delays(scheduling=scheduling, pending=pending, pull=pull)) as it:
            await it.clock.advance(scheduling - 0.5)
            assert it.status == "Scheduling"
            await it.clock.advance(1.0)
            assert it.status == "Pending"
            await it.clock.advance(pending + pull - 1.0)
            assert it.status == "Pending"
            await it.clock.advance(1.0)
            assert it.status == "Running"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("registry", "name", "words"),
    [
        (Quirks, "price_per", "hour | second"),
        (Quirks, "unique_names", "yes or no"),
        (Quirks, "quota_cpu", "a number from 0 on"),
        (Quirks, "command_limit", "a whole number from 0 on"),
        (SessionQuirks, "encoding", "binary, text or base64"),
        (SessionQuirks, "close_code", "1000, 1001 or 1006"),
        (SessionQuirks, "split", "a whole number from 0 on, random or none"),
        (SessionQuirks, "idle_close", "a number from 0 on or none"),
        (SessionQuirks, "kill_on_close", "yes, no or none"),
    ],
)
def test_a_value_that_a_quirk_cannot_have_is_answered_with_what_it_takes(
    registry: type[Any], name: str, words: str
) -> None:
    with pytest.raises(ValueError, match="quirk") as caught:
        convert("rot13", registry, name)
    assert str(caught.value) == f"quirk {name.replace('_', '-')} is {words}, not 'rot13'"


@pytest.mark.parametrize("registry", [Quirks, SessionQuirks, Delays])
def test_no_quirk_is_a_negative_number(registry: type[Any]) -> None:
    for field in attrs.fields(registry):
        for text in ("-3", "-0.5"):
            with pytest.raises(ValueError, match=f"quirk {field.name.replace('_', '-')} is .*, not '{text}'"):
                convert(text, registry, field.name)


def test_no_position_of_a_quirk_is_left_out() -> None:
    assert left_out(Quirks) == {}
