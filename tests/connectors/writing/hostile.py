"""List 200 texts that try to be more than text, and some that do not."""

from collections.abc import Iterator
from itertools import chain, islice, product

OPENERS = ("", "Hi ", "a&amp;", "<", "&lt;", "*", "`", "> ", "\n", "_~", "\u202e", "é", "🙂 ", "<<", "&")
ENTITIES = (
    "<!channel>", "<!here>", "<!everyone>", "<!here|here>", "<!subteam^S0123ABCD>", "<!subteam^S0123ABCD|@ops>",
    "<@U0123ABCD>", "<@U0123ABCD|boss>", "<@W0123ABCD>", "<#C0123ABCD>", "<#C0123ABCD|general>", "@everyone",
    "@channel", "@here", "<http://evil.example|https://bank.example>", "<https://evil.example>", "http://evil.example",
    "https://evil.example/?a=<b>&c=d", "<mailto:ceo@acme.example|finance>", "<!date^0^{date}^https://evil.example|x>",
    "[bank](http://evil.example)", "<javascript:alert(1)|ok>", "&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;",
    "<!channel", "!channel>", "< !channel>", "<!\u0063hannel>", "<\u200b!channel>", "＜!channel＞", ":tada:", "<>",
    "<|>", "<!>", "<@>", "&#60;!channel&#62;", "&#x3c;!here&#x3e;", "%3C!channel%3E", "\\u003c!channel\\u003e",
    '{"type":"broadcast","range":"channel"}', '"}]}],"link_names":true,"x":"', "<script>alert(1)</script>",
)  # fmt: skip
ENDS = ("", " ", ">", "|x>", "&gt;", "\nBye", "*")


def texts() -> Iterator[str]:
    """Each entity alone first."""
    rest = (f"{opener}{entity}{end}" for opener, end, entity in product(OPENERS, ENDS, ENTITIES) if opener or end)
    names = ("@deploybot", "please ask @deploybot <@deploybot>")
    return islice(chain(ENTITIES, names, islice(rest, 0, None, 23)), 200)
