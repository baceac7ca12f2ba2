"""The words in which a company says where its types' values come from, and what its subscriptions listen for."""

from onedoor.model.catalog import PollingSubscription, Topic, TopicSubscription
from onedoor.model.mapping import ComputedField, Lookup, Relationship, TypeMapping
from onedoor.spi.predicates import Row

__all__ = [
    "ComputedField",
    "Lookup",
    "PollingSubscription",
    "Relationship",
    "Row",
    "Topic",
    "TopicSubscription",
    "TypeMapping",
]
