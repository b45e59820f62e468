"""What a server refuses, each with a status and a line that says what to do; and that it goes on after it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.serving import batching
from mtl_cli.serving.access import check_host, find_token, is_loopback
from mtl_cli.serving.served import named_runs
from tests.serving.conftest import HOUSE, Serve, Server

JSON = {"Content-Type": "application/json"}
PATH = "/models/houses/predict"
TOKEN = "a-token-that-is-long-enough"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "line 1 column 2"),
        (b'{"area": 1}', 400, "not a list of rows"),
        (b'[{"area": NaN}]', 400, "there is no number NaN; null says"),
        (b'[{"area": -Infinity}]', 400, "-Infinity"),
        (b'[{"area": 1' + b"0" * 5000 + b"}]", 400, "not JSON"),
        (b"\xff\xfe", 400, "not UTF-8"),
        (b"[" * 9_000, 400, "nested too deep"),
        (b"[1]", 422, "row 1: is not an object"),
        (b"[[]]", 422, "row 1"),
        (b'[{"area": [1]}]', 422, "'area' holds a list"),
        (b'[{"area": {"a": 1}}]', 422, "'area' holds a list or an object"),
        (b"[]", 422, "there is no row"),
        (b"[{}]", 422, "there is no row"),
        (b'[{"": 1}]', 422, "has no name"),
        (b'[{"area": 1}]', 422, "the feature column 'rooms' is missing"),
        (json.dumps([{**HOUSE, "area": "wide"}]).encode(), 422, "'wide'"),
        (json.dumps([{**HOUSE, "built": "soon"}]).encode(), 422, "'soon'"),
        (json.dumps([HOUSE] * 51).encode(), 413, "there are 51, and a request may have 50"),
        (json.dumps([{**HOUSE, "city": "x" * 20_000}]).encode(), 413, "larger than 10,000 bytes"),
    ],
)
def test_bodies_that_are_refused(small: Server, body: bytes, status: int, says: str) -> None:
    answer = small.post(body, PATH)
    assert answer.status_code == status, answer.text
    [first, *_] = answer.json()["errors"]
    assert says in " ".join(f"{one['where']}: {one['what']}; {one.get('hint')}" for one in answer.json()["errors"]), (
        first
    )
    assert small.post([HOUSE], PATH).status_code == 200


@pytest.fixture(scope="module")
def small(houses_run: Path) -> Any:
    """A server with low limits."""
    server = Server({"houses": houses_run}, body=10_000, rows=50)
    yield server
    server.close()


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "says"),
    [
        ("POST", "/predict", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "application/json"),
        ("POST", "/predict", {"content": b"x"}, 415, "is not read"),
        ("POST", "/models/house/predict", {"json": []}, 404, "did you mean houses?"),
        ("GET", "/models/house", {}, 404, "did you mean houses?"),
        ("GET", "/nothing", {}, 404, "not found"),
        ("GET", "/predict", {}, 405, "not allowed"),
        ("POST", "/predict?probabilities=none", {"json": [HOUSE]}, 422, "predicted or all"),
        ("POST", "/reload", {}, 403, "the server has none"),
        ("GET", "/", {"headers": {"Host": "evil.example"}}, 421, "127.0.0.1"),
        ("POST", "/predict", {"json": [HOUSE], "headers": {"Origin": "http://evil.example"}}, 403, "another site"),
        ("GET", "/static/..%2Fwrite.py", {}, 404, "not found"),
        ("GET", "/static/write.py", {}, 404, "no such file"),
    ],
)
def test_requests_that_are_refused(small: Server, method: str, path: str, options: Any, status: int, says: str) -> None:
    answer = small.ask(method, path, **options)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_csv_that_is_refused(small: Server) -> None:
    table = ",".join(HOUSE) + "\n" + "1,2,Oslo,True,2001-02-03\n"
    for body, status, says in (
        (b"", 422, "empty"),
        (b"\x00\x01,\x02\n", 422, "control characters"),
        (b"area\n1\n", 422, "is missing"),
        ((table + "1,2\n" * 60).encode(), 413, "there are 61"),
        ((table + "1,2,Oslo,True,2001-02-03,7\n").encode(), 422, "line 3 has 6 fields"),
        (gzip.compress(table.encode()), 415, "compressed"),
    ):
        answer = small.post(body, PATH, headers={"Content-Type": "text/csv"})
        assert (answer.status_code, says in answer.text) == (status, True), answer.text
        assert "/tmp" not in answer.text and "mtl-serve" not in answer.text


def test_several_models_have_addresses_of_their_own(shared: Server) -> None:
    answer = shared.post([HOUSE])
    assert answer.status_code == 404 and "POST /models/NAME/predict: houses, wine" in answer.text
    assert [one["name"] for one in shared.ask("GET", "/models").json()["models"]] == ["houses", "wine"]


def test_a_token_is_asked_for(serve: Serve, houses_run: Path) -> None:
    server = serve({"houses": houses_run}, TOKEN)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Basic !!"}):
        for method, path in (("GET", "/"), ("POST", "/predict"), ("GET", "/metrics"), ("POST", "/reload")):
            answer = server.ask(method, path, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic")
            assert "area" not in answer.text
    assert server.ask("GET", "/health").status_code == 200
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert server.post([HOUSE], headers={**right, "Host": "models.example"}).status_code == 200
    assert server.ask("GET", "/", auth=("anybody", TOKEN)).status_code == 200
    assert server.ask("POST", "/reload", headers=right).json() == {"models": ["houses"]}


def test_tokens_and_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_token(None) is None
    monkeypatch.setenv("MTL_SERVE_TOKEN", TOKEN)
    assert find_token(None) == TOKEN
    (tmp_path / "token").write_text("another-token-of-letters\n")
    assert find_token(str(tmp_path / "token")) == "another-token-of-letters"
    for text in ("short", "", "has a space in its middle", "ünïcödé-ünïcödé-ünïcödé"):
        (tmp_path / "token").write_text(text)
        with pytest.raises(UserError, match="at least 16"):
            find_token(str(tmp_path / "token"))
    with pytest.raises(UserError, match="no token can be read"):
        find_token(str(tmp_path / "none"))
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1")] == [True] * 4
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.com", ""):
        assert not is_loopback(host)
        with pytest.raises(UserError, match="needs a token"):
            check_host(host, None)
        check_host(host, TOKEN)


def test_names_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert named_runs(["outputs/x", "y=outputs/x/", "a=b", "z.zip"]) == {
        "x": "outputs/x", "y": "outputs/x/", "a=b": "a=b", "z": "z.zip",
    }  # fmt: skip
    with pytest.raises(UserError, match="two runs are called 'x'"):
        named_runs(["outputs/x", "other/x"])
    with pytest.raises(UserError, match="not a name that an address can hold"):
        named_runs(["..=outputs/x"])


def test_a_full_queue_is_429_and_what_waits_too_long_504(
    serve: Serve, houses_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = batching.read_rows

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.3)
        return read(*arguments)

    monkeypatch.setattr(batching, "read_rows", slowly)
    server = serve({"houses": houses_run}, queue=3, batch=1)

    async def many(client: Any) -> list[Any]:
        return list(await asyncio.gather(*(client.post("/predict", json=[HOUSE]) for _ in range(12))))

    answers = server.run(many)
    counts = {status: sum(one.status_code == status for one in answers) for status in (200, 429)}
    assert sum(counts.values()) == 12 and counts[429] >= 4 and counts[200] >= 3, counts
    assert all(one.headers["retry-after"] == "1" for one in answers if one.status_code == 429)
    assert server.post([HOUSE]).status_code == 200, "it goes on"
    slow = serve({"houses": houses_run}, seconds=0.2)
    assert slow.post([HOUSE]).status_code == 504


def test_a_body_that_drips_is_408(serve: Serve, houses_run: Path) -> None:
    server = serve({"houses": houses_run}, seconds=0.3)

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" "
            await asyncio.sleep(0.1)

    async def send(client: Any) -> Any:
        begin = time.monotonic()
        answer = await client.post("/predict", content=drip(), headers=JSON)
        return answer, time.monotonic() - begin

    answer, seconds = server.run(send)
    assert answer.status_code in (408, 400), answer.text  # httpx's transport sends all of a body at once
    assert server.state.held.bytes == 0 and seconds < 5


def test_while_it_stops_it_takes_no_rows(serve: Serve, houses_run: Path) -> None:
    server = serve({"houses": houses_run})
    server.state.stopping = True
    answer = server.post([HOUSE])
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert server.ask("GET", "/health").status_code == 503
    assert server.ask("GET", "/health/live").status_code == 200


def test_a_bug_costs_one_answer(serve: Serve, houses_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve({"houses": houses_run})
    with monkeypatch.context() as patch:
        patch.setattr(batching, "read_rows", lambda *_: 1 / 0)
        assert server.post([HOUSE]).status_code == 500
    assert "ZeroDivisionError" in server.lines[0]

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device", "/tmp/rows.csv")

    with monkeypatch.context() as patch:
        patch.setattr(batching, "read_rows", full)
        answer = server.post([HOUSE])
        assert answer.status_code == 503 and "/tmp" not in answer.text
    assert server.lines[1] == "error: /tmp/rows.csv: no space left on device; free some space, or write elsewhere"
    assert server.post([HOUSE]).status_code == 200


def test_a_reload_is_whole_or_not_at_all(serve: Serve, houses_run: Path, wine_run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(houses_run, tmp_path / "run")
    server = serve({"run": tmp_path / "run", "wine": wine_run}, TOKEN)
    right = {"Authorization": f"Bearer {TOKEN}"}
    before = server.post([HOUSE], "/models/run/predict", headers=right).json()
    model = (tmp_path / "run" / "mtl_model.pt").read_bytes()
    (tmp_path / "run" / "mtl_model.pt").write_bytes(model[: len(model) // 2])
    wine = server.state.models["wine"]
    answer = server.ask("POST", "/reload", headers=right)
    assert answer.status_code == 409 and "not a model that mtl wrote" in answer.text
    assert server.lines[-1].startswith("not reloaded, the models stay as they were: ")
    assert server.state.models["wine"] is wine
    assert server.post([HOUSE], "/models/run/predict", headers=right).json() == before
    shutil.copy(wine_run / "mtl_model.pt", tmp_path / "run")
    assert server.ask("POST", "/reload", headers=right).status_code == 200
    assert server.post([HOUSE], "/models/run/predict", headers=right).status_code == 422, "it is another model now"
    metrics = server.ask("GET", "/metrics", headers=right).text
    assert 'mtl_reloads_total{outcome="done"} 1.0' in metrics and 'outcome="failed"} 1.0' in metrics
