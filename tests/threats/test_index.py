"""The tests that show each threat met, by its row in the list of threats: every one of them is there."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

ROWS: dict[int, list[str]] = {
    6: [
        "introspection/test_own_view.py::test_a_hidden_name_answers_as_an_unknown_one",
        "introspection/test_own_view.py::test_introspection_shows_only_what_the_caller_may_see",
    ],
    7: [
        "threats/test_leaks.py::test_no_error_of_a_fuzzed_question_tells_how_the_house_is_built",
        "threats/test_leaks.py::test_what_breaks_is_told_alike_and_logged_once",
        "door/test_records.py::test_a_crash_says_nothing_but_where_it_is_on_record",
        "spec/test_refusals.py::test_nothing_is_suggested",
    ],
    8: [
        "cache/test_interleavings.py::test_any_interleaving_of_callers_is_as_each_alone",
        "cache/test_door.py::test_callers_with_the_same_permissions_share_and_others_never",
        "cache/test_door.py::test_who_left_a_group_is_not_served_what_it_read",
        "cache/test_reading.py::test_callers_with_other_permissions_never_share",
        "cache/test_redis.py::test_what_others_put_there_is_not_believed",
        "cache/test_redis.py::test_nothing_there_can_be_read",
    ],
    11: [
        "threats/test_cost.py::test_a_batch_is_refused_whole",
        "threats/test_cost.py::test_however_it_is_written_it_costs_the_same_and_is_not_fetched",
        "limits/test_measure.py::test_each_limit_is_named_with_its_value_and_what_would_do",
    ],
    12: [
        "clients/test_http.py::test_a_mutation_needs_post",
        "door/test_reading.py::test_a_body_in_another_form_is_a_415",
        "threats/test_forging.py::test_no_reply_sets_a_cookie_and_none_opens_the_door",
    ],
    14: [
        "limits/test_measure.py::test_steps_grow_with_the_text_and_no_faster",
        "limits/test_measure.py::test_each_limit_is_named_with_its_value_and_what_would_do",
        "spec/test_refusals.py::test_fragments_that_double_are_refused_before_they_are_expanded",
    ],
    15: [
        "threats/test_cost.py::test_however_it_is_written_it_costs_the_same_and_is_not_fetched",
        "threats/test_cost.py::test_what_is_left_out_costs_nothing_whatever_its_twin_of_before_cost",
        "threats/test_cost.py::test_the_operation_that_is_run_is_the_one_weighed",
        "threats/test_cost.py::test_a_list_without_a_size_has_one",
        "threats/test_cost.py::test_random_questions_return_no_more_than_they_cost",
    ],
    16: [
        "threats/test_huge.py::test_what_is_huge_or_odd_is_no_crash_and_does_not_come_back",
        "door/test_reading.py::test_a_body_that_is_no_question_is_a_400_and_one_record",
        "door/test_reading.py::test_a_body_past_the_limit_is_a_413_before_it_is_sent",
    ],
    17: [
        "door/test_reading.py::test_a_body_in_another_form_is_a_415",
        "door/test_reading.py::test_and_one_that_does_not_say_how_long_it_is_once_it_is_past",
        "door/test_protocol.py::test_a_head_over_the_limit_is_refused",
    ],
    18: [
        "door/test_protocol.py::test_a_head_that_does_not_come_is_not_waited_for",
        "door/test_protocol.py::test_connections_past_the_limit_of_an_address_are_refused_and_the_others_served",
        "door/test_reading.py::test_a_body_that_does_not_come_is_a_408",
    ],
    24: [
        "door/test_records.py::test_a_client_that_leaves_cancels_its_sources_and_leaves_a_record",
        "failures/test_limits.py::test_a_request_that_is_left_stops_its_calls",
    ],
    26: [
        "door/test_keys.py::test_whatever_does_not_open_the_door_is_told_the_same_bytes",
        "auth/test_callers.py::test_every_refusal_is_the_same_and_costs_the_same_steps",
        "threats/test_crowding.py::test_every_failed_key_gets_the_same_bytes_once_it_is_one_too_many",
        "threats/test_crowding.py::test_whoever_guesses_keys_is_turned_away_and_an_honest_key_of_the_same_address_is_served",
        "threats/test_crowding.py::test_a_flood_is_not_kept_waiting_for_its_records",
        "threats/test_crowding.py::test_a_key_that_asks_too_often_is_turned_away_and_others_are_served",
        "threats/test_crowding.py::test_a_full_house_sheds_load_before_it_reads_a_key_and_has_room_again",
    ],
    27: [
        "threats/test_leaks.py::test_no_secret_of_a_key_is_in_logs_journal_state_or_replies",
        "door/test_keys.py::test_a_key_in_the_address_is_no_key",
        "auth/test_state.py::test_no_secret_is_in_the_database_nor_in_what_is_shown_of_it",
    ],
    38: [
        "threats/test_forging.py::test_whatever_is_sent_leaves_one_line_a_request_that_reads_back",
        "threats/test_forging.py::test_an_id_of_the_clients_own_forges_no_record_and_no_header",
        "records/test_record.py::test_no_text_ends_its_line_or_acts_on_a_terminal_and_all_of_it_is_read_back",
    ],
    43: [
        "threats/test_forging.py::test_a_header_that_claims_something_changes_nothing",
        "threats/test_forging.py::test_nor_does_a_claim_in_the_body",
        "threats/test_forging.py::test_the_server_takes_no_proxys_word_for_an_address",
        "threats/test_crowding.py::test_another_address_in_a_header_is_no_other_address",
    ],
    46: [
        "threats/test_huge.py::test_what_is_huge_or_odd_is_no_crash_and_does_not_come_back",
        "threats/test_huge.py::test_a_reply_holds_no_more_errors_than_the_limit",
        "threats/test_huge.py::test_fields_that_are_withheld_are_not_logged",
        "spec/test_refusals.py::test_messages_are_short",
    ],
}


@cache
def functions_of(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(each, functions)}


@pytest.mark.parametrize("row", ROWS)
def test_what_is_said_to_show_it_is_there(row: int) -> None:
    named = [each.split("::") for each in ROWS[row]]
    assert [name for path, name in named if name not in functions_of(TESTS / path)] == []
