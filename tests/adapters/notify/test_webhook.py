"""Does a receiver of webhooks get signed CloudEvents that it can tell from others', and know again?"""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.adapters.notify.letters import letter
from tests.adapters.notify.sink import Receiver, listening, verified

from interlock.adapters.clock import SystemClock
from interlock.adapters.notify.webhook import WebhookOutlet, key_of, signature
from interlock.core.news import Kind
from interlock.ports.notify import Undelivered, Unwanted

KEY = b"a key of the receiver's"


def outlet(port: int, path: str = "/hooks", key: bytes | None = KEY, within: float = 10) -> WebhookOutlet:
    return WebhookOutlet(
        SystemClock(), lambda: f"http://127.0.0.1:{port}{path}", lambda: key, within=timedelta(seconds=within)
    )


async def test_an_event_arrives_as_a_signed_cloudevent_under_cdevents_names() -> None:
    receiver = Receiver(KEY)
    async with listening(receiver) as port:
        await outlet(port).send(letter(Kind.SUCCEEDED))
    (event,) = receiver.shown
    assert receiver.headers[0]["content-type"].startswith("application/cloudevents+json")
    assert (event["specversion"], event["type"]) == ("1.0", "dev.cdevents.service.upgraded.0.2.0")
    assert event["source"] == "/interlock/shop" and event["subject"] == "shop-7-production"
    context, subject = event["data"]["context"], event["data"]["subject"]
    assert (context["id"], context["type"], context["timestamp"]) == (event["id"], event["type"], event["time"])
    assert (subject["type"], subject["content"]["environment"]) == ("service", {"id": "production"})
    assert subject["content"]["artifactId"] == "pkg:generic/shop@v2?checksum=sha256:v2"
    assert event["data"]["customData"]["run"] == "shop-7"


@pytest.mark.parametrize(
    ("kind", "type", "artefact"),
    [
        (Kind.STARTED, "dev.cdeventsx.interlock-rollout.started.0.1.0", "v2"),
        (Kind.TURNED_BACK, "dev.cdeventsx.interlock-rollout.turnedback.0.1.0", "v2"),
        (Kind.ROLLED_BACK, "dev.cdevents.service.rolledback.0.2.0", "v1"),
        (Kind.FAILED, "dev.cdeventsx.interlock-rollout.failed.0.1.0", "v2"),
    ],
)
def test_each_kind_of_news_has_its_type_and_says_what_runs(kind: Kind, type: str, artefact: str) -> None:
    event = letter(kind).event
    assert event["type"] == type
    assert f"@{artefact}?" in event["data"]["subject"]["content"]["artifactId"]


async def test_a_receiver_that_honours_the_key_shows_one_of_two() -> None:
    honest, forgetful = Receiver(KEY), Receiver(KEY, honours=False)
    for receiver in (honest, forgetful):
        receiver.manners = "cut"
        async with listening(receiver) as port:
            with pytest.raises(Undelivered):
                await outlet(port).send(letter())
            await outlet(port).send(letter())
    assert (len(honest.shown), len(forgetful.shown)) == (1, 2)
    assert forgetful.shown[0]["id"] == forgetful.shown[1]["id"]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 302])
async def test_what_may_be_mended_is_tried_again(status: int) -> None:
    async with listening(Receiver(status=status)) as port:
        with pytest.raises(Undelivered, match=rf"http://127.0.0.1:{port} answered {status}$"):
            await outlet(port).send(letter())


async def test_what_the_receiver_will_never_take_is_not_tried_again() -> None:
    async with listening(Receiver(status=422)) as port:
        with pytest.raises(Unwanted, match="422"):
            await outlet(port).send(letter())


async def test_a_receiver_that_hangs_is_left_in_time() -> None:
    receiver = Receiver(manners="hang")
    began = time.monotonic()
    async with listening(receiver) as port:
        with pytest.raises(Undelivered, match="no complete answer within"):
            await outlet(port, within=0.5).send(letter())
    assert time.monotonic() - began < 10


async def test_no_error_shows_the_token_that_an_address_holds() -> None:
    async with listening(Receiver(status=500)) as port:
        with pytest.raises(Undelivered) as answered:
            await outlet(port, "/services/T0/B0/geheim?also=geheim").send(letter())
    with pytest.raises(Undelivered) as nobody:
        await outlet(port, "/services/T0/B0/geheim").send(letter())
    assert "geheim" not in f"{answered.value} {nobody.value} {answered.value.__cause__} {nobody.value.__cause__}"


async def test_without_a_key_it_is_not_signed() -> None:
    receiver = Receiver()
    async with listening(receiver) as port:
        await outlet(port, key=None).send(letter())
    assert "webhook-signature" not in receiver.headers[0]


def test_a_signature_holds_for_this_body_id_time_and_key_only() -> None:
    body, at = b'{"id":"a"}', int(time.time())
    headers = {"webhook-id": "a", "webhook-timestamp": str(at), "webhook-signature": signature(KEY, "a", at, body)}
    assert verified(headers, body, KEY)
    assert not verified(headers, body + b" ", KEY)
    assert not verified(headers, body, b"another")
    assert not verified({**headers, "webhook-id": "b"}, body, KEY)
    assert not verified({**headers, "webhook-timestamp": str(at - 1)}, body, KEY)
    old = {**headers, "webhook-timestamp": str(at - 600), "webhook-signature": signature(KEY, "a", at - 600, body)}
    assert not verified(old, body, KEY)


def test_the_signature_is_the_one_of_standard_webhooks() -> None:
    """Their published example (its secret is public)."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = int(datetime(2021, 2, 4, 14, 55, 30, tzinfo=UTC).timestamp())
    said = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert at < 1614265330 and said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_key_may_be_given_in_base64_or_as_it_is() -> None:
    assert key_of("whsec_" + base64.b64encode(b"abc").decode()) == b"abc"
    assert key_of("abc") == b"abc"
    assert key_of("whsec_not base64") == b"whsec_not base64"


def test_the_same_news_is_the_same_event_whenever_it_is_written() -> None:
    assert letter() == letter() and replace(letter(), key="x") != letter()
