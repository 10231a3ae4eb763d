"""Do several services share one port, by name and path and TLS, and is no request lost when any of it changes?"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from signal import Signals

import pytest
from tests.adapters.traffic.grpc_instance import GrpcInstance
from tests.adapters.traffic.tls import TlsLoad, call, certificate, context, get
from tests.adapters.traffic.town import Town, a_town, eventually, revision

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.traffic.envoy import SharedFront
from interlock.adapters.traffic.envoy.certificate import examine
from interlock.core.release import Entrance, Front, Protocol, Tls
from interlock.core.route import Route
from interlock.core.weight import Weight
from interlock.ports.traffic import TrafficError


class Street:
    """One front, the services behind it, and a place for certificates."""

    def __init__(self, place: Path, stack: AsyncExitStack) -> None:
        self.place, self._stack = place, stack
        self.front = SharedFront(LocalHost(), place / "front", place / "run", SystemClock(), workers=2)
        self.port = 0

    async def service(self, name: str, front: Front) -> Town:
        """Open a service with one instance, which answers with its name."""
        town = await self._stack.enter_async_context(a_town(front=self.front))
        self.port = self.port or await town.host.free_port()
        await town.envoy.open("production", Entrance(self.port, front=front))
        await town.admit(name)
        await town.envoy.steer(Route("production", name))
        return town


@asynccontextmanager
async def a_street() -> AsyncIterator[Street]:
    place = Path(tempfile.mkdtemp(prefix="interlock-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        yield Street(place, stack)


@pytest.fixture(autouse=True)
def openssl(needs: Callable[[str], Path]) -> None:
    needs("openssl")


async def test_two_services_share_a_port_by_name_and_path_and_a_third_one_is_refused() -> None:
    async with a_street() as street:
        await street.service("shop", Front(("shop.example.com",)))
        await street.service("till", Front(("shop.example.com",), ("/till",), strip=True))
        await street.service("rest", Front())
        found = {
            (host, path): (await get(street.port, host, path)).body
            for host, path in [
                ("shop.example.com", "/"),
                (f"shop.example.com:{street.port}", "/"),
                ("shop.example.com", "/till"),
                ("shop.example.com", "/till/x"),
                ("shop.example.com", "/tiller"),
                ("shop.example.com", "/till/../x"),
                ("other.example.com", "/till"),
            ]
        }
        assert [*found.values()] == ["shop", "shop", "till", "till", "shop", "shop", "rest"]
        with pytest.raises(TrafficError, match=r"shop.example.com/ at port \d+ is production of .* already"):
            await street.service("fourth", Front(("shop.example.com",)))
        assert (await get(street.port, "shop.example.com")).body == "shop", "and nothing has changed"


async def test_users_come_by_tls_with_http_1_and_2_and_are_sent_there_from_the_plain_port() -> None:
    async with a_street() as street:
        shop = certificate(street.place, "shop.example.com", "*.shop.example.com")
        till = certificate(street.place, "till.example.com", stem="till")
        plain = await LocalHost().free_port()
        await street.service("shop", Front(("shop.example.com", "*.shop.example.com"), tls=shop, redirect=plain))
        await street.service("till", Front(("till.example.com",), tls=till, redirect=plain))
        answers = [
            await get(street.port, "shop.example.com", "/", shop),
            await get(street.port, "www.shop.example.com", "/", shop),
            await get(street.port, "till.example.com", "/", till),
        ]
        assert [(one.status, one.body, one.protocol) for one in answers] == [
            (200, "shop", "http/1.1"),
            (200, "shop", "http/1.1"),
            (200, "till", "http/1.1"),
        ]
        sent = await get(plain, "shop.example.com", "/cart?a=b")
        assert (sent.status, sent.location) == (308, f"https://shop.example.com:{street.port}/cart?a=b")
        old = context(shop)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.deprecated_call():
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError, match="alert protocol version"):
            await asyncio.open_connection("127.0.0.1", street.port, ssl=old, server_hostname="shop.example.com")


async def test_a_new_certificate_is_shown_without_a_lost_request_and_half_of_one_never() -> None:
    async with a_street() as street:
        shop = certificate(street.place, "shop.example.com")
        town = await street.service("shop", Front(("shop.example.com",), tls=shop))
        before = examine(shop, ("shop.example.com",)).der
        keeper = asyncio.ensure_future(town.envoy.supervise())
        users = TlsLoad(street.port, "shop.example.com", shop)
        await eventually(_has(lambda: users.answered["shop"] > 20))
        Path(shop.key).write_text((street.place / "shop.key").read_text().replace("A", "B", 4))
        await eventually(_has(lambda: bool(street.front.troubles)))
        assert users.failed == [] and users.shown == {before}, "a key that does not fit is not taken"
        renewed = certificate(street.place, "shop.example.com")
        users.trust(renewed)
        after = examine(renewed, ("shop.example.com",)).der
        await eventually(_has(lambda: after in users.shown))
        await eventually(_has(lambda: not street.front.troubles))
        await users.end()
        keeper.cancel()
        assert users.failed == []


async def test_a_service_comes_and_goes_and_has_its_weights_moved_without_a_lost_request_at_the_others() -> None:
    async with a_street() as street:
        shop = certificate(street.place, "shop.example.com")
        till = certificate(street.place, "till.example.com", stem="till")
        town = await street.service("shop", Front(("shop.example.com",), tls=shop))
        users = TlsLoad(street.port, "shop.example.com", shop)
        other = await street.service("till", Front(("till.example.com",), tls=till))
        await town.admit("canary")
        await town.envoy.steer(Route("production", "shop", "canary", Weight(5000)))
        await eventually(_has(lambda: users.answered["canary"] > 10))
        assert (await town.envoy.verify(Route("production", "shop", "canary", Weight(5000)))).ok
        await other.envoy.open("production", Entrance(await other.host.free_port()))  # shared no longer
        with suppress(OSError, ssl.SSLError):
            assert (await get(street.port, "till.example.com", "/", till)).status != 200
        await town.successor().open("production", Entrance(street.port, front=Front(("shop.example.com",), tls=shop)))
        await users.end()
        assert users.failed == []


async def test_grpc_and_websockets_pass_tls_and_both_proxies() -> None:
    async with a_street() as street:
        shop = certificate(street.place, "shop.example.com")
        town = await street.service("shop", Front(("shop.example.com",), tls=shop))
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
        answer = await get(street.port, "shop.example.com", "/socket", shop, more=upgrade)
        assert (answer.status, answer.body) == (101, "hi")
        instance = GrpcInstance("calls")
        await instance.begin()
        town.others.append(instance)
        one = revision("calls")
        spoken = replace(one.release.configuration, protocol=Protocol.GRPC)
        await town.envoy.admit(replace(one, release=replace(one.release, configuration=spoken)), (instance.address,))
        await eventually(lambda: _healthy(town, "calls"))
        await town.envoy.steer(Route("production", "calls"))
        assert (await call(street.port, "shop.example.com", "/t/unary-0", shop))["grpc-status"] == "0"
        assert (await call(street.port, "shop.example.com", "/t/stream-7", shop))["grpc-status"] == "7"


async def test_an_envoy_in_front_that_is_killed_is_started_again_by_any_keeper() -> None:
    async with a_street() as street:
        town = await street.service("shop", Front(("shop.example.com",)))
        process = await street.front._process.running()
        assert process is not None
        keeper = asyncio.ensure_future(town.envoy.supervise())
        await town.host.signal(process, Signals.SIGKILL)
        await eventually(lambda: _answers(street.port))
        keeper.cancel()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda tls: Path(tls.certificate).unlink(), "cannot be read: No such file"),
        (lambda tls: Path(tls.certificate).write_text("x"), "expected PEM"),
        (lambda tls: certificate(Path(tls.key).parent, "b.example.com"), "cannot be used for shop.example.com"),
        (lambda tls: shutil.copy(certificate(Path(tls.key).parent, "x", stem="other").key, tls.key), "the key is not"),
    ],
)
async def test_a_certificate_that_users_would_not_take_is_refused_before_it_is_shown(
    tmp_path: Path, spoil: Callable[[Tls], object], said: str
) -> None:
    tls = certificate(tmp_path, "shop.example.com")
    assert examine(tls, ("shop.example.com",)).until.year >= 2026
    spoil(tls)
    with pytest.raises(TrafficError, match=said):
        examine(tls, ("shop.example.com",))


def _has(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return holds()

    return asked


async def _healthy(town: Town, name: str) -> bool:
    return bool(await town.envoy.healthy(name))


async def _answers(port: int) -> bool:
    try:
        return (await get(port, "shop.example.com")).status == 200
    except (OSError, IndexError, ValueError):
        return False
