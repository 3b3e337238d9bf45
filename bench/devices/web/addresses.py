"""Where phones find this computer: its address in the network, and the line that they open."""

from __future__ import annotations

import io
import ipaddress
import socket

import psutil
import segno

from pocketgan.errors import DeviceError

LOOPBACK = "127.0.0.1"
# Never sent to (TEST-NET-1, RFC 5737): the kernel tells from which address it would.
_ELSEWHERE = ("192.0.2.1", 9)


def own_addresses() -> list[str]:
    """Addresses (IPv4) of this computer's interfaces, loopback apart."""
    found = [one.address for each in psutil.net_if_addrs().values() for one in each if one.family == socket.AF_INET]
    return [address for address in dict.fromkeys(found) if not ipaddress.ip_address(address).is_loopback]


def lan_address(wanted: str | None = None) -> str | None:
    """The address that phones in the same network reach: the wanted one, else that of the way out; None where this
    computer has no network.

    Raises:
        DeviceError: the wanted one is none of this computer's.
    """
    there = own_addresses()
    if wanted is not None:
        if wanted not in there:
            listed = ", ".join(there) or "none"
            raise DeviceError(f"--address {wanted} is no address of this computer; it has: {listed}")
        return wanted
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            outgoing = str(probe.getsockname()[0])
        except OSError:
            outgoing = ""
    if outgoing in there:
        return outgoing
    return there[0] if there else None


def qr_code(url: str) -> str:
    """The address as a picture of half blocks, for terminals."""
    drawn = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n")
