"""Draw who may see what in a small world: rules of types and fields, rules for rows, and masks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from onedoor.mapping import TypeMapping, bucket, domain, keyed_hash, last, year
from onedoor.model.masks import FieldMasks, Mask
from onedoor.model.reader import allow_all_rows, list_masking_groups
from onedoor.model.row_rules import RowRules
from onedoor.query.context import QueryEngine
from onedoor.query.startup_checks import validate_catalog
from onedoor.schema.builder import build_document_of, build_from_document
from onedoor.schema.generate.mutations import add_change_types
from onedoor.schema.reader import AccessDirectives, FieldKind, FieldShape, SchemaShape, read_shapes
from onedoor.spi.spill import OpenSpillTable
from tests import acme
from tests.properties.access.people import GROUPS, WHOLE
from tests.properties.access.rules import draw_rules
from tests.properties.equality import subjects
from tests.properties.equality.model import MODEL
from tests.properties.equality.world import IN_MEMORY, World, engine, world

Position = tuple[str, str]
"""A type and a field."""

COMPUTED: Mapping[Position, str] = {("Person", "payBand"): "salary", ("Region", "era"): "founded"}
"""Fields that show another one as text, to nobody in any other way than masked or spelled out."""

MASKS: Mapping[Position, tuple[Mask, ...]] = {
    ("Region", "name"): (last(1), last(2), domain(), keyed_hash()),
    ("Person", "name"): (last(2), keyed_hash()),
    ("Item", "sku"): (last(1), keyed_hash()),
    ("Person", "payBand"): (bucket(10), bucket("0.5"), keyed_hash()),
    ("Region", "era"): (year(), keyed_hash()),
}

OUTGROWN = 0.06

NEVER_NULL: frozenset[Position] = frozenset({("Sale", "number"), ("Sale", "stamp")})
"""What is never null cannot be denied by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Any group of a rule will do; a field without a rule of its own is open to whom its type is."""

    types: Mapping[str, frozenset[str]]
    fields: Mapping[Position, frozenset[str]]
    rows: Mapping[str, RowRules]
    masks: Mapping[Position, FieldMasks]

    def get_nearest_rule(self, position: Position) -> frozenset[str]:
        return self.fields.get(position, self.types[position[0]])

    def get_unmasked_rule(self, position: Position) -> frozenset[str]:
        """The groups of the nearest rule that see the values as they are."""
        return self.get_nearest_rule(position).difference(self.masks.get(position, {}))


def draw_world(seed: str) -> World:
    """Draw rows, sources and capabilities; seldom do rows outgrow memory, which takes longer than all the rest."""
    of = world(seed)
    return of if Random(f"memory {seed}").random() < OUTGROWN else replace(of, in_memory=max(IN_MEMORY))


def draw_access(random: Random) -> Access:
    types = {kind: draw_rule(random, 3) for kind in MODEL}
    positions = [(kind, name) for kind, of in MODEL.items() for name in (*of.fields, *of.links)]
    fields = {
        position: draw_rule(random, 1) for position in positions if position not in NEVER_NULL and random.random() < 0.2
    }
    access = Access(types=types, fields=fields, rows=draw_rules(random, types), masks={})
    access = replace(access, masks=dict(draw_masks(random, access)))
    narrowed = {(kind, shown): access.get_unmasked_rule((kind, name)) for (kind, name), shown in COMPUTED.items()}
    return replace(access, fields={**access.fields, **narrowed})


def draw_rule(random: Random, least: int) -> frozenset[str]:
    """Some groups and WHOLE."""
    return frozenset({WHOLE, *random.sample(GROUPS, random.randint(least, len(GROUPS)))})


def draw_masks(random: Random, access: Access) -> Iterator[tuple[Position, FieldMasks]]:
    """Computed fields are masked for somebody, others now and then; never for WHOLE."""
    for position, masks in MASKS.items():
        if position in COMPUTED or random.random() < 0.6:
            groups = sorted(access.get_nearest_rule(position) - {WHOLE})
            masked = random.sample(groups, random.randint(1, len(groups)))
            yield position, {group: random.choice(masks) for group in masked}


def open_engine(of: World, access: Access, opened: OpenSpillTable) -> QueryEngine:
    """Open an engine over a world as everybody may see it, once the checks of a start have passed."""
    catalog = engine(of, opened).catalog
    mappings = {kind: build_mapping(catalog.mappings[kind], access) for kind in MODEL}
    document = build_document_of(add_change_types(build_shapes(access)), list_masking_groups(mappings))
    schema, policy = build_from_document(document)
    catalog = replace(catalog, schema=schema, policy=allow_all_rows(policy, mappings), mappings=mappings)
    validate_catalog(catalog)
    return acme.open_engine(catalog)


def build_mapping(mapping: TypeMapping, access: Access) -> TypeMapping:
    computed = {name: shown for (kind, name), shown in COMPUTED.items() if kind == mapping.type}
    return replace(
        mapping,
        columns={**mapping.columns, **computed},
        rows=access.rows.get(mapping.type),
        mask={name: masks for (kind, name), masks in access.masks.items() if kind == mapping.type},
    )


def build_shapes(access: Access) -> SchemaShape:
    """Build the shapes of the types with their drawn rules, and with the computed fields."""
    shapes = read_base_shapes()
    return replace(
        shapes,
        types=tuple(
            replace(
                shape,
                access=build_directives(access.types.get(shape.name)),
                fields=tuple(
                    replace(field, access=build_directives(access.fields.get((shape.name, field.name))))
                    for field in shape.fields
                ),
            )
            for shape in shapes.types
        ),
    )


def build_directives(rule: frozenset[str] | None) -> AccessDirectives:
    return AccessDirectives(allow=() if rule is None else (tuple(sorted(rule)),), owned=("tests",))


@cache
def read_base_shapes() -> SchemaShape:
    shapes = read_shapes([subjects])
    return replace(
        shapes,
        types=tuple(
            replace(shape, fields=(*shape.fields, *map(build_computed_field, list_computed(shape.name))))
            for shape in shapes.types
        ),
    )


def list_computed(kind: str) -> list[str]:
    return [name for of, name in COMPUTED if of == kind]


def build_computed_field(name: str) -> FieldShape:
    return FieldShape(
        name=name, description="Shows another field as text.", access=build_directives(None),
        kind=FieldKind.COMPUTED, type_name="String", nullable=True,
    )  # fmt: skip
