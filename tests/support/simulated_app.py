"""The app on a simulated phone: `am` starts the Kotlin core on this machine's JVM, or a program in its place, and the
other tools tell of it.

What the tools write is AOSP's (Android 14), as far as somebody reads it.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import kotlin_harness
from adb_device import SimulatedPhone
from adb_server import until

from pocketgan.bench.schema.result import DeviceInfo

PACKAGE = "org.pocketgan.harness"
SESSIONS = f"/storage/emulated/0/Android/data/{PACKAGE}/files/sessions"
# As app/PhoneFacts.kt describes a phone: its serial is the host's to know.
AS_THE_APP_SAYS = DeviceInfo(
    name="android",
    model="Google Pixel 7",
    kind="android",
    os="Android 13",
    os_build="google/panther/panther:13/TQ3A.230805.001/10316531:user/release-keys",
    cpu="Google GS201",
    cores=8,
    memory_bytes=7850388 * 1024,
    simulated=True,
)
_AM = r"""
app="$STATE/app" folder="$ADB_DEVICE@SESSIONS@"
say() { echo "$1/$2: $3" >> "$app/log"; }
alive() { [ -f "$app/pid" ] && kill -0 "$(cat "$app/pid")" 2> /dev/null; }
verb=$1; shift
case "$verb" in
get-current-user) cat "$app/user" ;;
get-started-user-state) cat "$app/user_state" ;;
force-stop)
  if alive; then kill -s KILL -- "-$(cat "$app/pid")"; fi
  rm -f "$app/pid" "$app/shown" ;;
start)
  if [ ! -f "$STATE/installed.apk" ] || [ -f "$app/broken" ]; then
    echo "Starting: Intent { cmp=$5 }"; echo "Error type 3"; echo "Error: Activity class {$5} does not exist."
    exit 1
  fi
  mkdir -p "$folder"; touch "$app/shown"
  echo "Starting: Intent { cmp=$5 }"; echo "Status: ok"; echo "LaunchState: COLD"; echo "Complete" ;;
start-foreground-service)
  action= name=
  while [ $# -gt 0 ]; do
    case "$1" in -a) action=$2 ;; session) name=$2 ;; esac
    shift
  done
  if [ ! -f "$STATE/installed.apk" ]; then echo "Error: Not found; no service started." >&2; exit 255; fi
  echo "Starting service: Intent { cmp=@PACKAGE@/pocketgan.app.SessionService }"
  if [ "$action" = @PACKAGE@.CANCEL ]; then
    if alive; then kill -s TERM -- "-$(cat "$app/pid")"; fi
  elif [ -f "$app/words" ]; then
    say E pocketgan "session $name: $(cat "$app/words")"
  elif [ ! -d "$folder/$name" ]; then
    say I pocketgan "session $name: no folder sessions/$name"
  else
    echo "$name" >> "$app/begun"
    /usr/bin/setsid -f sh -c 'echo $$ > "$1/pid"; shift; exec "$@"' sh "$app" \
      @PROGRAM@ session "$folder/$name" "$app/device.json" >> "$app/out" 2>&1 < /dev/null
    until [ -f "$app/pid" ]; do sleep 0.01; done
  fi ;;
*) echo "Error: unknown command '$verb'" >&2; exit 255 ;;
esac
"""
_SERVICES = r"""
app="$STATE/app"
echo "ACTIVITY MANAGER SERVICES (dumpsys activity services)"
if [ -f "$app/pid" ] && kill -0 "$(cat "$app/pid")" 2> /dev/null; then
  echo "  User 0 active services:"
  echo "  * ServiceRecord{9f2f9f2 u0 @PACKAGE@/pocketgan.app.SessionService c:com.android.shell}"
  echo "    intent={cmp=@PACKAGE@/pocketgan.app.SessionService}"
  echo "    packageName=@PACKAGE@"
  echo "    processName=@PACKAGE@"
  echo "    app=ProcessRecord{1d61746 $(cat "$app/pid"):@PACKAGE@/u0a320}"
  echo "    isForeground=true foregroundId=1"
else
  echo "  (nothing)"
fi
"""
_TOOLS = {
    "pidof": 'test -f "$STATE/app/shown" && cat "$STATE/app/pid" 2> /dev/null || test -f "$STATE/app/shown"',
    "logcat": 'echo "--------- beginning of main"; cat "$STATE/app/log" 2> /dev/null',
    "input": 'sed -i -E "s/mWakefulness=(Asleep|Dozing)/mWakefulness=Awake/" "$STATE/dumpsys/power"',
}


class SimulatedApp:
    """What there is to the app on a phone; it is installed there by whoever measures.

    Args:
        program: what measures, called with `session FOLDER DEVICE_FILE`; the Kotlin core where None.
    Attributes:
        phone: where it is.
    """

    def __init__(
        self, phone: SimulatedPhone, says: DeviceInfo = AS_THE_APP_SAYS, program: Sequence[str] | None = None
    ) -> None:
        self.phone = phone
        self._state = phone.root / "state" / "app"
        self._state.mkdir()
        (self._state / "device.json").write_text(json.dumps(says.model_dump()))
        (self._state / "user").write_text("0\n")
        (self._state / "user_state").write_text("RUNNING_UNLOCKED\n")
        words = shlex.join(kotlin_harness.java("pocketgan.jvm.MainKt") if program is None else program)
        for name, body in _TOOLS.items():
            self._tool(f"shims/{name}", f'echo "{name} $*" >> "$STATE/calls"\n{body}')
        self._tool("state/am", _AM.replace("@PROGRAM@", words))
        self._tool(f"state/dumpsys/activity.services.{PACKAGE}", _SERVICES)

    @property
    def begun(self) -> int:
        """How many sessions were begun, each in a process of its own."""
        path = self._state / "begun"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def at(self, path: str) -> Path:
        """Where a file below the folder of sessions lies on this computer."""
        return self.phone.at(f"{SESSIONS}/{path}")

    def crash(self, *log: str) -> None:
        """Its process ends now; `logcat` tells so."""
        until((self._state / "pid").exists)
        (self._state / "shown").unlink()
        os.killpg(int((self._state / "pid").read_text()), signal.SIGKILL)
        self.tells(log)

    def tells(self, log: Sequence[str], exit_info: str = "") -> None:
        """Lines of `logcat -v tag`, and `dumpsys activity exit-info`."""
        with (self._state / "log").open("a") as file:
            file.writelines(f"{line}\n" for line in log)
        (self.phone.root / "state" / "dumpsys" / f"activity.exit-info.{PACKAGE}").write_text(exit_info)

    def says(self, words: str) -> None:
        """Every session that is asked for is refused with these words."""
        (self._state / "words").write_text(words)

    def cannot_be_shown(self) -> None:
        """Its activity does not start."""
        (self._state / "broken").touch()

    def user(self, number: int, state: str = "RUNNING_UNLOCKED") -> None:
        """Who uses the phone, and whether its owner unlocked it since it was started."""
        (self._state / "user").write_text(f"{number}\n")
        (self._state / "user_state").write_text(f"{state}\n")

    def _tool(self, path: str, body: str) -> None:
        file = self.phone.root / path
        text = body.replace("@PACKAGE@", PACKAGE).replace("@SESSIONS@", SESSIONS)
        file.write_text(f"#!/bin/sh\nSTATE={self.phone.root}/state\n{text}\n")
        file.chmod(0o755)


def make_apk(
    path: Path, package: str = PACKAGE, libraries: Sequence[str] = (), content: bytes = b"", utf8: bool = False
) -> Path:
    """An APK that is none but for its manifest, whose form is that of AOSP's ResourceTypes.h, and the names in it.

    Args:
        libraries: such as lib/x86_64/libonnxruntime.so. content: of classes.dex. utf8: how the manifest's strings are
            written; aapt2 writes UTF-16, older tools either.
    """
    strings = ["package", "versionName", package, "0.1.0", "manifest"]
    written = [_utf8(text) if utf8 else _utf16(text) for text in strings]
    pool = b"".join(written)
    pool += bytes(-len(pool) % 4)
    offsets = b"".join(struct.pack("<I", sum(map(len, written[:number]))) for number in range(len(written)))
    start = 28 + len(offsets)
    chunks = (
        struct.pack("<HHIIIIII", 0x0001, 28, start + len(pool), len(strings), 0, utf8 << 8, start, 0) + offsets + pool
    )
    attributes = b"".join(
        struct.pack("<IIIHBBI", 0xFFFFFFFF, name, value, 8, 0, 3, value) for name, value in ((0, 2), (1, 3))
    )
    element = struct.pack("<IIHHHHHH", 0xFFFFFFFF, 4, 20, 20, 2, 0, 0, 0) + attributes
    chunks += struct.pack("<HHIII", 0x0102, 16, 16 + len(element), 1, 0xFFFFFFFF) + element
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", struct.pack("<HHI", 0x0003, 8, 8 + len(chunks)) + chunks)
        archive.writestr("classes.dex", content)
        archive.writestr("assets/licences/LICENSE", "Apache License")
        archive.writestr("assets/licences/onnxruntime/LICENSE", "MIT License")
        for library in libraries:
            archive.writestr(library, b"")
    return path


def _utf16(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"


def _utf8(text: str) -> bytes:
    """Lengths in characters and in bytes, of one byte, or of two with the first bit set."""
    encoded = text.encode()
    lengths = [
        bytes([size]) if size < 0x80 else bytes([0x80 | size >> 8, size & 0xFF]) for size in (len(text), len(encoded))
    ]
    return b"".join(lengths) + encoded + b"\0"
