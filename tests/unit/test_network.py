"""Whether the Hub is reached through what the environment names."""

import socket

import pytest

from studio import network


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch):
    monkeypatch.setattr(network, "_last", None)
    for name in ("HF_HUB_OFFLINE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_proxy_is_asked_with_and_without_its_scheme(monkeypatch, listening, scheme):
    monkeypatch.setenv("https_proxy", scheme + listening)
    assert network.hub_reachable()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:port", "http://127.0.0.1:99999"])
def test_a_proxy_that_is_none_means_not_reachable(monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    assert not network.hub_reachable()


def test_offline_asks_nobody(monkeypatch, listening):
    monkeypatch.setenv("HF_ENDPOINT", f"http://{listening}")
    assert network.hub_reachable()
    monkeypatch.setattr(network, "_last", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not network.hub_reachable()
