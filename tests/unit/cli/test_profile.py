"""Where the connection of a command comes from."""

from pathlib import Path

import pytest

from engine.cli.main import build_parser
from engine.cli.profile import complete, profile_file
from engine.errors import SettingError

PROFILES = """
[profiles.default]
host = "http://one:1"
database = "first"

[profiles.plant]
host = "https://plant:2"
token = "apiv3_plant"
tls-no-verify = true
"""


class Home:
    """A user's configuration directory."""

    def __init__(self, directory: Path) -> None:
        self.environment = {"XDG_CONFIG_HOME": str(directory)}
        self.path = profile_file(self.environment)
        self.path.parent.mkdir(parents=True)

    def write(self, text: str, mode: int = 0o600) -> None:
        self.path.write_text(text)
        self.path.chmod(mode)

    def completed(self, line: str, **environment: str) -> dict[str, object]:
        namespace = build_parser().parse_args(line.split())
        complete(namespace, {**self.environment, **environment})
        return vars(namespace)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_flag_wins_over_environment_over_profile_over_default(home: Home) -> None:
    assert home.completed("show databases")["host"] == "http://127.0.0.1:8181"
    home.write(PROFILES)
    assert home.completed("show databases")["host"] == "http://one:1"
    assert (
        home.completed("show databases", INFLUXDB3_HOST_URL="http://two:2")["host"]
        == "http://two:2"
    )
    both = {"INFLUXDB3_HOST_URL": "http://two:2", "HEADRACE_HOST_URL": "http://three:3"}
    assert home.completed("show databases", **both)["host"] == "http://three:3"
    assert home.completed("show databases -H http://four:4", **both)["host"] == "http://four:4"


def test_a_named_profile_has_all_of_it(home: Home) -> None:
    home.write(PROFILES)
    for given in (
        home.completed("query -d db q --profile plant"),
        home.completed("query -d db q", HEADRACE_PROFILE="plant"),
    ):
        assert given["host"] == "https://plant:2"
        assert given["token"] == "apiv3_plant"
        assert given["tls_no_verify"] is True
        assert given["tls_ca"] is None


def test_a_token_is_for_the_host_of_its_profile_alone(home: Home) -> None:
    home.write(PROFILES)
    line = "query -d db q --profile plant"
    for given in (
        home.completed(f"{line} --host http://stranger"),
        home.completed(line, HEADRACE_HOST_URL="http://stranger"),
        home.completed(line, INFLUXDB3_QUERY_HOST_URL="http://stranger"),
    ):
        assert given["host"] == "http://stranger"
        assert given["token"] is None
        assert given["tls_no_verify"] is False
    same = home.completed(f"{line} --host https://plant:2")
    assert same["token"] == "apiv3_plant"


def test_hosts_of_one_kind_of_work(home: Home) -> None:
    variables = {"INFLUXDB3_QUERY_HOST_URL": "http://q", "INFLUXDB3_WRITE_HOST_URL": "http://w"}
    assert home.completed("query -d d q", **variables)["host"] == "http://q"
    assert home.completed("write -d d l", **variables)["host"] == "http://w"
    assert home.completed("write -d d l --write-host http://v", **variables)["host"] == "http://v"
    assert home.completed("show databases", **variables)["host"] == "http://127.0.0.1:8181"


def test_the_database(home: Home) -> None:
    with pytest.raises(SettingError, match="no database is named"):
        home.completed("query q")
    with pytest.raises(SettingError, match="no database is named"):
        home.completed("create database")
    home.write(PROFILES)
    assert home.completed("query q")["database"] == "first"
    assert home.completed("query q", INFLUXDB3_DATABASE_NAME="second")["database"] == "second"
    assert home.completed("query -d third q")["database"] == "third"
    assert home.completed("create database", HEADRACE_DATABASE_NAME="new")["name"] == "new"
    assert home.completed("create database named")["name"] == "named"
    # Where it only narrows a list, it is not narrowed by the surroundings.
    assert home.completed("show triggers")["database"] is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_with_a_token_that_others_may_read_is_refused(home: Home, mode: int) -> None:
    home.write(PROFILES, mode)
    with pytest.raises(SettingError, match="others may read it") as refused:
        home.completed("show databases")
    assert refused.value.hint == f"chmod 600 {home.path}"
    assert "apiv3_plant" not in refused.value.message
    home.write(PROFILES.replace('token = "apiv3_plant"', ""), mode)
    assert home.completed("show databases")["host"] == "http://one:1"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[", "is not TOML", ""),
        ('host = "x"', "'host' stands outside of a profile", "begin with"),
        ("profiles = 3", "stands outside of a profile", ""),
        ("[profiles]\nplant = 3", "write \\[profiles.plant\\]", ""),
        ("[profiles.a]\nhots = 'x'", "there is no setting 'hots'", "did you mean 'host'?"),
        ("[profiles.a]\ntoken = 3", "token: write it as a string", ""),
        ("[profiles.a]\ntls-no-verify = 'yes'", "write true or false", ""),
    ],
)
def test_what_is_wrong_with_a_file_is_said(home: Home, text: str, message: str, hint: str) -> None:
    home.write(text)
    with pytest.raises(SettingError, match=message) as refused:
        home.completed("show databases")
    assert str(home.path) in refused.value.message
    assert hint in refused.value.hint


def test_a_profile_that_is_not_there_is_refused(home: Home) -> None:
    with pytest.raises(SettingError, match="there is no file"):
        home.completed("show databases --profile plant")
    home.write(PROFILES)
    with pytest.raises(SettingError, match="there is no profile 'plan'") as refused:
        home.completed("show databases --profile plan")
    assert refused.value.hint == "did you mean 'plant'?"


def test_the_file_lies_where_xdg_says() -> None:
    assert profile_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/headrace/config.toml")
    ordinary = Path.home() / ".config" / "headrace" / "config.toml"
    assert profile_file({}) == ordinary
    assert profile_file({"XDG_CONFIG_HOME": "relative"}) == ordinary
