"""Artists, albums and tracks: three tables of one database."""

from engine.binding import Binding, Link

BINDINGS = (
    Binding(
        type="Artist",
        source="database",
        collection="artist",
        links={"albums": Link(to="Album", here="id", there="artist_id")},
    ),
    Binding(
        type="Album",
        source="database",
        collection="album",
        links={"tracks": Link(to="Track", here="id", there="album_id")},
    ),
    Binding(type="Track", source="database", collection="track"),
)
