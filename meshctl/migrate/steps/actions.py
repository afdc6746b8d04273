"""How each kind of step is observed, done and verified: one row each. EDGE by what the functions do.

`outline` names the actions, `runner` looks them up here.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.migrate.steps import data, environment, finish, lost, names
from meshctl.migrate.steps.work import Action, never_done, nothing

ACTIONS: Mapping[str, Action] = {
    "check-running": Action(never_done, environment.check_running, nothing),
    "check-free": Action(never_done, environment.check_free, nothing),
    "up": Action(environment.observe_up, environment.act_up, environment.verify_up),
    "stop": Action(environment.observe_up, environment.act_up, environment.verify_stop),
    "refresh": Action(environment.observe_refresh, environment.act_refresh, nothing),
    "retire": Action(never_done, environment.act_retire, environment.verify_retire, environment.before_retire),
    "probe": Action(never_done, nothing, environment.verify_probe),
    "observe": Action(never_done, environment.act_observe, nothing),
    "seed": Action(never_done, data.act_seed, nothing),
    "copy": Action(never_done, data.act_copy, nothing),
    "copy-back": Action(never_done, data.act_copy_back, nothing),
    "settle": Action(never_done, data.act_settle, nothing),
    "compare": Action(never_done, data.act_compare, nothing),
    "compare-back": Action(never_done, data.act_compare_back, nothing),
    "names": Action(names.observe_names, names.act_names, names.verify_names, names.before_names),
    "dns": Action(names.observe_dns, nothing, names.verify_dns),
    "ttl": Action(names.observe_ttl, names.act_ttl, nothing),
    "check-names": Action(never_done, names.check_names, nothing),
    "check-lost": Action(never_done, lost.check_lost, nothing),
    "check-data": Action(never_done, finish.check_data, nothing),
}
