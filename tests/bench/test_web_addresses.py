"""Where phones reach the page of `--device web`: addresses, ports, and the certificate."""

from __future__ import annotations

import socket
import ssl
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from fake_page import FakePage, fake_runtime

from pocketgan.bench.devices.web.addresses import LOOPBACK, lan_address
from pocketgan.bench.devices.web.certificate import certificate_for, fingerprint, tls_context
from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.devices.web.secret import cookie
from pocketgan.cli.options import web_options
from pocketgan.errors import DeviceError, ResultsError


def test_a_certificate_is_kept_as_long_as_it_fits(tmp_path: Path) -> None:
    path = certificate_for(["192.0.2.7", "desk"], tmp_path / "web")
    made = x509.load_pem_x509_certificate(path.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert names.get_values_for_type(x509.DNSName) == ["desk"]
    assert made.public_key().curve.name == "secp256r1"
    assert path.stat().st_mode & 0o777 == 0o600
    first = fingerprint(path)
    assert len(first.split(":")) == 32
    assert fingerprint(certificate_for(["192.0.2.7", "desk"], tmp_path / "web")) == first
    assert fingerprint(certificate_for(["192.0.2.8", "desk"], tmp_path / "web")) != first
    known = fingerprint(path)
    path.chmod(0o644)
    # Others may have read its key.
    other = fingerprint(certificate_for(["192.0.2.8", "desk"], tmp_path / "web"))
    assert other != known
    path.write_text("no certificate")
    assert fingerprint(certificate_for(["192.0.2.8", "desk"], tmp_path / "web")) != other
    assert tls_context(path).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_certificate_is_renewed_a_week_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for days, is_kept in ((8, True), (6, False)):
        monkeypatch.setattr("pocketgan.bench.devices.web.certificate._VALID", timedelta(days=days))
        folder = tmp_path / str(days)
        first = fingerprint(certificate_for(["192.0.2.7"], folder))
        assert (fingerprint(certificate_for(["192.0.2.7"], folder)) == first) == is_kept


@pytest.mark.skipif(lan_address() is None, reason="this computer has no network")
def test_a_session_names_its_certificate_which_is_for_all_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("socket.gethostname", lambda: "Desk-7")
    with WebDevices(WebOptions(port=0, ort_web=fake_runtime(tmp_path / "ort"))).open():
        (path,) = tmp_path.rglob("certificate.pem")
    made = x509.load_pem_x509_certificate(path.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [lan_address()]
    assert names.get_values_for_type(x509.DNSName) == ["desk-7", "desk-7.local"]
    assert fingerprint(path) in capsys.readouterr().err


def test_a_token_goes_over_tls_alone_where_it_came_so() -> None:
    assert cookie("abc", 8765, secure=True) == "pocketgan-8765=abc; Path=/; HttpOnly; SameSite=Strict; Secure"
    assert cookie("abc", 8765, secure=False) == "pocketgan-8765=abc; Path=/; HttpOnly; SameSite=Strict"


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this computer on Linux")
def test_a_session_listens_at_its_own_addresses_alone(tmp_path: Path) -> None:
    device = WebDevices(WebOptions(port=0, ort_web=fake_runtime(tmp_path / "ort")))
    with device.open():
        page = FakePage(device.urls[-1])
        assert page.ask("GET", "/").status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", page.port), timeout=5)


def test_plain_http_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if lan_address() is None:
        pytest.skip("this computer has no network")
    device = WebDevices(WebOptions(port=0, ort_web=fake_runtime(tmp_path / "ort"), plain_http=True))
    with device.open():
        assert device.urls[0].startswith("http://")
        assert FakePage(device.urls[0]).join().status == 200
    assert "whoever is in this network can read the secret" in capsys.readouterr().err


def test_what_the_user_names_wrongly_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"--address 203\.0\.113\.9 is no address of this computer"):
        lan_address("203.0.113.9")
    with (
        pytest.raises(DeviceError, match=r"--ort-web .* holds no ort\.wasm\.min\.mjs"),
        WebDevices(WebOptions(ort_web=tmp_path)).open(),
    ):
        pass
    with pytest.raises(ResultsError, match="--time-limit 0s is no time in which anything is measured"):
        web_options(None, "0s", None, None, plain_http=False, ort_web=None)


def test_a_port_that_is_taken_gives_way_to_another_which_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        device = WebDevices(WebOptions(port=taken, ort_web=fake_runtime(tmp_path / "ort")))
        with device.open():
            port = FakePage(device.urls[-1]).port
    assert port != taken
    assert f"port {taken} is taken, or not ours to take: this session is at {port}" in capsys.readouterr().err
