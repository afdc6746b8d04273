"""The WSGI layer in front of moto: credentials, faults, then the lab's own services or moto's. EDGE.

Started by `__main__`. Every call but S3's runs alone: moto's backends look into each other and know no locks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Response

from meshctl.lab.aws import constraints, errors, rules, zones
from meshctl.lab.aws.acm import Acm
from meshctl.lab.aws.auto_scaling import AutoScaling
from meshctl.lab.aws.call import Call, identify
from meshctl.lab.aws.ec2 import dry_runs, zone_letters
from meshctl.lab.aws.ec2.ec2 import Ec2
from meshctl.lab.aws.ec2.unseen import Unseen
from meshctl.lab.aws.eks import Eks
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.faults import Faults
from meshctl.lab.aws.fsx import Fsx
from meshctl.lab.aws.iam import service_roles
from meshctl.lab.aws.iam.credentials import Credentials, principal
from meshctl.lab.aws.iam.guard_rails import GuardRails
from meshctl.lab.aws.iam.rights import Rights
from meshctl.lab.aws.iam.simulations import Simulations
from meshctl.lab.aws.quotas import Quotas, ServiceQuotas
from meshctl.lab.aws.regions import Regions
from meshctl.lab.aws.route53 import Route53
from meshctl.lab.aws.service import Service, parsed
from meshctl.lab.aws.ssm import Ssm

log = logging.getLogger(__name__)
# What these answer is no refusal: waits for an end ask until the API knows the thing no more.
READING = ("Describe", "Get", "List", "Head")
OPEN = ("/moto-api",)  # moto's own page, for readiness: no AWS API


class LabApi:
    """The WSGI application."""

    def __init__(self, root: Path) -> None:
        default_user_config["iam"]["load_aws_managed_policies"] = True  # the stacks attach AWS's own policies
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.credentials = Credentials(root)
        self.rights = Rights(root)
        self.faults = Faults(root)
        self.guard_rails = GuardRails(root)
        self.unseen = Unseen(root)
        self.regions = Regions(root)
        quotas = Quotas(root)
        ec2 = Ec2(quotas, self.regions)
        self.eks = Eks(root, self.credentials, self.faults, ec2, quotas)
        ec2.nodes_of = self.eks.instances
        self.acm = Acm(root)
        self.services: dict[str, Service] = {
            "acm": self.acm,
            "autoscaling": AutoScaling(self.eks),
            "ec2": ec2,
            "eks": self.eks,
            "fsx": Fsx(quotas),
            "iam": Simulations(root, self.rights),
            "route53": Route53(),
            "service-quotas": ServiceQuotas(quotas),
            "ssm": Ssm(root),
        }
        self.lock = threading.RLock()
        zones.create()
        service_roles.apply()
        zone_letters.apply(root)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith(OPEN):
            answer: Iterable[bytes] = self.moto(environ, start_response)
            return answer
        call = identify(environ)
        if call.service == "s3":
            return self._answer(call, start_response)
        call.body  # noqa: B018 (read before the lock is taken: a slow client holds up nobody)
        with self.lock:
            return self._answer(call, start_response)

    def settle(self) -> None:
        """Let time pass for what becomes ready by itself."""
        with self.lock:
            for service in (self.eks, self.acm):
                try:
                    service.settle()
                except Exception:  # tried again a moment later
                    log.exception("settling %s", service.name)

    def _check_rights(self, call: Call) -> None:
        profile = self.credentials.profile_of(call.access_key)
        if profile and self.rights.policies(profile) is not None:
            given = {} if call.service == "s3" else parsed(call)  # of S3 the path says it all
            self.rights.check(call, profile, principal(call.access_key), given)

    def _make_linked_role(self, call: Call) -> None:
        """The role that the service makes for itself, in the name of whoever calls. Raises: ApiError."""
        role = service_roles.needed(call.service, call.operation)
        if role is None:
            return
        profile = self.credentials.profile_of(call.access_key)
        for request in role.requests() if profile else ():
            if not self.rights.allow(profile, request):
                raise role.refusal(request)
        service_roles.make(role)

    def _answer(self, call: Call, start_response: Callable[..., Any]) -> Iterable[bytes]:
        own = self.services.get(call.service)
        try:
            with self.lock:
                self.credentials.check(call)
                self.regions.check(call)
                self._check_rights(call)
                if not dry_runs.is_one(call):  # faults are for what is made
                    self.faults.check(call)
                self.guard_rails.check(call)
                self.unseen.check(call)
                self._make_linked_role(call)
            if call.service != "s3":
                constraints.check(call, own.invalid if own is not None and own.replaces_moto else "")
            dry_runs.check(call)
            if own is not None and (own.replaces_moto or own.handles(call)):
                response: Response = own.respond(call)
            else:
                if own is not None:
                    own.before(call)
                return self._of_moto(call, start_response)
        except ApiError as error:
            _log_refusal(call, error)
            response = errors.response(call, error)
        except Exception as error:  # the API stays up, its clients see a server's error
            log.exception("%s %s", call.service, call.operation)
            response = errors.response(call, ApiError("InternalFailure", f"{type(error).__name__}: {error}"))
        return response(call.environ, start_response)

    def _of_moto(self, call: Call, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer: Iterable[bytes] = self.moto(call.environ, start_response)
        if not self.unseen.watches(call):
            return answer
        whole = b"".join(answer)
        self.unseen.made(call, whole)
        return [whole]


def _log_refusal(call: Call, error: ApiError) -> None:
    """One line with the source of the rule."""
    if error.code == dry_runs.CODE:  # a yes
        return
    if error.rule is None and call.operation.startswith(READING):
        return
    rule = error.rule or rules.by_reference(call.service, call.operation)
    log.warning(
        "refused %s: %s: %s (rule %s, source: %s)", call.operation, error.code, error.message, rule.id, rule.source
    )
