"""Defects that showed when deployment files of the field were written as meshes, and what users of other tools met; and
the parts of the model that came of them, with what goes wrong in use: the tests that show what becomes of each. PURE.

`DEFECTS`: D1 to D15 of a review of twenty public deployment files. `REPORTS`: numbers of cases of a review of public
issue threads. `MODEL`: keys of mesh.yaml and environments.yaml, each with tests of what is rendered or refused.
`FAULTS`: bad input and what fails in use. `OUTCOMES`: what whole runs show.
"""

from __future__ import annotations

from typing import Final

_ROLL_OUTS: Final = "tests/unit/resolve/test_roll_outs.py"
_FABRICS: Final = "tests/unit/resolve/test_given_fabrics.py"
_SHARED: Final = "tests/unit/resolve/test_shared_cluster.py"
_FIT: Final = "tests/unit/resolve/test_resolve_fit.py"
_ACCELERATORS: Final = "tests/unit/resolve/test_accelerators.py"
_NOTES: Final = "tests/unit/resolve/test_resolve_workload_notes.py"
_CLAIMS: Final = "tests/unit/resolve/test_existing_storage.py"
_GATEWAYS: Final = "tests/unit/resolve/test_gateways.py"
_SCHEDULING: Final = "tests/unit/engine/test_scheduling.py"
_FAILURES: Final = "tests/unit/engine/test_failures.py"
_TEXTS: Final = "tests/unit/render/test_render_texts.py"
_LOADED_TEXTS: Final = "tests/unit/load/test_load_texts.py"
_USERS: Final = "tests/unit/render/test_pod_users.py"
_PROBES: Final = "tests/unit/render/test_probes.py"
_OVERRIDES: Final = "tests/unit/render/test_overrides.py"
_SETS: Final = "tests/unit/render/test_leader_worker_sets.py"
_GROUPS: Final = "tests/unit/render/test_groups.py"
_HEALTH: Final = "tests/unit/migrate/test_health.py"
_FOREIGN: Final = "tests/unit/model/test_foreign_keys.py"
_ORDER: Final = "tests/unit/model/test_job_order.py"

DEFECTS: Final[dict[str, tuple[str, ...]]] = {
    "D1": (
        f"{_ROLL_OUTS}::test_one_more_pod_comes_first_only_where_it_certainly_fits",
        f"{_ROLL_OUTS}::test_a_roll_out_that_leaves_a_workload_without_a_pod_is_told",
    ),
    "D2": (
        f"{_FABRICS}::test_pods_get_the_devices_that_the_nodes_count",
        f"{_FABRICS}::test_efa_on_a_given_cluster_is_what_the_aws_platform_renders",
        f"{_FABRICS}::test_pods_that_are_up_keep_their_one_device_until_the_file_asks_for_more",
    ),
    "D3": ("tests/unit/catalog/test_catalog_rows.py::test_coreweave_nodes_have_the_memory_that_its_own_files_ask_for",),
    "D4": (
        f"{_USERS}::test_all_pods_of_a_file_system_are_one_user",
        f"{_USERS}::test_root_of_a_shared_file_system_can_use_the_files_of_others",
    ),
    "D5": (
        f"{_HEALTH}::test_an_endpoint_is_asked_in_the_words_of_health",
        "tests/faults/test_migrate_protocols.py::test_endpoints_of_other_protocols_than_http_move",
    ),
    "D6": (f"{_TEXTS}::test_a_reference_becomes_the_value_whatever_the_names_sort_like",),
    "D7": (
        f"{_ACCELERATORS}::test_slices_and_shared_gpus_are_no_whole_ones",
        "tests/unit/resolve/test_mig_slices.py::test_slices_are_not_counted_as_whole_accelerators",
    ),
    "D8": (
        f"{_FIT}::test_a_batch_job_is_counted_beside_what_never_ends_and_not_beside_other_jobs",
        f"{_ORDER}::test_only_jobs_that_may_run_together_are_counted_together",
    ),
    "D9": ("tests/unit/load/test_load_jobs.py::test_a_job_with_requests_is_not_brought_up",),
    "D10": (
        f"{_FABRICS}::test_roce_needs_the_networks_of_its_pods",
        f"{_FABRICS}::test_pods_are_attached_to_the_networks_of_the_fabric",
    ),
    "D11": (f"{_ACCELERATORS}::test_accelerators_that_no_pod_can_ask_for_are_a_gap_offline_as_well",),
    "D12": (f"{_NOTES}::test_an_image_of_ecr_outside_aws",),
    "D13": (f"{_NOTES}::test_a_port_below_1024_is_noted",),
    "D14": (
        "tests/unit/resolve/test_resolve_nearest.py::test_all_reasons_against_a_machine_are_told_at_once",
        "tests/unit/resolve/test_resolve_nearest.py::test_all_reasons_against_a_node_are_told_at_once",
    ),
    "D15": (
        "tests/unit/lab/test_supervisor.py::test_a_program_that_ends_again_and_again_is_given_up_and_named",
        "tests/unit/lab/test_supervisor.py::test_a_part_that_ended_unseen_is_named_with_its_log",
    ),
}

REPORTS: Final[dict[str, tuple[str, ...]]] = {
    "01": (
        f"{_ROLL_OUTS}::test_one_more_pod_comes_first_only_where_it_certainly_fits",
        f"{_SCHEDULING}::test_full_too_big_and_tainted_are_told_apart",
    ),
    "05": (
        f"{_HEALTH}::test_an_endpoint_is_asked_in_the_words_of_health",
        "tests/unit/clients/test_health_checks.py::test_a_connection_that_stays_open_counts",
        "tests/faults/test_migrate_protocols.py::test_endpoints_of_other_protocols_than_http_move",
    ),
    "06": (
        f"{_TEXTS}::test_a_text_arrives_as_it_is_written",
        f"{_TEXTS}::test_a_setting_of_the_fabric_arrives_as_it_is_written",
    ),
    "12": (
        f"{_LOADED_TEXTS}::test_an_argument_that_linux_takes_and_one_that_it_does_not",
        f"{_LOADED_TEXTS}::test_a_variable_counts_with_its_name",
    ),
    "14": (
        f"{_SHARED}::test_nodes_with_a_taint_are_not_counted_and_the_gap_says_which_and_the_way_out",
        f"{_SHARED}::test_cpu_and_memory_of_others_count_for_each_node_by_itself",
        f"{_SCHEDULING}::test_full_too_big_and_tainted_are_told_apart",
    ),
    "18": (
        f"{_FAILURES}::test_what_a_pod_or_a_claim_suffers_has_a_code",
        f"{_NOTES}::test_an_endpoint_needs_a_controller_where_the_platform_brings_none",
    ),
}

MODEL: Final[dict[str, tuple[str, ...]]] = {
    "health": (
        f"{_PROBES}::test_each_protocol_is_asked_by_the_probe_of_its_kind",
        f"{_PROBES}::test_everything_waits_as_long_as_a_start_may_take",
        f"{_HEALTH}::test_a_model_that_needs_100_minutes_is_waited_for_where_health_says_so",
    ),
    "groups": (
        f"{_SETS}::test_a_set_has_the_groups_and_restarts_one_as_a_whole",
        f"{_SETS}::test_only_the_leader_has_ports_health_and_metrics",
        f"{_GROUPS}::test_each_group_has_a_leader_and_workers_with_ranks",
        "tests/faults/test_groups.py::test_groups_move_under_load_and_come_back_as_a_whole",
    ),
    "gangs": (
        "tests/unit/render/test_gang_program.py::test_never_have_two_gangs_a_part_of_their_nodes_and_all_come_to_run",
        "tests/unit/render/test_gang_program.py::test_of_two_groups_with_nodes_for_one_the_one_starts_whole",
        "tests/unit/resolve/test_gang_holds.py::test_groups_of_what_serves_are_held_as_gangs_are",
        "tests/contract/test_hold_rights.py::test_a_user_is_told_what_it_may_not_grant",
        "tests/unit/resolve/test_queues.py::test_a_queue_for_all_is_one_for_jobs",
        "tests/unit/lab_pods/test_gang.py::test_a_rank_that_dies_ends_the_others",
    ),
    "user": (f"{_USERS}::test_the_image_says_the_user", f"{_USERS}::test_a_number_is_user_and_group"),
    "files": (
        "tests/unit/render/test_file_mounts.py::test_a_file_has_its_text_at_its_path",
        "tests/unit/render/test_file_mounts.py::test_a_secret_is_a_file_of_the_pods_group_alone",
        "tests/unit/load/test_load_pod_files.py::test_a_file_that_can_not_go_into_a_pod",
        "tests/unit/load/test_load_pod_files.py::test_all_files_together_have_a_limit",
    ),
    "before": ("tests/unit/render/test_before.py::test_steps_come_after_staging_and_have_what_the_container_has",),
    "after": (
        f"{_ORDER}::test_jobs_that_follow_each_other_are_taken",
        f"{_ORDER}::test_what_could_never_start_is_refused",
    ),
    "metrics": (
        "tests/unit/render/test_metrics.py::test_a_cluster_that_knows_pod_monitors_gets_one_and_nothing_else_changes",
        "tests/unit/render/test_gpu_metrics.py::test_it_is_on_the_nodes_with_gpus_and_on_no_others",
    ),
    "endpoints": (
        "tests/unit/test_access_default.py::test_a_new_endpoint_is_internal",
        "tests/unit/render/test_endpoint_access.py::test_only_the_networks_of_cidrs_are_let_in",
        f"{_GATEWAYS}::test_the_longest_route_has_the_request_and_whole_parts_of_a_path_count",
        f"{_GATEWAYS}::test_where_the_platforms_load_balancer_ends_tls_the_pods_get_http",
        "tests/faults/test_issued_certificates.py::test_an_endpoint_with_issued_certificates_moves_there_and_back",
        "tests/faults/test_migrate_https.py::test_an_https_endpoint_moves_without_a_failed_request",
    ),
    "variables": (
        f"{_TEXTS}::test_variables_of_every_kind_are_those_that_texts_may_refer_to",
        f"{_TEXTS}::test_a_batch_of_several_pods_knows_its_rank",
    ),
    "local storage": (
        "tests/unit/render/test_local_storage.py::test_each_pod_gets_a_folder_of_its_node_and_asks_for_the_room",
    ),
    "accelerators": (
        "tests/unit/resolve/test_alternatives.py::test_the_first_alternative_that_some_machine_fits",
        f"{_ACCELERATORS}::test_amd_gpus_of_given_nodes_are_asked_for_by_their_own_name",
        "tests/unit/resolve/test_mig_slices.py::test_slices_with_resources_of_their_own_are_asked_for_by_them",
        "tests/unit/resolve/test_racks.py::test_half_a_rack_is_a_gap_that_names_the_size_of_the_rack",
    ),
    "storage that exists": (
        f"{_CLAIMS}::test_a_claim_is_used_as_it_is",
        f"{_CLAIMS}::test_a_claim_that_pods_could_not_use_is_a_gap",
        f"{_CLAIMS}::test_an_export_is_used_everywhere",
        "tests/unit/engine/test_adopted_claims.py::test_destroy_leaves_adopted_claims_and_takes_its_own",
    ),
    "one environment alone": (
        f"{_OVERRIDES}::test_fields_of_the_pod_are_merged_and_said_to_be_not_portable",
        f"{_FABRICS}::test_settings_of_the_file_win_on_every_platform",
        "tests/unit/render/test_mirrors.py::test_images_come_from_the_mirror_of_their_registry",
    ),
    "unknown keys": (
        "tests/unit/load/test_first_tries.py::test_each_first_try_has_a_line_that_says_what_to_write",
        f"{_FOREIGN}::test_a_mapping_where_a_number_is_expected_says_what_it_would_mean",
        f"{_FOREIGN}::test_keys_and_forms_of_environments_are_answered_too",
    ),
    "drain": (
        "tests/unit/engine/test_running_drains.py::test_answers_of_what_is_new_may_take_minutes",
        "tests/unit/engine/test_running_drains.py::test_an_upgrade_keeps_the_grace_of_pods_that_are_up",
    ),
    "replicas by load": (
        "tests/unit/render/test_scaler_program.py::test_an_empty_queue_takes_pods_away_by_and_by",
        "tests/integration/test_replicas_by_load.py::test_replicas_follow_load_up_and_down_without_a_lost_request",
    ),
}

FAULTS: Final[dict[str, tuple[str, ...]]] = {
    "a rank that dies": (
        "tests/faults/test_groups.py::test_groups_move_under_load_and_come_back_as_a_whole",
        "tests/faults/test_group_controller.py::test_a_group_is_made_anew_as_a_whole_while_the_other_one_serves",
    ),
    "health that never answers": (
        "tests/unit/providers/test_kubernetes.py::test_a_pod_that_is_not_ready_says_what_its_health_check_was_answered",
        "tests/unit/providers/test_kubernetes.py::test_a_container_that_the_kubelet_ended_for_its_health_did_not_crash",
    ),
    "a file that can't go into a pod": (
        "tests/unit/load/test_load_pod_files.py::test_a_file_that_can_not_go_into_a_pod",
        "tests/unit/load/test_load_pod_files.py::test_all_files_together_have_a_limit",
    ),
    "after in a circle": (f"{_ORDER}::test_what_could_never_start_is_refused",),
    "a claim that pods could not use": (f"{_CLAIMS}::test_a_claim_that_pods_could_not_use_is_a_gap",),
    "a pod override that fights": (f"{_OVERRIDES}::test_fields_that_would_break_the_pods_are_refused",),
    "a certificate that is not issued": (
        f"{_FAILURES}::test_a_certificate_that_is_not_issued_in_time_has_a_code_and_a_hint",
        f"{_FAILURES}::test_a_certificate_that_is_never_issued_has_the_reason_of_acm",
    ),
    "a user without rights": (
        "tests/unit/test_project.py::test_a_gang_is_held_only_where_the_user_may_make_what_holds_it",
    ),
}

OUTCOMES: Final[dict[str, tuple[str, ...]]] = {
    "each mesh is carried or refused, and comes up": (
        "tests/unit/test_real_deployments.py::test_it_is_carried_or_refused_with_these_gaps",
        "tests/faults/test_real_deployments.py::test_it_comes_up_and_goes",
        "tests/unit/test_real_deployments.py::test_every_mesh_has_its_row_in_the_table",
    ),
    "groups, gRPC and HTTPS move without a failed request": (
        "tests/faults/test_groups.py::test_groups_move_under_load_and_come_back_as_a_whole",
        "tests/faults/test_migrate_protocols.py::test_endpoints_of_other_protocols_than_http_move",
        "tests/faults/test_migrate_https.py::test_an_https_endpoint_moves_without_a_failed_request",
    ),
    "what is adopted is untouched": (
        "tests/integration/test_data_kept.py::test_what_is_adopted_outlives_every_environment_that_uses_it",
    ),
    "what is up is not rolled by an upgrade": (
        "tests/unit/test_recorded_resolved.py::test_the_same_deployment_gives_the_manifests_that_were_recorded",
        "tests/unit/engine/test_running_groups.py::test_an_upgrade_changes_nothing_of_groups_that_are_up",
        "tests/unit/engine/test_running_gangs.py::test_what_is_up_keeps_its_pods",
    ),
}
