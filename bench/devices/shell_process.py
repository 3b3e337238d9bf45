"""A command that measures in a phone's shell, on its own: it goes on when the cable comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bench.devices.session_folder import RESULTS

# How long it may take to end by itself, in tenths of a second, before it is killed.
_GRACE = 50
_STARTED = ".measuring"
_LOG = ".log"


class ShellProcess:
    """See Measurer.

    Args:
        command: the words that measure the session in a folder and write its results there.
    """

    def __init__(self, command: Callable[[str], Sequence[str]]) -> None:
        self._command = command

    def start(self, folder: str) -> str:
        """See Measurer. A session and a process group of its own, so that neither adb nor the cable ends it; it notes
        itself down, because the cable may come out before this script could. What has written something was begun, and
        whoever follows it finds that it died."""
        begin = f'{_ALIVE}\necho "$$ $(started $$)" > {_STARTED}\nexec "$@"'
        return f"""{_ALIVE}
cd {quoted(folder)} || exit 1
rm -f {_STARTED}
{quoted("setsid", "sh", "-c", begin, "sh", *self._command(folder))} > {_LOG} 2>&1 < /dev/null &
sleep 0.1
if ! alive; then
  wait $! || {{ code=$?; [ -s {RESULTS} ] || {{ tail -n 1 {_LOG} >&2; exit $code; }}; }}
fi"""

    def alive(self, folder: str) -> str:
        """See Measurer."""
        return f"{_ALIVE}\ncd {quoted(folder)} 2> /dev/null && alive"

    def stop(self, folder: str) -> str:
        """See Measurer."""
        return f"""{_ALIVE}
cd {quoted(folder)} 2> /dev/null || exit 0
for signal in TERM KILL; do
  left={_GRACE}
  while alive && [ $left -gt 0 ]; do
    [ $left -lt {_GRACE} ] || kill -s $signal -- -$pid 2> /dev/null
    sleep 0.1
    left=$((left - 1))
  done
done
! alive || {{ echo 'it does not end: restart the phone' >&2; exit 1; }}"""

    def last_words(self, phone: Phone, folder: str) -> str:
        """See Measurer."""
        lines = phone.script(f"tail -n 1 {quoted(f'{folder}/{_LOG}')} 2> /dev/null").text.splitlines()
        return lines[-1].strip() if lines else ""


# Numbers of processes are given again, after a restart of the phone at the latest: with the time of its start since
# then, field 22 of /proc/PID/stat, one is meant. A dead one that nobody has looked after is dead.
_ALIVE = f"""started() {{
  stat=$(cat /proc/$1/stat 2> /dev/null) || return 1
  set -- ${{stat##*") "}}
  [ "$1" != Z ] && echo "${{20}}"
}}
alive() {{
  [ -f {_STARTED} ] && read pid at < {_STARTED} && [ -n "$at" ] && [ "$(started $pid)" = "$at" ]
}}"""
