"""What the files of the installation promise: checked by their schemas, and by what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import parsed, parsed_by_prefect
from tests.docker.compose import DOCKER, compose, example, text, variables

FILLED = {name: value or f"a-{name.lower()}" for name, value in example().items()}
SERVICES = compose(FILLED)["services"]
ONCE = {name for name, service in SERVICES.items() if service["restart"] == "no"}
LASTING = set(SERVICES) - ONCE
SECRET_NAMES = ("PASSWORD", "SECRET", "LOGIN", "KEY", "HASH", "BASE64")
WORDS_OF_SECRETS = ("PASSWORD", "SECRET", "AUTH_STRING", "KEY", "HASH", "BASE64", "LOGIN", "URL")

each_service = pytest.mark.parametrize("name", SERVICES)


def program(name: str, *words: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / name), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_passes_hadolint():
    program("hadolint", str(DOCKER / "Dockerfile"))


def test_the_compose_file_fits_its_schema():
    program("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml"))


def test_what_the_compose_file_asks_for_is_what_the_example_lists():
    assert set(variables()) | {"COMPOSE_PROFILES"} == set(example())


def test_every_variable_is_required_or_may_be_empty():
    assert all(kinds & {"?", "-"} for kinds in variables().values())
    with pytest.raises(KeyError, match="POSTGRES_PASSWORD"):
        compose({name: value for name, value in FILLED.items() if name != "POSTGRES_PASSWORD"})


def test_the_example_holds_no_secret_and_the_filled_in_file_stays_out_of_git():
    secrets = {name for name in example() if any(word in name for word in SECRET_NAMES)}
    assert len(secrets) >= 9
    assert all(not example()[name] for name in secrets)
    subprocess.run(["git", "check-ignore", "-q", str(DOCKER / ".env")], cwd=DOCKER, check=True)


@each_service
def test_no_secret_is_written_down(name):
    unfilled = compose(dict.fromkeys(FILLED, "FROM-ENV"))["services"][name].get("environment", {})
    for variable, value in unfilled.items():
        if any(word in variable for word in WORDS_OF_SECRETS) and value not in PUBLIC:
            assert "FROM-ENV" in value or not value, variable


PUBLIC = {"http://proxy:8080/api", "http://s3:8333"}


@each_service
def test_services_are_hardened(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert 0 < service["pids_limit"] <= 4096


@each_service
def test_images_are_pinned(name):
    image = SERVICES[name]["image"]
    _, _, tag = image.partition(":")
    assert tag[:1].isdigit(), image
    assert "." in tag


@each_service
def test_memory_and_logs_have_limits(name):
    service = SERVICES[name]
    assert service["mem_limit"][-1] in "mg"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


@each_service
def test_what_lasts_is_watched_and_comes_back(name):
    service = SERVICES[name]
    assert ("healthcheck" in service) == (name in LASTING)
    assert service["restart"] == ("unless-stopped" if name in LASTING else "no")


def test_the_proxy_alone_is_reached_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert SERVICES["proxy"]["ports"] == ["443:8443"]
    assert not any("network_mode" in service for service in SERVICES.values())


@each_service
def test_what_a_service_waits_for_is_there(name):
    for other, what in SERVICES[name].get("depends_on", {}).items():
        finished = what["condition"] == "service_completed_successfully"
        assert finished == (other in ONCE), (name, other)


def test_secrets_do_not_travel_on_command_lines():
    hidden = {value for name, value in FILLED.items() if any(word in name for word in SECRET_NAMES)}
    for service in SERVICES.values():
        told = " ".join(map(str, service.get("command", [])))
        assert not [secret for secret in hidden if secret in told]


@pytest.mark.parametrize(
    "name", [name for name in SERVICES if SERVICES[name].get("command", [""])[0] == "agg2exp"]
)
def test_our_commands_are_understood(name):
    command, values = parsed(SERVICES[name]["command"][1:])
    assert command in {"deploy", "worker"}
    if command == "deploy":
        assert (values["cron"], values["timezone"]) == (FILLED["CRON"], FILLED["TIMEZONE"])
        assert values["ingest_from"] == FILLED["INGEST_FROM"]


def test_the_pools_of_the_workers_and_the_method_are_known():
    from agg2exp.deployments.catalogue import POOLS
    from agg2exp.deployments.deployment import schedule_of
    from agg2exp.deployments.workers import places
    from agg2exp_core.attribution import METHODS

    asked = [
        parsed(service["command"][1:])[1] for name, service in SERVICES.items() if name.startswith("worker")
    ]
    assert {values["pool"] for values in asked} == set(POOLS)
    assert all(places(values["devices"], n_gpus=2, n_cores=4) for values in asked)
    assert FILLED["METHOD"] in METHODS
    assert schedule_of(FILLED["CRON"], FILLED["TIMEZONE"])
    assert schedule_of(FILLED["INGEST_CRON"], FILLED["TIMEZONE"])


@pytest.mark.parametrize(
    "name", [name for name in SERVICES if SERVICES[name].get("command", [""])[0] == "prefect"]
)
def test_commands_of_prefect_are_understood(name):
    assert parsed_by_prefect(SERVICES[name]["command"][1:]) in {"start", "upgrade", "start_services"}


def test_every_setting_of_prefect_exists():
    from prefect.settings import Settings
    from prefect_redis.client import RedisMessagingSettings

    known = environment_names(Settings) | environment_names(RedisMessagingSettings)
    used = {name for service in SERVICES.values() for name in service.get("environment", {})}
    ours = {name for name in used if name.startswith("PREFECT_")} - {"PREFECT_LOGIN_BASE64"}
    assert len(ours) > 15
    assert ours <= known


def environment_names(settings):
    """Return the environment variables that a class of settings reads, and the classes inside it."""
    prefix = settings.model_config["env_prefix"]
    names = set()
    for name, field in settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", [])
        names |= {str(choice).upper() for choice in choices} | {f"{prefix}{name}".upper()}
        if hasattr(field.annotation, "model_fields"):
            names |= environment_names(field.annotation)
    return names


def test_servers_share_events_through_redis_and_no_timetable():
    for name in ("api1", "api2", "services"):
        settings = SERVICES[name]["environment"]
        assert "PREFECT_SERVER_DOCKET_URL" not in settings
        assert settings["PREFECT_MESSAGING_BROKER"] == "prefect_redis.messaging"
        assert settings == SERVICES["migrate"]["environment"]


def test_the_proxy_is_given_what_its_file_asks_for():
    asked = set(re.findall(r"\{\$(\w+)\}", (DOCKER / "Caddyfile").read_text()))
    assert asked == set(SERVICES["proxy"]["environment"])
    assert "latest" not in text()
