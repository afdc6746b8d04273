"""The table of actions: which functions observe, do and verify each kind of step. EDGE by what the functions do.

A step of the step plan names its action; `runner` looks it up here.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.migrate.steps import checks, data, environment, fabrics, finish, lost, replicas, stopping
from meshctl.migrate.steps.context import Action, never_done, nothing
from meshctl.migrate.steps.order.step_parts import MEASURE
from meshctl.migrate.steps.traffic import dns_records, gateway_shares, health, shares

ACTIONS: Mapping[str, Action] = {
    "check-running": Action(never_done, checks.check_running, nothing),
    "check-free": Action(never_done, checks.check_free, nothing),
    "count-replicas": Action(never_done, replicas.count, nothing),
    "count-share": Action(never_done, replicas.count_share, nothing),
    "keep-replicas": Action(never_done, replicas.keep, nothing),
    "up": Action(environment.observe_up, environment.act_up, environment.verify_up),
    MEASURE: Action(never_done, fabrics.act_measure, nothing),
    "stop": Action(environment.observe_up, environment.act_up, stopping.verify_stop),
    "refresh": Action(stopping.observe_refresh, stopping.act_refresh, nothing),
    "destroy": Action(never_done, environment.act_destroy, environment.verify_destroy, environment.before_destroy),
    "probe": Action(never_done, nothing, health.verify_probe),
    "observe": Action(never_done, health.act_observe, nothing),
    "seed": Action(never_done, data.act_seed, nothing),
    "copy": Action(never_done, data.act_copy, nothing),
    "copy-back": Action(never_done, data.act_copy_back, nothing),
    "settle": Action(never_done, data.act_settle, nothing),
    "compare": Action(never_done, data.act_compare, nothing),
    "compare-back": Action(never_done, data.act_compare_back, nothing),
    "dns-records": Action(
        dns_records.observe_dns_records,
        dns_records.act_dns_records,
        dns_records.verify_dns_records,
        dns_records.before_dns_records,
    ),
    "dns": Action(dns_records.observe_dns, nothing, dns_records.verify_dns),
    "ttl": Action(dns_records.observe_ttl, dns_records.act_ttl, nothing),
    "split-records": Action(shares.observe_records, shares.act_records, shares.verify_records),
    "gateway-share": Action(never_done, gateway_shares.act, gateway_shares.verify),
    "split-names": Action(shares.observe_names, shares.act_names, shares.verify_names),
    "split-dns": Action(never_done, nothing, shares.verify_dns),
    "unsplit": Action(shares.observe_removed, shares.act_remove, nothing),
    "check-dns-records": Action(never_done, dns_records.check_dns_records, nothing),
    "check-lost": Action(never_done, lost.check_lost, nothing),
    "check-data": Action(never_done, finish.check_data, nothing),
}
