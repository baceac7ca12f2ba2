"""A pattern gives columns to text of its form, and prefixes to leading values."""

import pytest

from onedoor.connectors.path_patterns import compile_pattern
from onedoor.spi.capabilities import ColumnType

FILES = compile_pattern("customers/{customer_id:int}/{kind}/{rest}")
CHANNELS = compile_pattern("cust-{customer_id:int}-{slug}")


def test_a_pattern_names_its_columns_in_order() -> None:
    assert FILES.columns == {"customer_id": ColumnType.INTEGER, "kind": ColumnType.TEXT, "rest": ColumnType.TEXT}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param(
            "customers/7/invoices/a.csv", {"customer_id": 7, "kind": "invoices", "rest": "a.csv"}, id="its form"
        ),
        pytest.param("customers/-7/x/y", {"customer_id": -7, "kind": "x", "rest": "y"}, id="a negative number"),
        pytest.param("customers/0/x/y", {"customer_id": 0, "kind": "x", "rest": "y"}, id="zero"),
        pytest.param(
            "customers/7/a/b/c\n.d", {"customer_id": 7, "kind": "a", "rest": "b/c\n.d"}, id="the last holds the rest"
        ),
        pytest.param("customers/007/x/y", None, id="a number not as it is written is none"),
        pytest.param("customers/٧/x/y", None, id="nor are other digits"),
        pytest.param("customers/seven/x/y", None, id="a word is no number"),
        pytest.param("customers/7/y", None, id="a part is missing"),
        pytest.param("customers/7//y", None, id="no value is empty"),
        pytest.param("archive/customers/7/x/y", None, id="the form is of the whole text"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_text_of_the_form_has_values(text: str, values: dict[str, object] | None) -> None:
    assert FILES.match(text) == values


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        pytest.param({}, "customers/", id="no value"),
        pytest.param({"customer_id": 7}, "customers/7/", id="the first value"),
        pytest.param({"customer_id": 7, "kind": "invoices"}, "customers/7/invoices/", id="two values"),
        pytest.param({"customer_id": 7, "kind": "a", "rest": "b"}, "customers/7/a/b", id="all values"),
        pytest.param({"kind": "invoices"}, "customers/", id="a value behind a gap does not count"),
    ],
)
def test_a_prefix_follows_from_leading_values(values: dict[str, object], prefix: str) -> None:
    assert FILES.build_prefix(values) == prefix


def test_whatever_matches_starts_with_the_prefix_of_its_values() -> None:
    values = CHANNELS.match("cust-20-granit-foods-ab")
    assert values is not None
    assert CHANNELS.build_prefix(values) == "cust-20-granit-foods-ab"


@pytest.mark.parametrize("text", ["{a}{b}", "{a}/{a}", "{A}", "x/{a:float}", "{a", "a}"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        compile_pattern(text)
