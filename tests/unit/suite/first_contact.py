"""What real AWS refuses or does otherwise at the first `up`, and the tests that show what becomes of it. PURE.

`FINDINGS`: by the number of the finding, of a review of meshctl against AWS's documentation and issue trackers. In its
tests the lab refuses or degrades as AWS does, and meshctl says so before or deals with it. `REFUSALS`: calls that the
lab once accepted and AWS never does. `FAULTS`: what goes wrong meanwhile. A test of a finding says the number in its
name or docstring.
"""

from __future__ import annotations

from typing import Final

_REFUSALS: Final = "tests/integration/test_lab_eks_refusals.py"
_HEARD: Final = "tests/integration/test_lab_preflight.py"
_GROWTH: Final = "tests/integration/test_lab_eks_growth.py"
_EKS: Final = "tests/integration/test_lab_eks.py"
_ACCOUNT: Final = "tests/unit/preflight/test_aws_account.py"
_PREFLIGHT: Final = "tests/unit/preflight/test_aws_preflight.py"
_VCPUS: Final = "tests/unit/preflight/test_vcpu_room.py"
_COUNTS: Final = "tests/unit/preflight/test_counts.py"
_RESERVATIONS: Final = "tests/unit/preflight/test_aws_reservations.py"
_OFFERINGS: Final = "tests/unit/resolve/test_offerings.py"
_RULES: Final = "tests/unit/resolve/test_resolve_rules.py"
_TOKENS: Final = "tests/unit/stacks/test_tokens.py"
_HARDWARE: Final = "tests/unit/lab_pods/test_hardware.py"
_REGISTRIES: Final = "tests/unit/lab_pods/test_foreign_registries.py"
_NODES: Final = "tests/unit/lab/test_lab_nodes.py"
_TARGETS: Final = "tests/unit/lab_pods/test_network_targets.py"
_ANSWERS: Final = "tests/unit/test_endpoint_answers.py"
_FAILURES: Final = "tests/unit/engine/test_failures.py"
_SESSION: Final = "tests/unit/preflight/test_session_credentials.py"
_DRY_RUNS: Final = "tests/unit/preflight/test_dry_runs.py"
_NOTHING: Final = "tests/faults/test_up_makes_nothing.py"
_ADDONS: Final = "tests/unit/providers/test_addon_readiness.py"
_PROVIDER: Final = "tests/contract/test_aws_provider.py"
_NODE_GROUPS: Final = "tests/contract/test_node_groups.py"

FINDINGS: Final[dict[str, tuple[str, ...]]] = {
    "A1": (
        f"{_REFUSALS}::TestAtOnce::test_a_type_that_one_of_the_zones_does_not_have",
        f"{_OFFERINGS}::test_a1_check_says_offline_that_a_region_does_not_have_the_machine",
        f"{_PREFLIGHT}::test_a1_a_pool_goes_where_its_machine_is",
        f"{_ACCOUNT}::test_a1_a_zone_that_the_account_does_not_have_is_told",
        f"{_FAILURES}::test_a_zone_without_the_machine_has_a_hint",
    ),
    "A2": (
        "tests/unit/clients/test_token_caller.py::test_who_has_no_access_entry_is_named_as_an_entry_would",
        f"{_TOKENS}::test_administrators_get_in_before_the_platform_comes_and_leave_after_it",
        "tests/faults/test_iam_enforced.py::test_one_user_brings_up_what_another_changes_and_destroys",
    ),
    "A3": (
        f"{_EKS}::TestClusters::test_a_private_cluster_does_not_answer_outside_its_vpc",
        f"{_ACCOUNT}::test_a3_a_private_cluster_is_refused_while_its_vpc_is_not_there",
        f"{_ACCOUNT}::test_a3_check_says_offline_that_a_new_private_cluster_is_refused",
    ),
    "A4": (
        f"{_HARDWARE}::test_a4_the_trainer_ends_as_libfabric_ends_it",
        f"{_HARDWARE}::test_a4_what_meshctl_sets_ends_no_trainer",
        f"{_RULES}::test_a_device_that_can_not_read_remote_memory_is_not_asked_to",
    ),
    "A5": (
        f"{_REFUSALS}::TestLater::test_no_machines_at_the_moment",
        f"{_REFUSALS}::test_a_fault_with_a_code_that_eks_does_not_have_is_an_error_of_the_lab",
        f"{_FAILURES}::test_the_code_of_ec2_is_read_out_of_the_text_that_eks_passes_on",
        f"{_FAILURES}::test_a5_nodes_that_do_not_join_have_a_hint_and_missing_machines_go_before_them",
        f"{_GROWTH}::test_a5_a_new_group_without_machines_has_two_issues_and_the_nodes_that_started",
    ),
    "A6": (
        f"{_REFUSALS}::TestLater::test_no_quota_for_accelerated_instances",
        f"{_GROWTH}::test_a6_a_group_that_grows_beyond_the_quota_has_the_nodes_that_start_and_is_degraded",
        f"{_REFUSALS}::test_elastic_addresses_and_vpcs_of_a_new_account",
        f"{_PREFLIGHT}::test_a6_a_quota_that_is_too_small_names_the_command_that_raises_it",
        f"{_PREFLIGHT}::test_a6_addresses_and_vpcs_are_counted",
        f"{_HEARD}::test_a6_the_quota_of_one_mesh_is_not_enough_for_a_second_one",
        f"{_VCPUS}::test_a6_one_node_of_somebody_else_leaves_too_little_of_a_quota_that_fits",
        "tests/unit/stacks/test_nat_gateways.py::test_a6_one_gateway_in_the_first_zone_serves_all",
        f"{_REFUSALS}::test_more_node_groups_and_nodes_than_a_cluster_may_have",
        f"{_REFUSALS}::test_more_nat_gateways_in_a_zone_than_the_quota",
        f"{_REFUSALS}::test_more_lustre_than_the_quota",
        f"{_COUNTS}::test_a6_an_account_with_all_the_clusters_that_it_may_have",
        f"{_COUNTS}::test_a6_gateways_are_counted_in_each_zone",
        f"{_COUNTS}::test_a6_lustre_is_counted_by_its_size",
        f"{_COUNTS}::test_a6_a_pool_for_each_node_group_of_a_cluster",
        f"{_COUNTS}::test_a6_a_pool_with_more_nodes_than_a_node_group_may_have",
    ),
    "A7": (
        f"{_TOKENS}::test_a_pool_without_machines_holds_up_only_what_runs_on_it",
        "tests/unit/preflight/test_scarce_pools.py::test_other_zones_and_machines_are_worth_a_try",
        "tests/faults/test_aws_story.py::test_a7_up_goes_on_once_there_are_machines",
        f"{_GROWTH}::test_a7_a_group_that_could_not_grow_stays_degraded_until_it_has_grown",
        f"{_GROWTH}::test_a7_what_was_missing_starts_as_soon_as_there_is_capacity",
        f"{_GROWTH}::test_a7_another_type_of_the_group_starts_where_the_first_is_refused",
        f"{_NODE_GROUPS}::test_a7_a_group_that_could_not_grow_can_be_made_smaller_again",
        f"{_NODE_GROUPS}::test_a7_a_group_that_eks_calls_active_for_a_while_is_waited_for",
        f"{_NODE_GROUPS}::test_a7_a_growth_that_did_not_come_to_its_end_goes_on_with_the_next_run",
        "tests/faults/test_up_growth.py::test_a7_a_pool_that_grows_beyond_what_there_is",
    ),
    "A8": (
        f"{_REFUSALS}::TestLater::test_a_reservation_that_is_unknown_elsewhere_or_too_small",
        f"{_REFUSALS}::TestLater::test_a_capacity_block_before_it_begins",
        f"{_RESERVATIONS}::test_a8_a_block_that_the_pool_can_not_have_is_a_gap_before_anything_is_made",
        f"{_RESERVATIONS}::test_a8_a_block_that_has_not_begun_is_told_with_its_start_and_end",
        f"{_PREFLIGHT}::test_a8_a_reservation_that_the_pool_can_not_have",
        f"{_NODE_GROUPS}::test_a8_nodes_of_a_capacity_block_go_before_they_get_another_template",
        f"{_NODE_GROUPS}::test_a8_a_group_whose_block_has_ended_is_emptied_although_it_is_degraded",
        "tests/faults/test_capacity_blocks.py::test_a8_a_pool_waits_for_its_block_and_gets_its_nodes_in_the_next_one",
    ),
    "A9": (
        f"{_EKS}::TestNodegroups::test_nodes_are_replaced_in_batches",
        f"{_TOKENS}::test_a_large_pool_is_updated_by_shares_with_a_deadline_to_fit",
        f"{_NODE_GROUPS}::test_finding_a9_a_change_arrives_that_is_made_while_another_update_runs",
        f"{_NODE_GROUPS}::test_finding_a9_the_next_run_waits_for_the_update_that_an_interrupted_one_began",
    ),
    "A10": (
        f"{_REGISTRIES}::test_a10_an_image_of_another_partition_can_not_be_pulled",
        f"{_REGISTRIES}::test_a10_the_efa_plugin_can_be_pulled_where_it_is_meant_for",
        "tests/unit/resolve/test_partitions.py::test_a10_the_efa_plugin_comes_from_a_registry_of_the_partition",
    ),
    "A11": (
        f"{_REFUSALS}::TestLater::test_dns_on_a_cluster_without_a_node_that_takes_it",
        f"{_REFUSALS}::test_an_addon_is_as_healthy_as_its_replicas",
        f"{_ADDONS}::test_a11_dns_with_nodes_that_take_it_is_waited_for",
        f"{_ADDONS}::test_a11_dns_that_does_not_come_fails_with_what_eks_says",
        f"{_RULES}::test_gpu_nodes_carry_no_taint_beside_a_cpu_pool_that_may_be_empty",
    ),
    "A12": (
        "tests/integration/test_lab_aws_rights.py"
        "::test_a_service_makes_its_own_role_with_the_rights_of_who_first_calls_it",
        "tests/unit/platforms/test_iam_policy.py::test_every_operation_of_every_row_is_allowed_where_the_row_is_declared",
        f"{_FAILURES}::test_a_missing_right_leads_to_the_policy",
        "tests/faults/test_iam_enforced.py::test_one_user_brings_up_what_another_changes_and_destroys",
    ),
    "A13": (
        f"{_NODE_GROUPS}::test_the_size_that_others_gave_a_node_group_stays_within_the_bounds",
        f"{_NODE_GROUPS}::test_what_is_no_scaling_sends_no_sizes",
    ),
    "A14": (
        f"{_NODES}::TestEks::test_efa_is_there_for_the_interfaces_of_the_template_alone",
        f"{_RULES}::test_a_machine_whose_efa_cards_are_not_known_has_no_fabric",
        f"{_RULES}::test_a14_a_machine_that_nobody_has_confirmed_is_placed_where_it_would_work_with_a_note",
    ),
    "B2": (
        f"{_NODES}::test_b2_a_p5_reports_what_a_real_one_reports",
        f"{_NODES}::test_b2_a_p4de_keeps_half_as_many_huge_pages",
        "tests/unit/resolve/test_resolve_fit.py::test_a_pod_does_not_get_the_whole_machine",
    ),
    "B3": (
        f"{_TARGETS}::test_b3_under_local_only_nodes_with_pods_are_passed_through",
        f"{_TARGETS}::test_b3_open_connections_end_with_the_node_that_they_pass_through",
        f"{_TARGETS}::test_b3_a_new_load_balancer_has_its_name_before_dns_knows_it",
        "tests/unit/test_endpoint_nodes.py::test_b3_a_new_endpoint_on_aws_asks_only_nodes_with_its_pods",
        f"{_ANSWERS}::test_b3_up_waits_until_a_new_load_balancer_answers",
    ),
    "B4": (
        f"{_REFUSALS}::TestLater::test_too_few_addresses",
        f"{_REFUSALS}::TestLater::test_nodes_of_another_group_take_addresses",
        f"{_GROWTH}::test_b4_a_group_grows_into_the_addresses_that_are_left",
        f"{_OFFERINGS}::test_b4_a_network_without_room_for_the_nodes_is_told_offline",
        f"{_ACCOUNT}::test_b4_a_pool_that_grows_asks_for_free_addresses",
        "tests/unit/stacks/test_warm_addresses.py::test_b4_nodes_with_efa_keep_a_few_addresses_ready_and_not_a_hundred",
    ),
    "B5": (
        "tests/unit/test_node_setup.py::test_b5_new_nodes_are_set_up_for_what_runs_on_them",
        "tests/unit/test_node_setup.py::test_b5_nodes_that_are_up_keep_what_they_came_up_with",
        "tests/unit/test_node_setup.py::test_b5_pods_ask_for_no_more_huge_pages_than_a_node_has",
        "tests/unit/stacks/test_aws_documents.py::test_b5_new_nodes_get_what_efa_and_lustre_need",
    ),
    "B6": (
        f"{_REFUSALS}::TestLater::test_spot_instances_of_an_account_that_never_had_any",
        f"{_ACCOUNT}::test_b6_an_account_that_never_had_spot_instances_is_told_to_make_their_role",
        f"{_FAILURES}::test_the_code_of_ec2_is_read_out_of_the_text_that_eks_passes_on",
    ),
    "B7": (
        "tests/unit/resolve/test_resolve_storage.py::test_b7_a_long_copy_before_the_start_is_waited_for",
        "tests/unit/render/test_probes.py::test_b7_what_is_copied_before_the_start_has_its_time",
    ),
    "B8": (
        "tests/unit/resolve/test_docker_hub.py::test_b8_many_nodes_without_a_login_are_told",
        "tests/unit/resolve/test_docker_hub.py::test_b8_every_image_of_meshctl_can_come_from_a_mirror",
    ),
    "B9": (
        f"{_EKS}::TestClusters::test_the_log_group_comes_back_after_its_cluster",
        f"{_TOKENS}::test_b9_the_log_group_goes_after_all_else",
        f"{_PROVIDER}::test_a_log_group_that_a_service_made_by_itself_is_taken_over",
    ),
    "B10": (
        "tests/unit/lab/test_lab_volumes.py::test_b10_a_driver_without_a_role_makes_no_volume_and_says_so",
        "tests/unit/lab/test_lab_volumes.py::test_b10_file_systems_of_a_mesh_need_no_driver_that_makes_them",
    ),
    "B11": (
        f"{_SESSION}::test_b11_credentials_that_end_before_up_does_are_told",
        f"{_SESSION}::test_b11_doctor_says_when_they_end",
    ),
}

REFUSALS: Final[dict[str, tuple[str, ...]]] = {
    "a type that a zone or nobody has": (
        f"{_REFUSALS}::TestAtOnce::test_a_type_that_one_of_the_zones_does_not_have",
        f"{_REFUSALS}::TestAtOnce::test_a_type_that_does_not_exist",
    ),
    "a p5 with an image for ARM, or without a driver": (
        f"{_REFUSALS}::TestAtOnce::test_an_image_of_another_architecture",
        f"{_NODES}::TestEks::test_an_image_without_the_driver_shows_no_gpu",
    ),
    "a capacity block that does not exist": (
        f"{_REFUSALS}::TestLater::test_a_reservation_that_is_unknown_elsewhere_or_too_small",
    ),
    "64 EFA cards, and a group that does not exist": (
        f"{_REFUSALS}::TestLater::test_more_efa_interfaces_than_the_machine_has",
        f"{_REFUSALS}::TestLater::test_a_security_group_that_does_not_exist",
    ),
    "a template with SubnetId or IamInstanceProfile": (
        f"{_REFUSALS}::TestAtOnce::test_what_a_launch_template_of_managed_nodes_can_not_hold",
    ),
    "EKS in subnets of /28": (f"{_REFUSALS}::TestLater::test_a_control_plane_without_room_in_its_subnets",),
    "12 Elastic IPs": (f"{_REFUSALS}::test_elastic_addresses_and_vpcs_of_a_new_account",),
    "coredns on a cluster without a node": (
        f"{_REFUSALS}::TestLater::test_dns_on_a_cluster_without_a_node_that_takes_it",
    ),
    "Kubernetes 1.99": (f"{_REFUSALS}::TestAtOnce::test_an_unsupported_version_of_kubernetes",),
}

_ASKING: Final = "tests/unit/preflight/test_asking_aws.py"
_RIGHTS: Final = "tests/unit/preflight/test_rights.py"
_IAM: Final = "tests/faults/test_iam_enforced.py"
_EQUAL: Final = "tests/unit/preflight/test_equal_machines.py"

# What goes wrong between the questions and the end of a run, or with the questions themselves.
FAULTS: Final[dict[str, tuple[str, ...]]] = {
    "a question that is denied or throttled": (
        f"{_ASKING}::test_a_call_that_is_denied_or_throttled_leaves_the_others",
        f"{_PREFLIGHT}::test_what_may_not_be_asked_is_said",
    ),
    "a question that is slow": (
        f"{_ASKING}::test_a_call_that_hangs_is_given_up_in_time",
        f"{_ASKING}::test_a_connection_that_breaks_is_no_answer",
    ),
    "a quota that is raised meanwhile": (
        "tests/unit/preflight/test_asked_once.py::test_a6_a_quota_that_is_raised_meanwhile_counts_in_the_next_run",
    ),
    "a subnet that is deleted between the questions and the run": (
        f"{_FAILURES}::test_a_subnet_that_went_after_the_preflight_has_a_hint",
        "tests/faults/test_up_subnet_gone.py::test_a_subnet_that_goes_between_the_questions_and_the_nodes",
        f"{_PROVIDER}::test_a_subnet_that_went_is_seen_to_be_gone",
    ),
    "a role that a guard rail forbids": (
        f"{_RIGHTS}::test_a_guard_rail_of_the_organization_is_named_and_keeps_nobody_from_trying",
        f"{_RIGHTS}::test_a_guard_rail_with_an_exemption_that_the_simulation_does_not_see_is_a_note",
        f"{_IAM}::test_one_user_brings_up_what_another_changes_and_destroys",
    ),
    "a guard rail on machines, tags or regions": (
        f"{_DRY_RUNS}::test_a_guard_rail_on_instances_is_named_before_anything_is_made",
        f"{_DRY_RUNS}::test_a_guard_rail_on_regions_is_one_gap",
        f"{_NOTHING}::test_a_guard_rail_on_machines_or_regions_is_found_by_dry_runs_and_nothing_is_made",
    ),
    "an up that AWS would refuse, which makes nothing": (
        f"{_NOTHING}::test_with_a_quota_of_0_nothing_is_made",
        f"{_NOTHING}::test_without_an_offering_nothing_is_made",
        f"{_NOTHING}::test_with_a_block_that_has_expired_nothing_is_made",
        f"{_NOTHING}::test_in_a_network_of_24_nothing_is_made",
        f"{_NOTHING}::test_who_may_neither_ask_nor_make_gets_one_answer_and_nothing_is_made",
        f"{_NOTHING}::test_who_may_make_it_and_not_ask_about_it_hears_what_was_not_asked",
    ),
    "a second engineer with half of the rights": (
        f"{_RIGHTS}::test_half_of_the_rights_is_one_gap_with_every_action",
        f"{_IAM}::test_one_user_brings_up_what_another_changes_and_destroys",
    ),
    "a region that is not enabled": (
        f"{_ACCOUNT}::test_a_region_that_is_not_enabled_is_told",
        f"{_ASKING}::test_a_region_that_refuses_the_keys_is_no_fault_of_the_keys",
    ),
    "a block that ends while up runs, or before it": (
        "tests/faults/test_capacity_blocks.py::test_a8_a_block_that_ends_while_up_runs_leaves_all_else_up",
        "tests/unit/preflight/test_scarce_pools.py::test_a8_the_words_for_a_block_that_is_over_name_it_and_that_all_else_is_up",
        "tests/unit/preflight/test_scheduled_blocks.py::test_a8_an_up_after_the_end_goes_on_with_the_rest_and_ends_with_what_is_missing",
        f"{_NODE_GROUPS}::test_a8_a_group_whose_block_has_ended_is_emptied_although_it_is_degraded",
    ),
    "a first up that is killed, and other answers at the next one": (
        f"{_EQUAL}::test_finding_a7_a_group_of_a_first_run_that_was_killed_keeps_its_types_zones_and_set_up",
        "tests/faults/test_up_killed.py::test_a7_a_group_of_a_killed_first_up_is_kept_where_the_platform_answers_no_more",
    ),
}
