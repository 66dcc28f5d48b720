"""What nobody outside knows of the service: each doubt is a switch, and a client must live with every setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import attrs


def quirk(default: Any, doc: str, *choices: str) -> Any:
    """Declare one. Without ``choices``, it takes any value of its default's type."""
    return attrs.field(default=default, metadata={"doc": doc, "choices": choices})


@attrs.frozen(kw_only=True)
class Quirks:
    """The API's doubtful behaviours, each with what is taken to be likeliest."""

    not_found_code: str = quirk(
        "InvalidParameter.NotFound",
        "the code for a group that does not exist",
        "InvalidParameter.NotFound",
        "InvalidContainerGroupId.NotFound",
        "ContainerGroup.NotFound",
    )
    not_found_status: int = quirk(404, "the HTTP status for a group that does not exist")
    delete_missing: str = quirk("error", "deleting a group that does not exist", "error", "success")
    delete_terminating: str = quirk(
        "success", "deleting a group that is being deleted", "success", "IncorrectStatus", "OperationConflict"
    )
    deadline_status: str = quirk(
        "Failed", "a group's status after its ActiveDeadlineSeconds", "Failed", "Expired", "Succeeded", "gone"
    )
    restart_files: str = quirk("lost", "a container's files after RestartContainerGroup", "lost", "kept")
    status_while_pulling: str = quirk(
        "Pending", "a group's status until its images are there", "Pending", "Scheduling"
    )
    memory_rounding: str = quirk("table", "what memory is rounded up to", "table", "even")
    last_token: str = quirk("empty", "NextToken on the last page", "empty", "absent")
    not_applicable_times: str = quirk("empty", "times that do not apply", "empty", "absent")
    started_at_key: str = quirk(
        "startedAt", "the key under State.Running", "startedAt", "StartedAt", "StartedAtstartedAt"
    )
    snapshot_ids: str = quirk("snapshot", "whether ImageSnapshotId may be a cache's id too", "snapshot", "either")
    unique_names: bool = quirk(False, "whether a second group of one name is refused")
    create_limits: bool = quirk(True, "whether the SDK's limits on commands (20 x 256) and env (256) hold")
    client_token_seconds: float = quirk(86400.0, "how long a ClientToken is remembered")
    client_token_compared: bool = quirk(True, "whether a ClientToken with other parameters is refused, as documented")
    client_token_of_deleted: str = quirk(
        "original", "a create with the token of a group that is gone", "original", "new"
    )
    command_limit: int = quirk(2048, "bytes that ExecContainerCommand's Command may have")
    command_limit_code: str = quirk(
        "InvalidParameter.ValueExceeded", "the code for more", "InvalidParameter.ValueExceeded", "InvalidParameter"
    )
    command_elements: str = quirk("unlimited", "whether 20 x 256 characters are a limit", "unlimited", "documented")
    bash_needs_tty: bool = quirk(False, "whether the command /bin/bash is refused without TTY, as documented")
    exec_statuses: str = quirk("Running", "the statuses in which exec is allowed", "Running", "Running,Pending")
    exec_starts: str = quirk("on-open", "when a command starts", "on-open", "on-call")
    uri_seconds: float = quirk(30.0, "how long a WebSocketUri may be opened")
    uri_single_use: bool = quirk(True, "whether a WebSocketUri may be opened only once")
    uri_refused_status: int = quirk(403, "the HTTP status for a WebSocketUri that is used up or too old")
    sync_seconds: float = quirk(60.0, "how long a Sync=true command may take")
    sync_bytes: int = quirk(1 << 20, "how much of a Sync=true command's output is given")
    expired_token_status: int = quirk(403, "the HTTP status for an STS token that has expired")
    throttle_status: int = quirk(400, "the HTTP status of throttling")
    throttle_code: str = quirk("Throttling.User", "its code", "Throttling.User", "Throttling", "Throttling.Api")
    retry_after_ms: int = quirk(0, "x-acs-retry-after on throttling, in milliseconds; 0 sends none")
    limits: str = quirk("published", "the calls allowed per API and minute", "published", "older", "none")
    limit_window: str = quirk("sliding", "how a minute is counted", "sliding", "fixed")
    quota_cpu: float = quirk(1000.0, "vCPUs that may be in use in a region")
    quota_code: str = quirk(
        "QuotaExceeded", "the code for too many", "QuotaExceeded", "InvalidParameter.ValueExceeded"
    )
    gpu_code: str = quirk(
        "InvalidParameter",
        "the code for more GPUs than an instance type has; the documents name none",
        "InvalidParameter",
        "InvalidParameter.ValueExceeded",
        "InvalidInstanceTypeForEciBuy",
    )
    usual_events: bool = quirk(True, "whether Kubernetes' usual events are among a group's: Pulling, BackOff, …")
    price_per: str = quirk("hour", "what DescribeContainerGroupPrice's amounts are for", "hour", "second")
    terminal_kept_seconds: float = quirk(3600.0, "how long every ended group is listed")
    terminal_kept_most: int = quirk(100, "how many ended groups are listed after that")


def parse(items: Iterable[str], registry: type[Any]) -> tuple[Any, list[str]]:
    """Read the ``NAME=VALUE`` items that ``registry`` knows, dashes or underscores; give it and the other items."""
    known = {field.name: field for field in attrs.fields(registry)}
    found: dict[str, Any] = {}
    others: list[str] = []
    for item in items:
        name, _, text = item.partition("=")
        field = known.get(name.strip().replace("-", "_"))
        if field is None:
            others.append(item)
        else:
            found[field.name] = convert(text.strip(), registry, field.name)
    return registry(**found), others


def convert(text: str, registry: type[Any], name: str) -> Any:
    """Read one value as the type that the registry declares."""
    choices = attrs.fields_dict(registry)[name].metadata.get("choices", ())
    hint = get_type_hints(registry)[name]
    for value in _readings(text):
        if _fits(value, hint) and (not choices or value in choices):
            return value
    shown = " | ".join(choices) if choices else _said(hint)
    raise ValueError(f"quirk {name.replace('_', '-')} is {shown}, not {text!r}")


_WORDS: Mapping[Any, tuple[str, ...]] = {
    bool: ("yes", "no"),
    int: ("a whole number from 0 on",),
    float: ("a number from 0 on",),
    type(None): ("none",),
}


def _said(hint: Any) -> str:
    """Say what a type takes, as it is written on a command line."""
    *most, last = _alternatives(hint)
    return f"{', '.join(most)} or {last}" if most else last


def _alternatives(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(each) for each in get_args(hint)]
    if get_args(hint):
        return [word for each in get_args(hint) for word in _alternatives(each)]
    return list(_WORDS[hint])


def _readings(text: str) -> Iterator[Any]:
    for kind in (int, float):
        with suppress(ValueError):
            yield kind(text)
    if text.lower() in ("true", "on", "yes", "1"):
        yield True
    if text.lower() in ("false", "off", "no", "0"):
        yield False
    if text.lower() in ("none", "off"):
        yield None
    yield text


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == each and type(value) is type(each) for each in get_args(hint))
    if get_args(hint):
        return any(_fits(value, each) for each in get_args(hint))
    if hint is float:
        return type(value) in (int, float) and 0 <= cast(float, value) < math.inf
    # None of these numbers means anything below zero.
    return type(value) is hint and not (hint is int and cast(int, value) < 0)


def describe(registry: type[Any]) -> Mapping[str, str]:
    """Give each quirk's name with what it is about, its default and what else it can be."""
    lines = {}
    for field in attrs.fields(registry):
        doc = field.metadata.get("doc", "")
        others = " | ".join(field.metadata.get("choices", ()))
        name = field.name.replace("_", "-")
        lines[name] = f"{doc} [{field.default}{'; ' + others if others else ''}]"
    return lines
