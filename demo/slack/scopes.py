"""What a token must be allowed before a method is done for it."""

from collections.abc import Mapping

SCOPES: Mapping[str, str] = {
    "conversations.list": "channels:read",
    "conversations.info": "channels:read",
    "conversations.members": "channels:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "conversations.archive": "channels:manage",
    "users.list": "users:read",
    "users.info": "users:read",
    "users.lookupByEmail": "users:read.email",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "search.messages": "search:read",
}
ANYWHERE = "chat:write.public"
"""To post in channels that the bot is not in."""
ALL = frozenset({*SCOPES.values(), ANYWHERE})
