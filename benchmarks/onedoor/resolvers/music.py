"""Map artists, albums and tracks to tables."""

from onedoor.mapping import Relationship, TypeMapping

MAPPINGS = (
    TypeMapping(
        type="Artist",
        source="database",
        collection="artist",
        relationships={"albums": Relationship(to="Album", local="id", remote="artist_id")},
    ),
    TypeMapping(
        type="Album",
        source="database",
        collection="album",
        relationships={"tracks": Relationship(to="Track", local="id", remote="album_id")},
    ),
    TypeMapping(type="Track", source="database", collection="track"),
)
