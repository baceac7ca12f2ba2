"""Map posts and users to the collections of a fast and of a slow REST API."""

from onedoor.mapping import Relationship, TypeMapping

MAPPINGS = (
    TypeMapping(
        type="Post",
        source="forum",
        collection="posts",
        relationships={"user": Relationship(to="User", local="user_id", remote="id")},
    ),
    TypeMapping(type="User", source="forum", collection="users"),
    TypeMapping(
        type="SlowPost",
        source="slow_forum",
        collection="posts",
        relationships={"user": Relationship(to="SlowUser", local="user_id", remote="id")},
    ),
    TypeMapping(type="SlowUser", source="slow_forum", collection="users"),
)
