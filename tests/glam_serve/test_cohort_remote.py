"""Manifests with images on an object store: the same rows, nothing on the disk, errors of objects told apart."""

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from glam.config import FrameConfig
from glam.files import below
from glam.predict_command import UsageError
from glam.store.read import read_errors
from glam.store.summary import summarise
from glam.store.verify import verify_store
from glam_serve.cohort import remote
from glam_serve.cohort.items import FORBIDDEN, STORAGE_FAILED, read_item
from glam_serve.cohort.remote import ObjectError, StorageError, check_urls, read_object
from glam_serve.cohort.run_command import SOURCE_GONE, Run
from tests.samples.cohorts import rows_of, write_manifest
from tests.samples.decoding import item_of
from tests.samples.object_store import BUCKET, KEYS, Troubled, put, s3_server, troubled, upload
from tests.samples.stores import contents

pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto", reason="moto is not installed")
MemoryFileSystem = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem


@pytest.fixture(scope="module")
def server(phantoms: Path) -> Iterator[str]:
    """An S3 server that has the phantoms."""
    with s3_server() as address:
        upload(address, phantoms)
        yield address


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Troubled]:
    """The same behind a server that makes trouble, as the environment names it."""
    with troubled(server) as front:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": front.address}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(remote, "WAITS_S", (0.01,))
        _forget()
        yield front
        _forget()


def _forget() -> None:
    import s3fs

    remote._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def remote_rows(phantoms: Path) -> list[dict[str, str]]:
    return [row | {"path": f"s3://{BUCKET}/{Path(row['path']).relative_to(phantoms)}"} for row in rows_of(phantoms)]


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files that are kept for later would be."""
    (tmp_path / "home").mkdir()
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return tmp_path / "home"


def test_images_of_an_object_store_make_the_same_rows_and_leave_nothing_on_the_disk(
    store: Troubled,
    phantoms: Path,
    whole: Path,
    embed: Callable[..., int],
    empty_home: Path,
    capfd: pytest.CaptureFixture[str],
):
    folder = empty_home.parent
    manifest = write_manifest(folder / "m.csv", remote_rows(phantoms))
    assert embed(manifest, folder / "s", workers=2) == 0
    assert contents(folder / "s") == contents(whole)
    assert list(empty_home.rglob("*")) == []
    printed = capfd.readouterr()
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in printed.out + printed.err
    relative = [row | {"path": str(Path(row["path"]).relative_to(phantoms))} for row in rows_of(phantoms)]
    manifest = write_manifest(folder / "relative.csv", relative)
    assert embed(manifest, folder / "s", root=f"s3://{BUCKET}/") == 0  # the same cohort: there is nothing to do


def test_an_object_that_is_missing_or_forbidden_costs_its_row(
    store: Troubled, phantoms: Path, embed: Callable[..., int], tmp_path: Path, server: str
):
    put(server, "empty.dcm", b"")
    rows = remote_rows(phantoms)
    store.troubles.update({"forbidden": (403, "AccessDenied"), "nowhere": (404, "NoSuchKey")})
    for place, name in ((2, "nowhere"), (4, "forbidden"), (8, "empty")):
        rows[place]["path"] = f"s3://{BUCKET}/{name}.dcm"
    assert embed(write_manifest(tmp_path / "m.csv", rows), tmp_path / "s") == 3
    summary = summarise(tmp_path / "s")
    assert summary.missing == 1
    assert summary.rejected == {FORBIDDEN: 1, "not_dicom": 1}
    assert verify_store(tmp_path / "s").problems == ()
    errors = read_errors(tmp_path / "s")
    assert errors is not None
    assert "s3://" not in " ".join(errors.column("message").to_pylist())


def test_a_store_that_knows_nobody_ends_the_run_and_the_next_one_goes_on(
    store: Troubled,
    phantoms: Path,
    whole: Path,
    embed: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    manifest = write_manifest(tmp_path / "m.csv", remote_rows(phantoms))
    store.troubles["exams"] = (403, "InvalidAccessKeyId")
    assert embed(manifest, tmp_path / "s") == SOURCE_GONE
    assert "the same command again" in capsys.readouterr().err
    assert summarise(tmp_path / "s").failed == 0
    store.troubles.clear()
    assert embed(manifest, tmp_path / "s") == 0
    assert contents(tmp_path / "s") == contents(whole)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ((400, "ExpiredToken"), "storage_credentials"),
        ((403, "SignatureDoesNotMatch"), "storage_credentials"),
        ((403, "RequestTimeTooSkewed"), "storage_credentials"),
        ((503, "SlowDown"), "storage_unreachable"),
        ((500, "InternalError"), "storage_unreachable"),
    ],
)
def test_what_nothing_can_be_read_without_is_no_fault_of_an_object(
    store: Troubled, trouble: tuple[int, str], code: str
):
    store.troubles["exams"] = trouble
    with pytest.raises(StorageError) as caught:
        read_item(item_of("a", path=f"s3://{BUCKET}/exams/a.dcm"), FrameConfig())
    assert caught.value.code == code
    assert pickle.loads(pickle.dumps(caught.value)).code == code


def test_a_server_that_is_gone_is_no_fault_of_an_object(store: Troubled, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    _forget()
    with pytest.raises(StorageError) as caught:
        read_object(f"s3://{BUCKET}/a.dcm")
    assert caught.value.code == "storage_unreachable"


def test_an_object_that_never_comes_is_timed_out(
    store: Troubled, phantoms: Path, embed: Callable[..., int], tmp_path: Path
):
    rows = remote_rows(phantoms)[:4]
    rows[0]["path"] = f"s3://{BUCKET}/slow.dcm"
    assert embed(write_manifest(tmp_path / "m.csv", rows), tmp_path / "s", timeout_s=15) == 3
    assert summarise(tmp_path / "s").rejected == {"timed_out": 2}


def test_one_object_is_told_from_the_whole_store(store: Troubled, server: str):
    put(server, "good", b"good")
    store.troubles["broken"] = (500, "InternalError")
    with pytest.raises(StorageError):
        read_object(f"s3://{BUCKET}/broken")  # nothing was given yet: it may be the store
    assert read_object(f"s3://{BUCKET}/good") == b"good"
    with pytest.raises(ObjectError):
        read_object(f"s3://{BUCKET}/broken")
    (problem,) = read_item(item_of("a", path=f"s3://{BUCKET}/broken"), FrameConfig()).problems
    assert (problem.code, problem.stage) == (STORAGE_FAILED, "read")
    store.troubles["good"] = (503, "SlowDown")
    with pytest.raises(StorageError) as caught:
        read_object(f"s3://{BUCKET}/broken")
    assert caught.value.code == "storage_unreachable"


def test_the_scheme_of_a_url_may_be_in_capital_letters(store: Troubled, server: str):
    put(server, "good", b"good")
    assert read_object(f"S3://{BUCKET}/good") == b"good"


@pytest.mark.parametrize("url", ["s3://no bucket!/a.dcm", "s3://bucket", "s3://bucket/", "s3:///a.dcm"])
def test_a_name_that_no_object_has_costs_its_row_and_does_not_end_the_run(store: Troubled, url: str):
    (problem,) = read_item(item_of("a", path=url), FrameConfig()).problems
    assert (problem.code, problem.stage) == ("missing_file", "read")
    assert store.asked == []


def test_an_attempt_at_an_object_asks_the_store_once(store: Troubled):
    """Attempts that other layers make add up: a silent store would outlast the item and put it among the errors."""
    store.troubles["broken"] = (503, "SlowDown")
    with pytest.raises(StorageError):
        read_object(f"s3://{BUCKET}/broken")
    assert len(store.asked) == 1 + len(remote.WAITS_S)


def test_a_silent_store_ends_the_run_before_an_item_is_over_its_time():
    times = remote.S3_OPTIONS["config_kwargs"]
    attempts = len(remote.WAITS_S) + 2  # the last one asks for what was given before
    assert times["retries"]["total_max_attempts"] == 1
    assert sum(remote.WAITS_S) + attempts * times["read_timeout"] < 0.75 * Run().timeout_s


def test_without_credentials_the_run_ends(store: Troubled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    _forget()
    with pytest.raises(StorageError) as caught:
        read_object(f"s3://{BUCKET}/exams")
    assert caught.value.code == "storage_credentials"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nonsense://host/a.dcm", "nonsense:// are not read here"),
        ("file:///data/a.dcm", "file:// are not read here"),
        ("zip://a.dcm", "zip:// are not read here"),
        ("https://host/a.dcm?sig=secret", "names a user"),
        ("abfss://c:secret@account.dfs.core.windows.net/a.dcm", "names a user"),
        ("simplecache::s3://b/a.dcm", "chain"),
        ("s3://key:secret@b/a.dcm", "names a user"),
        ("s3://b/a.dcm::simplecache", "chain"),
    ],
)
def test_urls_that_are_not_read_are_refused_before_anything_begins(path: str, said: str):
    with pytest.raises(ValueError, match=said) as caught:
        check_urls(["/data/a.dcm", path])
    assert "secret" not in str(caught.value)


def test_what_reads_a_kind_of_store_is_named(monkeypatch: pytest.MonkeyPatch):
    from glam.cli import missing_module

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        check_urls(["s3://b/a.dcm"])
    assert missing_module(caught.value, "cohort").endswith('pip install "glam-mammo[s3]"')


def test_what_is_not_installed_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ValueError, match="pip install adlfs"):
        check_urls(["abfss://container@account.dfs.core.windows.net/a.dcm"])


class OneAccount(MemoryFileSystem):
    """A store whose URLs name an account, as those of Azure do."""

    protocol = "oneaccount"
    accounts: ClassVar[list[str | None]] = []

    def __init__(self, account: str | None = None, **options: Any) -> None:
        if account is None:
            raise ValueError("no account")
        self.accounts.append(account)
        super().__init__(**options)

    @staticmethod
    def _get_kwargs_from_urls(url: str) -> dict[str, str]:
        host = url.partition("://")[2].partition("/")[0]
        return {"account": host} if host != "nobody" else {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("oneaccount://", "memory://"))


@pytest.fixture
def registered() -> Iterator[None]:
    from fsspec import register_implementation
    from fsspec.registry import _registry

    register_implementation("oneaccount", OneAccount)
    yield
    _registry.pop("oneaccount")
    MemoryFileSystem.store.clear()
    remote._file_system.cache_clear()


def test_whatever_fsspec_opens_is_read(registered: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "WAITS_S", (0.01,))
    MemoryFileSystem().pipe_file("/b/a.dcm", b"content")
    MemoryFileSystem().pipe_file("/b/empty", b"")
    check_urls(["memory://b/a.dcm", "oneaccount://b/a.dcm"])
    for url in ("memory://b/a.dcm", "MEMORY://b/a.dcm", "oneaccount://b/a.dcm"):
        assert read_object(url) == b"content"
    assert read_object("memory://b/empty") == b""
    assert OneAccount.accounts == ["b"]
    (problem,) = read_item(item_of("a", path="memory://b/none.dcm"), FrameConfig()).problems
    assert problem.code == "missing_file"
    with pytest.raises(StorageError, match="account") as caught:
        read_object("oneaccount://nobody/a.dcm")
    assert caught.value.code == "storage_credentials"


def test_an_account_in_a_url_of_azure_is_no_user(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "_check_scheme", lambda scheme: None)
    check_urls(["abfss://container@account.dfs.core.windows.net/a.dcm", "az://container/a@b.dcm"])


def test_a_store_is_not_written_to_a_url():
    with pytest.raises(UsageError, match="--out is a folder"):
        Run(manifest=Path("m.csv"), out=Path("s3://bucket/store")).run()
    assert not Path("s3:").exists()


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        ("s3://b/p", "a/b.dcm", "s3://b/p/a/b.dcm"),
        ("s3://b/p/", "a.dcm", "s3://b/p/a.dcm"),
        ("s3://b", "s3://c/a.dcm", "s3://c/a.dcm"),
        ("s3://b", "/data/a.dcm", "/data/a.dcm"),
        (Path("/data"), "a.dcm", "/data/a.dcm"),
        (Path("/data"), "/d/a.dcm", "/d/a.dcm"),
        (Path("/data"), "s3://c//a.dcm", "s3://c//a.dcm"),
    ],
)
def test_where_a_name_below_a_folder_is(folder: Path | str, name: str, path: str):
    assert below(folder, name) == path
