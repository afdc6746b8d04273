"""The program that moves replicas reads what each of the lab's inference servers answers to Prometheus."""

from __future__ import annotations

import pytest

from meshctl.model.keys import scaling
from tests.unit.lab_pods.test_inference_server import Client
from tests.unit.render.test_scaler_program import SETTINGS, loaded_program


@pytest.mark.parametrize(
    ("server", "path"), [("vllm", "/metrics"), ("sglang", "/metrics"), ("tgi", "/metrics"), ("nim", "/v1/metrics")]
)
def test_the_names_of_a_metric_fit_each_server(server: str, path: str) -> None:
    client = Client("--lab-server", server).load()
    try:
        client.ask("/v1/completions", {"prompt": "a"})
        with loaded_program() as scaler:
            for metric, value in ((scaling.QUEUE_DEPTH, 0), (scaling.CONCURRENCY, 0), (scaling.REQUESTS, 1)):
                variables = {
                    **SETTINGS,
                    "SCALE_SERIES": ",".join(scaling.series(metric)),
                    "METRICS_PORT": str(client.server.server_address[1]),
                    "METRICS_PATH": path,
                }
                reading = scaler.read_metrics(scaler.read_settings(variables), "127.0.0.1")
                assert reading == scaler.Reading(value, is_counter=metric == scaling.REQUESTS)
            silent = scaler.read_settings({**SETTINGS, "METRICS_PORT": "1"})
            assert scaler.read_metrics(silent, "127.0.0.1") is None
    finally:
        client.close()
