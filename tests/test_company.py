"""Find and load the folder of a company, and report what is wrong in it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.servers.run import ROOT
from onedoor.cli.main import main
from onedoor.company import build_company_schema, find_company_folder, load_company
from onedoor.config import SchemaSettings
from onedoor.errors import ConfigurationError
from onedoor.schema.builder import build_document, print_sdl
from onedoor.schema.builtin import BuiltinAccess
from tests.companies import ask, create_key, isolated, make_company, run_server
from tests.servers.ports import find_free_port

HELLO = """{
  me { firstName }
  access(coordinate: "Me.id") { allowed }
  simulate(query: "{ requests { totalCount } }", person: "ada@example.com") { groups allowed }
  policyDiff(to: "extend type Me { id: ID }") { skipped }
}"""
ANSWER = {
    "data": {
        "me": {"firstName": "Ada"}, "access": {"allowed": True},
        "simulate": {"groups": ["access-review", "everyone"], "allowed": False}, "policyDiff": {"skipped": 0},
    }
}  # fmt: skip
TICKET = """
import strawberry

from onedoor.schema import Many, allow, owned


@strawberry.type(description="One ticket.", directives=[allow("everyone"), owned("support")])
class Ticket:
    id: strawberry.ID = strawberry.field(description="The ticket number.")


@strawberry.type
class Query:
    tickets: Many["Ticket"] = strawberry.field(description="All tickets.")
"""
MAPPING = """
from onedoor.mapping import TypeMapping

MAPPINGS = (TypeMapping(type="Ticket", source="internal", collection="ticket"),)
"""
JOB = """
from onedoor.jobs import Job, JobContext, NoInput


async def run(context: JobContext, given: NoInput) -> None:
    context.log("done")


JOBS = (
    Job(
        name="Sweep", description="Sweeps.", owner="everyone", run=run,
        may_start=frozenset({"everyone"}), may_see=frozenset({"everyone"}),
    ),
)
"""


def sdl(folder: Path, settings: SchemaSettings | None = None, *, exports: bool = False) -> str:
    with isolated():
        return print_sdl(
            build_company_schema(load_company(folder), settings or SchemaSettings(), exports=exports).modules
        )


def list_types(folder: Path, *, exports: bool = False) -> set[str]:
    with isolated():
        parts = build_company_schema(load_company(folder), SchemaSettings(), exports=exports)
        return {node.name.value for node in build_document(parts.modules, parts.masking_groups).definitions}  # type: ignore[attr-defined]


def test_the_folder_is_the_one_chosen_or_the_settings_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, elsewhere = make_company(tmp_path / "company"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert find_company_folder(company, elsewhere) == company
    assert find_company_folder(None, company) == company
    monkeypatch.chdir(company)
    assert find_company_folder(None, elsewhere) == company


@pytest.mark.parametrize("chosen", [True, False])
def test_no_company_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: bool) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        find_company_folder(tmp_path if chosen else None, tmp_path)
    assert str(caught.value) == (
        f"`{tmp_path}` is no company's folder: it has no `schema/`"
        if chosen
        else f"neither `{tmp_path}` nor the working directory has `schema/`: name the company's folder with"
        " `--company`, or make one with `python -m onedoor new FOLDER`"
    )


def test_a_table_is_two_files_and_no_list(tmp_path: Path) -> None:
    folder = make_company(tmp_path / "company", {"schema/ticket.py": TICKET, "resolvers/ticket.py": MAPPING})
    with isolated():
        company = load_company(folder)
    assert [module.__name__ for module in company.schema_modules] == ["schema.ticket"]
    assert [mapping.type for mapping in company.mappings] == ["Ticket"]


def test_a_file_whose_name_begins_with_an_underscore_is_the_companys_own_affair(tmp_path: Path) -> None:
    folder = make_company(tmp_path / "company", {"schema/_broken.py": "1 / 0"})
    with isolated():
        assert load_company(folder).schema_modules == ()


def test_the_folders_need_no_init_file(tmp_path: Path) -> None:
    folder = make_company(tmp_path / "company", {"schema/ticket.py": TICKET, "resolvers/ticket.py": MAPPING})
    for name in ("schema", "resolvers", "jobs"):
        (folder / name / "__init__.py").unlink()
    assert "type Ticket " in sdl(folder)


def test_companies_are_loaded_in_turn_but_not_two_at_once(tmp_path: Path) -> None:
    first = make_company(tmp_path / "first", {"schema/ticket.py": TICKET, "resolvers/ticket.py": MAPPING})
    second = make_company(tmp_path / "second")
    with isolated():
        load_company(first)
        with pytest.raises(ConfigurationError) as caught:
            load_company(second)
    assert (
        str(caught.value)
        == f"`schema` was loaded from elsewhere than `{second}/schema`: one process serves one company"
    )
    assert ("Ticket" in sdl(first), "Ticket" in sdl(second)) == (True, False)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"schema/a.py": "class"}, "`schema/a.py:1` cannot be loaded: invalid syntax", id="syntax"),
        pytest.param(
            {"schema/a.py": "\nimport nothing_of_the_kind"},
            "`schema/a.py:2` cannot be loaded: No module named 'nothing_of_the_kind'", id="an import",
        ),
        pytest.param(
            {"resolvers/a.py": "1 / 0"}, "`resolvers/a.py:1` cannot be loaded: division by zero", id="a crash",
        ),
        pytest.param(
            {"resolvers/a.py": "MAPPINGS = (1,)"}, "`MAPPINGS` of `resolvers/a.py` holds what is no `TypeMapping`",
            id="what is no mapping",
        ),
        pytest.param(
            {"resolvers/a.py": MAPPING, "resolvers/b.py": MAPPING}, "`Ticket` has two mappings in resolvers/: keep one",
            id="two mappings",
        ),
        pytest.param({"jobs/a.py": "JOBS = 1"}, "`JOBS` of `jobs/a.py` must be a tuple", id="what is no tuple"),
        pytest.param(
            {"resolvers/a.py": "BINDINGS = ()"},
            "`resolvers/a.py` has `BINDINGS`, which is now called `MAPPINGS`: run `python -m onedoor upgrade` on the"
            " company's folder", id="an old name",
        ),
        pytest.param(
            {"schema/a.py": "from schema.arguments import Many"},
            "`schema/a.py:1` imports `schema.arguments` of an older release: run `python -m onedoor upgrade` on the"
            " company's folder", id="an old import",
        ),
    ],
)  # fmt: skip
def test_a_wrong_piece_is_one_sentence(tmp_path: Path, files: dict[str, str], message: str) -> None:
    folder = make_company(tmp_path / "company", files)
    with isolated(), pytest.raises(ConfigurationError) as caught:
        load_company(folder)
    assert str(caught.value) == message


def test_a_type_of_the_product_is_not_declared_again(tmp_path: Path) -> None:
    folder = make_company(tmp_path / "company", {"schema/ticket.py": TICKET.replace("Ticket", "Request")})
    with pytest.raises(ConfigurationError) as caught:
        sdl(folder)
    assert str(caught.value) == "`Request` is a type of the product's own: call the company's by another name"


def test_only_what_a_company_declares_is_in_its_schema(tmp_path: Path) -> None:
    empty, jobs = make_company(tmp_path / "empty"), make_company(tmp_path / "jobs", {"jobs/sweep.py": JOB})
    kinds = {"Mutation", "Subscription", "Job", "ChangeVerb", "ExportFormat", "StartSweepInput"}
    assert kinds & list_types(empty) == {"Mutation"}
    assert kinds & list_types(empty, exports=True) == {"Mutation", "Subscription", "Job", "ExportFormat"}
    assert kinds & list_types(jobs) == {"Mutation", "Subscription", "Job", "StartSweepInput"}


def test_a_company_says_who_answers_for_a_built_in_type_and_who_sees_it(tmp_path: Path) -> None:
    folder = make_company(tmp_path / "company")
    access = {"requests": BuiltinAccess(owner="legal", allow=("audit", "legal"))}
    assert 'type Request @allow(groups: ["audit"]) @owned(by: "platform") {' in sdl(folder)
    assert 'type Request @allow(groups: ["audit", "legal"]) @owned(by: "legal") {' in sdl(
        folder, SchemaSettings(builtin=access)
    )


def run(*words: str) -> tuple[int, str]:
    with isolated():
        ended = CliRunner().invoke(main, list(words))
    return ended.exit_code, ended.output


def test_a_new_company_checks_and_has_a_first_key(tmp_path: Path) -> None:
    folder = tmp_path / "company"
    assert run("new", str(folder))[0] == 0
    assert run("--company", str(folder), "check") == (
        0,
        "settings: good\ncompany: good, company\n"
        "groups: no contact for `platform`: denials cannot say whom to ask until `owners` in groups.toml does\n"
        "state: good\nrecords: good\nschema: good\ndocuments: good, 0 of them\n",
    )  # fmt: skip
    assert (folder / "secrets/pepper").stat().st_mode & 0o777 == 0o600


def test_new_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    ended, said = run("new", str(tmp_path))
    assert (ended, said.splitlines()[-1]) == (
        2, f"Error: `{tmp_path}` is there already and holds something: name a folder that does not exist",
    )  # fmt: skip


def test_check_names_a_membership_that_counts_for_nothing(tmp_path: Path) -> None:
    folder = make_company(tmp_path / "company")
    create_key(folder, "alchemy")
    said = run("--company", str(folder), "check")[1]
    assert (
        "state: `ada@example.com` is in `alchemy`, which is not registered in groups.toml and counts for nothing"
        in said
    )


@pytest.mark.parametrize(
    ("command", "where"),
    [
        pytest.param(["onedoor", "--company", "{folder}", "serve", "--workers", "2"], "/", id="workers, from /"),
        pytest.param(["onedoor", "--config", "{folder}/onedoor.toml", "serve"], ROOT, id="beside another company"),
        pytest.param(["onedoor", "serve"], "company", id="the working directory"),
        pytest.param(["uvicorn", "app:app", "--lifespan", "on"], "company", id="any ASGI server"),
    ],
)
def test_a_new_company_answers(tmp_path: Path, command: list[str], where: str | Path) -> None:
    folder, port = make_company(tmp_path / "company"), find_free_port()
    key = create_key(folder, "access-review")
    words = [word.format(folder=folder) for word in command]
    with run_server([*words, "--port", str(port)], port, tmp_path / where):
        assert ask(port, key, HELLO) == ANSWER
