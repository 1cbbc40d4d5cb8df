"""Embeddings of a model that may not share them: to this machine only, on every way that a request may take."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.client import Client
from glam.client_http import OPENER
from glam.local_server import free_port, local_server
from glam.predict import Predictor
from glam_serve.hub import Hub
from glam_serve.limits import Limits
from glam_serve.schema import PredictionBody
from glam_serve.server import make_server, model_body
from glam_serve.sharing import stays_here
from glam_serve.worker import ModelAnswer, ModelRequest, answer_together

EVERYTHING = frozenset({"embedding", "attention", "frame", "findings", "pooling"})
HEADERS = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Via",
    "x-ReAl-Ip",
    "X_Forwarded_For",
    "CF-Connecting-IP",
    "X-Azure-ClientIP",
    "WL-Proxy-Client-IP",
    "X-ARR-LOG-ID",
    "CDN-Loop",
    "X-Envoy-External-Address",
    "X-Originating-IP",
    "X-Remote-Addr",
    "Tailscale-User-Login",
]


def request(bundle: Bundle, host: str | None, headers: dict[str, str], *, peer: str = "127.0.0.1") -> Request:
    server = make_server(bundle, limits=Limits(max_upload_mb=1), host=host)
    sent = {"Host": "127.0.0.1:8000"} | headers
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    return Request({"type": "http", "headers": raw, "app": server.app, "client": (peer, 40_000)})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", None])
def test_a_server_on_a_network_does_not_keep_an_answer_here(random_bundle: Bundle, host: str | None):
    assert not stays_here(request(random_bundle, host, {}))


def test_a_direct_request_on_the_loopback_interface_stays_here(random_bundle: Bundle):
    assert stays_here(request(random_bundle, "127.0.0.1", {"Host": "127.0.0.1:8000", "User-Agent": "curl"}))


@pytest.mark.parametrize("name", ["localhost:8000", "LOCALHOST", "[::1]:8000", "127.0.0.1"])
def test_every_name_of_this_machine_is_direct(random_bundle: Bundle, name: str):
    assert stays_here(request(random_bundle, "127.0.0.1", {"Host": name, "Origin": f"http://{name}"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "glam.hospital.example"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_request_in_the_name_of_another_host_does_not_stay_here(random_bundle: Bundle, headers: dict[str, str]):
    assert not stays_here(request(random_bundle, "127.0.0.1", headers))


def test_a_request_from_another_machine_does_not_stay_here(random_bundle: Bundle):
    assert not stays_here(request(random_bundle, "127.0.0.1", {}, peer="203.0.113.9"))


@pytest.mark.parametrize("value", ["203.0.113.9", "127.0.0.1", ""])
@pytest.mark.parametrize("header", HEADERS)
def test_a_request_through_a_proxy_does_not_stay_here(random_bundle: Bundle, header: str, value: str):
    assert not stays_here(request(random_bundle, "127.0.0.1", {header: value}))


def answered(bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path], **form: object) -> dict:
    """What a server that does not know where it listens answers for a pair, its model in this process."""
    server = make_server(bundle, limits=Limits(max_upload_mb=64))

    async def ask(request: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        return answer_together(predictor.runtime, [request])[0]

    server.ask = ask
    server._hub = Hub(1, 1)
    fields = {key: mammograms[f"L_{key.upper()}"] for key in ("cc", "mlo")}
    files = [(key, ("a", path.read_bytes())) for key, path in fields.items()]
    if form.pop("exam", False):
        files = [("images", file) for _, file in files]
    answer = TestClient(server.app).post("/predict", files=files, data={"include": sorted(EVERYTHING)} | form)
    assert answer.status_code == 200, answer.text
    return answer.json()


def embeddings(answer: dict) -> list[object]:
    """Every value under a key named embedding, however deep."""
    own = [answer["embedding"]] if "embedding" in answer else []
    parts = [part for key in ("views", "breasts") for part in answer.get(key, {}).values()]
    return own + [value for part in parts for value in embeddings(part)]


def test_the_server_withholds_embeddings_unless_the_answer_stays_here(
    kept_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]
):
    answer = answered(kept_bundle, predictor, mammograms)
    PredictionBody.model_validate(answer)
    assert embeddings(answer) == [None, None, None]
    told = answer["findings"][-1]
    assert (told["code"], told["severity"]) == ("embedding_withheld", "warning")
    assert "127.0.0.1" in told["message"]
    assert answer["attention"]
    assert answer["pooling"]


def test_an_exam_withholds_its_embeddings_too(kept_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]):
    answer = answered(kept_bundle, predictor, mammograms, exam=True)
    assert embeddings(answer) == [None, None, None, None]
    assert "embedding_withheld" in [finding["code"] for finding in answer["breasts"]["L"]["findings"]]


def test_a_caller_that_asks_for_the_embedding_alone_is_told_why_there_is_none(
    kept_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]
):
    answer = answered(kept_bundle, predictor, mammograms, include="embedding")
    assert answer["embedding"] is None
    assert [finding["code"] for finding in answer["findings"]] == ["embedding_withheld"]


def test_what_may_be_shared_is_sent_to_everybody(
    random_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]
):
    answer = answered(random_bundle, predictor, mammograms)
    assert [len(embedding) for embedding in embeddings(answer)] == [16, 16, 16]
    assert [finding["code"] for finding in answer["findings"]] == []


def test_the_model_tells_what_becomes_of_its_embeddings(random_bundle: Bundle, kept_bundle: Bundle):
    assert model_body(random_bundle, on_loopback=False).embeddings == "sent"
    assert model_body(kept_bundle, on_loopback=True).embeddings == "to this machine only"
    assert model_body(kept_bundle, on_loopback=False).embeddings == "withheld"


def test_the_published_schema_tells_when_an_embedding_is_withheld(random_bundle: Bundle):
    server = make_server(random_bundle, limits=Limits(max_upload_mb=1))
    schemas = TestClient(server.app).get("/openapi.json").json()["components"]["schemas"]
    for body in ("PredictionBody", "ViewBody"):
        assert "embedding_withheld" in schemas[body]["properties"]["embedding"]["description"]


@pytest.fixture(scope="module")
def url(kept_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of that bundle, on the loopback interface."""
    port = free_port(0)
    with local_server(port, log=tmp_path_factory.mktemp("kept") / "log", bundle=kept_bundle.folder):
        yield f"http://127.0.0.1:{port}"


def test_a_real_server_sends_embeddings_to_this_machine_and_none_through_a_proxy(
    url: str, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    answer = Client(url=url).predict(cc=mammograms["L_CC"], include=["embedding"]).raw
    assert len(answer["embedding"]) == len(answer["views"]["cc"]["embedding"]) == 16
    assert Client(url=url).model()["embeddings"] == "to this machine only"
    monkeypatch.setattr(OPENER, "addheaders", [("Via", "1.1 proxy")])
    proxied = Client(url=url).predict(cc=mammograms["L_CC"], include=["embedding"]).raw
    assert (proxied["embedding"], proxied["views"]["cc"]["embedding"]) == (None, None)
    assert [finding["code"] for finding in proxied["findings"]] == ["embedding_withheld"]
