"""Posts and users: two collections of a REST API, and the same of a slow one."""

from engine.binding import Binding, Link

BINDINGS = (
    Binding(
        type="Post",
        source="forum",
        collection="posts",
        links={"user": Link(to="User", here="user_id", there="id")},
    ),
    Binding(type="User", source="forum", collection="users"),
    Binding(
        type="SlowPost",
        source="slow_forum",
        collection="posts",
        links={"user": Link(to="SlowUser", here="user_id", there="id")},
    ),
    Binding(type="SlowUser", source="slow_forum", collection="users"),
)
