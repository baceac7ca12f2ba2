"""Turn the names of tables and columns into legal names, plurals and default descriptions."""

import keyword
import re
from collections.abc import Container, Iterator, Sequence

from onedoor.codegen.models import DescribedTable
from onedoor.codegen.transliteration import is_transliterated, transliterate

NOUNS_IN_S = (
    "alias bias canvas atlas gas lens iris pelvis trellis metropolis pancreas christmas rhinoceros thermos albatross "
    "bus plus yes"
)
"""Nouns in the singular that end as plurals do; their plural adds `es`."""

NOUNS_IN_E = (
    "cache ache headache niche avalanche cliche quiche psyche moustache use reuse misuse abuse excuse fuse muse ruse "
    "shoe horseshoe toe canoe foe hoe oboe aloe floe movie cookie tie necktie pie lie zombie calorie selfie rookie "
    "brownie hoodie smoothie genie pixie newbie freebie foodie prairie database axe"
)
"""Nouns whose last letter the rules for their neighbours would take away; their plural adds `s`."""

NOUNS_IN_VOWELS = (
    "menu guru haiku emu gnu plateau bureau api wiki emoji taxi ski kiwi alibi safari bikini tsunami rabbi khaki yeti"
)
"""Nouns whose plural ends as singulars do."""

IRREGULAR_PLURALS = {
    **{noun: f"{noun}es" for noun in NOUNS_IN_S.split()},
    **{noun: f"{noun}s" for noun in (*NOUNS_IN_E.split(), *NOUNS_IN_VOWELS.split())},
    "person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth",
    "goose": "geese", "mouse": "mice", "ox": "oxen", "datum": "data", "medium": "media", "criterion": "criteria",
    "phenomenon": "phenomena", "bacterium": "bacteria", "curriculum": "curricula", "memorandum": "memoranda",
    "stratum": "strata", "index": "indices", "matrix": "matrices", "vertex": "vertices", "vortex": "vortices",
    "appendix": "appendices", "formula": "formulas", "radius": "radii", "nucleus": "nuclei", "stimulus": "stimuli",
    "alumnus": "alumni", "fungus": "fungi", "cactus": "cacti", "leaf": "leaves", "half": "halves", "shelf": "shelves",
    "knife": "knives", "life": "lives", "wife": "wives", "wolf": "wolves", "calf": "calves", "thief": "thieves",
    "loaf": "loaves", "self": "selves", "scarf": "scarves", "elf": "elves", "hoof": "hooves", "quiz": "quizzes",
    "basis": "bases", "base": "bases", "axis": "axes", "hero": "heroes", "potato": "potatoes", "tomato": "tomatoes",
    "echo": "echoes", "veto": "vetoes", "cargo": "cargoes", "embargo": "embargoes", "volcano": "volcanoes",
    "mosquito": "mosquitoes", "torpedo": "torpedoes", "buffalo": "buffaloes",
}  # fmt: skip

IRREGULAR_SINGULARS = {plural: singular for singular, plural in IRREGULAR_PLURALS.items()}
"""Of two nouns with one plural, the last one above."""

INVARIANT_NOUNS = frozenset(
    {
        "series", "species", "news", "information", "equipment", "staff", "metadata", "software", "hardware", "sheep",
        "fish", "money", "music", "feedback", "inventory_data", "history", "evidence", "data", "stuff", "content",
        "demographics", "statistics", "analytics", "physics", "logistics", "sales", "goods", "chassis", "chaos",
        "corps", "headquarters", "means", "mathematics", "economics", "ethics", "politics", "sms", "gps", "dns", "os",
        "aws", "css", "js", "tls", "rss", "cms", "pos", "ios", "kms", "gis", "https", "kudos",
    }
)  # fmt: skip
"""Words that have one form only, or whose other form nobody gives a table."""

SINGULAR_RULES = (
    (re.compile(r"(lys|bas|cris|gnos|thes|synops|emphas|ellips|nemes|oas|neuros)es$"), r"\1is"),
    (re.compile(r"([^aeiou]|qu)ies$"), r"\1y"),
    (re.compile(r"(ss|sh|ch|x|zz|tz)es$"), r"\1"),
    (re.compile(r"([ao]use)s$"), r"\1"),
    (re.compile(r"(us)es$"), r"\1"),
    (re.compile(r"(?<![sui])s$"), ""),
)

PLURAL_RULES = (
    (re.compile(r"(lys|cris|gnos|thes|synops|emphas|ellips|nemes|oas|neuros)is$"), r"\1es"),
    (re.compile(r"([^aeiou]|qu)y$"), r"\1ies"),
    (re.compile(r"(s|sh|ch|x|z)$"), r"\1es"),
    (re.compile(r"$"), "s"),
)


def singularize_noun(noun: str) -> str:
    """Return the singular of a noun in lower case, which may be singular already."""
    if noun in IRREGULAR_PLURALS or noun in INVARIANT_NOUNS:
        return noun
    return IRREGULAR_SINGULARS.get(noun) or _apply_first_rule(SINGULAR_RULES, noun)


def pluralize_noun(noun: str) -> str:
    """Return the plural of a noun in lower case and in the singular."""
    return noun if noun in INVARIANT_NOUNS else IRREGULAR_PLURALS.get(noun) or _apply_first_rule(PLURAL_RULES, noun)


def add_article(noun: str) -> str:
    """Put the article before a noun: `an album`, `a track`."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def _apply_first_rule(rules: tuple[tuple[re.Pattern[str], str], ...], noun: str) -> str:
    for pattern, replacement in rules:
        inflected, count = pattern.subn(replacement, noun, count=1)
        if count:
            return inflected
    return noun


WORD_PATTERN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

ORDINALS = {"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth"}

SPOKEN_SIGNS = str.maketrans({"&": " and ", "%": " percent "})

RESERVED_ATTRIBUTES = frozenset(
    {"str", "int", "float", "bool", "date", "datetime", "strawberry", "allow", "owned", "list", "l"}
)
"""Names that a class body in schema/ uses itself: an attribute of that name would hide them."""

SIGN_NAMES = {"+": " plus", "-": " minus"}

Words = tuple[str, ...]


def split_words(name: str) -> Words:
    """Split `AlbumId`, `ALBUM_ID` or `album id` into `album` and `id`: never empty, and it begins with a letter."""
    plain = transliterate(name.translate(SPOKEN_SIGNS)).replace("'", "")
    words = tuple(word.lower() for word in WORD_PATTERN.findall(plain))
    if not words:
        return ("unnamed",)
    if "".join(words[:2]) in ORDINALS:
        return (ORDINALS["".join(words[:2])], *words[2:])
    if words[0].isdigit():
        return (DIGITS[int(words[0])] if len(words[0]) == 1 else f"number{words[0]}", *words[1:])
    return words


def to_camel_case(parts: Sequence[str]) -> str:
    return parts[0] + "".join(part.capitalize() for part in parts[1:])


def to_pascal_case(parts: Sequence[str]) -> str:
    return "".join(part.capitalize() for part in parts)


def to_snake_case(parts: Sequence[str]) -> str:
    return "_".join(parts)


def singularize_last(parts: Words) -> Words:
    """Put the last word in the singular."""
    return (*parts[:-1], singularize_noun(parts[-1]))


def pluralize_last(parts: Words) -> Words:
    """Put the last word in the plural."""
    return (*parts[:-1], pluralize_noun(singularize_noun(parts[-1])))


def to_attribute_name(parts: Words) -> str:
    """Return the name in a class of schema/, with an underscore at the end if Python needs the name itself."""
    name = to_snake_case(parts)
    return f"{name}_" if keyword.iskeyword(name) or name in RESERVED_ATTRIBUTES else name


def choose_free_name(candidates: Sequence[Words], taken: Container[str]) -> Words:
    """Return the first candidate whose field name is free, or else the last one with a number."""
    numbered = ((*candidates[-1], str(number)) for number in range(2, 1000))
    return next(words for words in (*candidates, *numbered) if to_camel_case(words) not in taken)


def name_enum_members(values: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each member of an enum: `PG-13` becomes `PG_13`, `A+` becomes `A_PLUS`."""
    taken: set[str] = set()
    for value in values:
        plain = _to_member_name(value)
        numbered = (f"{plain}_{number}" for number in range(2, 1000))
        name = next(candidate for candidate in (plain, *numbered) if candidate not in taken)
        taken.add(name)
        yield name, value


def _to_member_name(value: str) -> str:
    if not value.strip():
        return "EMPTY"
    spoken = value[:-1] + SIGN_NAMES.get(value[-1], value[-1])
    name = re.sub(r"[^A-Z0-9]+", "_", transliterate(spoken.translate(SPOKEN_SIGNS)).upper()).strip("_")
    return name if name[:1].isalpha() else f"VALUE_{name}".rstrip("_")


SENTENCE_ENDINGS = (".", "!", "?")

BOOLEAN_VERBS = frozenset({"is", "has", "was", "can", "may", "should", "needs", "uses", "allows"})


def to_sentence(comment: str) -> str:
    """Put a comment on one line with a full stop; an empty one stays empty."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in comment).split())
    return line if not line or line.endswith(SENTENCE_ENDINGS) else f"{line}."


def add_original(description: str, name: str) -> str:
    """Add to a description what the source itself calls it, where that is written in another script."""
    return f"{description} Its source calls it `{name}`." if is_transliterated(name) else description


def describe_type(table: DescribedTable, noun: Words) -> str:
    return add_original(to_sentence(table.comment) or f"One {' '.join(noun)}.", table.name)


def describe_value(words: Words, annotation: str) -> str:
    if annotation.startswith("bool") and len(words) > 1 and words[-1] in ("flag", "yn"):
        return describe_value(words[:-1], annotation)
    name = " ".join(words)
    if annotation.startswith("bool"):
        return f"Whether it {name}." if words[0] in BOOLEAN_VERBS else f"Whether it is {name}."
    if annotation.startswith(("date", "datetime")) and len(words) == 2 and words[1] in ("at", "on"):
        return f"When it was {words[0]}."
    return f"The {name}."


def describe_key(noun: Words, parts: tuple[Words, ...]) -> str:
    if len(parts) == 1:
        return f"What identifies the {' '.join(noun)}."
    names = [" ".join(part) for part in parts]
    return f"The {', '.join(names[:-1])} and the {names[-1]}, as `{':'.join(map(to_camel_case, parts))}`."


def describe_reference(words: Words, target: Words) -> str:
    """Describe the one row that a reference leads to."""
    row = f"The {' '.join(target)}"
    return f"{row}." if words == target else f"{row} it names as `{to_camel_case(words)}`."


def describe_back_reference(noun: Words, link: Words, is_only_reference: bool, is_unique: bool) -> str:
    """Describe the rows that lead here by `link`."""
    rows = " ".join(noun if is_unique else (*noun[:-1], pluralize_noun(noun[-1])))
    if is_only_reference:
        return f"Its {rows}, where there is one." if is_unique else f"Its {rows}."
    return f"The {rows} that {'names' if is_unique else 'name'} it as `{to_camel_case(link)}`."


def describe_enum(words: Words, noun: Words, values: Sequence[str]) -> str:
    description = f"What the {' '.join(words)} of the {' '.join(noun)} can be."
    originals = [f"`{name}` is `{value}`" for name, value in name_enum_members(values) if is_transliterated(value)]
    return f"{description} {', '.join(originals)}." if originals else description
