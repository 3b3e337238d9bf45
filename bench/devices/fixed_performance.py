"""Android's fixed-performance mode, which holds a phone's clocks for comparisons: set, and always taken back.

`cmd power set-fixed-performance-mode-enabled`, from Android 11 on where the phone's power HAL has the mode (AOSP,
PowerManagerShellCommand). Nothing tells whether it is on, and makers may take the call and do nothing: what counts is
the frequency that is read back beside the frames. It ends with a restart.
"""

from __future__ import annotations

from pocketgan import console
from pocketgan.bench.devices.adb_problems import first_line
from pocketgan.bench.devices.phone import Phone
from pocketgan.errors import DeviceError

# On the phone while the mode is on, so that who comes after a host that was killed knows.
MARK = "/data/local/tmp/pocketgan/fixed-performance"
FIRST_SDK, FIRST_ANDROID = 30, 11
_SET = "cmd power set-fixed-performance-mode-enabled"


class FixedPerformance:
    """The mode of one phone.

    Args:
        sdk: its API level; 0 where it does not tell.
    """

    def __init__(self, phone: Phone, sdk: int) -> None:
        self._phone = phone
        self._sdk = sdk

    def must_be_there(self) -> None:
        """Raises DeviceError where the phone's Android is too old for it."""
        if 0 < self._sdk < FIRST_SDK:
            raise DeviceError(
                f"phone {self._phone.serial}: --clock pinned needs Android {FIRST_ANDROID} or newer; measure with "
                "--clock free"
            )

    def hold(self) -> None:
        """Set it; where it is on, nothing changes.

        Raises:
            DeviceError: the phone has no such mode; says what to do.
        """
        answer = self._phone.script(f"mkdir -p {MARK.rpartition('/')[0]} && : > {MARK} && {_SET} true")
        if answer.code:
            # It may be on, from before a restart of the session.
            self._phone.script(f"{_SET} false > /dev/null 2>&1; rm -f {MARK}")
            why = first_line(answer.error) or first_line(answer.text) or f"exit code {answer.code}"
            raise DeviceError(
                f"phone {self._phone.serial} has no fixed-performance mode, by which its clock could be held ({why}); "
                "measure with --clock free"
            )

    def take_back(self) -> bool:
        """Take it back where a session set it; whether one had.

        Raises:
            DeviceError: the phone refuses.
        """
        answer = self._phone.script(f"[ -e {MARK} ] || exit 0; {_SET} false && rm -f {MARK} && echo taken back")
        if answer.code:
            raise DeviceError(
                f"phone {self._phone.serial} does not leave its fixed-performance mode "
                f"({first_line(answer.error) or f'exit code {answer.code}'}): restart it"
            )
        return "taken back" in answer.text

    def take_back_what_was_left(self) -> None:
        """The same before a session, of one whose host was cut off; says so."""
        if self.take_back():
            console.note(
                f"phone {self._phone.serial}: a session that was cut off had left its clock held; it is free now"
            )

    def take_back_at_last(self) -> None:
        """The same after a session, whatever became of it: where the phone is gone, the next session does it."""
        try:
            self.take_back()
        except DeviceError as problem:
            console.note(f"{problem}; its clock stays held until the next session takes it back, or until a restart")
