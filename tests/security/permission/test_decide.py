"""Test the laws of the one decision."""

import pytest

from auth.policy import AccessPolicy, Decision, decide, is_masked, minimize_requirements

POSITION = ("Employee", "salary")
FINANCE, PEOPLE, EITHER = frozenset({"finance"}), frozenset({"people"}), frozenset({"finance", "people"})
REGISTER = frozenset({"finance", "people", "sales", "support"})


@pytest.mark.parametrize(
    ("held", "requirements", "allowed"),
    [
        pytest.param(REGISTER, None, False, id="what nobody opened stays shut, to everyone"),
        pytest.param(REGISTER, (), False, id="a rule without requirements opens nothing"),
        pytest.param(REGISTER, (frozenset(),), False, id="a requirement without groups is met by nobody"),
        pytest.param({"finance"}, (EITHER,), True, id="any group of a requirement will do"),
        pytest.param({"people"}, (EITHER,), True, id="whichever it is"),
        pytest.param({"sales"}, (EITHER,), False, id="another group will not"),
        pytest.param(set(), (EITHER,), False, id="no group will not"),
        pytest.param({"finance"}, (FINANCE, PEOPLE), False, id="one requirement met of two is not enough"),
        pytest.param({"finance", "people"}, (FINANCE, PEOPLE), True, id="each may be met by another group"),
        pytest.param({"finance", "sales"}, (FINANCE,), True, id="more groups never see less"),
        pytest.param({"Finance"}, (FINANCE,), False, id="a group's name is exact"),
        pytest.param({"fin"}, (FINANCE,), False, id="a part of a name is no name"),
        pytest.param({"*"}, (FINANCE,), False, id="there is no wildcard"),
    ],
)
def test_a_position_is_open_when_every_requirement_names_a_group_held(held, requirements, allowed) -> None:
    rules = AccessPolicy({} if requirements is None else {POSITION: requirements})
    assert decide(rules, POSITION, frozenset(held)).allowed is allowed


@pytest.mark.parametrize(
    ("held", "requirements", "unmet"),
    [
        pytest.param({"sales"}, (EITHER, frozenset({"sales"})), (EITHER,), id="only what is unmet is named"),
        pytest.param(set(), (FINANCE, PEOPLE), (FINANCE, PEOPLE), id="all of it is named"),
        pytest.param({"finance"}, (FINANCE,), (), id="nothing is unmet when allowed"),
    ],
)
def test_a_verdict_names_the_groups_that_would_do(held, requirements, unmet) -> None:
    assert decide(AccessPolicy({POSITION: requirements}), POSITION, frozenset(held)) == Decision(POSITION, unmet)


def test_a_position_nobody_opened_has_no_groups_that_would_do() -> None:
    assert decide(AccessPolicy({}), POSITION, REGISTER) == Decision(POSITION, None)


def test_more_requirements_never_show_more() -> None:
    sets = [frozenset(), FINANCE, PEOPLE, EITHER]
    for held in sets:
        for first in sets:
            for second in sets:
                fewer = decide(AccessPolicy({POSITION: (first,)}), POSITION, held).allowed
                more = decide(AccessPolicy({POSITION: (first, second)}), POSITION, held).allowed
                assert fewer or not more


@pytest.mark.parametrize(
    ("held", "unmasked", "masked"),
    [
        pytest.param({"support"}, (FINANCE,), True, id="no group that sees the values"),
        pytest.param({"support", "finance"}, (FINANCE,), False, id="one of them"),
        pytest.param({"finance"}, (FINANCE, PEOPLE), True, id="one requirement met of two"),
        pytest.param({"support"}, (), False, id="a field that nobody sees masked"),
    ],
)
def test_a_field_is_masked_for_whoever_does_not_meet_all_that_its_values_require(held, unmasked, masked) -> None:
    policy = AccessPolicy({POSITION: (EITHER,)}, unmasked_requirements={POSITION: unmasked} if unmasked else {})
    assert is_masked(policy, POSITION, frozenset(held)) is masked


EVERYONE = frozenset({"everyone"})


@pytest.mark.parametrize(
    ("requirements", "shown"),
    [
        pytest.param((), [], id="none"),
        pytest.param((FINANCE, EITHER), [["finance"]], id="what another one implies is left out"),
        pytest.param((EVERYONE, FINANCE), [["finance"]], id="everyone is in everyone"),
        pytest.param((FINANCE | EVERYONE, PEOPLE), [["people"]], id="so is whoever may be in another group"),
        pytest.param((EVERYONE, FINANCE | EVERYONE), [["everyone"]], id="unless nothing else is required"),
        pytest.param((PEOPLE, FINANCE), [["finance"], ["people"]], id="sorted"),
    ],
)
def test_the_requirements_that_are_shown_are_those_that_must_be_met(requirements, shown) -> None:
    assert minimize_requirements(requirements) == shown
