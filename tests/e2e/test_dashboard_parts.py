"""The dashboard's parts in a browser, without a notebook: when answers come late, and what is given up halfway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lab_kit
import pytest

from byoc_nb.dashboard.widget import DashboardWidget

PARTS = str(DashboardWidget._esm).replace("export default { render };", "window.parts = { Params, Camera, Link };")
# `asked` are the changes that were sent, `answer(number, values)` answers one; `told("a")` is what the server tells
KIT = """
window.asked = [];
window.params = () => new parts.Params((message) => new Promise((resolve) => asked.push({ message, resolve })), "id");
window.answer = (number, values) => asked[number].resolve({ errors: {}, values });
const plain = { description: "", default: 0, secret: false, kind: "number", nullable: false };
const field = (name) => ({ ...plain, name, title: name, load: name === "load" });
const values = (names) => Object.fromEntries(names.map((name) => [name, 7]));
window.told = (...names) => ({ type: "params", fields: names.map(field), values: values(names) });
window.input = (params, name) => params.element.querySelector(`#id-${name}`);
window.type = (params, name, value) => {
    input(params, name).value = value;
    input(params, name).dispatchEvent(new Event("input"));
};
window.shown = (params, name) => input(params, name).value;
window.until = async (condition) => { while (!condition()) await new Promise(requestAnimationFrame); };
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if why := lab_kit.missing():
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=lab_kit.CHROMIUM, args=[*lab_kit.FLAGS, *lab_kit.CAMERA])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page with the parts; at the end, no error was raised in it."""
    page = browser.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.route("https://localhost/", lambda route: route.fulfill(body="<body>", content_type="text/html"))
    page.goto("https://localhost/")  # a camera and what https forbids are there
    page.add_script_tag(content=f"(() => {{ {PARTS} }})(); {KIT}")
    yield page
    page.close()
    assert not failures


def test_an_answer_about_another_processors_fields_is_none(page: Any) -> None:
    page.evaluate("""async () => {
        window.one = params();
        one.take(told("a"));
        type(one, "a", 1);
        await until(() => asked.length === 1);
        one.take(told("a", "b"));
        type(one, "a", 2);
        await until(() => asked.length === 2);
        answer(0, { a: 1, b: 7 });
    }""")
    assert page.evaluate("shown(one, 'a')") == "2"
    page.evaluate(
        "async () => { type(one, 'a', 3); answer(1, { a: 2, b: 7 }); await until(() => asked.length === 3); }"
    )
    assert page.evaluate("asked.map(({ message }) => message.changes)") == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_an_apply_whose_fields_are_gone_or_whose_connection_was_lost(page: Any) -> None:
    apply = page.evaluate("""async () => {
        const one = params();
        one.take(told("load"));
        type(one, "load", 1);
        one.load();
        one.take(told("load"));  // of a new connection: the answer won't come
        const { disabled, textContent } = one.apply;
        one.take(told("b"));
        answer(0, { b: 7 });
        return [disabled, textContent];
    }""")
    assert apply == [False, "Apply"]


def test_a_parameter_may_be_called_like_what_every_object_has(page: Any) -> None:
    assert (
        page.evaluate(
            '() => { const one = params(); one.take(told("constructor")); return shown(one, "constructor"); }'
        )
        == "7"
    )


def test_a_secret_is_sent_as_it_was_typed_and_never_as_its_mask(page: Any) -> None:
    shown = page.evaluate("""async () => {
        const one = params(), message = told("key");
        Object.assign(message.fields[0], { kind: "text", secret: true, default: "**********" });
        message.values.key = "**********";
        one.take(message);
        const before = shown(one, "key"), reset = one.controls.get("key").reset.hidden;
        type(one, "key", "abc");
        input(one, "key").dispatchEvent(new Event("change"));
        await until(() => asked.length === 1);
        answer(0, { key: "**********" });
        await until(() => shown(one, "key") === "");
        return [before, reset, input(one, "key").type, asked[0].message.changes];
    }""")
    assert shown == ["", True, "password", {"key": "abc"}]


def test_a_camera_that_was_given_up_while_it_opened_is_not_on(page: Any) -> None:
    states = page.evaluate("""async () => {
        const tracks = [], get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            const stream = await get(wanted);
            tracks.push(...stream.getTracks());
            return stream;
        };
        const camera = new parts.Camera(() => {}), opening = camera.open();
        camera.close();
        const said = await opening;
        return [said, camera.video, ...tracks.map((track) => track.readyState)];
    }""")
    assert states == ["the camera was given up", None, "ended"]


def test_a_camera_that_is_chosen_again_goes_on_and_one_that_was_unplugged_can_be(page: Any) -> None:
    page.evaluate("""async () => {
        let pictures = 0;
        const camera = new parts.Camera(() => (pictures++, camera.filmed()));
        const films = async () => {
            const before = pictures;
            await until(() => pictures > before + 1);
        };
        await camera.open();
        camera.set(true);
        await films();
        await camera.open();
        camera.set(true);
        await films();
        const [track] = camera.video.srcObject.getTracks();
        track.stop();
        track.dispatchEvent(new Event("ended"));
        await camera.open();
        camera.set(true);
        await films();
        camera.close();
    }""")


def test_where_the_page_may_open_no_websocket_messages_stand_in(page: Any) -> None:
    states = page.evaluate("""async () => {
        const Real = WebSocket;
        window.WebSocket = function (address) {
            if (address.startsWith("ws:")) throw new DOMException("insecure", "SecurityError");
            return new Real(address);
        };
        const states = [], model = { on() {}, off() {}, send() {} };
        const link = new parts.Link(model, { state: (name) => states.push(name), message() {}, pictures() {} });
        link.heard({ type: "where", port: 1, token: "token" });
        await until(() => states.length === 2);
        link.close();
        return states;
    }""")
    assert states == ["connecting", "over messages"]
