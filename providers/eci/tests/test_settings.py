"""Where settings come from, which one counts, and what is said of one that is missing or wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sandboxkit_eci import EciOptions
from sandboxkit_eci.plugin import sandboxkit_probe
from sandboxkit_eci.settings import ConnectOptions, connect_options

import sandboxkit

GIVEN = {"region_id": "cn-hangzhou", "access_key_id": "LTAIgiven", "access_key_secret": "given-secret"}


def settings(given: Mapping[str, Any], environ: Mapping[str, str], directory: Path) -> ConnectOptions:
    return connect_options(given, environ, directory)


def own(**values: str) -> dict[str, str]:
    return {f"ECI_SANDBOX_{name}": value for name, value in values.items()}


def alibaba(**values: str) -> dict[str, str]:
    return {f"ALIBABA_CLOUD_{name}": value for name, value in values.items()}


def test_what_is_given_is_enough(tmp_path: Path) -> None:
    found = settings(GIVEN, {}, tmp_path)
    assert found.credentials is not None
    assert (found.credentials.access_key_id, found.credentials.access_key_secret) == ("LTAIgiven", "given-secret")
    assert str(found.endpoint) == "https://eci.cn-hangzhou.aliyuncs.com"


def test_own_variables_come_before_alibabas_and_those_before_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ECI_SANDBOX_REGION_ID=cn-file\nALIBABA_CLOUD_REGION_ID=cn-file2\n")
    keys = {"access_key_id": "a", "access_key_secret": "b"}
    both = {**own(REGION_ID="cn-own"), **alibaba(REGION_ID="cn-alibaba")}
    assert settings({**keys, "region_id": "cn-given"}, both, tmp_path).region_id == "cn-given"
    assert settings(keys, both, tmp_path).region_id == "cn-own"
    assert settings(keys, alibaba(REGION_ID="cn-alibaba"), tmp_path).region_id == "cn-alibaba"
    assert settings(keys, {}, tmp_path).region_id == "cn-file"


def test_a_file_is_found_upwards_and_changes_no_environment(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".env").write_text(
        'export ECI_SANDBOX_ACCESS_KEY_ID="LTAIfile"\n'
        "ECI_SANDBOX_ACCESS_KEY_SECRET='s p#a'  # a comment\n"
        "ECI_SANDBOX_REGION_ID=cn-file\n"
        "UNRELATED=${HOME}\n"
    )
    before = dict(os.environ)
    found = settings({}, {}, deep)
    assert found.credentials is not None
    assert (found.credentials.access_key_id, found.credentials.access_key_secret) == ("LTAIfile", "s p#a")
    assert dict(os.environ) == before


def test_a_named_file_is_read_in_place_of_the_nearest(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ECI_SANDBOX_REGION_ID=cn-near\n")
    (tmp_path / "other").write_text("ECI_SANDBOX_REGION_ID=cn-named\n")
    given = {"access_key_id": "a", "access_key_secret": "b", "env_file": tmp_path / "other"}
    assert settings(given, {}, tmp_path).region_id == "cn-named"
    with pytest.raises(sandboxkit.InvalidSpec, match="env_file"):
        settings({**GIVEN, "env_file": str(tmp_path / "missing")}, {}, tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_that_is_not_utf8_is_said_where_its_settings_are_missed(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / ".env"
    path.write_text("# für uns\nECI_SANDBOX_REGION_ID=cn-file\nECI_SANDBOX_ACCESS_KEY_ID=a\n", encoding=encoding)
    said = rf"{path}.* not UTF-8"
    with pytest.raises(sandboxkit.InvalidSpec, match=said):
        settings({}, {}, tmp_path)
    with pytest.raises(sandboxkit.InvalidSpec, match=said):  # not another's keys
        settings({}, own(REGION_ID="cn-own"), tmp_path)
    assert settings(GIVEN, {}, tmp_path).region_id == "cn-hangzhou"
    with pytest.raises(sandboxkit.InvalidSpec, match=rf"env_file.*{said}"):
        settings({**GIVEN, "env_file": path}, {}, tmp_path)


def test_a_file_of_someone_elses_that_is_not_utf8_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"NAME=J\xf6rg\n")
    assert settings({"region_id": "cn-hangzhou"}, {}, tmp_path).credentials is None


def test_values_of_a_file_are_taken_literally(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BASE=x\nECI_SANDBOX_ACCESS_KEY_ID=a\nECI_SANDBOX_ACCESS_KEY_SECRET=${BASE}\n")
    found = settings({"region_id": "cn-hangzhou"}, {}, tmp_path).credentials
    assert found is not None
    assert found.access_key_secret == "${BASE}"


def test_a_key_and_its_secret_come_from_one_place(tmp_path: Path) -> None:
    environ = {**own(ACCESS_KEY_ID="LTAIown"), **alibaba(ACCESS_KEY_ID="x", ACCESS_KEY_SECRET="of-another")}
    with pytest.raises(sandboxkit.InvalidSpec, match="ECI_SANDBOX_ACCESS_KEY_SECRET is missing in the environment"):
        settings({"region_id": "cn-hangzhou"}, environ, tmp_path)
    with pytest.raises(sandboxkit.InvalidSpec, match="access_key_secret is missing in the connect options"):
        settings({"region_id": "cn-hangzhou", "access_key_id": "a"}, alibaba(ACCESS_KEY_SECRET="b"), tmp_path)
    # Nor is a token of one account sent with another's key.
    found = settings(GIVEN, alibaba(SECURITY_TOKEN="token"), tmp_path)
    assert found.credentials is not None
    assert found.credentials.security_token is None


def test_without_keys_alibabas_own_chain_is_left_to_decide(tmp_path: Path) -> None:
    assert settings({"region_id": "cn-hangzhou"}, {}, tmp_path).credentials is None


def test_a_missing_region_is_named(tmp_path: Path) -> None:
    with pytest.raises(sandboxkit.InvalidSpec, match=r"region_id is missing.*ECI_SANDBOX_REGION_ID"):
        settings({"access_key_id": "a", "access_key_secret": "b"}, {}, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"region_id": "cn hangzhou"},
        {"region_id": "evil.example/"},
        {"region_id": 5},
        {"endpoint": "ftp://eci.example"},
        {"endpoint": "https://user:hunter2@eci.example"},
        {"endpoint": "https://eci.example/path"},
        {"endpoint": "https://eci.example:port"},
        {"endpoint": ""},
        {"timeout": 0},
        {"timeout": "30"},
        {"timeout": float("inf")},
        {"timeout": 1e300},
        {"timeout": 10**400},
        {"env_file": 5},
        {"env_file": b".env"},
        {"vpc": "yes"},
        {"vpc": True, "endpoint": "https://eci.example"},
        {"http_proxy": "proxy:3128"},
        {"https_proxy": "socks5://proxy"},
        {"https_proxy": "https://proxy"},
        {"access_key_secret": "two\nlines"},
        {"ca_file": "/no/such/file"},
        {"limits": {"ExecContainerCommand": 0}},
        {"limits": 500},
        {"options": {"zone_id": "x"}},
        {"no_such_option": 1},
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, wrong: dict[str, Any]) -> None:
    name = next(iter(wrong))
    with pytest.raises(sandboxkit.InvalidSpec) as caught:
        settings({**GIVEN, **wrong}, {}, tmp_path)
    assert name.removesuffix("_proxy").removesuffix("s") in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sandboxkit.InvalidSpec, match="spot_price_limit"):
        settings({**GIVEN, "options": EciOptions(spot="SpotWithPriceLimit")}, {}, tmp_path)


def test_endpoints_are_the_regions_its_vpcs_or_given(tmp_path: Path) -> None:
    def endpoint(**given: Any) -> str:
        return str(settings({**GIVEN, **given}, {}, tmp_path).endpoint)

    assert endpoint(vpc=True) == "https://eci-vpc.cn-hangzhou.aliyuncs.com"
    assert endpoint(endpoint="eci.example") == "https://eci.example"
    assert endpoint(endpoint="http://127.0.0.1:8460/") == "http://127.0.0.1:8460"
    assert endpoint(endpoint="http://[::1]:8460") == "http://[::1]:8460"
    given = settings(GIVEN, own(ENDPOINT="http://eci.inner:80"), tmp_path)
    assert str(given.endpoint) == "http://eci.inner:80"


@pytest.mark.parametrize("name", ["ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY"])
def test_an_address_in_a_file_is_https_or_this_machines(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"ECI_SANDBOX_{name}=http://stranger.example:80\n")
    with pytest.raises(sandboxkit.InvalidSpec, match=f"ECI_SANDBOX_{name} in .* must be https or a loopback"):
        settings(GIVEN, {}, tmp_path)
    good = ["http://127.0.0.1:80", "http://localhost:80"]
    for address in [*good, "https://stranger.example"] if name == "ENDPOINT" else good:
        (tmp_path / ".env").write_text(f"ECI_SANDBOX_{name}={address}\n")
        settings(GIVEN, {}, tmp_path)


def test_the_timeout_of_the_environment_is_in_milliseconds(tmp_path: Path) -> None:
    assert settings(GIVEN, own(TIMEOUT_MS="1500"), tmp_path).timeout == 1.5
    assert settings({**GIVEN, "timeout": 7}, own(TIMEOUT_MS="1500"), tmp_path).timeout == 7.0
    for wrong in ("soon", "0", "-1", "1.5"):
        with pytest.raises(sandboxkit.InvalidSpec, match="ECI_SANDBOX_TIMEOUT_MS"):
            settings(GIVEN, own(TIMEOUT_MS=wrong), tmp_path)


def test_where_a_sandbox_is_put_comes_from_the_options_or_the_environment(tmp_path: Path) -> None:
    environ = own(V_SWITCH_ID="vsw-1, vsw-2", SECURITY_GROUP_ID="sg-1")
    found = settings(GIVEN, environ, tmp_path).options
    assert (found.v_switch_ids, found.security_group_id) == (("vsw-1", "vsw-2"), "sg-1")
    mine = EciOptions(v_switch_ids=["vsw-9"], zone_id="z")
    found = settings({**GIVEN, "options": mine}, environ, tmp_path).options
    assert (found.v_switch_ids, found.security_group_id, found.zone_id) == (("vsw-9",), "sg-1", "z")


def test_no_repr_tells_a_secret(tmp_path: Path) -> None:
    given = {**GIVEN, "security_token": "given-token", "https_proxy": "http://user:proxy-secret@proxy:1"}
    seen = repr(settings(given, {}, tmp_path))
    client = sandboxkit.connect("eci", **given)
    seen += repr(client) + repr(vars(client))
    client.close()
    for secret in ("given-secret", "given-token", "proxy-secret", "LTAIgiven"):
        assert secret not in seen


def test_the_probe_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("ECI_SANDBOX_", "ALIBABA_CLOUD_")):
            monkeypatch.delenv(name)
    assert not sandboxkit_probe().works
    assert "region_id" in sandboxkit_probe().reason
    for name, value in own(REGION_ID="cn-hangzhou", ACCESS_KEY_ID="a", ACCESS_KEY_SECRET="b").items():
        monkeypatch.setenv(name, value)
    answer = sandboxkit_probe()
    assert answer.works, answer.reason
