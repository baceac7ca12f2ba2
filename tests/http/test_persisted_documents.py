"""Run documents by their digest: trusted ones, and those that clients register."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from onedoor.cli import main
from onedoor.errors import ConfigurationError
from onedoor.http.persisted_documents import (
    DOCUMENT_SUFFIX,
    AutomaticQueryCache,
    PersistedDocuments,
    PersistedDocumentSettings,
    hash_document,
    open_persisted_documents,
)
from onedoor.model.catalog import Limits
from onedoor.schema.builder import build_schema_and_policy
from onedoor.schema.builtin import me
from tests.http.conftest import OpenServer, Response, RunningServer

ME = "query Me { me { firstName } }"
NAMES = "query Names($first: Int) { customers(first: $first) { nodes { name } } }"
CHANGE = "mutation Change { change { id } }"
TRUSTED = "sha256:" + hash_document(ME)
ADA = {"me": {"firstName": "Sales"}}
OTHER = "query Other { me { lastName } }"


def folder(at: Path, *texts: str) -> Path:
    documents = at / "documents"
    documents.mkdir(exist_ok=True)
    for text in texts:
        (documents / f"{hash_document(text)}{DOCUMENT_SUFFIX}").write_text(text)
    return documents


def persisted(text: str, **more: Any) -> Mapping[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_document(text)}}, **more}


async def post(server: RunningServer, **body: Any) -> Response:
    return await server.send(json=body, headers=server.bearer("sales"))


async def get(server: RunningServer, **given: Any) -> Response:
    query = {name: item if isinstance(item, str) else json.dumps(item) for name, item in given.items()}
    return await server.send("GET", f"/graphql?{urlencode(query)}", headers=server.bearer("sales"))


@pytest.mark.parametrize("send", [post, get])
async def test_a_trusted_document_runs_by_its_digest(open_server: OpenServer, tmp_path: Path, send: Any) -> None:
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path, ME, NAMES)))
    )
    me = await send(server, documentId=TRUSTED)
    names = await send(server, documentId="sha256:" + hash_document(NAMES), variables={"first": 1})
    assert (me.body, len(names.body["data"]["customers"]["nodes"])) == ({"data": ADA}, 1)


async def test_its_record_names_the_digest(open_server: OpenServer, tmp_path: Path) -> None:
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path, ME)))
    )
    await post(server, documentId=TRUSTED)
    await post(server, query=ME)
    assert [(record["document"], record["operation"]) for record in server.records()] == [(TRUSTED, "Me"), (None, "Me")]


async def test_a_document_registered_while_the_server_runs_is_found(open_server: OpenServer, tmp_path: Path) -> None:
    server = await open_server(documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path))))
    before = await post(server, documentId=TRUSTED)
    folder(tmp_path, ME)
    assert (before.code, (await post(server, documentId=TRUSTED)).body) == ("DOCUMENT_UNKNOWN", {"data": ADA})


@pytest.mark.parametrize(
    "name", ["sha256:" + "0" * 64, "../" + hash_document(ME), "x" * 5000, "sha256:", hash_document(ME).upper()]
)
async def test_what_is_not_registered_is_not_known(open_server: OpenServer, tmp_path: Path, name: str) -> None:
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path, ME)))
    )
    response = await post(server, documentId=name)
    assert (response.status, response.code) == (400, "DOCUMENT_UNKNOWN")


async def test_a_file_that_was_changed_is_not_run(open_server: OpenServer, tmp_path: Path) -> None:
    server = await open_server(documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path))))
    (tmp_path / "documents" / f"{hash_document(ME)}{DOCUMENT_SUFFIX}").write_text(NAMES)
    assert (await post(server, documentId=TRUSTED)).code == "DOCUMENT_UNKNOWN"


MANIFESTS = {
    "relay": {"0123456789abcdef0123456789abcdef": ME},
    "apollo": {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{"id": "0123456789abcdef0123456789abcdef", "name": "Me", "type": "query", "body": ME}],
    },
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
async def test_a_manifest_is_run_by_its_ids_and_by_digest(
    open_server: OpenServer, tmp_path: Path, manifest: Any
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(manifest=path, trusted_only=True))
    )
    id = "0123456789abcdef0123456789abcdef"
    by_hash = {"persistedQuery": {"version": 1, "sha256Hash": id}}
    result = [
        await post(server, documentId=id),
        await post(server, documentId=TRUSTED),
        await post(server, extensions=by_hash),
    ]
    assert [item.body for item in result] == [{"data": ADA}] * 3


WRONG = {
    "no JSON": ("{", "cannot be read"),
    "a list": ("[]", "has another form"),
    "no text": ('{"a": 1}', "has another form"),
    "a lie": (json.dumps({hash_document(ME): NAMES}), "is the digest of another"),
    "another version": (json.dumps({**MANIFESTS["apollo"], "version": 2}), "has another form"),
}


@pytest.mark.parametrize(("text", "why"), WRONG.values(), ids=WRONG)
def test_a_manifest_that_is_none_is_a_mistake(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        open_persisted_documents(PersistedDocumentSettings(manifest=tmp_path / "manifest.json"))


async def test_where_only_trusted_documents_run_no_other_text_does(open_server: OpenServer, tmp_path: Path) -> None:
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path, ME), trusted_only=True))
    )
    result = [
        await post(server, query=OTHER),
        await get(server, query=OTHER),
        await post(server, query=OTHER, **persisted(OTHER)),
        await post(server, query="{ __schema { queryType { name } } }"),
        await post(server, query=ME + " "),
        await post(server, **persisted(OTHER)),
    ]
    assert [error.code for error in result] == ["DOCUMENT_NOT_TRUSTED"] * 5 + ["DOCUMENT_UNKNOWN"]
    assert (await post(server, query=ME)).body == {"data": ADA}
    assert [record["outcome"] for record in server.records()] == ["refused"] * 6 + ["answered"]


async def test_a_get_may_not_mutate_by_a_name_either(open_server: OpenServer, tmp_path: Path) -> None:
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path, CHANGE)))
    )
    result = await get(server, documentId="sha256:" + hash_document(CHANGE))
    assert (result.status, result.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "limits",
    [Limits(document_tokens=3), Limits(depth_max=2), Limits(cost_max=1), Limits(document_characters=20)],
    ids=["tokens", "depth", "cost", "characters"],
)
async def test_limits_hold_for_what_is_trusted(open_server: OpenServer, tmp_path: Path, limits: Limits) -> None:
    server = await open_server(
        documents=open_persisted_documents(PersistedDocumentSettings(folder=folder(tmp_path, NAMES))), limits=limits
    )
    response = await post(server, documentId="sha256:" + hash_document(NAMES), variables={"first": 5})
    assert response.status == 400
    assert "the limit `" in response.body["errors"][0]["message"]


async def test_permission_holds_for_what_is_trusted(open_server: OpenServer, tmp_path: Path) -> None:
    salaries = "{ employees(first: 1) { nodes { salary } } }"
    server = await open_server(
        documents=open_persisted_documents(
            PersistedDocumentSettings(folder=folder(tmp_path, salaries), trusted_only=True)
        )
    )
    assert (await post(server, documentId="sha256:" + hash_document(salaries))).code == "FORBIDDEN"


@pytest.mark.parametrize("send", [post, get])
async def test_a_client_registers_by_asking(open_server: OpenServer, send: Any) -> None:
    server = await open_server(documents=open_persisted_documents(PersistedDocumentSettings()))
    unknown = await send(server, **persisted(ME))
    assert (unknown.code, unknown.body["errors"][0]["message"]) == (
        "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound",
    )  # fmt: skip
    result = [await send(server, query=ME, **persisted(ME)), await send(server, **persisted(ME))]
    assert [item.body for item in result] == [{"data": ADA}] * 2
    assert [record.get("document") for record in server.records()] == [None, TRUSTED, TRUSTED]


async def test_a_digest_of_another_text_is_refused_and_not_kept(open_server: OpenServer) -> None:
    server = await open_server(documents=open_persisted_documents(PersistedDocumentSettings()))
    wrong = await post(server, query=OTHER, **persisted(ME))
    after = await post(server, **persisted(ME))
    assert (wrong.status, wrong.code, after.code) == (400, "BAD_REQUEST", "PERSISTED_QUERY_NOT_FOUND")


async def test_a_text_that_is_not_valid_is_not_kept(open_server: OpenServer) -> None:
    known = open_persisted_documents(PersistedDocumentSettings())
    server = await open_server(documents=known)
    for text in ("{ nothing }", "{ me", "x" * 200_000):
        await post(server, query=text, **persisted(text))
    assert len(known.automatic.texts) == 0


async def test_clients_learn_that_persisted_queries_are_off(open_server: OpenServer) -> None:
    server = await open_server(documents=open_persisted_documents(PersistedDocumentSettings(automatic=0)))
    response = await post(server, **persisted(ME))
    assert (response.code, response.body["errors"][0]["message"]) == (
        "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported",
    )  # fmt: skip
    assert (await post(server, query=ME, **persisted(ME))).body == {"data": ADA}


ODD = [
    {"persistedQuery": {}},
    {"persistedQuery": []},
    {"persistedQuery": {"version": 2, "sha256Hash": hash_document(ME)}},
    {"persistedQuery": {"version": 1, "sha256Hash": 1}},
    {"persistedQuery": {"version": 1}},
]


@pytest.mark.parametrize(
    "body",
    [*({"extensions": item} for item in ODD), {"documentId": 1}, {"documentId": ""}, {}, {"query": ""}, {"query": 1},
     {"query": ME, "documentId": "sha256:" + hash_document(OTHER)}],
)  # fmt: skip
async def test_what_names_no_document_is_a_400(server: RunningServer, body: Mapping[str, Any]) -> None:
    response = await post(server, **body)
    assert (response.status, response.code) == (400, "BAD_REQUEST")


def test_no_more_is_kept_than_allowed() -> None:
    cache = AutomaticQueryCache(max_entries=3, max_characters=100)
    for text in ("a" * 10, "b" * 10, "c" * 10, "d" * 10, "e" * 60, "f" * 200):
        cache.put(hash_document(text), text)
    assert (list(cache.texts.values()), cache.texts.currsize) == (["c" * 10, "d" * 10, "e" * 60], 80)
    cache.put(hash_document(ME), ME)
    assert (cache.get(hash_document(ME)), PersistedDocuments().automatic.get(hash_document(ME))) == (ME, None)


def test_the_texts_used_last_stay() -> None:
    cache = AutomaticQueryCache(max_entries=2, max_characters=100)
    for text in ("first", "second"):
        cache.put(hash_document(text), text)
    cache.get(hash_document("first"))
    cache.put(hash_document("third"), "third")
    assert list(cache.texts.values()) == ["first", "third"]


def run(at: Path, *arguments: str) -> tuple[int, str]:
    (at / "onedoor.toml").write_text('[documents]\nfolder = "documents"\n')
    (at / "records/journal").mkdir(parents=True, exist_ok=True)
    environment = {"ONEDOOR_PEPPER": "a pepper of thirty-two characters"}
    done = CliRunner().invoke(main.main, ["--config", str(at / "onedoor.toml"), *arguments], env=environment)
    return done.exit_code, done.output


def register(at: Path, *files: Path) -> tuple[int, str]:
    return run(at, "documents", "register", "--reason", "a test", *map(str, files))


def test_documents_are_registered_from_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "me.graphql").write_text(ME)
    (tmp_path / "manifest.json").write_text(json.dumps({"x": NAMES}))
    code, result = run(
        tmp_path,
        "documents",
        "register",
        "--reason",
        "a test",
        str(tmp_path / "me.graphql"),
        str(tmp_path / "manifest.json"),
    )
    names = "sha256:" + hash_document(NAMES)
    assert (code, result) == (0, f"{TRUSTED} {tmp_path}/me.graphql\n{names} {tmp_path}/manifest.json\n")
    assert sorted(path.name for path in (tmp_path / "documents").iterdir()) == sorted(
        f"{hash_document(text)}{DOCUMENT_SUFFIX}" for text in (ME, NAMES)
    )
    assert run(tmp_path, "documents", "list")[1].splitlines() == sorted([f"{TRUSTED} {ME}", f"{names} {NAMES}"])


def test_what_does_not_fit_the_schema_is_not_registered(tmp_path: Path) -> None:
    (tmp_path / "bad.graphql").write_text("{ nothing }")
    (tmp_path / "me.graphql").write_text(ME)
    code, result = run(
        tmp_path,
        "documents",
        "register",
        "--reason",
        "a test",
        str(tmp_path / "me.graphql"),
        str(tmp_path / "bad.graphql"),
    )
    assert (code, "bad.graphql" in result, (tmp_path / "documents").exists()) == (2, True, False)


def test_check_names_documents_that_no_longer_fit(tmp_path: Path) -> None:
    from onedoor.cli.documents import check_documents as checked

    settings = type(
        "Said", (), {"documents": PersistedDocumentSettings(folder=folder(tmp_path, ME)), "limits": Limits()}
    )
    schema = build_schema_and_policy([me])[0]
    context = type("Command", (), {"load_settings": lambda self: settings, "load_schema": lambda self: schema})()
    assert checked(context) == 1
    folder(tmp_path, "{ gone }")
    with pytest.raises(ConfigurationError, match="sha256:" + hash_document("{ gone }")):
        checked(context)
