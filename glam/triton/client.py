"""Questions to a Triton Inference Server over gRPC or HTTP, and what it means when no answer comes."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Protocol, TypeVar

import numpy as np

from glam.runtime import EngineUnavailableError
from glam.triton.endpoint import Endpoint

PROBE_S = 2.0
"""Longest wait for a connection, and for the answer to a question about health or configuration."""
_GRPC_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects at once, whatever became of the one before
    ("grpc.enable_http_proxy", 0),  # what is made of a patient's images goes to no proxy
]
_NOT_SERVED = frozenset({"StatusCode.NOT_FOUND", "404"})
_REFUSED = frozenset({"StatusCode.INVALID_ARGUMENT", "400"})
Status = str | None
T = TypeVar("T")


class Connection(Protocol):
    """What tritonclient offers under both protocols; for one thread at a time."""

    def is_ready(self, model: str, version: str) -> bool:
        """Say whether a model can be asked."""
        ...

    def config(self, model: str, version: str) -> dict[str, Any]:
        """Return the configuration that Triton runs a model by."""
        ...

    def infer(
        self, model: str, version: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray | None]:
        """Run a model; None for an output that did not come."""
        ...

    def close(self) -> None:
        """Close its sockets."""
        ...


class GrpcConnection:
    """A channel to Triton's gRPC port."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        import tritonclient.grpc

        self._grpc = tritonclient.grpc
        self._client = tritonclient.grpc.InferenceServerClient(endpoint.address, channel_args=_GRPC_OPTIONS)
        self._timeout_s = timeout_s

    def is_ready(self, model: str, version: str) -> bool:
        """Say whether a model can be asked."""
        return bool(self._client.is_model_ready(model, version, client_timeout=PROBE_S))

    def config(self, model: str, version: str) -> dict[str, Any]:
        """Return the configuration that Triton runs a model by."""
        answer: Any = self._client.get_model_config(model, version, as_json=True, client_timeout=PROBE_S)
        return answer["config"]

    def infer(
        self, model: str, version: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray | None]:
        """Run a model; None for an output that did not come."""
        answer = self._client.infer(
            model,
            _inputs(self._grpc.InferInput, inputs),
            version,
            [self._grpc.InferRequestedOutput(name) for name in outputs],
            timeout=_microseconds(self._timeout_s),
            client_timeout=self._timeout_s,
        )
        assert answer is not None
        return [answer.as_numpy(name) for name in outputs]

    def close(self) -> None:
        """Close its sockets."""
        self._client.close()


class HttpConnection:
    """A connection to Triton's HTTP port."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        import tritonclient.http
        from rapidjson import JSONDecodeError

        self._http = tritonclient.http
        self._unreadable = (HTTPException, JSONDecodeError)
        open_client = tritonclient.http.InferenceServerClient
        self._client = open_client(endpoint.address, connection_timeout=PROBE_S, network_timeout=timeout_s)
        self._probe = open_client(endpoint.address, connection_timeout=PROBE_S, network_timeout=PROBE_S)
        self._timeout_s = timeout_s

    def is_ready(self, model: str, version: str) -> bool:
        """Say whether a model can be asked."""
        with self._told_as_lost():
            return self._probe.is_model_ready(model, version)

    def config(self, model: str, version: str) -> dict[str, Any]:
        """Return the configuration that Triton runs a model by."""
        with self._told_as_lost():
            return self._probe.get_model_config(model, version)

    def infer(
        self, model: str, version: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray | None]:
        """Run a model; None for an output that did not come."""
        with self._told_as_lost():
            answer = self._client.infer(
                model,
                _inputs(self._http.InferInput, inputs),
                version,
                [self._http.InferRequestedOutput(name, binary_data=True) for name in outputs],
                timeout=_microseconds(self._timeout_s),
            )
        return [answer.as_numpy(name) for name in outputs]

    def close(self) -> None:
        """Close its sockets."""
        self._client.close()
        self._probe.close()

    @contextmanager
    def _told_as_lost(self) -> Iterator[None]:
        """Raise ConnectionError for an answer that breaks off, or is not Triton's."""
        try:
            yield
        except self._unreadable as error:
            raise ConnectionError(f"the answer breaks off or does not read ({type(error).__name__})") from error


class TritonClient:
    """A Triton, asked from any thread: each has a connection of its own.

    EngineUnavailableError: it cannot be reached, does not answer in time, or does not serve the model.
    ValueError: it refuses the request as wrong.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._of_thread = threading.local()
        _require_tritonclient()

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to a question."""
        from tritonclient.utils import InferenceServerException

        try:
            return question(self._connection())
        except InferenceServerException as error:
            meaning = self._meaning(error.status(), error.message())
            if isinstance(meaning, EngineUnavailableError):
                self._drop()
            raise meaning from error
        except OSError as error:  # of a socket over HTTP, time-outs included
            self._drop()
            raise EngineUnavailableError(f"Triton at {self.endpoint.url} does not answer: {_reason(error)}") from error

    def _meaning(self, status: Status, message: str) -> Exception:
        """Return what a status means, gRPC's or HTTP's."""
        place = f"Triton at {self.endpoint.url}"
        if status in _NOT_SERVED or "unknown model" in message:
            return EngineUnavailableError(f"{place} does not serve this bundle: {WAY_OUT}")
        if status in _REFUSED:
            return ValueError(f"{place} refuses the request: {message}")
        return EngineUnavailableError(f"{place} does not answer: {message}")

    def _connection(self) -> Connection:
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            kind = GrpcConnection if self.endpoint.protocol == "grpc" else HttpConnection
            connection = self._of_thread.connection = kind(self.endpoint, self._timeout_s)
        return connection

    def _drop(self) -> None:
        """Close a connection that failed: the next question opens another, and finds a Triton that is back."""
        self._of_thread.connection.close()
        self._of_thread.connection = None


WAY_OUT = "write its repository with glam-export triton, and have Triton load that"


def _require_tritonclient() -> None:
    """ValueError with the way out where the client is not installed."""
    from importlib.util import find_spec

    if find_spec("tritonclient") is None:
        raise ValueError('tritonclient is not installed: pip install "glam-mammo[triton]"')


def _inputs(kind: Any, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    """Return tritonclient's own form of arrays."""
    types = {"float32": "FP32", "int64": "INT64"}
    entries = []
    for name, array in inputs.items():
        entry = kind(name, list(array.shape), types[array.dtype.name])
        entry.set_data_from_numpy(array)
        entries.append(entry)
    return entries


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
