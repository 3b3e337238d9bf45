"""Where phones reach the page of `--device web`: addresses, ports, and the certificate."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from fake_page import FakePage, fake_runtime

from pocketgan.bench.devices.web.addresses import LOOPBACK, lan_address
from pocketgan.bench.devices.web.certificate import certificate_for, fingerprint, tls_context
from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.errors import DeviceError


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
    path.chmod(0o644)
    other = fingerprint(certificate_for(["192.0.2.8", "desk"], tmp_path / "web"))
    path.write_text("no certificate")
    assert fingerprint(certificate_for(["192.0.2.8", "desk"], tmp_path / "web")) != other
    assert tls_context(path).minimum_version == ssl.TLSVersion.TLSv1_2


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


def test_a_port_that_is_taken_gives_way_to_another(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        device = WebDevices(WebOptions(port=taken, ort_web=fake_runtime(tmp_path / "ort")))
        with device.open():
            assert FakePage(device.urls[-1]).port != taken
