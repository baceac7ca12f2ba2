"""Write text of any script in ASCII, so that each name of a source has a readable name of its own.

Letters of the common alphabets have a table. Of other scripts Unicode's own names of the letters say how they sound:
`HANGUL SYLLABLE HAN` is `han`. An ideograph has no sound that Unicode knows: it becomes its code point, `u8868`.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

LETTERS_BY_SCRIPT = (
    "ß ss æ ae œ oe ø o ł l đ d þ th ð d ı i ħ h ŋ ng ə e ŧ t ʼ -",
    "а a б b в v г g д d е e ё yo ж zh з z и i й y к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh "
    "щ shch ъ - ы y ь - э e ю yu я ya є ye і i ї yi ґ g ў u ђ dj ј j љ lj њ nj ћ c џ dz ѓ gj ќ kj ѕ dz ә a ғ gh қ q ң "
    "ng ө o ұ u ү u һ h",
    "α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o",
    "א a ב b ג g ד d ה h ו v ז z ח h ט t י y כ k ך k ל l מ m ם m נ n ן n ס s ע a פ p ף p צ ts ץ ts ק q ר r ש sh ת t",
    "ا a ب b ت t ث th ج j ح h خ kh د d ذ dh ر r ز z س s ش sh ص s ض d ط t ظ z ع a غ gh ف f ق q ك k ل l م m ن n ه h و w "
    "ي y ة a ى a ء - أ a إ i آ a ؤ w ئ y پ p چ ch ژ zh گ g ک k ی y ٹ t ڈ d ڑ r ں n ہ h ے e ھ h",
    "ა a ბ b გ g დ d ე e ვ v ზ z თ t ი i კ k ლ l მ m ნ n ო o პ p ჟ zh რ r ს s ტ t უ u ფ p ქ k ღ gh ყ q შ sh ჩ ch ც ts "
    "ძ dz წ ts ჭ ch ხ kh ჯ j ჰ h",
    "ա a բ b գ g դ d ե e զ z է e ը y թ t ժ zh ի i լ l խ kh ծ ts կ k հ h ձ dz ղ gh ճ ch մ m յ y ն n շ sh ո o չ ch պ p ջ "
    "j ռ r ս s վ v տ t ր r ց ts ւ v փ p ք k օ o ֆ f և ev",
)
"""Of each script, every letter and what is written for it; `-`: nothing."""

PAIRS = [text.split() for text in LETTERS_BY_SCRIPT]

LETTERS: Mapping[str, str] = {
    letter: "" if written == "-" else written
    for words in PAIRS
    for letter, written in zip(words[::2], words[1::2], strict=True)
}

MISREAD_SIGNS = str.maketrans("µ’", "u'")
"""What normalization would take for another letter or sign."""

SOUND_PATTERN = re.compile(
    r".+? (?:LETTER|SYLLABLE|CHARACTER) (?:SMALL |FINAL |SHORT |VOCALIC )?(?P<sound>[^-]+?)(?: WITH .*)?"
)
"""The name of a letter: its script, and its sound."""

VOWEL_SIGN_PATTERN = re.compile(r".+? (?:VOWEL SIGN|CHARACTER SARA) (?:.* )?(?P<sound>\S+)")
"""The name of a vowel that takes the place of the one which a letter has of itself."""

VIRAMA_SUFFIX = "SIGN VIRAMA"
"""How the name of the sign ends that takes a letter's own vowel away."""

UNWRITTEN_SMALL_LETTER = "SMALL TU"

GLIDE_PATTERN = re.compile(r".*LETTER SMALL (?P<sound>Y[AUO])")
"""A small kana that makes one syllable with the one before: `ki` and `ya` are `kya`."""


def transliterate(text: str) -> str:
    """Write a text in ASCII; signs that are no letters become spaces."""
    letters = unicodedata.normalize("NFKC", text.translate(MISREAD_SIGNS))
    written: list[str] = []
    for place, letter in enumerate(letters):
        if letter.isascii():
            written.append(letter)
            continue
        name = unicodedata.name(letter, "")
        glide = GLIDE_PATTERN.fullmatch(name)
        vowel = glide or VOWEL_SIGN_PATTERN.fullmatch(name)
        if written and (vowel or name.endswith(VIRAMA_SUFFIX)):
            written[-1] = written[-1].removesuffix("i" if glide else "a")
        sound = vowel["sound"].lower() if vowel else _write_letter(letter, name)
        is_capital = letter.isupper() and bool(sound)
        beside = letters[max(place - 1, 0) : place] + letters[place + 1 : place + 2]
        is_in_capitals = is_capital and any(each.isupper() for each in beside)
        written.append(sound.upper() if is_in_capitals else sound.capitalize() if is_capital else sound)
    return "".join(written)


def _write_letter(letter: str, name: str) -> str:
    known = LETTERS.get(letter.lower())
    if known is not None:
        return known
    category = unicodedata.category(letter)
    if category == "Nd":
        return str(unicodedata.digit(letter))
    if category[0] != "L":
        return "" if category[0] in "MC" else " "
    plain = "".join(_list_plain_letters(letter)) if not name.startswith(("HANGUL", "HIRAGANA", "KATAKANA")) else ""
    return plain or _read_sound(letter, name)


def _list_plain_letters(letter: str) -> Iterator[str]:
    """Yield the letter without its accents, if that is one that can be written."""
    for part in unicodedata.normalize("NFKD", letter):
        yield part.lower() if part.isascii() else LETTERS.get(part.lower(), "")


def _read_sound(letter: str, name: str) -> str:
    if name.endswith(UNWRITTEN_SMALL_LETTER) or "PROLONGED SOUND" in name:
        return ""
    match = SOUND_PATTERN.fullmatch(name)
    if match is None:
        return f"u{ord(letter):x}"
    words = match["sound"].lower().split()
    if name.startswith("THAI"):
        return words[0].removesuffix("o")
    return next((word for word in words if len(word) == 1), words[-1]) if name.startswith("LATIN") else words[-1]


def is_transliterated(text: str) -> bool:
    """Return whether a text holds letters of another script than Latin."""
    return any(
        not letter.isascii() and letter.isalpha() and not unicodedata.name(letter, "").startswith("LATIN")
        for letter in text
    )
