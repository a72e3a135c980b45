"""Settings: which source counts, and how a bad value is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.config import SETTINGS, BadSetting, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, text: str) -> Path:
    (folder / "accredit.toml").write_text(text)
    return folder


def test_without_anything_the_defaults_hold(folder: Path) -> None:
    config = load({"data_dir": folder}, {})
    others = [setting for setting in SETTINGS if setting.name != "data_dir"]
    assert {one.name: config.values[one.name] for one in others} == {one.name: one.default for one in others}
    assert config.explicit == {"data_dir"}
    assert config.hub_name == "localhost"
    assert config.database_path == folder / "accredit.db"
    assert config.master_key_paths == (folder / "master.key",)


def test_a_flag_counts_before_the_environment_and_that_before_the_file(folder: Path) -> None:
    written(folder, "mqtt_port = 1\nhttps-port = 2\npatience_ms = 3\n")
    environment = {"ACCREDIT_MQTT_PORT": "10", "ACCREDIT_HTTPS_PORT": "20"}
    config = load({"data_dir": folder, "mqtt_port": 100, "https_port": None}, environment)
    assert (config.mqtt_port, config.https_port, config.patience_ms) == (100, 20, 3)
    assert {"mqtt_port", "https_port", "patience_ms"} <= config.explicit


def test_the_data_folder_of_the_environment_is_where_the_file_is_read(folder: Path) -> None:
    written(folder, 'host = ["hub.example", "other.example"]\n')
    config = load({}, {"ACCREDIT_DATA_DIR": str(folder)})
    assert config.host == ("hub.example", "other.example")
    assert config.hub_name == "hub.example"


@pytest.mark.parametrize("text", ["a.example, b.example", "a.example,b.example,"])
def test_lists_are_parted_by_commas(folder: Path, text: str) -> None:
    assert load({"data_dir": folder}, {"ACCREDIT_HOST": text}).host == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_witness", "http://witness.example/heads"), ("log_witness", "https://a:b@witness.example"), ("log_witness", "s3://heads"),
        ("mqtt_port", "65536"), ("mqtt_port", "-1"), ("mqtt_port", "x"), ("https_port", "1.5"), ("key_reuse", "maybe"),
        ("log", "loud"), ("allow_bootstrap_at_hub", "perhaps"), ("workers", "2"), ("host", " , "),
        ("nats_url", "http://x"), ("nats_url", "nats://a, b"), ("lease_s", "9"), ("nats_replicas", "6"),
        ("database_url", "mysql://x/y"), ("digicert_url", " "), ("telemetry_max_age_s", "1"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_the_name_of_its_setting(folder: Path, name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(name)):
        load({"data_dir": folder}, {f"ACCREDIT_{name.upper()}": value})


@pytest.mark.parametrize(
    "text", ["mqtt_prot = 1\n", 'data_dir = "/x"\n', "mqtt_port = true\n", "mqtt_port = [\n"]
)
def test_a_bad_file_is_refused_by_its_path(folder: Path, text: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(str(folder / "accredit.toml"))):
        load({"data_dir": written(folder, text)}, {})


def test_workers_need_a_database_and_a_bus(folder: Path) -> None:
    shared = {"ACCREDIT_WORKERS": "2", "ACCREDIT_DATABASE_URL": "postgresql://db.example/accredit"}
    with pytest.raises(BadSetting, match=r"needs NATS"):
        load({"data_dir": folder}, shared)
    config = load({"data_dir": folder}, {**shared, "ACCREDIT_NATS_URL": "nats://u:hunter2@a:1, tls://b:2"})
    assert (config.workers, config.nats_url) == (2, "nats://u:hunter2@a:1, tls://b:2")
    assert "hunter2" not in repr(config)


def test_an_unknown_variable_is_named_and_not_refused(folder: Path) -> None:
    config = load(
        {"data_dir": folder}, {"ACCREDIT_SERVICE_HOST": "x", "ACCREDIT_CONNECTION_STRING": "y", "PATH": "z"}
    )
    assert config.unknown_variables == ("ACCREDIT_SERVICE_HOST",)


def test_a_path_may_begin_at_home(folder: Path) -> None:
    config = load({"data_dir": folder}, {"ACCREDIT_MASTER_KEY_FILE": "~/key"})
    assert config.master_key_paths == (Path("~/key").expanduser(),)


def test_several_master_keys_keep_their_order(folder: Path) -> None:
    config = load({"data_dir": folder}, {"ACCREDIT_MASTER_KEY_FILE": "/new, /old"})
    assert config.master_key_paths == (Path("/new"), Path("/old"))


@given(st.sampled_from([one for one in SETTINGS if one.name != "data_dir"]), st.text(max_size=60))
def test_whatever_the_environment_holds_is_taken_or_refused_in_one_sentence(setting, text: str) -> None:
    said = ""
    try:
        config = load({"data_dir": Path("/nonexistent")}, {setting.variable: text})
    except BadSetting as refusal:
        said = str(refusal)
    else:
        assert setting.name in config.explicit
    assert not said or (setting.name in said and said.endswith("."))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("https_port", "http", "a whole number from 0 to 65535"),
        ("patience_ms", "-1", "a whole number from 0 to 20000"),
        ("ca_retry_s", "0", "a whole number from 1 to 86400"),
        ("key_reuse", "maybe", "one of refuse, warn, allow"),
        ("log", "loud", "one of debug, info, warning, error"),
        ("allow_bootstrap_at_hub", "perhaps", "true or false"),
        ("master_key_file", " ", "one or more paths, separated by commas"),
        ("database_url", "sqlite:///", "sqlite:///PATH, or nothing"),
        ("database_url", "accredit.db", "sqlite:///PATH, or nothing"),
        ("database_url", "mysql://host/db", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)
def test_what_is_allowed_is_said_wherever_the_value_came_from(
    folder: Path, name: str, value: str, allowed: str
) -> None:
    setting = next(one for one in SETTINGS if one.name == name)
    for origin, flags, environment, text in (
        (setting.flag, {name: value}, {}, ""),
        (setting.variable, {}, {setting.variable: value}, ""),
        (str(folder), {}, {}, f'{name} = "{value}"\n'),
    ):
        with pytest.raises(BadSetting) as refusal:
            load({"data_dir": written(folder, text), **flags}, environment)
        said = str(refusal.value)
        assert origin in said
        assert name in said
        assert allowed in said


def test_a_password_in_a_refused_url_is_not_repeated(folder: Path) -> None:
    with pytest.raises(BadSetting) as refusal:
        load({"data_dir": folder}, {"ACCREDIT_OIDC_ISSUER": "https://user:hunter2@host/issuer"})
    assert "hunter2" not in str(refusal.value)
    assert "@host/issuer" in str(refusal.value)


def test_an_unknown_key_is_told_which_there_are(folder: Path) -> None:
    with pytest.raises(BadSetting) as refusal:
        load({"data_dir": written(folder, "mqtt_prot = 1\n")}, {})
    assert "'mqtt_prot'" in str(refusal.value)
    assert "mqtt_port" in str(refusal.value)


def test_a_file_of_no_text_is_refused(folder: Path) -> None:
    (folder / "accredit.toml").write_bytes(b'host = "\xff"\n')
    with pytest.raises(BadSetting, match="can't be read"):
        load({"data_dir": folder}, {})


def test_a_bad_value_in_the_file_is_refused_though_a_flag_counts_more(folder: Path) -> None:
    written(folder, "mqtt_port = 70000\n")
    with pytest.raises(BadSetting, match="mqtt_port"):
        load({"data_dir": folder, "mqtt_port": 1}, {})


def test_what_came_from_the_default_is_not_explicit(folder: Path) -> None:
    assert "https_port" not in load({"data_dir": folder}, {}).explicit
    for config in (
        load({"data_dir": folder, "https_port": 443}, {}),
        load({"data_dir": folder}, {"ACCREDIT_HTTPS_PORT": "443"}),
        load({"data_dir": written(folder, "https_port = 443\n")}, {}),
    ):
        assert "https_port" in config.explicit


@pytest.mark.parametrize("empty", [None, [], ()])
def test_a_flag_without_a_value_was_not_given(folder: Path, empty: object) -> None:
    config = load({"data_dir": folder, "host": empty}, {"ACCREDIT_HOST": "factory.example"})
    assert config.host == ("factory.example",)


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///state.db", "state.db"), ("sqlite:////var/lib/state.db", "/var/lib/state.db")],
)
def test_a_database_elsewhere(folder: Path, url: str, path: str) -> None:
    assert load({"data_dir": folder}, {"ACCREDIT_DATABASE_URL": url}).database_path == Path(path)


@pytest.mark.parametrize(
    "url", ["postgresql://ann:hunter2@db.example/fleet?sslmode=require", "postgres:///x?password=hunter2"]
)
def test_postgresql_and_its_password_is_never_shown(folder: Path, url: str) -> None:
    config = load({"data_dir": folder}, {"ACCREDIT_DATABASE_URL": url})
    assert config.postgresql_url == url
    assert "hunter2" not in repr(config)
    with pytest.raises(BadSetting, match="pg_dump"):
        _ = config.database_path
    for wrong in (f"x{url}", f"{url} and more"):
        with pytest.raises(BadSetting, match="database_url must be") as caught:
            load({"data_dir": folder}, {"ACCREDIT_DATABASE_URL": wrong})
        assert "hunter2" not in str(caught.value)


def test_a_database_url_of_nothing_is_the_default(folder: Path) -> None:
    assert load({"data_dir": folder}, {"ACCREDIT_DATABASE_URL": ""}).database_path == folder / "accredit.db"


def test_a_tls_key_without_its_certificate_is_a_mistake(folder: Path) -> None:
    with pytest.raises(BadSetting, match="tls_certificate_file"):
        load({"data_dir": folder, "tls_key_file": "key.pem"}, {})


@pytest.mark.parametrize(
    ("text", "value"),
    [("TRUE", True), ("on", True), ("1", True), ("No", False), ("off", False), ("0", False)],
)
def test_yes_and_no(folder: Path, text: str, value: bool) -> None:  # noqa: FBT001
    assert (
        load({"data_dir": folder}, {"ACCREDIT_ALLOW_BOOTSTRAP_AT_HUB": text}).allow_bootstrap_at_hub is value
    )


def test_an_unknown_setting_is_none_of_the_configs(folder: Path) -> None:
    with pytest.raises(AttributeError):
        _ = load({"data_dir": folder}, {}).mqtt_prot


def test_every_setting_has_a_name_of_its_own_and_a_sentence() -> None:
    assert len({one.variable for one in SETTINGS}) == len(SETTINGS)
    assert all(one.sentence.endswith(".") for one in SETTINGS)
    for one in SETTINGS:
        if one.default not in ("", (), Path()):
            assert one.parse(one.default) == one.default
