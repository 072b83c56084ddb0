"""Pages of others, in a real browser, that try to read, change or open what is in the editor. Each is stopped, and gets
through where a guard is taken away."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sige_mlx.app import guard
from tests.app.browsing import chromium
from tests.app.talking import Running, editing, sent, serving
from tests.tiny import original

pytestmark = pytest.mark.slow

TRY = """async ({port, host, token}) => {
    const base = `http://${host}:${port}`, out = {};
    const within = (promise) => Promise.race([promise, new Promise(done => setTimeout(() => done('nothing'), 4000))]);
    const fetched = async (path, how) => {
        try {
            const answer = await fetch(base + path, how);
            return answer.type === 'opaque' ? 'sent' : `read ${answer.status}`;
        } catch (error) { return 'blocked'; }
    };
    const bearer = token ? {Authorization: `Bearer ${token}`} : {};
    out.read = await within(fetched('/api/models', {headers: bearer}));
    out.sent = await within(fetched('/api/gallery/sea', {method: 'POST', mode: 'no-cors', body: 'x'}));
    out.socket = await within(new Promise(done => {
        const protocols = ['sige.v1', ...(token ? [`token.${token}`] : [])];
        const socket = new WebSocket(`ws://${host}:${port}/ws`, protocols);
        socket.onopen = () => { socket.send(JSON.stringify({t: 'close'})); setTimeout(() => done('open'), 300); };
        socket.onerror = () => done('refused');
    }));
    out.image = await within(new Promise(done => {
        const image = new Image();
        image.onload = () => done('shown');
        image.onerror = () => done('refused');
        image.src = base + '/static/icon.svg';
    }));
    return out;
}"""

SANDBOXED = """async (given) => {
    const frame = document.createElement('iframe');
    frame.sandbox = 'allow-scripts';
    const heard = new Promise(done => addEventListener('message', event => done(event.data), {once: true}));
    frame.srcdoc = `<script>(${given.attempt})(${JSON.stringify(given)})
        .then(out => parent.postMessage(out, '*'))<\\/script>`;
    document.body.append(frame);
    return heard;
}"""

FRAMED = """async ({port, host}) => {
    const frame = document.createElement('iframe');
    frame.src = `http://${host}:${port}/`;
    const loaded = new Promise(done => { frame.onload = done; });
    document.body.append(frame);
    await loaded;
}"""


@contextmanager
def evil() -> Iterator[int]:
    """Another server on this machine, with an empty page; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def attacked(running: Running, token: str = "", sandboxed: bool = False, site: str = "evil.example") -> dict[str, str]:
    """What a page of another origin achieves: of another site, of another port, or in a sandboxed frame."""
    with evil() as port, chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
        page = browser.new_page()
        page.goto(f"http://{site}:{port}/")
        given: dict[str, Any] = {"port": running.port, "host": "127.0.0.1", "token": token}
        if sandboxed:
            return dict(page.evaluate(SANDBOXED, {**given, "attempt": TRY}))
        return dict(page.evaluate(TRY, given))


def without(*checks: guard.Check) -> list[guard.Check]:
    return [check for check in guard.CHECKS if check not in checks]


STOPPED = {"read": "blocked", "socket": "refused", "image": "refused"}


@pytest.mark.parametrize("site", ["evil.example", "127.0.0.1"])
def test_a_page_of_another_site_or_port_gets_nothing(tiny: Path, site: str) -> None:
    """Not even with the token, which it has not."""
    with serving(tiny) as running, editing(running, sent(original())) as page:
        for token in ("", running.token):
            out = attacked(running, token, site=site)
            assert {name: out[name] for name in STOPPED} == STOPPED, token
        page.do("settings")
        assert page.document["name"] == "the picture" and "Open sea" not in [of.get("name") for of in page.heard]


def test_a_sandboxed_frame_gets_nothing(tiny: Path) -> None:
    with serving(tiny) as running, editing(running, sent(original())) as page:
        out = attacked(running, running.token, sandboxed=True)
        assert {name: out[name] for name in STOPPED} == STOPPED
        page.do("settings")
        assert page.document["name"] == "the picture"


def test_without_the_check_of_origins_a_page_with_the_token_closes_the_picture(tiny: Path) -> None:
    with serving(tiny, checks=without(guard.from_own_page, guard.from_here)) as running:
        for sandboxed in (False, True):
            with editing(running, sent(original())) as page:
                assert attacked(running, running.token, sandboxed)["socket"] == "open"
                assert page.until("document")["name"] is None


def test_without_the_token_any_page_that_passes_for_ours_closes_the_picture(tiny: Path) -> None:
    checks = without(guard.from_own_page, guard.from_here, guard.with_token)
    with serving(tiny, checks=checks) as running, editing(running, sent(original())) as page:
        assert attacked(running)["socket"] == "open"
        assert page.until("document")["name"] == "Open sea"  # the answer is kept from the page, and the deed done
        assert page.until("document")["name"] is None
    with serving(tiny, checks=without(guard.from_own_page, guard.from_here)) as running:
        assert attacked(running)["socket"] == "refused"


def test_a_name_that_was_made_to_lead_here_gets_nothing(tiny: Path) -> None:
    """DNS rebinding: the attacker's name is first its own server's, and then ours: to the browser one origin."""

    def rebound(running: Running) -> dict[str, str]:
        with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
            page = browser.new_page(bypass_csp=True)  # the attacker's own page has no such policy
            page.goto(f"http://evil.example:{running.port}/")
            return dict(page.evaluate(TRY, {"port": running.port, "host": "evil.example", "token": ""}))

    with serving(tiny) as running:
        out = rebound(running)
        assert (out["read"], out["socket"]) == ("read 421", "refused")
    # To the browser it is the same origin, so only the name and, where that is not looked at, the token stand between.
    with serving(tiny, checks=without(guard.named)) as running:
        assert rebound(running)["read"] in ("read 401", "read 403")
    with serving(tiny, checks=without(guard.named, guard.with_token)) as running:
        assert rebound(running)["read"] == "read 200"


def test_the_editor_is_not_shown_in_a_frame(tiny: Path) -> None:
    def framed(running: Running) -> bool:
        with evil() as port, chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            page.evaluate(FRAMED, {"port": running.port, "host": "127.0.0.1"})
            return any(f":{running.port}/" in frame.url for frame in page.frames)

    with serving(tiny) as running:
        assert not framed(running)
    with serving(tiny, checks=without(guard.from_here)) as running:
        assert not framed(running)
    with serving(tiny, checks=without(guard.from_here), headers=[]) as running:
        assert framed(running)


@pytest.mark.parametrize(
    "script",
    [
        "const s = document.createElement('script'); s.textContent = 'window.evil = 1'; document.head.append(s)",
        "const s = document.createElement('script'); s.src = 'data:text/javascript,window.evil=1';"
        " document.head.append(s)",
        "document.body.setAttribute('onclick', 'window.evil = 1'); document.body.click()",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x: onerror=\"window.evil=1\">')",
    ],
)
def test_nothing_that_was_slipped_into_the_page_runs(tiny: Path, script: str) -> None:
    def ran(running: Running) -> bool:
        with chromium() as browser:
            page = browser.new_page()
            page.goto(running.address)
            page.evaluate(f"() => {{ {script} }}")
            page.wait_for_timeout(300)
            return page.evaluate("window.evil") == 1

    with serving(tiny) as running:
        assert not ran(running)
    with serving(tiny, headers=[]) as running:
        assert ran(running)


def test_the_page_cannot_tell_anybody(tiny: Path) -> None:
    tell = "async port => { try { await fetch(`http://127.0.0.1:${port}/`, {mode: 'no-cors'}); return true }"
    tell += " catch { return false } }"

    def told(running: Running) -> bool:
        with evil() as port, chromium() as browser:
            page = browser.new_page()
            page.goto(running.address)
            return bool(page.evaluate(tell, port))

    with serving(tiny) as running:
        assert not told(running)
    with serving(tiny, headers=[]) as running:
        assert told(running)
