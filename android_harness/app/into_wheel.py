"""Put the app into the next wheel, where it was built: python3 android_harness/app/into_wheel.py. `make wheel` runs it.

The APK goes to bench/app/, and beside it the licences of all that is in it, which it carries itself. What lay there of
an earlier build goes; where no APK was built, the wheel has none and says so when somebody needs it.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

APP = Path(__file__).resolve().parent
APK = APP / "target" / "pocketgan-harness.apk"
PACKAGE = APP.parents[1] / "bench" / "app"
LICENCES = "assets/licences/"


def main() -> None:
    shutil.rmtree(PACKAGE / "licences", ignore_errors=True)
    (PACKAGE / APK.name).unlink(missing_ok=True)
    if not APK.exists():
        print(f"the wheel has no app: {APK} is not there (make apk)")
        return
    with zipfile.ZipFile(APK) as packed:
        for name in packed.namelist():
            if name.startswith(LICENCES) and not name.endswith("/"):
                target = PACKAGE / "licences" / name.removeprefix(LICENCES)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(packed.read(name))
    shutil.copyfile(APK, PACKAGE / APK.name)
    print(f"the wheel has the app: {APK.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
