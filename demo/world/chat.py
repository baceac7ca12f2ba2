"""A scale to the company's Slack: users, channels, and messages with their threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from demo.world import shop
from demo.world.draw import draw, pick, stream
from demo.world.names import ORDER_NOTES, SERVICES, slug
from demo.world.sizes import NOW, size
from demo.world.staff import Deployment, Employee, channel_id, deployments, employees, member_of, slack_id, slack_ts

CHAT_DAYS = 180
BOT_NAME = "deploybot"
BOT = slack_id("U", BOT_NAME)
OUTCOMES = {
    "SUCCEEDED": "is in production :white_check_mark:",
    "FAILED": "failed :x:",
    "ROLLED_BACK": "was rolled back :leftwards_arrow_with_hook:",
}
GENERAL_TEXTS = (
    "Good morning, everyone",
    "The kitchen on floor {n} is closed today",
    "Welcome to our {n} new colleagues!",
    "Reminder: expenses are due on the {n}th",
    "Photos of the summer party are up, merci à tous",
    "All hands at {n}:30",
    "Who has the key to meeting room {n}?",
    "Lunch & learn: how {service} works",
)
INCIDENT_TEXTS = (
    "{service}: error rate above {n} %",
    "{service} is slow, p95 at {n}00 ms",
    "{service} paged the on-call",
    "Incident {n}: {service} lost its database connection",
    "{service}: disk {n} % full",
    "{service} recovered after {n} min",
)
CUSTOMER_TEXTS = (
    "They ask for a quote on {n} more licences",
    "Renewal call moved to the {n}th",
    "Delivery {n} arrived incomplete",
    "Invoice query: line {n} looks doubled",
    "They love the new {service} page",
    "Note from their buyer: {note}",
    "Escalation: {n} open tickets",
    "Contract signed :tada:",
    "Churn risk? Usage of {service} is down {n} %",
)
REPLY_TEXTS = (
    "Thanks, on it",
    "Done",
    "Can you share the details?",
    "+1",
    "I’ll call them tomorrow",
    "Looks fine on my side",
    "Rolled forward, watching {service}",
    "Fixed in {n} minutes",
    "Closing this, danke!",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A Slack user; a bot has no e-mail."""

    id: str
    name: str
    first_name: str
    last_name: str
    email: str | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel and the ids of its members."""

    id: str
    name: str
    topic: str
    created: datetime
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`thread` is the ts of the message replied to; None: it stands in the channel itself."""

    channel: str
    ts: str
    user: str
    text: str
    thread: str | None = None


def users(scale: Fraction | float = 1) -> tuple[User, ...]:
    """A user for each employee, under the same e-mail, and the bot that announces deployments."""
    bot = User(id=BOT, name=BOT_NAME, first_name="Deploy", last_name="Bot", email=None, title="")
    return (*map(user, employees(size("employee", scale))), bot)


def user(employee: Employee) -> User:
    number, first, last, email, title, *_ = employee
    return User(
        id=user_id(number), name=email.partition("@")[0], first_name=first, last_name=last, email=email, title=title
    )


def user_id(employee: int) -> str:
    return slack_id("U", f"employee {employee}")


def channels(scale: Fraction | float = 1) -> tuple[Channel, ...]:
    """Three for all, then one for each of the first large customers, called `cust-<id>-<slug>`."""
    staff = employees(size("employee", scale))
    builders = tuple(user_id(row[0]) for row in staff if row[5] in ("Engineering", "Support"))
    return (
        shared_channel("general", "Company-wide", tuple(user_id(row[0]) for row in staff)),
        shared_channel("deployments", "What went live, and when", (*builders, BOT)),
        shared_channel("incidents", "Something is broken", builders),
        *customer_channels(scale),
    )


def shared_channel(name: str, topic: str, members: tuple[str, ...]) -> Channel:
    return Channel(id=channel_id(name), name=name, topic=topic, created=NOW - timedelta(days=2_000), members=members)


def customer_channels(scale: Fraction | float) -> Iterator[Channel]:
    whole = shop.shop(scale)
    large = range(shop.LARGE_EVERY, whole.customers + 1, shop.LARGE_EVERY)[: size("channel_customer", scale)]
    return (customer_channel(shop.customer(number, whole), whole.staff) for number in large)


def customer_channel(customer: shop.Customer, staff: int) -> Channel:
    number, name, *_, manager, _ = customer
    bits = draw(stream("channel"), number)
    helpers = [member_of(("Support", "Sales")[turn % 2], bits >> 8 * turn, staff) for turn in range(5)]
    people = dict.fromkeys([*([] if manager is None else [manager]), *helpers])
    called = f"cust-{number}-{slug(name)}"[:80]
    return Channel(
        id=channel_id(f"cust-{number}"),
        name=called,
        topic=f"All about {name}",
        created=customer[6],
        members=tuple(map(user_id, people)),
    )


def messages(scale: Fraction | float = 1) -> list[Message]:
    """Announcements of deployments, talk, and replies; threads have one to five replies, in turn."""
    staff = size("employee", scale)
    announced = [announcement(row) for row in deployments(size("deployment", scale), staff) if row[9] is not None]
    threads = size("thread", scale)
    talk_count = size("message", scale) - len(announced) - 3 * threads
    rooms = channels(scale)
    tops = announced + [talk(number, talk_count, rooms) for number in range(talk_count)]
    parents = [tops[number * len(tops) // threads] for number in range(threads)]
    members = {room.id: room.members for room in rooms}
    return tops + [
        reply(parent, number, turn, members[parent.channel])
        for number, parent in enumerate(parents)
        for turn in range(number % 5 + 1)
    ]


def announcement(deployment: Deployment) -> Message:
    """The message the deployment's own `slack_channel_id` and `slack_ts` point at."""
    number, service, version, _, status, _, _, _, sha, channel, ts = deployment
    text = f"Deployment {number}: {service} {version} ({sha[:7]}) {OUTCOMES[status]}"
    return Message(channel=str(channel), ts=str(ts), user=BOT, text=text)


def talk(number: int, count: int, rooms: Sequence[Channel]) -> Message:
    """A quarter is general, a quarter about incidents, the rest about customers; most of it recent."""
    bits = draw(stream("talk"), number)
    general, _, incidents, *customers = rooms
    room, texts = pick(
        ((general, GENERAL_TEXTS), (incidents, INCIDENT_TEXTS), *[(pick(customers, bits >> 8), CUSTOMER_TEXTS)] * 2),
        bits,
    )
    back = (count - number) / count
    at = NOW - timedelta(days=1) - back * back * timedelta(days=CHAT_DAYS) + timedelta(seconds=bits % 900)
    return Message(
        channel=room.id,
        ts=slack_ts(at, 2_001 + number % 7_000),
        user=pick(room.members, bits >> 24),
        text=text(texts, bits >> 32),
    )


def reply(parent: Message, number: int, turn: int, members: Sequence[str]) -> Message:
    bits = draw(stream("reply"), number * 8 + turn)
    seconds, micros = parent.ts.split(".")
    ts = f"{int(seconds) + 60 + 137 * turn + bits % 60}.{int(micros) + turn + 1:06d}"
    return Message(
        channel=parent.channel,
        ts=ts,
        user=pick(members, bits >> 8),
        text=text(REPLY_TEXTS, bits >> 16),
        thread=parent.ts,
    )


def text(texts: Sequence[str], bits: int) -> str:
    return pick(texts, bits).format(
        n=2 + (bits >> 8) % 27, service=pick(SERVICES, bits >> 16), note=pick(ORDER_NOTES, bits >> 24)
    )
