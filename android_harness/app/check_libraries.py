"""What must hold of the libraries in an APK, so that Android's linker loads them and finds what Java calls.

None of them can be loaded here: they are for arm64, and for Android's libc.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from dex import Dex
from elf import Library, NotALibraryError, read_library

# Pages of newer phones; a library that is aligned to less is not loaded there.
PAGE = 16384
MACHINE_AARCH64 = 183
# What Android itself gives to apps, of what the engines want.
SYSTEM = frozenset({"libandroid.so", "libc.so", "libdl.so", "liblog.so", "libm.so"})
# Symbols of the system that carry no version which would name their library.
SYSTEM_SYMBOLS = "__android_log_"
# Classes that libraries look up by their name when they are loaded or called.
NAMED_CLASS = re.compile(rb"(?:org/pytorch|com/facebook/jni|ai/onnxruntime)/[A-Za-z0-9_/$]*[A-Za-z0-9_$](?=;?\0)")
# Left out of the APK on purpose: what looks them up says that they are missing, and goes on.
LEFT_OUT = re.compile(r"ai/onnxruntime/(telemetry/.*|TelemetryInitializer)")


def problems_of_libraries(contents: Mapping[str, bytes], bytecode: bytes | None) -> list[str]:
    """What is wrong, a line each.

    Args:
        contents: libraries by their path in the APK.
        bytecode: `classes.dex`; None where there is none.
    """
    found, read = [], {}
    for path, content in contents.items():
        try:
            read[path] = read_library(content)
        except NotALibraryError as problem:
            found.append(f"{path} {problem}")
    for path, library in read.items():
        found += [f"{path} {problem}" for problem in library_problems(library)]
    by_name = {path.rpartition("/")[2]: library for path, library in read.items()}
    for path, library in read.items():
        found += [f"{path} {problem}" for problem in link_problems(library, by_name)]
    if bytecode is not None:
        found += java_problems(Dex(bytecode), contents, read)
    return found


def library_problems(library: Library) -> list[str]:
    """Its machine, and whether segments can be mapped to large pages."""
    if library.machine != MACHINE_AARCH64:
        return [f"is for machine {library.machine}, not for arm64"]
    return [f"is aligned to {library.alignment} bytes, not to {PAGE}"] if library.alignment < PAGE else []


def link_problems(library: Library, there: Mapping[str, Library]) -> Iterator[str]:
    """Libraries and symbols that neither the APK nor Android has. `there`: the APK's libraries by file name."""
    for name in library.needed:
        if name not in there and name not in SYSTEM:
            yield f"needs {name}, which is not there"
    neighbours = [there[name].exports for name in library.needed if name in there]
    for symbol, source in library.wanted:
        if source is None:
            known = symbol.startswith(SYSTEM_SYMBOLS) or any(symbol in exports for exports in neighbours)
        else:
            known = source in SYSTEM or (source in there and symbol in there[source].exports)
        if not known:
            yield f"wants the symbol {symbol}, which nothing there defines"


def java_problems(dex: Dex, contents: Mapping[str, bytes], libraries: Mapping[str, Library]) -> Iterator[str]:
    """Native methods without code, and classes that a library looks up and the APK has not."""
    exports = frozenset[str]().union(*(library.exports for library in libraries.values()))
    # Those that hand over their functions themselves, when they are loaded.
    registering = [contents[path] for path, library in libraries.items() if "JNI_OnLoad" in library.exports]
    for owner, method in dex.native_methods():
        if not (_is_exported(owner, method, exports) or any(_names(one, owner, method) for one in registering)):
            yield f"has the native method {owner}.{method}, which no library has"
    classes = frozenset(dex.classes())
    for path, content in contents.items():
        for name in sorted({match.decode() for match in NAMED_CLASS.findall(content)}):
            if name not in classes and not LEFT_OUT.fullmatch(name):
                yield f"{path} looks for the class {name}, which is not there"


def _is_exported(owner: str, method: str, exports: Collection[str]) -> bool:
    """By the name that Java makes of a native method; with its arguments too, where it is overloaded."""
    parts = [part.replace("_", "_1").replace("$", "_00024") for part in (*owner.split("/"), method)]
    name = "_".join(["Java", *parts])
    return name in exports or any(symbol.startswith(f"{name}__") for symbol in exports)


def _names(library: bytes, owner: str, method: str) -> bool:
    """Whether a library holds both names as whole strings; of two strings where one ends the other, one is kept."""
    return owner.encode() in library and f"{method}\0".encode() in library
