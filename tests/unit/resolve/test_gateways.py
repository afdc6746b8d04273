"""Endpoints with `routes` and `tls`: the gateway that carries them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.deploy.guards.running.endpoints import gateway_redirects
from meshctl.errors import DiagnosticsError
from meshctl.lab.images import nginx_rules
from meshctl.load import load
from meshctl.migrate.steps.traffic import canary
from meshctl.model.deployment import Deployment, Endpoint, EndpointCertificate, Resolution
from meshctl.model.observed import Facts
from meshctl.model.served_apis import CERTIFICATE
from meshctl.render import LateValue
from meshctl.render.objects import NumberRange
from meshctl.resolve import resolve
from meshctl.resolve.work import gateways, nginx

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {web: {nodes: 2, cpu: {cores: 4}}}
workloads:
  chat:
    kind: service
    pool: web
    image: "a/b:1"
    ports: {http: 8000, grpc: 50051}
    health: {port: grpc, protocol: grpc}
  embed:
    kind: inference
    pool: web
    image: "a/b:1"
    ports: {https: 8443}
    health: {port: https, path: /up, protocol: https}
  train: {kind: batch, pool: web, image: "a/b:1", ports: {http: 8000}}
  %s: {kind: service, pool: web, image: "a/b:1"}
endpoints:
  api: {host: api.example.com, access: public, %s}
"""
FILE = """\
apiVersion: meshctl/v1
kind: Environments
dns: {provider: route53, zone: example.com}
environments:
  cw: {provider: coreweave, region: US-EAST-04A, objectStorage: {profile: cw}}
  issuing:
    provider: onprem
    kubernetes: {context: dc1}
    certificates: {clusterIssuer: letsencrypt}
  aws: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
"""
ROUTES = "routes: {/v1/embeddings: embed/https, /: chat/http}"
SEALED = f"{ROUTES}, tls: {{secret: api-certificate}}"


SLEEPING = """\
    replicas: {min: 0, max: 2}
    scale: {metric: queue-depth, target: 5}
    metrics: {port: http}
"""


def resolution(
    folder: Path, endpoint: str, environment: str = "cw", *, other: str = "other", facts: Facts | None = None
) -> Resolution:
    (folder / "mesh.yaml").write_text(MESH % (other, endpoint))
    (folder / "environments.yaml").write_text(FILE)
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    return resolve(mesh, environments, environment, load_catalog(), facts)


def deployment(folder: Path, endpoint: str, environment: str = "cw") -> Deployment:
    made = resolution(folder, endpoint, environment).deployment
    assert made is not None
    return made


def refused(folder: Path, endpoint: str, other: str = "other") -> list[str]:
    try:
        resolution(folder, endpoint, other=other)
    except DiagnosticsError as error:
        return [problem.message for problem in error.diagnostics]
    return []


def manifests(made: Deployment) -> dict[str, Any]:
    return {item.name: item for item in render.platform_objects(made)}


def rules(made: Deployment) -> nginx_rules.Rules:
    (text,) = made.workload("api-gateway").files.values()
    return nginx_rules.rules(text)


def backend(made: Deployment, path: str) -> str:
    location = rules(made).location(path)
    return location.value("proxy_pass") if location is not None else ""


@pytest.mark.parametrize("environment", ["cw", "aws"])
def test_a_gateway_is_two_pods_behind_the_endpoints_load_balancer(tmp_path: Path, environment: str) -> None:
    objects = manifests(deployment(tmp_path, SEALED, environment))
    pods = objects["workload/api-gateway:deployment"]
    assert pods.manifest["spec"]["replicas"] == 2
    security = pods.manifest["spec"]["template"]["spec"]
    assert security["securityContext"]["runAsNonRoot"] is True
    assert security["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert security["containers"][0]["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert "workload/api-gateway:disruption-budget" in objects
    ports = objects["workload/api-gateway:load-balancer"].manifest["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(443, "https"), (80, "redirect")]
    targets = {name for name in pods.depends_on if name.startswith(("workload/chat:", "workload/embed:"))}
    # not their pods: a route whose pool has no machines takes down no other route
    assert targets == {"workload/chat:service", "workload/embed:service"}
    assert "workload/chat:load-balancer" not in objects


def test_clients_by_http_are_sent_to_https_only_where_there_is_tls(tmp_path: Path) -> None:
    for environment in ("cw", "aws"):
        redirect = rules(deployment(tmp_path, SEALED, environment)).redirect
        assert redirect is not None
        everywhere = redirect.location("/any/path")
        assert everywhere is not None
        assert everywhere.value("return") == "308"
    plain = deployment(tmp_path, ROUTES)
    assert rules(plain).redirect is None
    assert plain.workload("api-gateway").ports == {"http": 8080}


def test_a_gateway_that_is_up_without_the_redirect_gets_it_with_its_next_change(tmp_path: Path) -> None:
    new = deployment(tmp_path, SEALED)
    gateway = gateways.without_redirect(new.workload("api-gateway"))
    up = new.model_copy(update={"workloads": (gateway,)})
    assert "redirect" not in gateway.ports
    assert "308" not in "".join(gateway.files.values())
    kept = gateway_redirects.as_it_is_up(new, up)
    assert kept.workload("api-gateway") == gateway
    assert kept.endpoints[0].redirect == ""
    assert gateway_redirects.as_it_is_up(new, None) == new
    assert gateway_redirects.as_it_is_up(new, new) == new
    changed = up.model_copy(update={"workloads": (gateway.model_copy(update={"image": "a/nginx:0"}),)})
    assert gateway_redirects.as_it_is_up(new, changed) == new


def test_without_tls_it_listens_for_http(tmp_path: Path) -> None:
    made = deployment(tmp_path, ROUTES)
    (port,) = manifests(made)["workload/api-gateway:load-balancer"].manifest["spec"]["ports"]
    assert port["port"] == 80
    assert rules(made).certificate == ""


def test_the_longest_route_has_the_request_and_whole_parts_of_a_path_count(tmp_path: Path) -> None:
    made = deployment(tmp_path, SEALED)
    wanted = {
        "/": "http://chat:8000",
        "/v1/chat/completions": "http://chat:8000",
        "/v1/embeddings": "https://embed:8443",
        "/v1/embeddings/all": "https://embed:8443",
        "/v1/embeddingsx": "http://chat:8000",
        nginx.HEALTH_PATH: "",
    }
    assert {path: backend(made, path) for path in wanted} == wanted
    assert rules(made).certificate == rules(made).key == nginx.CERTIFICATE


def test_without_a_route_for_the_rest_it_is_not_found(tmp_path: Path) -> None:
    assert rules(deployment(tmp_path, "routes: {/v1: chat/http}")).location("/v2") is None


def test_answers_pass_unbuffered_and_may_take_long(tmp_path: Path) -> None:
    (text,) = deployment(tmp_path, SEALED).workload("api-gateway").files.values()
    for line in ("proxy_buffering off;", "proxy_request_buffering off;", "proxy_read_timeout 3600s;"):
        assert line in text


def test_tls_for_one_port_is_a_gateway_with_one_route(tmp_path: Path) -> None:
    made = deployment(tmp_path, "workload: chat, port: http, tls: {secret: api-certificate}")
    assert backend(made, "/anything") == "http://chat:8000"


def test_the_canary_asks_each_route(tmp_path: Path) -> None:
    made = deployment(tmp_path, SEALED)
    (endpoint,) = made.endpoints
    asked = [(question.protocol, question.path) for question in canary.questions(made, endpoint)]
    assert asked == [("https", nginx.HEALTH_PATH), ("https", "/"), ("https", "/v1/embeddings")]
    assert made.listening_port(endpoint) == 443


def test_an_endpoint_without_a_gateway_is_what_it_was(tmp_path: Path) -> None:
    made = deployment(tmp_path, "workload: chat, port: http")
    expected = Endpoint(name="api", host="api.example.com", workload="chat", port="http", access="public")
    assert made.endpoints == (expected,)
    assert made.listening_port(expected) == 8000
    assert {workload.name for workload in made.workloads} == {"chat", "embed", "train", "other"}


def test_a_certificate_of_the_platform_is_a_gap_where_nobody_makes_it(tmp_path: Path) -> None:
    for environment, facts, best, hint in (
        ("cw", None, "environments.yaml names nobody", "`certificates: {clusterIssuer: letsencrypt}`"),
        ("issuing", Facts(served_apis=()), "does not serve cert-manager.io/v1", "install cert-manager"),
    ):
        gaps = resolution(tmp_path, f"{ROUTES}, tls: true", environment, facts=facts).gaps
        (gap,) = (gap for gap in gaps if gap.subject == "endpoint/api")
        assert best in gap.best
        assert hint in gap.hint


def test_where_the_cluster_serves_certificates_there_is_no_gap(tmp_path: Path) -> None:
    for facts in (Facts(served_apis=(CERTIFICATE,)), Facts()):  # the second was not asked for its APIs
        gaps = resolution(tmp_path, f"{ROUTES}, tls: true", "issuing", facts=facts).gaps
        assert "endpoint/api" not in {gap.subject for gap in gaps}


def test_a_certificate_of_the_platform_is_waited_for_and_read_anew_for_each_connection(tmp_path: Path) -> None:
    made = resolution(tmp_path, f"{ROUTES}, tls: true", "issuing").deployment
    assert made is not None
    objects = manifests(made)
    certificate = objects["workload/api-gateway:certificate"]
    assert certificate.wait
    assert certificate.manifest["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
    assert certificate.manifest["spec"]["dnsNames"] == ["api.example.com"]
    assert certificate.manifest["spec"]["issuerRef"]["name"] == "letsencrypt"
    pods = objects["workload/api-gateway:deployment"]
    assert "workload/api-gateway:certificate" in pods.depends_on
    spec = pods.manifest["spec"]["template"]["spec"]
    assert spec["containers"][0]["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    (volume,) = (volume for volume in spec["volumes"] if "secret" in volume)
    assert volume["secret"]["secretName"] == certificate.manifest["spec"]["secretName"]
    (mount,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == volume["name"])
    assert "subPath" not in mount
    assert rules(made).certificate == f"{mount['mountPath']}/tls.crt"
    assert rules(made).key == f"{mount['mountPath']}/tls.key"
    (text,) = made.workload("api-gateway").files.values()
    assert "ssl_certificate $certificate;" in text


def test_where_the_platforms_load_balancer_ends_tls_the_pods_get_http(tmp_path: Path) -> None:
    made = deployment(tmp_path, f"{ROUTES}, tls: true", "aws")
    (endpoint,) = made.endpoints
    assert endpoint.certificate == EndpointCertificate(zone="example.com")
    objects = manifests(made)
    balancer = objects["workload/api-gateway:load-balancer"].manifest
    ports = balancer["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(443, "http"), (80, "redirect")]
    annotations = {name.rpartition("/")[2]: value for name, value in balancer["metadata"]["annotations"].items()}
    assert annotations["aws-load-balancer-ssl-cert"] == LateValue(render.certificate_name("api"))
    assert annotations["aws-load-balancer-ssl-ports"] == "443"
    assert annotations["aws-load-balancer-type"] == "nlb"
    pods = objects["workload/api-gateway:deployment"].manifest["spec"]["template"]["spec"]
    assert pods["containers"][0]["readinessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert "workload/api-gateway:certificate" not in objects
    assert rules(made).certificate == ""
    (text,) = made.workload("api-gateway").files.values()
    assert "proxy_set_header X-Forwarded-Proto https;" in text  # what the client spoke
    asked = {(question.protocol, question.path) for question in canary.questions(made, endpoint)}
    assert asked == {("https", nginx.HEALTH_PATH), ("https", "/"), ("https", "/v1/embeddings")}


def test_check_says_who_makes_the_certificate_and_where_the_host_is_proven(tmp_path: Path) -> None:
    notes = resolution(tmp_path, f"{ROUTES}, tls: true", "aws").notes
    (note,) = (note for note in notes if "certificate" in note)
    assert note.startswith("endpoint/api: aws makes the certificate of api.example.com and renews it")
    assert "into the zone example.com" in note


def test_a_secret_is_used_by_the_gateway_also_where_the_load_balancer_could_end_tls(tmp_path: Path) -> None:
    made = deployment(tmp_path, SEALED, "aws")
    assert made.endpoints[0].certificate is None
    annotations = manifests(made)["workload/api-gateway:load-balancer"].manifest["metadata"]["annotations"]
    assert not [name for name in annotations if "ssl" in name]


def test_a_host_for_which_the_platform_makes_no_certificate_is_a_gap(tmp_path: Path) -> None:
    host = f"{'a' * 53}.example.com"
    endpoint = f"{ROUTES}, tls: true"
    text = MESH.replace("host: api.example.com", f"host: {host}")
    (tmp_path / "mesh.yaml").write_text(text % ("other", endpoint))
    (tmp_path / "environments.yaml").write_text(FILE)
    mesh, environments = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    (gap,) = resolve(mesh, environments, "aws", load_catalog(), None).gaps
    assert (gap.subject, gap.best) == (
        "endpoint/api",
        "certificates for hosts of at most 64 characters, and this one has 65",
    )
    assert "`tls: {secret: NAME}` in endpoints.api" in gap.hint


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("port: http", 'the required key "workload" is missing; or write `routes: {/: NAME/PORT}`'),
        ("routes: {/: chat/http}, workload: chat", "either `routes`, or `workload` and `port`"),
        ("routes: {}", "no routes: write {/: NAME/PORT}"),
        ("routes: {/: chta/http}", 'no workload named "chta"; did you mean "chat"?'),
        ("routes: {/: chat/htp}", 'no port named "htp"; did you mean "http"?'),
        ("routes: {/: chat}", "write it like chat/http"),
        ("routes: {/a: chat/http, /a/: embed/https}", "/a has the same requests"),
        ("routes: {v1: chat/http}", 'does not begin with "/"'),
        ("routes: {/a b: chat/http}", "is not the beginning of a path"),
        ("routes: {/a/../b: chat/http}", "is not the beginning of a path"),
        ("routes: {'/a;': chat/http}", "is not the beginning of a path"),
        ("routes: {/.meshctl/x: chat/http}", "is where the gateway itself answers"),
        ("routes: {/: train/http}", "is a batch job, which answers no requests"),
        ("routes: {/: chat/grpc}", "speaks gRPC on its port grpc, which a gateway does not carry in this version"),
        ("workload: chat, port: grpc, tls: {secret: c}", "speaks gRPC on its port grpc"),
        ("workload: chat, port: http, tls: false", "without TLS leave this key out"),
        ("workload: chat, port: http, tls: {}", "write {secret: NAME}, or true"),
        ("workload: chat, port: http, tls: certificate", "write {secret: NAME}, or true"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(tmp_path: Path, endpoint: str, message: str) -> None:
    messages = refused(tmp_path, endpoint)
    assert len(messages) == 1, messages
    assert message in messages[0]


def test_a_workload_may_not_have_the_gateways_name(tmp_path: Path) -> None:
    (message,) = refused(tmp_path, ROUTES, other="api-gateway")
    assert 'would be called "api-gateway"' in message


def test_before_what_may_have_no_pod_stands_what_holds_its_requests(tmp_path: Path) -> None:
    """Tried with nginx 1.22.1: 30 requests that came while nobody listened, those with bodies of 3 MB, each answered
    once; each of GET, PUT, DELETE and POST whose pod broke off ran once, also after it had been held."""
    (tmp_path / "mesh.yaml").write_text(
        (MESH % ("other", f"{ROUTES}, tls: {{secret: api-certificate}}")).replace(
            "    health: {port: grpc, protocol: grpc}\n", SLEEPING
        )
    )
    (tmp_path / "environments.yaml").write_text(FILE)
    mesh, environments = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    deployment = resolve(mesh, environments, "cw", load_catalog()).deployment
    assert deployment is not None
    text = deployment.workload("api-gateway").files[gateways._CONFIG]
    rules = nginx_rules.rules(text)
    (server,) = rules.upstreams["woken-0"].servers
    assert (server.address, server.max_fails) == ("chat:8000", 0)
    for location in (rules.prefixes["/"], rules.prefixes["@again-0"]):
        assert location.value("proxy_pass") == "http://woken-0"
        assert (location.value("proxy_request_buffering"), location.value("proxy_next_upstream")) == ("on", "off")
        assert [each.words[1:] for each in location.all("error_page")] == [("502", "504", "=", "@held-0")]
    held = rules.prefixes["@held-0"]
    assert held.value("proxy_pass") == "http://chat-scaler:8080"
    assert held.value("if") == "($pod_may_have_it)", "what a pod may have got is not sent again"
    own = {each.words[1]: each.words[2] for each in held.all("proxy_set_header")}
    assert own == {**rules.set_headers, "Meshctl-Again": "@again-0"}
    later = rules.prefixes["@later"]
    assert (later.value("return"), [each.words[2] for each in later.all("add_header")]) == ("503", ["10"])
    assert rules.exact["/v1/embeddings"].value("proxy_pass") == "https://embed:8443", "others are asked as ever"
    items = {item.name: item for item in render.platform_objects(deployment)}
    assert "workload/chat:scaler-service" in items["workload/api-gateway:deployment"].depends_on
    service = items["workload/chat:scaler-service"].manifest
    pod = items["workload/chat:scaler"].manifest["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert container["command"][-1] == "/scaler/waker.py"
    assert container["ports"] == [{"name": service["spec"]["ports"][0]["targetPort"], "containerPort": 8080}]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert (variables["SCALE_MIN"], variables["SCALE_MAX"], variables["WAKE_LIMIT_S"]) == ("0", "2", "300")
    assert "vllm:num_requests_running" in str(variables["WAKE_IDLE_SERIES"]).split(",")
    assert variables["WAKE_PROBE_PATHS"] == "/metrics", "no health by HTTP"
    assert "http_requests_total" not in str(variables["WAKE_SERVER_SERIES"]).split(",")
    assert set(items["workload/chat:scaler-files"].manifest["data"]) == {"scaler.py", "waker.py"}
    chat = items["workload/chat:deployment"]
    assert (chat.manifest["spec"]["replicas"], chat.number_range) == (1, NumberRange("replicas", 0, 2))
    assert chat.manifest["metadata"]["annotations"]["meshctl.dev/replicas"] == "0 to 2"


def test_a_header_of_tls_that_the_load_balancer_ends_is_that_of_held_requests_too() -> None:
    settings = nginx.Settings(1, {"/": "http://a:1"}, "before", wakers={"http://a:1": "a-scaler:8080"})
    assert "X-Forwarded-Proto $scheme" not in nginx.config(settings)
