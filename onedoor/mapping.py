"""The words in which a company says where its types' values come from, and what its subscriptions listen for."""

from onedoor.model.catalog import PollingSubscription, Topic, TopicSubscription
from onedoor.model.mapping import ComputedField, Lookup, Relationship, TypeMapping
from onedoor.model.masks import bucket, domain, keyed_hash, last, year
from onedoor.model.row_rules import ALL_ROWS, Compared, attribute
from onedoor.spi.predicates import Op, Row

__all__ = [
    "ALL_ROWS",
    "Compared",
    "ComputedField",
    "Lookup",
    "Op",
    "PollingSubscription",
    "Relationship",
    "Row",
    "Topic",
    "TopicSubscription",
    "TypeMapping",
    "attribute",
    "bucket",
    "domain",
    "keyed_hash",
    "last",
    "year",
]
