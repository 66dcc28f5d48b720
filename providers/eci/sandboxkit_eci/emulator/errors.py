"""What the API answers instead of a result: an HTTP status, a code and a message."""

from __future__ import annotations

from collections.abc import Mapping

HOST_ID = "eci.{region}.aliyuncs.com"


class ApiError(Exception):
    """One refusal. ``code`` is the service's own, such as ``IncorrectStatus``."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def body(self, request_id: str, region: str) -> dict[str, str]:
        """Give the JSON body, as the gateway writes it."""
        advice = f"https://api.aliyun.com/troubleshoot?q={self.code}&product=Eci&requestId={request_id}"
        return {
            "RequestId": request_id,
            "HostId": HOST_ID.format(region=region),
            "Code": self.code,
            "Message": self.message,
            "Recommend": advice,
        }


class ConnectionLost(Exception):
    """The connection ends without an answer; whatever the call did stays done."""


class RawAnswer(Exception):
    """Something that is not the API's JSON, as a broken gateway sends it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


def missing(name: str) -> ApiError:
    """A required parameter was not given: ``MissingRegionId`` or ``MissingContainer.1.Name``."""
    return ApiError(400, "Missing" + name, f"{name} is mandatory for this action.")


def invalid(name: str, reason: str) -> ApiError:
    """A parameter has a value that is not allowed."""
    return ApiError(400, "InvalidParameter", f"The specified parameter {name} is not valid: {reason}.")


def too_much(what: str) -> ApiError:
    """A parameter is too long or too large; of a create, a quota is used up."""
    return ApiError(400, "InvalidParameter.ValueExceeded", f"The value of the parameter is exceeded: {what}.")


def incorrect_status(group: str, status: str, doing: str) -> ApiError:
    """The group's status does not allow this."""
    return ApiError(400, "IncorrectStatus", f"The container group {group} is {status}, which does not allow {doing}.")


def unknown_action(action: str) -> ApiError:
    """No API has this name."""
    words = f"Specified api is not found, please check your url and method. Action: {action}"
    return ApiError(404, "InvalidAction.NotFound", words)


def unsupported_action(action: str) -> ApiError:
    """The service has it, the emulator does not."""
    return ApiError(404, "InvalidAction.NotFound", f"The action {action} is not supported by this emulator.")
