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
    assert config.master_key_path == folder / "master.key"


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
        ("mqtt_port", "65536"), ("mqtt_port", "-1"), ("mqtt_port", "x"), ("https_port", "1.5"), ("key_reuse", "maybe"),
        ("log", "loud"), ("allow_bootstrap_at_hub", "perhaps"), ("workers", "2"), ("host", " , "),
        ("database_url", "postgresql://x/y"), ("digicert_url", " "), ("telemetry_max_age_s", "1"),
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


def test_an_unknown_variable_is_named_and_not_refused(folder: Path) -> None:
    config = load(
        {"data_dir": folder}, {"ACCREDIT_SERVICE_HOST": "x", "ACCREDIT_CONNECTION_STRING": "y", "PATH": "z"}
    )
    assert config.unknown_variables == ("ACCREDIT_SERVICE_HOST",)


def test_a_path_may_begin_at_home(folder: Path) -> None:
    config = load({"data_dir": folder}, {"ACCREDIT_MASTER_KEY_FILE": "~/key"})
    assert config.master_key_path == Path("~/key").expanduser()


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
