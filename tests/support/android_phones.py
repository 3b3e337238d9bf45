"""What phones of four Android versions say of themselves, as `SimulatedPhone` takes it. Written after AOSP's dumps of
these versions and lines that makers add; no dump of a real phone, and each is marked as an emulator (ro.boot.qemu)."""

from __future__ import annotations


def _properties(**values: str) -> str:
    return "".join(f"[{name.replace('__', '.')}]: [{value}]\n" for name, value in values.items())


_CORES = "/sys/devices/system/cpu/possible"
_CLOCK = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"

# A phone before thermalservice had a status, before ro.soc.*; plugged in, full.
ANDROID_8 = {
    "getprop": _properties(
        ro__boot__qemu="1",
        ro__board__platform="msm8998",
        ro__build__fingerprint="OnePlus/OnePlus5/OnePlus5:8.1.0/OPM1.171019.011/1809:user/release-keys",
        ro__build__version__release="8.1.0",
        ro__build__version__sdk="27",
        ro__hardware="qcom",
        ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi",
        ro__product__manufacturer="OnePlus",
        ro__product__model="ONEPLUS A5000",
    ),
    "dumpsys/battery": """\
Current Battery Service state:
  AC powered: true
  USB powered: false
  Wireless powered: false
  Max charging current: 3000000
  Max charging voltage: 5000000
  Charge counter: 3250000
  status: 5
  health: 2
  present: true
  level: 100
  scale: 100
  voltage: 4361
  temperature: 301
  technology: Li-ion
""",
    "dumpsys/power": """\
POWER MANAGER (dumpsys power)

Power Manager State:
  mDirty=0x0
  mWakefulness=Asleep
  mWakefulnessChanging=false
Display Power: state=OFF
""",
    "settings/global.low_power": "0\n",
    _CORES: "0-7\n",
    _CLOCK.format(0): "1900800\n",
    _CLOCK.format(4): "2457600\n",
    "/proc/meminfo": "MemTotal:        5862116 kB\nMemFree:          121000 kB\n",
    "/proc/uptime": "350735.47 234388.90\n",
}

# The first with a thermal status; a Samsung, with its own lines in the battery's dump; on battery, warm.
ANDROID_10 = {
    "getprop": _properties(
        ro__boot__qemu="1",
        ro__board__platform="universal9820",
        ro__build__fingerprint="samsung/beyond1ltexx/beyond1:10/QP1A.190711.020/G973FXXU9DTH7:user/release-keys",
        ro__build__version__release="10",
        ro__build__version__sdk="29",
        ro__hardware="exynos9820",
        ro__hardware__chipname="exynos9820",
        ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi",
        ro__product__manufacturer="samsung",
        ro__product__model="SM-G973F",
    ),
    "dumpsys/battery": """\
Current Battery Service state:
  AC powered: false
  USB powered: false
  Wireless powered: false
  Max charging current: 0
  Max charging voltage: 0
  Charge counter: 1530
  status: 3
  health: 2
  present: true
  level: 45
  scale: 100
  voltage: 3832
  temperature: 347
  technology: Li-ion
  batteryMiscEvent: 0
  batteryCurrentEvent: 0
  mSecPlugTypeSummary: 0
  LED Charging: true
  current now: -412
  charge counter: 1530
  Adaptive Fast Charging Settings: true
  LLB CAL: 20190421
  LLB MANUFACTURE: 0
""",
    "dumpsys/thermalservice": """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
ThermalStatusListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=33.0, mType=3, mName=SUBBAT, mStatus=0}
\tTemperature{mValue=39.9, mType=3, mName=SKIN, mStatus=1}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=61.5, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=34.7, mType=2, mName=BAT, mStatus=0}
\tTemperature{mValue=41.2, mType=3, mName=SKIN, mStatus=2}
\tTemperature{mValue=NaN, mType=4, mName=USB, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
""",
    "dumpsys/power": "Power Manager State:\n  mWakefulness=Awake\n  mIsPowered=false\nDisplay Power: state=ON\n",
    "settings/global.low_power": "1\n",
    _CORES: "0-3,4-5,6-7\n",
    _CLOCK.format(0): "1950000\n",
    "/proc/meminfo": "MemTotal:        7746440 kB\n",
    "/proc/uptime": "1200.05 3000.00\n",
}

# A Pixel with everything in order, charging by USB.
ANDROID_13 = {
    "fixed-performance": "false\n",
    "getprop": _properties(
        ro__boot__qemu="1",
        ro__board__platform="gs201",
        ro__build__fingerprint="google/panther/panther:13/TQ3A.230805.001/10316531:user/release-keys",
        ro__build__version__release="13",
        ro__build__version__sdk="33",
        ro__hardware="panther",
        ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi",
        ro__product__manufacturer="Google",
        ro__product__model="Pixel 7",
        ro__soc__manufacturer="Google",
        ro__soc__model="GS201",
        persist__some__note="first line\nsecond line",
    ),
    "dumpsys/battery": """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 3512000
  status: 2
  health: 2
  present: true
  level: 81
  scale: 100
  voltage: 4201
  temperature: 268
  technology: Li-ion
""",
    "dumpsys/thermalservice": """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
ThermalStatusListeners:
\tcallbacks: 4
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=99.0, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=38.1, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=36.4, mType=1, mName=G3D, mStatus=0}
\tTemperature{mValue=26.8, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=28.9, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
\tTemperature{mValue=35.0, mType=10, mName=TPU, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=3, mName=VIRTUAL-SKIN, mHotThrottlingThresholds=[NaN, 39.0, 43.0, 45.0, 46.5, 52.0, 55.0]}
""",
    "dumpsys/power": "Power Manager State:\n  mWakefulness=Awake\n  mIsPowered=true\n",
    "settings/global.low_power": "0\n",
    _CORES: "0-7\n",
    _CLOCK.format(0): "1803000\n",
    _CLOCK.format(7): "2850000\n",
    "/proc/meminfo": "MemTotal:        7850388 kB\n",
    "/proc/uptime": "86400.00 600000.00\n",
}

# Someone told this one what to say; its sensors tell nothing, and its battery's voltage is in microvolts.
ANDROID_15 = {
    "getprop": _properties(
        ro__boot__qemu="1",
        ro__board__platform="kalama",
        ro__build__fingerprint="Xiaomi/fuxi/fuxi:15/AQ3A.240912.001/OS2.0:user/release-keys",
        ro__build__version__release="15",
        ro__build__version__sdk="35",
        ro__product__cpu__abilist="arm64-v8a",
        ro__product__manufacturer="Xiaomi",
        ro__product__model="2211133G",
        ro__soc__manufacturer="QTI",
        ro__soc__model="SM8550",
    ),
    "dumpsys/battery": """\
Current Battery Service state:
  (UPDATES STOPPED -- use 'reset' to restart)
  AC powered: false
  USB powered: false
  Wireless powered: false
  Dock powered: false
  Max charging current: 0
  Max charging voltage: 0
  Time when the latest updated value was sent via battery changed broadcast: -1
  The last voltage value sent via the battery changed broadcast: 3981
  Charge counter: 2100000
  status: 3
  health: 2
  present: true
  level: 60
  scale: 100
  voltage: 3981000
  temperature: 250
  technology: Li-poly
  Charging state: 0
  Charging policy: 0
  Capacity level: -1
""",
    "dumpsys/thermalservice": """\
IsStatusOverride: true
ThermalEventListeners:
\tcallbacks: 3
ThermalStatusListeners:
\tcallbacks: 8
Thermal Status: 0
Cached temperatures:
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 2 connected: yes
Current temperatures from HAL:
Current cooling devices from HAL:
Temperature static thresholds from HAL:
Temperature headroom thresholds:
""",
    "dumpsys/power": "Power Manager State:\n  mWakefulness=Dozing\n",
    _CORES: "0-7\n",
    "/proc/meminfo": "MemTotal:       11538984 kB\n",
    "/proc/uptime": "10.25 20.00\n",
}

# What answers to the shell, and to nothing else.
SILENT = {"getprop": ""}
