"""What a page says of the browser and the device that it is on, as far as a host takes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pocketgan.bench.devices.incoming import plain
from pocketgan.bench.schema.result import DeviceInfo
from pocketgan.bundle.manifest import Strict

_Text = Annotated[str, Field(max_length=200)]
_SHOWN_ID = 8


class About(Strict):
    """What a page says of where it is.

    `id` is drawn by the page and kept by its browser, so that a phone is the same after a reload. `providers` are what
    its runtime can be asked for; `simulated_gpu` where the adapter is a program. `most_threads` is 1 where the page
    is not isolated.
    """

    id: str = Field(pattern="^[0-9a-f]{16}$")
    model: _Text
    os: _Text
    browser: _Text
    cpu: _Text
    cores: int = Field(ge=1, le=4096)
    memory_bytes: int = Field(ge=0, le=1 << 44)
    isolated: bool
    most_threads: int = Field(ge=1, le=4096)
    providers: list[Literal["wasm", "webgpu"]] = Field(min_length=1, max_length=2)
    gpu: _Text | None = None
    simulated_gpu: bool = False

    @property
    def name(self) -> str:
        """As the device is named."""
        return f"web:{self.id[:_SHOWN_ID]}"

    @property
    def words(self) -> str:
        """Model and browser, for people."""
        return ", ".join(part for part in (plain(self.model), plain(self.browser)) if part) or "a browser"

    def device(self) -> DeviceInfo:
        """The device of its Results; of the same browser always the same."""
        return DeviceInfo(
            name=self.name,
            model=plain(self.model) or "unknown",
            kind="web",
            os=plain(self.os),
            os_build="",
            cpu=plain(self.cpu),
            cores=self.cores,
            memory_bytes=self.memory_bytes,
        )
