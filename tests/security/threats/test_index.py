"""Every threat names the tests that show it is met, and all of them exist."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]

ROWS: dict[int, list[str]] = {
    6: [
        "schema/test_own_view.py::test_a_hidden_name_answers_as_an_unknown_one",
        "schema/test_own_view.py::test_introspection_shows_only_what_the_caller_may_see",
    ],
    7: [
        "security/threats/test_leaks.py::test_no_error_of_a_fuzzed_query_shows_internals",
        "security/threats/test_leaks.py::test_internal_errors_look_alike_and_are_logged_once",
        "http/test_audit_records.py::test_a_crash_says_nothing_but_where_it_is_on_record",
        "schema/test_own_view.py::test_no_typo_brings_out_a_name_that_the_caller_may_not_know",
        "schema/test_own_view.py::test_a_hidden_name_answers_as_an_unknown_one",
    ],
    8: [
        "runtime/cache/test_interleavings.py::test_any_interleaving_of_callers_is_as_each_alone",
        "runtime/cache/test_http.py::test_callers_with_the_same_permissions_share_and_others_never",
        "runtime/cache/test_http.py::test_who_left_a_group_is_not_served_what_it_read",
        "runtime/cache/test_row_cache.py::test_callers_with_other_permissions_never_share",
        "runtime/cache/test_redis.py::test_what_others_put_there_is_not_believed",
        "runtime/cache/test_redis.py::test_nothing_there_can_be_read",
    ],
    11: [
        "security/threats/test_cost.py::test_a_batch_is_refused_whole",
        "security/threats/test_cost.py::test_every_form_of_a_query_over_the_limit_costs_the_same_and_is_not_executed",
        "query/limits/test_measure.py::test_each_limit_is_named_with_its_value_and_what_would_do",
    ],
    12: [
        "e2e/clients/test_http.py::test_a_mutation_needs_post",
        "http/test_requests.py::test_a_body_in_another_form_is_a_415",
        "security/threats/test_forging.py::test_no_reply_sets_a_cookie_and_no_cookie_authenticates",
    ],
    14: [
        "query/limits/test_measure.py::test_steps_grow_with_the_text_and_no_faster",
        "query/limits/test_measure.py::test_each_limit_is_named_with_its_value_and_what_would_do",
        "query/spec/test_refusals.py::test_fragments_that_double_are_refused_before_they_are_expanded",
    ],
    15: [
        "security/threats/test_cost.py::test_every_form_of_a_query_over_the_limit_costs_the_same_and_is_not_executed",
        "security/threats/test_cost.py::test_a_skipped_field_costs_nothing_whatever_the_cached_plan_cost",
        "security/threats/test_cost.py::test_the_operation_that_is_run_is_the_one_weighed",
        "security/threats/test_cost.py::test_a_list_without_a_size_has_one",
        "security/threats/test_cost.py::test_random_questions_return_no_more_than_they_cost",
    ],
    16: [
        "security/threats/test_huge.py::test_huge_or_odd_input_neither_crashes_nor_is_echoed",
        "http/test_requests.py::test_a_body_that_is_no_question_is_a_400_and_one_record",
        "http/test_requests.py::test_a_body_past_the_limit_is_a_413_before_it_is_sent",
    ],
    17: [
        "http/test_requests.py::test_a_body_in_another_form_is_a_415",
        "http/test_requests.py::test_a_chunked_body_past_the_limit_is_a_413_once_it_is_past",
        "http/test_protocol.py::test_a_head_over_the_limit_is_refused",
    ],
    18: [
        "http/test_protocol.py::test_a_head_that_does_not_come_is_not_waited_for",
        "http/test_protocol.py::test_connections_past_the_limit_of_an_address_are_refused_and_the_others_served",
        "http/test_requests.py::test_a_body_that_does_not_come_is_a_408",
        "security/threats/test_fair_shares.py::test_half_sent_bodies_take_no_place_from_others",
        "security/threats/test_fair_shares.py::test_half_sent_bodies_of_one_key_are_bounded",
        "security/threats/test_fair_shares.py::test_requests_of_one_key_that_hang_leave_places_to_others",
    ],
    19: [
        "runtime/failures/test_limits.py::test_a_slow_branch_is_null_and_the_rest_is_served",
        "runtime/failures/test_limits.py::test_others_are_answered_while_one_waits",
        "runtime/failures/test_limits.py::test_a_request_ends_at_its_deadline",
        "runtime/failures/test_resilience.py::test_a_call_and_its_retry_share_one_timeout",
        "runtime/failures/test_servers.py::test_a_hanging_server_holds_up_nobody_else",
        "connectors/faults/test_faults.py::test_a_fault_costs_one_message_and_leaves_nothing_behind",
    ],
    20: [
        "runtime/failures/test_resilience.py::test_no_number_of_failed_questions_shuts_a_source_that_answers_a_probe",
        "runtime/failures/test_resilience.py::test_one_person_fills_neither_the_slots_nor_the_queue",
        "connectors/faults/test_faults.py::test_a_fault_costs_one_message_and_leaves_nothing_behind",
        "runtime/failures/test_resilience.py::test_there_is_one_retry_and_no_more",
        "runtime/failures/test_resilience.py::test_retries_are_earned",
        "runtime/quota/test_rate_limiter.py::test_a_pause_the_far_end_asks_for_holds_for_everybody",
        "runtime/quota/test_sources.py::test_a_pause_that_slack_requests_holds_for_every_caller",
        "connectors/test_drive.py::test_a_short_wait_is_waited_once",
        "connectors/test_datadog.py::test_a_long_wait_is_an_error_at_once_and_for_all_calls_meanwhile",
    ],
    21: [
        "connectors/faults/test_faults.py::test_a_fault_costs_one_message_and_leaves_nothing_behind",
        "connectors/faults/test_faults.py::test_expired_credentials_are_named_as_such",
        "runtime/failures/test_resilience.py::test_a_source_that_failed_too_often_is_not_called",
        "runtime/failures/test_resilience.py::test_one_probe_is_made_at_a_time",
        "runtime/failures/test_resilience.py::test_a_source_is_called_again_within_two_seconds_of_its_return",
        "runtime/failures/test_servers.py::test_a_killed_server_costs_its_branch_alone_and_is_back_within_two_seconds",
    ],
    22: [
        "runtime/failures/test_resilience.py::test_a_full_bulkhead_refuses_at_once_and_lets_those_who_wait_in",
        "runtime/failures/test_resilience.py::test_who_waits_too_long_for_the_bulkhead_is_refused",
        "runtime/failures/test_limits.py::test_a_full_source_refuses_who_comes_too_much",
        "connectors/sql/test_postgresql.py::test_no_more_statements_run_than_there_may_be_connections",
        "connectors/sql/test_mysql.py::test_no_more_statements_run_than_there_may_be_connections",
    ],
    23: [
        "security/threats/test_overload.py::test_a_server_at_capacity_refuses_before_it_reads_a_key",
    ],
    24: [
        "http/test_audit_records.py::test_a_client_that_leaves_cancels_its_sources_and_leaves_a_record",
        "runtime/failures/test_limits.py::test_a_request_that_is_left_stops_its_calls",
        "contract/test_contract.py::test_a_cancelled_read_leaves_it_usable",
        "connectors/sql/test_postgresql.py::test_a_cancelled_statement_stops_on_the_server",
        "connectors/sql/test_mysql.py::test_a_cancelled_statement_stops_on_the_server",
        "connectors/sql/test_sqlite.py::test_a_running_statement_is_stopped",
        "connectors/test_snowflake.py::test_a_cancelled_statement_is_aborted_by_its_own_request",
        "connectors/test_azure.py::test_a_cancelled_read_ends_its_call",
        "connectors/test_drive.py::test_a_cancelled_read_waits_for_nothing",
        "connectors/test_datadog.py::test_a_cancelled_scan_ends_its_call",
        "connectors/test_prometheus.py::test_a_cancelled_scan_ends_its_call",
        "connectors/test_graphql.py::test_a_cancelled_scan_ends_its_calls",
    ],
    25: [
        "e2e/stopping/test_changes.py::test_acknowledged_changes_stand_once_and_resent_ones_are_applied_once",
        "e2e/stopping/test_stops.py::test_a_stop_refuses_no_request_and_loses_no_record_of_an_answered_one",
        "mutations/test_killing.py::test_a_kill_before_any_durable_step_loses_and_repeats_nothing",
        "mutations/test_row_mutations.py::test_a_caller_that_goes_away_interrupts_nothing",
        "mutations/test_sagas.py::test_a_ledger_that_fails_at_any_commit_loses_and_repeats_nothing",
        "http/live/test_stopping.py::test_sockets_are_closed_with_1001_and_streams_end_without_being_complete",
    ],
    26: [
        "http/test_keys.py::test_every_invalid_key_gets_the_same_bytes",
        "auth/test_authentication.py::test_every_refusal_is_the_same_and_costs_the_same_steps",
        "security/threats/test_overload.py::test_every_failed_key_gets_the_same_bytes_once_it_is_one_too_many",
        "security/threats/test_overload.py::test_whoever_guesses_keys_is_turned_away_and_an_honest_key_of_the_same_address_is_served",
        "security/threats/test_overload.py::test_a_flood_is_not_kept_waiting_for_its_records",
        "security/threats/test_overload.py::test_a_key_that_asks_too_often_is_turned_away_and_others_are_served",
        "security/threats/test_overload.py::test_a_server_at_capacity_refuses_before_it_reads_a_key",
    ],
    27: [
        "security/threats/test_leaks.py::test_no_secret_of_a_key_is_in_logs_records_database_or_replies",
        "http/test_keys.py::test_a_key_in_the_address_is_no_key",
        "auth/test_database.py::test_no_secret_is_in_the_database_nor_in_what_is_shown_of_it",
    ],
    29: [
        "http/live/test_ws.py::test_groups_are_those_of_each_event",
        "http/live/test_ws.py::test_at_most_ten_subscriptions_and_the_others_go_on",
        "http/live/test_ws.py::test_no_key_a_wrong_one_a_revoked_one_and_two_are_4401_and_on_record",
        "http/live/test_ws.py::test_a_question_before_connection_init_is_4401",
        "http/live/test_ws.py::test_a_refused_handshake_has_an_http_status",
        "http/live/test_sse.py::test_at_most_ten_streams_of_a_key",
        "http/live/test_sse.py::test_two_keys_of_which_one_is_revoked",
        "http/live/test_revocation.py::test_a_socket_is_closed_with_4403",
        "http/live/test_revocation.py::test_a_stream_ends_with_an_error",
        "http/live/test_revocation.py::test_a_socket_without_questions_is_closed_too",
        "http/live/test_revocation.py::test_the_log_of_a_subscription_through_a_revocation",
        "mutations/test_actions.py::test_an_event_leads_to_its_row_and_is_authorized_anew",
    ],
    31: [
        "contract/test_injection.py::test_a_value_is_a_value_and_no_more",
        "contract/test_contract.py::test_a_declared_capability_is_answered_as_the_spi_defines_it",
        "connectors/sql/test_compiled.py::test_no_value_stands_in_the_text",
        "connectors/test_drive.py::test_hits_are_what_the_search_finds_for_a_text",
        "connectors/test_drive.py::test_an_owners_files_are_searched_for",
        "connectors/test_datadog.py::test_no_value_widens_a_search",
        "connectors/test_prometheus.py::test_no_label_value_changes_the_structure_of_a_query",
        "connectors/test_rest.py::test_no_key_leaves_its_segment_of_a_path",
    ],
    32: [
        "connectors/test_s3.py::test_an_id_that_is_no_key_has_no_stat_and_no_content",
        "connectors/test_s3.py::test_no_id_leads_to_another_key_or_out_of_the_bucket",
        "connectors/test_s3.py::test_a_download_url_opens_one_key_for_at_most_five_minutes",
        "connectors/test_s3.py::test_an_id_that_is_no_key_has_no_download_url",
        "connectors/test_azure.py::test_an_id_that_is_no_file_has_no_content",
        "connectors/test_azure.py::test_a_download_url_opens_one_file_for_reading",
        "connectors/test_folder.py::test_an_id_that_is_no_file_has_no_stat_no_row_and_no_content",
        "connectors/test_folder.py::test_a_folder_swapped_for_a_link_leads_nowhere",
        "connectors/test_drive.py::test_below_one_folder_nothing_else_is_opened",
        "contract/test_injection.py::test_a_value_is_a_value_and_no_more",
    ],
    33: [
        "connectors/writing/test_slack.py::test_whatever_is_typed_mentions_nobody_and_links_nowhere",
        "connectors/writing/test_slack.py::test_an_edit_mentions_nobody_either",
        "connectors/writing/test_slack.py::test_what_is_no_text_is_not_sent",
        "connectors/writing/test_slack.py::test_a_mark_that_somebody_else_left_is_not_ours",
        "connectors/writing/test_slack.py::test_an_unknown_outcome_is_not_reported_as_undone_and_not_sent_twice",
    ],
    34: [
        "jobs/test_running.py::test_a_job_cannot_read_a_field_that_is_denied_to_whoever_started_it",
        "jobs/test_running.py::test_nobody_starts_a_job_without_one_of_its_groups",
        "jobs/test_running.py::test_a_job_is_refused_at_its_next_step_once_its_starter_may_not_start_it",
        "jobs/test_running.py::test_arguments_reach_a_script_as_they_are",
        "jobs/test_running.py::test_a_script_sees_its_folder_and_nothing_of_the_server",
        "jobs/test_running.py::test_a_script_past_its_bounds_is_ended",
        "jobs/test_running.py::test_cancelling_a_script_ends_all_it_started_within_two_seconds",
        "jobs/test_visibility.py::test_a_caller_sees_their_own_jobs_and_those_their_groups_see",
    ],
    35: [
        "security/threats/test_ssrf.py::test_a_url_of_this_network_is_refused_as_it_stands",
        "security/threats/test_ssrf.py::test_a_host_name_is_judged_by_its_addresses",
        "security/threats/test_ssrf.py::test_a_host_name_is_judged_each_time_it_is_resolved",
        "security/threats/test_ssrf.py::test_an_api_leads_to_no_other_host",
        "security/threats/test_ssrf.py::test_a_description_is_fetched_from_listed_hosts_alone",
        "security/threats/test_ssrf.py::test_redirects_of_a_description_are_not_followed",
        "connectors/test_azure.py::test_a_name_that_leads_into_this_network_is_not_called",
        "connectors/test_drive.py::test_an_upload_goes_to_no_other_host",
        "connectors/test_graphql.py::test_a_url_that_is_not_public_must_be_allowed_by_the_settings",
    ],
    38: [
        "security/threats/test_forging.py::test_whatever_is_sent_leaves_one_line_a_request_that_reads_back",
        "security/threats/test_forging.py::test_an_id_of_the_clients_own_forges_no_record_and_no_header",
        "audit/test_record.py::test_no_text_ends_its_line_or_acts_on_a_terminal_and_all_of_it_is_read_back",
    ],
    41: [
        "exports/test_formats.py::test_no_cell_begins_as_a_formula_does",
        "exports/test_formats.py::test_csv_holds_what_replies_hold",
        "exports/test_formats.py::test_a_nul_is_shown",
        "exports/test_rules.py::test_a_denied_field_is_omitted_and_named",
        "exports/test_rules.py::test_each_page_leaves_one_record_of_its_own_surface",
    ],
    42: [
        "connectors/files/test_bombs.py::test_a_bomb_is_refused_at_once",
        "connectors/files/test_readers.py::test_a_decoder_costs_no_more_than_its_file",
        "connectors/files/test_bombs.py::test_a_packed_file_has_no_rows",
        "connectors/files/test_content.py::test_no_more_of_a_file_is_read_than_the_settings_say",
        "connectors/files/test_content.py::test_an_unreadable_file_has_a_reason",
        "connectors/test_azure.py::test_a_failure_has_a_reason_that_can_be_shown",
        "connectors/test_drive.py::test_a_failure_has_a_reason_that_can_be_shown",
        "connectors/test_rest.py::test_a_failure_repeats_nothing_that_the_api_says",
    ],
    40: [
        "http/scim/test_rfc7644.py::test_an_external_id_is_never_an_id_of_ours",
        "http/scim/test_rfc7644.py::test_one_user_name_is_one_however_it_is_written",
        "http/scim/test_rfc7644.py::test_a_patch_that_nobody_may_make_is_refused",
        "http/scim/test_rfc7644.py::test_an_etag_stands_for_one_version",
        "http/scim/test_people.py::test_functional_groups_follow_the_groups_of_the_directory",
        "http/scim/test_people.py::test_people_who_are_not_from_the_directory_are_out_of_its_reach",
        "http/scim/test_people.py::test_who_leaves_loses_key_and_groups",
        "http/scim/test_people.py::test_a_replayed_request_brings_nobody_back",
        "http/scim/test_people.py::test_a_sync_that_removes_many_people_halts_until_somebody_approves",
        "http/scim/test_people.py::test_nothing_is_served_without_the_credential",
    ],
    43: [
        "security/threats/test_forging.py::test_a_header_that_claims_something_changes_nothing",
        "security/threats/test_forging.py::test_a_claim_in_the_body_changes_nothing",
        "security/threats/test_forging.py::test_the_server_takes_no_proxys_word_for_an_address",
        "security/threats/test_overload.py::test_another_address_in_a_header_is_no_other_address",
    ],
    45: [
        "runtime/test_budgets.py::test_no_minute_sees_more_requests_than_the_budget",
        "runtime/test_redis_budgets.py::test_two_processes_at_once_grant_no_more_than_one_budget",
        "runtime/test_redis_budgets.py::test_a_flood_over_a_budget_asks_redis_once",
        "runtime/test_redis_budgets.py::test_while_redis_is_away_each_process_grants_its_part_and_says_so_once",
        "http/test_budgets.py::test_a_request_over_a_budget_is_a_429_until_the_minute_is_over",
        "http/live/test_budgets.py::test_a_subscription_and_each_of_its_events_count",
    ],
    46: [
        "security/threats/test_overload.py::test_a_flood_that_is_turned_away_leaves_a_record_a_second_that_counts_it",
        "security/threats/test_huge.py::test_huge_or_odd_input_neither_crashes_nor_is_echoed",
        "security/threats/test_huge.py::test_a_reply_holds_no_more_errors_than_the_limit",
        "security/threats/test_huge.py::test_fields_that_are_withheld_are_not_logged",
        "query/spec/test_refusals.py::test_messages_are_short",
    ],
}


@cache
def functions_of(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {item.name for item in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(item, functions)}


@pytest.mark.parametrize("row", ROWS)
def test_every_test_in_the_index_exists(row: int) -> None:
    named = [item.split("::") for item in ROWS[row]]
    assert [name for path, name in named if name not in functions_of(TESTS / path)] == []
