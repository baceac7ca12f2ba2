"""Where `introspect` finds the rows in the responses of an API, each kind of envelope as vendors write it."""

from pathlib import Path
from typing import Any

import pytest

from tests.codegen.described_apis import (
    NUMBER,
    TEXT,
    introspect_paths,
    object_schema,
    operation_returning,
    path_parameter,
    query_parameter,
    write_description,
)
from tests.codegen.generated_company import introspect

URL = {"type": "string", "format": "uri"}
TRUTH = {"type": "boolean"}
ROWS = {"type": "array", "items": object_schema()}
TEXTS = {"type": "array", "items": TEXT}


def members(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("path", "response", "rows"),
    [
        pytest.param(
            "/2011-05-01/Accounts/Calls.json",
            members(
                calls=ROWS, end=NUMBER, first_page_uri=TEXT, next_page_uri=TEXT, page=NUMBER, page_size=NUMBER,
                previous_page_uri=TEXT, start=NUMBER, uri=TEXT,
            ),
            "calls",
            id="nine members that tell of the page",
        ),
        pytest.param("/things", members(data=ROWS, has_more=TRUTH, object=TEXT, url=TEXT), "data", id="data"),
        pytest.param("/things", members(items=ROWS, kind=TEXT, etag=TEXT, nextPageToken=TEXT), "items", id="items"),
        pytest.param("/things", {"type": "object", "properties": {"@odata.context": TEXT, "value": ROWS}}, "value",
                     id="OData"),
        pytest.param("/things", members(d=members(results=ROWS, __next=TEXT)), "d.results", id="OData 2"),
        pytest.param(
            "/things", members(_embedded=members(things=ROWS), _links=members(next=members(href=URL)), count=NUMBER),
            "_embedded.things", id="HAL",
        ),
        pytest.param(
            "/things",
            members(data=ROWS, included={"type": "array", "items": object_schema(type=TEXT)},
                    links=members(next=TEXT), meta=members(total=NUMBER)),
            "data", id="JSON:API",
        ),
        pytest.param(
            "/things",
            members(size=NUMBER, limit=NUMBER, isLastPage=TRUTH, values=ROWS, start=NUMBER, nextPageStart=NUMBER),
            "values", id="values",
        ),
        pytest.param("/things", members(results=ROWS, start=NUMBER, limit=NUMBER, _links=members(base=TEXT)), "results",
                     id="results"),
        pytest.param(
            "/api/v1/things", members(apiVersion=TEXT, kind=TEXT, metadata=members(**{"continue": TEXT}), items=ROWS),
            "items", id="kind and metadata",
        ),
        pytest.param("/things", members(success=TRUTH, errors=ROWS, messages=ROWS, result=members(items=ROWS)),
                     "result.items", id="within the result"),
        pytest.param("/things", members(took=NUMBER, hits=members(total=NUMBER, hits=ROWS)), "hits.hits", id="hits"),
        pytest.param(
            "/Things",
            members(schemas=TEXTS, totalResults=NUMBER, startIndex=NUMBER, itemsPerPage=NUMBER, Resources=ROWS),
            "Resources", id="SCIM",
        ),
        pytest.param("/things", members(entries=ROWS, order=ROWS, total_count=NUMBER), "entries",
                     id="entries and order"),
        pytest.param("/Invoices", members(pagination=members(page=NUMBER), Warnings=ROWS, Invoices=ROWS), "Invoices",
                     id="warnings beside the rows"),
        pytest.param("/teams/styles", members(status=NUMBER, error=TRUTH, meta=members(styles=ROWS, cursor=TEXT)),
                     "meta.styles", id="within the commentary"),
        pytest.param("/browse/new-releases", members(albums=members(href=TEXT, items=ROWS, total=NUMBER)),
                     "albums.items", id="within the only object"),
        pytest.param("/impacts", members(limit=NUMBER, more=TRUTH, services=ROWS), "services", id="another noun"),
        pytest.param("/threads/archived/public", members(threads=ROWS, members=ROWS, has_more=TRUTH), "threads",
                     id="the nearest noun of the path"),
        pytest.param("/shops/tags", members(tags=TEXTS, next=TEXT), "tags", id="texts of the path's name"),
        pytest.param("/exceptions", members(only=ROWS), "only", id="nothing beside it"),
    ],
)  # fmt: skip
def test_a_list_is_found_in_its_envelope(tmp_path: Path, path: str, response: Any, rows: str) -> None:
    (collection,) = introspect_paths(tmp_path, {path: operation_returning(response)}).values()
    assert (collection.get("rows"), collection.get("single", False)) == (rows, False)


@pytest.mark.parametrize(
    ("path", "response", "rows", "columns"),
    [
        pytest.param("/me", object_schema(name=TEXT, images=ROWS), None, {"id", "name"}, id="a row with a list in it"),
        pytest.param("/me", members(user=object_schema(name=TEXT)), "user", {"id", "name"}, id="an object of its own"),
        pytest.param("/count", members(data=members(seen=NUMBER), ok=TRUTH), "data", {"seen"}, id="an object in data"),
        pytest.param("/totals", members(active=NUMBER, up=NUMBER), None, {"active", "up"}, id="values alone"),
    ],
)
def test_one_object_is_one_row(tmp_path: Path, path: str, response: Any, rows: str | None, columns: set[str]) -> None:
    (collection,) = introspect_paths(tmp_path, {path: operation_returning(response)}).values()
    assert (collection.get("rows"), collection.get("single"), set(collection["columns"])) == (rows, True, columns)


@pytest.mark.parametrize(
    ("response", "line"),
    [
        pytest.param(
            members(description=TEXT, channels=ROWS),
            "`/screen`: it is taken for one object, though it holds a list: channels",
            id="a list beside values",
        ),
        pytest.param(
            members(added=ROWS, removed=ROWS),
            "left 1: which of its lists is meant is in doubt: /screen",
            id="two lists alone",
        ),
    ],
)
def test_what_is_in_doubt_is_said(tmp_path: Path, response: Any, line: str) -> None:
    paths = {"/screen": operation_returning(response), "/things": operation_returning(ROWS)}
    output = introspect(str(write_description(tmp_path, paths)), tmp_path, "--allow", "sales")
    assert line in output.splitlines()


def test_values_beside_a_list_are_named_where_it_is_declared(tmp_path: Path) -> None:
    response = members(items=ROWS, message_of_the_day=TEXT)
    introspect_paths(tmp_path, {"/things": operation_returning(response)})
    declared = (tmp_path / "schema/introspected/own.toml").read_text(encoding="utf-8")
    assert "# no column: message_of_the_day (beside the list)" in declared.splitlines()


def test_a_list_of_one_row_finds_it_by_its_key(tmp_path: Path) -> None:
    invoice = object_schema(("InvoiceID",), InvoiceID=TEXT, Total=NUMBER)
    envelope = members(Invoices={"type": "array", "items": invoice})
    paths = {
        "/Invoices": operation_returning(envelope),
        "/Invoices/{InvoiceID}": operation_returning(envelope, path_parameter("InvoiceID")),
    }
    invoices = introspect_paths(tmp_path, paths)
    assert invoices.keys() == {"invoices"}
    assert invoices["invoices"]["keys"] == {"invoice_id": {"path": "/Invoices/{invoice_id}", "rows": "Invoices.0"}}


@pytest.mark.parametrize(
    ("beside", "parameters", "paging"),
    [
        pytest.param(
            {"more": TRUTH}, [query_parameter("offset", type="integer")],
            {"by": "offset", "parameter": "offset", "more": "more"}, id="more",
        ),
        pytest.param(
            {"isLast": TRUTH}, [query_parameter("startAt", type="integer")],
            {"by": "offset", "parameter": "startAt", "last": "isLast"}, id="last",
        ),
        pytest.param(
            {"next_page_uri": TEXT}, [query_parameter("Page", type="integer"), query_parameter("PageToken")],
            {"by": "link", "next": "next_page_uri"}, id="a link",
        ),
        pytest.param(
            {"_links": members(next=members(href=TEXT))}, [], {"by": "link", "next": "_links.next.href"}, id="HAL",
        ),
        pytest.param({"@odata.nextLink": TEXT}, [], {"by": "link", "next": ["@odata.nextLink"]}, id="OData"),
        pytest.param({"next": URL}, [query_parameter("page")], {"by": "link", "next": "next"}, id="a URL called next"),
        pytest.param(
            {"has_more": TRUTH},
            [query_parameter("starting_after"), query_parameter("limit", type="integer", maximum=100)],
            {"by": "cursor", "parameter": "starting_after", "next": "data.-1.id", "more": "has_more",
             "size_parameter": "limit", "size": 100},
            id="after the last row's id",
        ),
        pytest.param(
            {"metadata": members(**{"continue": TEXT})}, [query_parameter("continue")],
            {"by": "cursor", "parameter": "continue", "next": "metadata.continue"}, id="a cursor in the commentary",
        ),
        pytest.param(
            {"totalResults": NUMBER}, [query_parameter("startIndex", type="integer", default=1)],
            {"by": "offset", "parameter": "startIndex", "first": 1}, id="rows counted from 1",
        ),
    ],
)  # fmt: skip
def test_paging_is_told_by_the_response_as_well(tmp_path: Path, beside: Any, parameters: Any, paging: Any) -> None:
    response = {"type": "object", "properties": {"data": ROWS, **beside}}
    assert (
        introspect_paths(tmp_path, {"/things": operation_returning(response, *parameters)})["things"]["paging"]
        == paging
    )


def test_pages_that_follow_in_no_known_way_are_said(tmp_path: Path) -> None:
    paths = {"/things": operation_returning(ROWS, query_parameter("before"), query_parameter("cursor"))}
    output = introspect(str(write_description(tmp_path, paths)), tmp_path, "--allow", "sales")
    assert "`/things`: its pages follow each other in no known way: only the first is read" in output.splitlines()
