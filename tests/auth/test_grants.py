"""The states of a grant and its rules, on a clock that only the tests move."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from auth import grants
from auth.grants import (
    OPEN_STATES,
    UNDECIDED_MAX,
    AccessRequest,
    Electorate,
    Grant,
    GrantEnding,
    GrantRefused,
    GrantState,
    GrantStep,
    HeldGrant,
    LastTurn,
)
from auth.groups import HOURS_MAX, FunctionalGroup

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ON_CALL = FunctionalGroup(name="on-call", purpose="Repairs production at night.", owner="platform", exclusive=True)
SUPPORT = FunctionalGroup(name="support", purpose="Answers customers.", owner="support")
GROUPS = {group.name: group for group in (ON_CALL, SUPPORT)}
PEOPLE = ("ada", "ben", "cy", "dee")
APPROVERS = frozenset({"ben", "ann"})
ELECTORATE = Electorate(current=APPROVERS, former=APPROVERS)


def step(actor: str | None, at: datetime = NOON, reason: str | None = "ticket 7") -> GrantStep:
    return GrantStep(at=at, actor=actor, reason=reason)


def request(person: str = "ada", group: FunctionalGroup = ON_CALL, hours: float = 1, **options: Any) -> Grant:
    asked = AccessRequest(person_id=person, group=group, duration=hours * HOUR, starts_at=options.get("starts_at"))
    return grants.request_grant(
        f"{person}-{group.name}", asked, options.get("by", step(person)), options.get("own", ())
    )


def waiting(person: str, minutes: float, **options: Any) -> Grant:
    at = NOON + timedelta(minutes=minutes)
    return grants.approve(request(person, **options), step("ann", at), APPROVERS)


def run(*open_grants: Grant, at: datetime = NOON + HOUR, last: str | None = None, **options: Any) -> list[Grant]:
    last_turns = {name: LastTurn(person_id=last, fencing_token=6) for name in GROUPS} if last else {}
    return list(
        grants.settle(
            open_grants,
            groups=options.get("groups", GROUPS),
            active_people=options.get("people", frozenset(PEOPLE)),
            last_turns=last_turns,
            now=at,
        )
    )


def active(person: str = "ada", **options: Any) -> Grant:
    (granted,) = run(waiting(person, 0, **options), at=NOON)
    return granted


REFUSED_REQUESTS: dict[str, tuple[Callable[[], object], str]] = {
    "everyone": (
        lambda: request(group=FunctionalGroup(name="everyone", purpose="All.", owner="platform")),
        "everybody is in",
    ),
    "no time": (lambda: request(hours=0), "lent for 8 hours at most"),
    "less than no time": (lambda: request(hours=-1), "lent for 8 hours at most"),
    "too long": (lambda: request(hours=8.01), "lent for 8 hours at most"),
    "too far ahead": (lambda: request(starts_at=NOON + timedelta(days=30, seconds=1)), "starts within 30 days"),
    "no reason": (lambda: request(by=step("ada", reason=None)), "say why"),
    "a blank reason": (lambda: request(by=step("ada", reason="  ")), "say why"),
    "a reason that moves the cursor": (lambda: request(by=step("ada", reason="a\rb")), "say why"),
    "a long reason": (lambda: request(by=step("ada", reason="x" * 1001)), "say why"),
    "asked already": (lambda: request(own=[request()]), "the request `ada-on-call` for `on-call` is open"),
    "waiting already": (lambda: request(own=[waiting("ada", 0)]), "is open"),
}


@pytest.mark.parametrize(("act", "reason"), REFUSED_REQUESTS.values(), ids=REFUSED_REQUESTS)
def test_a_request_is_refused_with_what_would_do(act: Callable[[], object], reason: str) -> None:
    with pytest.raises(GrantRefused, match=reason):
        act()


def test_a_request_may_take_all_the_time_there_is_and_follow_another_group_or_a_grant_that_is_held() -> None:
    assert request(hours=8).duration == 8 * HOUR
    assert request(own=[request(group=SUPPORT)]).state is GrantState.REQUESTED
    assert request(own=[active()]).state is GrantState.REQUESTED
    assert request(starts_at=NOON - HOUR).starts_at == NOON
    assert request(starts_at=NOON + timedelta(days=30)).starts_at == NOON + timedelta(days=30)


def test_an_administrator_lends_to_others_and_never_to_themselves() -> None:
    asked = AccessRequest(person_id="ada", group=SUPPORT, duration=HOUR)
    assert grants.lend("G1", asked, step("ben"), ()).state is GrantState.WAITING
    with pytest.raises(GrantRefused, match="nobody decides on access of their own"):
        grants.lend("G1", asked, step("ada"), ())


@pytest.mark.parametrize(("hours", "bounded"), [(1.5, 1.5), (1e300, HOURS_MAX), (-1e300, -HOURS_MAX)])
def test_a_duration_is_one_that_can_be_represented(hours: float, bounded: float) -> None:
    assert grants.build_duration(hours) == timedelta(hours=bounded)


DECISIONS: dict[str, Callable[..., Grant]] = {"approve": grants.approve, "deny": grants.deny}


@pytest.mark.parametrize("decide", DECISIONS.values(), ids=DECISIONS)
def test_nobody_decides_on_their_own_request_nor_without_being_an_approver(decide: Callable[..., Grant]) -> None:
    with pytest.raises(GrantRefused, match="nobody decides on access of their own"):
        decide(request("ben"), step("ben"), APPROVERS)
    with pytest.raises(GrantRefused, match="access to `on-call` is decided by its approvers"):
        decide(request("ada"), step("cy"), APPROVERS)


@pytest.mark.parametrize("decide", DECISIONS.values(), ids=DECISIONS)
def test_what_is_decided_is_not_decided_again(decide: Callable[..., Grant]) -> None:
    decided = decide(request(), step("ben"), APPROVERS)
    for again in DECISIONS.values():
        with pytest.raises(GrantRefused, match="only what is REQUESTED is decided"):
            again(decided, step("ann"), APPROVERS)


def test_a_denial_has_a_reason_and_an_approval_needs_none() -> None:
    denied = grants.deny(request(), step("ben"), APPROVERS)
    assert (denied.state, denied.decided) == (GrantState.DENIED, step("ben"))
    with pytest.raises(GrantRefused, match="say why"):
        grants.deny(request(), step("ben", reason=None), APPROVERS)
    approved = grants.approve(request(), step("ben", reason=None), APPROVERS)
    assert (approved.state, approved.decided) == (GrantState.WAITING, step("ben", reason=None))


def test_an_approved_grant_is_active_for_its_time_from_its_turn_on() -> None:
    (granted,) = run(waiting("ada", 5, hours=2), at=NOON + HOUR)
    assert granted.state is GrantState.ACTIVE
    assert (granted.active_since, granted.ends_at) == (NOON + HOUR, NOON + 3 * HOUR)
    assert (granted.fencing_token, granted.is_exclusive) == (1, True)
    assert granted.decided == step("ann", NOON + timedelta(minutes=5))


def test_a_limit_that_was_lowered_meanwhile_holds() -> None:
    lowered = {"on-call": replace(ON_CALL, grant_max=HOUR / 2)}
    (granted,) = run(waiting("ada", 0, hours=2), at=NOON, groups=lowered)
    assert granted.ends_at == NOON + HOUR / 2


def test_a_grant_waits_for_its_start() -> None:
    scheduled = waiting("ada", 0, starts_at=NOON + 2 * HOUR)
    assert run(scheduled, at=NOON + 2 * HOUR - timedelta.resolution) == []
    assert [each.state for each in run(scheduled, at=NOON + 2 * HOUR)] == [GrantState.ACTIVE]


def test_a_grant_ends_at_its_end_whenever_that_is_noticed() -> None:
    granted = active()
    assert run(granted, at=NOON + HOUR - timedelta.resolution) == []
    (ended,) = run(granted, at=NOON + HOUR)
    assert (ended.state, ended.ending, ended.ended) == (
        GrantState.ENDED,
        GrantEnding.EXPIRED,
        GrantStep(at=NOON + HOUR),
    )
    assert run(granted, at=NOON + 9 * HOUR) == [ended]


def test_the_group_goes_to_the_next_at_the_end_with_a_higher_token() -> None:
    ended, begun = run(active("ada"), waiting("ben", 5), at=NOON + HOUR, last="ada")
    assert (ended.person_id, ended.state) == ("ada", GrantState.ENDED)
    assert (begun.person_id, begun.state, begun.fencing_token) == ("ben", GrantState.ACTIVE, 7)


def test_an_exclusive_group_has_one_holder_and_any_other_one_for_each_person() -> None:
    assert [each.person_id for each in run(waiting("ada", 0), waiting("ben", 0))] == ["ada"]
    shared = [waiting(person, 0, group=SUPPORT) for person in ("ada", "ben")]
    granted = run(*shared)
    assert [(each.person_id, each.fencing_token, each.is_exclusive) for each in granted] == [
        ("ada", 1, False),
        ("ben", 2, False),
    ]
    assert run(active("ada", group=SUPPORT), waiting("ada", 5, group=SUPPORT), at=NOON) == []


def test_a_person_holds_a_group_once_however_often_it_was_approved() -> None:
    first, second = waiting("ada", 0, group=SUPPORT), replace(waiting("ada", 5, group=SUPPORT), id="again")
    assert [each.id for each in run(first, second)] == ["ada-support"]


def test_a_grant_has_ended_at_its_very_end() -> None:
    held = [
        HeldGrant(id=f"{minutes}", group="support", ends_at=NOON + timedelta(minutes=minutes), fencing_token=1)
        for minutes in (-1, 0, 1)
    ]
    assert [each.id for each in grants.find_ended(held, NOON)] == ["-1", "0"]


def test_the_longest_reason_will_do() -> None:
    assert request(by=step("ada", reason="x" * 1000)).state is GrantState.REQUESTED


@pytest.mark.parametrize(("hours", "said"), [(0.5, "0.5 hours"), (1, "1 hour"), (8, "8 hours")])
def test_hours_are_said_as_people_say_them(hours: float, said: str) -> None:
    assert grants.format_hours(hours * HOUR) == said


def test_a_group_that_becomes_exclusive_waits_until_nobody_holds_it() -> None:
    narrowed = {**GROUPS, "support": replace(SUPPORT, exclusive=True)}
    held = active("ada", group=SUPPORT)
    assert run(held, waiting("ben", 0, group=SUPPORT), at=NOON, groups=narrowed) == []


def test_a_group_that_ceases_to_be_exclusive_waits_until_its_holder_is_done() -> None:
    widened = {**GROUPS, "on-call": replace(ON_CALL, exclusive=False)}
    assert run(active("ada"), waiting("ben", 0), at=NOON, groups=widened) == []


def test_the_queue_is_served_in_order_of_readiness() -> None:
    later, scheduled = waiting("ada", 9), waiting("ben", 0, starts_at=NOON + timedelta(minutes=30))
    assert [each.person_id for each in run(later, scheduled, waiting("cy", 5), last="dee")] == ["cy"]
    assert [each.person_id for each in run(later, scheduled, last="dee")] == ["ada"]


def test_nobody_has_an_exclusive_group_twice_in_a_row_while_others_wait() -> None:
    assert [each.person_id for each in run(waiting("ada", 0), waiting("ben", 9), last="ada")] == ["ben"]
    assert [each.person_id for each in run(waiting("ada", 0), last="ada")] == ["ada"]
    scheduled = waiting("ben", 0, starts_at=NOON + 9 * HOUR)
    assert [each.person_id for each in run(waiting("ada", 0), scheduled, last="ada")] == ["ada"]


def test_only_its_holder_gives_a_grant_back() -> None:
    with pytest.raises(GrantRefused, match="only its holder gives a grant back"):
        grants.give_back(active("ada"), step("ben"))
    returned = grants.give_back(active("ada"), step("ada"))
    assert (returned.state, returned.ending, returned.ended) == (GrantState.ENDED, GrantEnding.RETURNED, step("ada"))


@pytest.mark.parametrize("undone", [request("ada"), waiting("ada", 0)], ids=lambda grant: grant.state)
def test_what_is_not_active_yet_is_withdrawn(undone: Grant) -> None:
    withdrawn = grants.give_back(undone, step("ada"))
    assert (withdrawn.state, withdrawn.ending, withdrawn.ended) == (GrantState.WITHDRAWN, None, step("ada"))


def test_a_forced_return_takes_two_approvers() -> None:
    once = grants.force_return(active("ada"), step("ben"), ELECTORATE)
    assert (once.state, once.forced_by) == (GrantState.ACTIVE, ("ben",))
    again = grants.force_return(once, step("ben"), ELECTORATE)
    assert again == once
    twice = grants.force_return(once, step("ann"), ELECTORATE)
    assert (twice.state, twice.ending, twice.forced_by) == (GrantState.ENDED, GrantEnding.FORCED, ("ben", "ann"))
    assert not grants.is_forced_by_one(twice)


def test_one_approver_is_enough_where_there_is_no_second_beside_the_holder_and_the_record_says_so() -> None:
    alone = grants.force_return(
        active("ada"), step("ben"), Electorate(current=frozenset({"ben"}), former=frozenset({"ben"}))
    )
    assert (alone.state, grants.is_forced_by_one(alone)) == (GrantState.ENDED, True)
    holder_approves = grants.force_return(active("ben"), step("ann"), ELECTORATE)
    assert (holder_approves.state, grants.is_forced_by_one(holder_approves)) == (GrantState.ENDED, True)
    assert not grants.is_forced_by_one(grants.give_back(active(), step("ada")))


def test_who_is_no_approver_any_more_counts_no_more() -> None:
    once = grants.force_return(active("ada"), step("ben"), ELECTORATE)
    replaced = grants.force_return(once, step("ann"), replace(ELECTORATE, current=frozenset({"ann", "eve"})))
    assert replaced.state is GrantState.ACTIVE


def test_who_forces_a_return_chooses_nobody_who_counts() -> None:
    """Ben removes Ann, the other approver, or lets Eve in, who is his; Dee, whom Ann let in, counts."""
    alone = grants.force_return(active("ada"), step("ben"), replace(ELECTORATE, current=frozenset({"ben"})))
    assert alone.state is GrantState.ACTIVE
    current = frozenset({"ben", "eve", "dee"})
    let_in_by = {"eve": frozenset({"ben"}), "dee": frozenset({"ann"})}
    electorate = replace(ELECTORATE, current=current, let_in_by=let_in_by)
    by_eve = grants.force_return(active("ada"), step("eve"), electorate)
    assert grants.force_return(by_eve, step("ben"), electorate).state is GrantState.ACTIVE
    assert grants.force_return(alone, step("dee"), electorate).ending is GrantEnding.FORCED


def test_what_is_asked_for_good_is_a_membership_once_it_is_approved_by_another() -> None:
    request_for_good = AccessRequest(person_id="ada", group=SUPPORT, duration=None)
    asked = grants.request_grant("g", request_for_good, step("ben"), ())
    with pytest.raises(GrantRefused, match="nobody decides on what they asked for"):
        grants.approve(asked, step("ben"), APPROVERS)
    joined = grants.approve(asked, step("ann"), APPROVERS)
    assert (joined.state, run(joined)) == (GrantState.JOINED, [])
    with pytest.raises(GrantRefused, match="has one holder at a time"):
        grants.request_grant("g", replace(request_for_good, group=ON_CALL), step("ben"), ())


def test_a_forced_return_is_of_what_is_active_by_another_who_approves_with_a_reason() -> None:
    for grant, by, refusal in (
        (waiting("ada", 0), step("ben"), "only what is ACTIVE is returned"),
        (active("ben"), step("ben"), "nobody decides on access of their own"),
        (active("ada"), step("cy"), "is decided by its approvers"),
        (active("ada"), step("ben", reason=""), "say why"),
    ):
        with pytest.raises(GrantRefused, match=refusal):
            grants.force_return(grant, by, ELECTORATE)


def test_what_waits_too_long_lapses() -> None:
    limit = NOON + UNDECIDED_MAX
    for grant in (request("ada"), waiting("ada", 0)):
        held = active("ben")
        held = replace(held, ends_at=limit + HOUR)
        assert run(held, grant, at=limit) == []
        (lapsed,) = run(held, grant, at=limit + timedelta.resolution)
        assert (lapsed.state, lapsed.ending) == (GrantState.LAPSED, None)


def test_who_is_deactivated_and_a_group_that_is_gone_lose_their_grants() -> None:
    for options in ({"people": frozenset[str]()}, {"groups": {}}):
        ended, lapsed = run(active("ada"), request("ben"), at=NOON, **options)
        assert (ended.state, ended.ending) == (GrantState.ENDED, GrantEnding.REVOKED)
        assert (lapsed.state, lapsed.ending) == (GrantState.LAPSED, None)


def test_what_is_over_changes_no_more() -> None:
    over = grants.give_back(active("ada"), step("ada"))
    assert run(over, at=NOON + 99 * HOUR, people=frozenset()) == []
    assert run(over, groups={}) == []


@settings(max_examples=150, stateful_step_count=40, deadline=None)
class GrantMachine(RuleBasedStateMachine):
    """Any sequence of steps by anybody, at any times; the clock stands still but for one rule."""

    @initialize()
    def begin(self) -> None:
        self.now, self.all = NOON, dict[str, Grant]()
        self.last_turns, self.gone = dict[str, LastTurn](), set[str]()

    @rule(
        person=st.sampled_from(PEOPLE),
        group=st.sampled_from(sorted(GROUPS)),
        hours=st.integers(0, 9),
        ahead=st.integers(0, 3),
    )
    def request(self, person: str, group: str, hours: int, ahead: int) -> None:
        asked = AccessRequest(
            person_id=person, group=GROUPS[group], duration=hours * HOUR, starts_at=self.now + ahead * HOUR
        )
        own = [grant for grant in self.all.values() if grant.person_id == person]
        is_open = any(grant.group == group and grant.state in grants.WAITING_STATES for grant in own)
        with self.expecting(not 0 < hours <= 8 or is_open):
            new = grants.request_grant(str(len(self.all)), asked, step(person, self.now), own)
            self.all[new.id] = new

    @precondition(lambda self: self.all)
    @rule(data=st.data(), actor=st.sampled_from((*PEOPLE, "ann")), act=st.sampled_from(("approve", "deny")))
    def decide(self, data: Any, actor: str, act: str) -> None:
        grant = self.draw(data)
        refused = grant.state is not GrantState.REQUESTED or actor == grant.person_id or actor not in APPROVERS
        with self.expecting(refused):
            self.put(DECISIONS[act](grant, step(actor, self.now), APPROVERS))

    @precondition(lambda self: self.all)
    @rule(data=st.data(), actor=st.sampled_from(PEOPLE))
    def give_back(self, data: Any, actor: str) -> None:
        grant = self.draw(data)
        with self.expecting(actor != grant.person_id or grant.state not in OPEN_STATES):
            self.put(grants.give_back(grant, step(actor, self.now)))

    @precondition(lambda self: self.all)
    @rule(data=st.data(), actor=st.sampled_from((*PEOPLE, "ann")))
    def force(self, data: Any, actor: str) -> None:
        grant = self.draw(data)
        refused = grant.state is not GrantState.ACTIVE or actor == grant.person_id or actor not in APPROVERS
        with self.expecting(refused):
            forced = grants.force_return(grant, step(actor, self.now), ELECTORATE)
            enough = len(APPROVERS - {grant.person_id}) == 1 or len({*grant.forced_by, actor}) == 2
            assert (forced.state is GrantState.ENDED) == enough
            self.put(forced)

    @rule(minutes=st.integers(1, 24 * 60))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.settle()

    @rule(person=st.sampled_from(PEOPLE))
    def deactivate(self, person: str) -> None:
        self.gone.add(person)
        self.settle()
        assert not any(grant.state in OPEN_STATES for grant in self.all.values() if grant.person_id == person)
        self.gone.clear()

    def draw(self, data: Any) -> Grant:
        return self.all[data.draw(st.sampled_from(sorted(self.all)))]

    def expecting(self, refused: bool) -> Any:
        return pytest.raises(GrantRefused) if refused else nullcontext()

    def put(self, grant: Grant) -> None:
        self.all[grant.id] = grant
        self.settle()

    def settle(self) -> None:
        before = dict(self.all)
        for grant in self.run():
            assert before[grant.id].state in OPEN_STATES
            self.all[grant.id] = grant
            if grant.state is GrantState.ACTIVE:
                self.check_turn(before, grant)
                self.last_turns[grant.group] = LastTurn(person_id=grant.person_id, fencing_token=grant.fencing_token)
        assert self.run() == []

    def run(self) -> list[Grant]:
        people = frozenset(PEOPLE) - self.gone
        return list(
            grants.settle(
                self.all.values(), groups=GROUPS, active_people=people, last_turns=self.last_turns, now=self.now
            )
        )

    def check_turn(self, before: dict[str, Grant], begun: Grant) -> None:
        """The turn is that of whoever was ready first, of those who did not have it last."""
        last = self.last_turns.get(begun.group)
        assert begun.fencing_token == (last.fencing_token if last else 0) + 1
        assert begun.starts_at <= begun.active_since == self.now
        assert begun.ends_at - begun.active_since == begun.duration <= 8 * HOUR
        assert begun.decided.actor in APPROVERS - {begun.person_id}
        if begun.group != "on-call":
            return
        rivals = [
            grant
            for grant in before.values()
            if grant.group == "on-call" and grant.state is GrantState.WAITING and grant.starts_at <= self.now
            if grant.person_id != begun.person_id and grant.person_id not in self.gone
            if self.all[grant.id].state is GrantState.WAITING
        ]
        if last is not None and begun.person_id == last.person_id:
            assert rivals == []
        fair = [grant for grant in rivals if last is None or grant.person_id != last.person_id]
        assert all(self.ready_at(begun) <= self.ready_at(grant) for grant in fair)

    def ready_at(self, grant: Grant) -> datetime:
        return max(grant.starts_at, grant.decided.at)

    @invariant()
    def one_holder_and_nothing_past_its_end(self) -> None:
        held = [grant for grant in getattr(self, "all", {}).values() if grant.state is GrantState.ACTIVE]
        slots = [(grant.group, "" if grant.group == "on-call" else grant.person_id) for grant in held]
        assert len(slots) == len(set(slots))
        assert all(grant.ends_at > self.now for grant in held)

    @invariant()
    def no_token_stands_twice(self) -> None:
        granted = [
            (grant.group, grant.fencing_token) for grant in getattr(self, "all", {}).values() if grant.fencing_token
        ]
        assert len(granted) == len(set(granted))


test_any_sequence_of_steps_keeps_the_rules = GrantMachine.TestCase
