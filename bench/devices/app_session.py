"""A session in the app of a phone: how it is begun there, asked for, ended, and what is said where it ends too early.

What `am`, `dumpsys activity services`, `dumpsys activity exit-info` and `logcat` write is AOSP's, of Android 8 to 16.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pocketgan.bench.devices.adb_problems import first_line
from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bench.devices.phone_app import LOOK, PACKAGE, USER, PhoneApp
from pocketgan.bench.devices.transport import NOT_NOW, OutOfReachError
from pocketgan.errors import DeviceError

ACTIVITY, SERVICE = f"{PACKAGE}/pocketgan.app.HarnessActivity", f"{PACKAGE}/pocketgan.app.SessionService"
CANCEL = f"{PACKAGE}.CANCEL"
# Made by the app: beside what adb made alone, it may not write.
SESSIONS = f"/storage/emulated/{USER}/Android/data/{PACKAGE}/files/sessions"
# One for all sessions, so that a bundle that was sent once is there for the next.
NAME = "pocketgan"
FOLDER = f"{SESSIONS}/{NAME}"
CAMERA = "android.permission.CAMERA"
_BEGAN = ".began"
# Tenths of a second that the app may take to begin, and to end between two frames before it is stopped.
_PATIENCE = 50
_READY_S = 60.0
# Exit code where somebody else than the owner uses the phone.
_OTHER_USER = 20
_NEXT = "[pocketgan: next]"
# Who crashes is called by the last 15 letters of its process.
_PROCESS = PACKAGE[-15:]
# Of the process that measures, not of others of the app; a record ends before the number of the next.
_ENDED = re.compile(rf"timestamp=(\S+ \S+) [^#]*?process={re.escape(PACKAGE)} reason=\d+ \(([A-Z _()]+)\) subreason")
# Stopped by the host, by the user, or for an update.
_ASKED_FOR = ("USER REQUESTED", "USER_REQUESTED", "PACKAGE UPDATED", "PACKAGE_UPDATED")


def wake(phone: Phone) -> None:
    """Its screen goes on, over its lock."""
    phone.script(
        """input keyevent KEYCODE_WAKEUP
left=20
until dumpsys power | grep -q mWakefulness=Awake || [ $left = 0 ]; do sleep 0.1; left=$((left - 1)); done"""
    )


def make_ready(phone: Phone, app: PhoneApp, abis: Sequence[str], *, camera: bool) -> None:
    """The app is there, has made its folder, and may see what it needs to; one question where all that is so.

    Args:
        abis: the phone's instruction sets.
        camera: whether it measures from the camera.
    Raises:
        OutOfReachError: the phone was not unlocked since it was started.
        DeviceError: somebody else's screen is on, the app is refused or does not start, or may not see the camera.
    """
    answer = phone.script(
        f"""{_UNLOCKED}
user=$(am get-current-user 2> /dev/null)
case $user in {USER}|'') ;; *) echo "$user"; exit {_OTHER_USER} ;; esac
{LOOK}
[ ! -d {SESSIONS} ] || echo {quoted(_NEXT)}""",
        timeout_s=_READY_S,
    )
    if answer.code == _OTHER_USER:
        raise DeviceError(
            f"phone {phone.serial}: user {answer.text.strip()} is in front, whose storage adb does not reach: switch "
            "to its owner"
        )
    if answer.code == NOT_NOW:
        raise OutOfReachError(f"phone {phone.serial}: {first_line(answer.error)}")
    app.install(phone, abis, answer.text)
    if camera:
        _let_see(phone)
    if _NEXT not in answer.text:
        _open(phone)


def _let_see(phone: Phone) -> None:
    answer = phone.shell("pm", "grant", "--user", str(USER), PACKAGE, CAMERA)
    if answer.code:
        raise DeviceError(
            f"phone {phone.serial}: the app may not use its camera ({first_line(answer.error + answer.text)}): allow "
            "it in the phone's settings, Apps, pocketgan, Permissions (Xiaomi's let adb do it once USB debugging "
            "(Security settings) is on)"
        )


def _open(phone: Phone) -> None:
    """The app makes its folder when it is opened."""
    answer = phone.script(
        f"""{_MUST}
must {_SHOW} || exit 1
left={_PATIENCE}
until [ -d {SESSIONS} ]; do
  [ $left -gt 0 ] || {{ echo 'it made no folder for sessions: is its storage there?' >&2; exit 1; }}
  left=$((left - 1))
  sleep 0.1
done""",
        timeout_s=_READY_S,
    )
    if answer.code:
        raise phone.refusal(answer, "opening the app")


class AppSession:
    """See Measurer. Each session is a process of its own, as are those of other devices: what one is lucky or unlucky
    with is drawn anew in the next."""

    def start(self, folder: str) -> str:
        """See Measurer. The screen comes first: a service alone is measured with it dark."""
        begin = quoted(
            "am", "start-foreground-service", "--user", str(USER), "-n", SERVICE, "--es", "session", _name(folder)
        )
        return f"""{_ALIVE}
{_MUST}
{_UNLOCKED}
cd {quoted(folder)} || exit 1
# Where a phone keeps whose a file is, adb's are the shell's; the folder around them lets nobody else in.
chmod -R a+rwX . 2> /dev/null
am force-stop {PACKAGE}
date '+%Y-%m-%d %H:%M:%S.000' > {_BEGAN}
must {_SHOW} || exit 1
must {begin} || exit 1
left={_PATIENCE}
# Without its process it began and died, which is known from what it left.
until alive || [ -s results.jsonl ] || ! pidof {PACKAGE} > /dev/null; do
  [ $left -gt 0 ] || {{ echo 'the app did not begin the session' >&2; exit 1; }}
  left=$((left - 1))
  sleep 0.1
done"""

    def alive(self, folder: str) -> str:
        """See Measurer. Of any session of the app: no two are measured at once."""
        return f"{_ALIVE}\nalive"

    def stop(self, folder: str) -> str:
        """See Measurer. The app ends between two frames; its screen goes too."""
        cancel = quoted("am", "start-foreground-service", "--user", str(USER), "-n", SERVICE, "-a", CANCEL)
        return f"""{_ALIVE}
alive || exit 0
{cancel} > /dev/null 2>&1
left={_PATIENCE}
while alive && [ $left -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
am force-stop {PACKAGE}
left={_PATIENCE}
while pidof {PACKAGE} > /dev/null && [ $left -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
[ $left -gt 0 ] || {{ echo 'it does not end: restart the phone' >&2; exit 1; }}"""

    def last_words(self, phone: Phone, folder: str) -> str:
        """See Measurer."""
        answer = phone.script(
            f"""cd {quoted(folder)} 2> /dev/null && read -r began < {_BEGAN} || exit 0
echo "$began"
echo {quoted(_NEXT)}
logcat -d -v tag -T "$began" -s pocketgan:I AndroidRuntime:E libc:F 2> /dev/null
echo {quoted(_NEXT)}
dumpsys activity exit-info {PACKAGE} 2> /dev/null"""
        )
        began, _, rest = answer.text.partition(f"\n{_NEXT}\n")
        log, _, ends = rest.partition(f"{_NEXT}\n")
        return _crash(log) or _own_words(log) or _end(ends, began)


def _crash(log: str) -> str:
    """What it died of, in a line; empty where it did not crash."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if f"AndroidRuntime: Process: {PACKAGE}," in line and number + 1 < len(lines):
            return f"it crashed: {_said(lines[number + 1])}"
        if "libc" in line and "Fatal signal" in line and _PROCESS in line:
            return f"it crashed: {_said(line)}"
    return ""


def _own_words(log: str) -> str:
    """The last line of the app itself."""
    own = [_said(line) for line in log.splitlines() if re.match(r"[A-Z]/pocketgan\s*: ", line)]
    return own[-1].removeprefix(f"session {NAME}: ") if own else ""


def _end(ends: str, began: str) -> str:
    """Why Android ended it, such as for want of memory; it tells from Android 11 on, the latest first."""
    found = _ENDED.search(ends)
    if found is None or found[1] < began or found[2] in _ASKED_FOR:
        return ""
    return f"Android ended it: {found[2].replace('_', ' ').lower()}"


def _said(line: str) -> str:
    """A line of `logcat -v tag` without its tag."""
    return line.partition(": ")[2].strip()


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]


# A record without a process is one that is over, or never began.
_ALIVE = f"""alive() {{
  dumpsys activity services {PACKAGE} 2> /dev/null | \
sed -n '/ServiceRecord{{.*SessionService[ }}]/,/^ *app=/p' | grep -q 'app=ProcessRecord{{'
}}"""
# Before the first unlocking after a restart there are neither storage nor apps.
_UNLOCKED = f"""case $(am get-started-user-state {USER} 2> /dev/null) in
  RUNNING_LOCKED*) echo 'it was restarted and not unlocked since: unlock it' >&2; exit {NOT_NOW} ;;
esac"""
# Runs what must succeed, and says why where it does not: `am` tells of some failures with exit code 0.
_MUST = """must() {
  told=$("$@" 2>&1)
  case $?$told in
    124*) ;; # a screen that is slow to draw is waited for no longer
    0*Error:*|[!0]*) echo "$told" | grep -m 1 -e Error: -e Exception >&2 || echo "$told" | tail -n 1 >&2; return 1 ;;
  esac
}"""
_SHOW = quoted("timeout", "10", "am", "start", "-W", "--user", str(USER), "-n", ACTIVITY)
