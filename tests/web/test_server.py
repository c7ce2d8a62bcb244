"""The page and its server: who may ask, what is answered, and what headless Chromium makes of it."""

import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

import lithax as lx
from lithax.web import serve
from lithax.web._server import LoopbackServer

spec = importlib.util.spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
chromium = importlib.util.module_from_spec(spec)
sys.modules["chromium"] = chromium
spec.loader.exec_module(chromium)


@pytest.fixture
def image(tmp_path):
    # Dark up to the middle of x, bright beyond.
    values = np.full((48, 40, 32), 100, "u2")
    values[24:] = 900
    values[0, 0, 0], values[-1, -1, -1] = 0, 1000
    return lx.from_array(values, store=tmp_path / "rock.zarr", voxel_length=2, voxel_unit="um", field_name="grey")


@pytest.fixture
def server(image):
    with serve(image) as server:
        yield server


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_the_page_and_the_state_of_the_viewer(server):
    answer, _ = ask(server, urlsplit(server.url).path)
    assert answer.status == 302
    address, _, state = answer.getheader("Location").partition("#!")
    state = json.loads(unquote(state))
    assert state["layers"][0]["source"] == f"{server.url}image/|zarr3:"
    assert state["dimensions"]["x"] == [pytest.approx(2e-6), "m"]
    answer, page = ask(server, address)
    assert (answer.status, b"<script" in page, b"slices/z/16.png" in page) == (200, True, True)
    policy = answer.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy  # no other place is allowed


def test_who_does_not_know_the_address_gets_nothing(server):
    path = urlsplit(server.url).path
    for other in (
        "/",
        "/v/",
        "/v/wrong/image/zarr.json",
        path.replace("/v/", "/w/"),
        "/image/zarr.json",
        "/events/wrong",
    ):
        assert ask(server, other)[0].status == 404, other
    # A name of another site that points to this machine.
    assert ask(server, f"{path}image/zarr.json", Host="rock.example")[0].status == 403
    assert ask(server, f"{path}image/zarr.json", Host=f"localhost:{server.port}")[0].status == 200
    assert ask(server, f"{path}image/zarr.json", method="POST")[0].status == 501
    assert server._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "image/../../rock.zarr/zarr.json",
        "__init__.py",
        "image/0/c/9/9/9",
    ],
)
def test_nothing_outside_the_image_is_served(server, path):
    assert ask(server, urlsplit(server.url).path + path)[0].status == 404


def test_a_damaged_chunk_is_an_error_of_that_chunk(tmp_path, rng):
    lx.from_array(rng.integers(0, 255, (130, 64, 64)).astype("u1"), store=tmp_path / "a", chunks=64)
    (tmp_path / "a/c/0/0/0").write_bytes(b"?")
    with serve(lx.open(tmp_path / "a")) as server:
        path = urlsplit(server.url).path
        answer, content = ask(server, f"{path}image/0/c/0/0/0")
        assert (answer.status, b"cannot be decoded" in content) == (500, True)
        assert ask(server, f"{path}image/0/c/0/0/2")[0].status == 200


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.arange(64).reshape(4, 4, 4) % 3 == 0, "bool phase_1"),
        (np.arange(64, dtype="u1").reshape(4, 4, 4) % 3, "phase_2"),
        (np.arange(64, dtype="u2").reshape(4, 4, 4), "invlerp contrast"),
        (np.full((4, 4, 4), np.nan, "f4"), "invlerp contrast"),
        (np.ones((4, 1, 4), "f8"), "invlerp contrast"),
    ],
)
def test_every_image_has_a_way_to_be_shown(values, words):
    with serve(lx.from_array(values)) as server:
        answer, _ = ask(server, urlsplit(server.url).path)
        state = json.loads(unquote(answer.getheader("Location").partition("#!")[2]))
    assert words in state["layers"][0]["shader"]


@pytest.mark.slow
@pytest.mark.skipif(chromium.chromium() is None, reason="Chromium is not installed: apt install chromium")
def test_a_browser_draws_the_slices_and_asks_nobody_else(server):
    def left_and_right(picture):
        """Mean grey level beside the middle of the first panel, in which x runs to the right."""
        pixels = np.asarray(picture.convert("L"), float)
        height, width = pixels.shape
        rows = slice(int(0.10 * height), int(0.18 * height))
        return pixels[rows, int(0.10 * width) : int(0.16 * width)].mean(), pixels[
            rows, int(0.22 * width) : int(0.28 * width)
        ].mean()

    def ready(picture):
        toolbar = np.asarray(picture.convert("L"))[: int(0.03 * picture.height)].max() > 60
        dark, bright = left_and_right(picture)
        return toolbar and bright > 150 > 80 > dark

    requests, complaints, _ = chromium.visit(server.url, ready)
    assert complaints == []
    own = f"http://127.0.0.1:{server.port}/"
    assert any(url.startswith(f"{server.url}image/0/c/") for url in requests)  # workers' requests are among them
    assert [url for url in requests if not url.startswith(own)] == []
    asked = [path for path, status in server.requests if status == 200]
    assert any(path.startswith("image/0/c/") for path in asked)


@pytest.mark.slow
@pytest.mark.skipif(chromium.chromium() is None, reason="Chromium is not installed: apt install chromium")
def test_a_browser_without_webgl_shows_slices_that_move(server):
    """Along x the image is dark up to the middle and bright beyond; the last panel is the slice across x."""
    move = """(function move() {
        if (!document.getElementById('lithax-slices-text').textContent.includes('WebGL')) return setTimeout(move, 50);
        const slider = document.querySelector('[data-axis=x] input');
        slider.value = %s;
        slider.dispatchEvent(new Event('input'));
    })()"""

    def panel(picture):
        pixels = np.asarray(picture.convert("L"), float)
        return pixels[
            int(0.4 * len(pixels)) : int(0.5 * len(pixels)), int(0.78 * pixels.shape[1]) : int(0.85 * pixels.shape[1])
        ]

    def still(picture):
        return panel(picture).mean() > 150 and max(picture.getpixel((5, 5))) < 50

    then = ((move % 3, lambda p: panel(p).mean() < 80), (move % 40, still))
    requests, complaints, _ = chromium.visit(server.url, still, without_gpu=True, then=then)
    assert complaints == []
    own = f"http://127.0.0.1:{server.port}/"
    assert [url for url in requests if not url.startswith(own)] == []
    asked = [path for path, status in server.requests if status == 200]
    assert {"slices/x/24.png", "slices/x/3.png", "slices/x/40.png"} <= set(asked)


def test_slow_clients_are_not_waited_for():
    """A client that sends nothing, or a byte now and then, loses its connection; others are served meanwhile."""
    with LoopbackServer(lambda path: ("text/plain", b"x" * 4_000_000), request=0.6, answer_within=0.6) as server:
        silent, slow, deaf = (socket.create_connection(("127.0.0.1", server.port)) for _ in range(3))
        for connection in (silent, slow, deaf):
            connection.settimeout(10)
        deaf.sendall(f"GET /v/{server.secret}/a HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        answer, content = ask(server, f"/v/{server.secret}/b")
        assert (answer.status, len(content)) == (200, 4_000_000)
        closed = False
        for _ in range(40):  # bytes that each come in time
            try:
                slow.sendall(b"G")
                time.sleep(0.1)
            except OSError:
                closed = True
                break
        assert closed
        assert silent.recv(1) == b""
        # Who does not take the answer loses the rest of it.
        received = 0
        with contextlib.suppress(ConnectionError):
            while data := deaf.recv(1 << 16):
                received += len(data)
        assert received < 4_000_000 + 1000
        for connection in (silent, slow, deaf):
            connection.close()


def test_connections_beyond_the_limit_are_closed():
    with LoopbackServer(lambda path: ("text/plain", b"x"), connections=2, request=5) as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        time.sleep(0.3)
        third = socket.create_connection(("127.0.0.1", server.port))
        third.settimeout(5)
        with contextlib.suppress(ConnectionError):
            assert third.recv(1) == b""
        for connection in (*held, third):
            connection.close()


def test_the_address_is_in_no_command_line(image, tmp_path):
    """A browser is given a file that only this user can read; Ctrl-C ends the command with code 0 and no word."""
    said = tmp_path / "said"
    browser = tmp_path / "browser.py"
    browser.write_text(
        f"#!{sys.executable}\nimport os, sys, stat, urllib.parse, urllib.request\n"
        "path = urllib.request.url2pathname(urllib.parse.urlsplit(sys.argv[1]).path)\n"
        "modes = [oct(stat.S_IMODE(os.stat(p).st_mode)) for p in (path, os.path.dirname(path))]\n"
        f"open({str(said)!r} + '.part', 'w').write(repr((sys.argv, modes, open(path).read())))\n"
        f"os.replace({str(said)!r} + '.part', {str(said)!r})\n"
    )
    browser.chmod(0o700)
    command = [
        sys.executable,
        "-c",
        "from lithax.cli import main; main()",
        "view",
        "--web",
        str(tmp_path / "rock.zarr"),
    ]
    process = subprocess.Popen(
        command,
        env={**os.environ, "BROWSER": f"{browser} %s"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        for _ in range(300):
            if said.exists():
                break
            time.sleep(0.1)
        arguments, modes, page = eval(said.read_text())
        secret = url.rstrip("/").rpartition("/")[2]
        assert not any(secret in argument for argument in arguments)
        assert url in page
        assert modes == ["0o600", "0o700"]
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "Aborted" not in output
    assert not Path(arguments[1].removeprefix("file://")).exists()
