"""Replies of workers, as someone hostile would write them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save

from pocketgan.training.parallel import Product
from pocketgan.training.task_replies import ReplyError, pack, unpack

TENSOR = save({"t": np.zeros((3, 2), np.float32)})


def reply(header: object, rest: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + rest


WITHOUT_FIELDS = "a worker gave back a reply without the fields that it must have"
NO_LIST = "a worker gave back a list of files that is none"


def whole(**changes: object) -> dict[str, object]:
    return {"value": {}, "error": "", "trace": "", "seconds": 1.0, "files": [], **changes}


def test_a_whole_reply_is_read():
    read = unpack(pack(Product({"a": [1, 2.5, None]}, {"t.safetensors": TENSOR}), 2.0), 10_000)
    assert read.product.value == {"a": [1, 2.5, None]}
    assert read.product.shapes("t.safetensors") == {"t": (3, 2)}
    assert read.seconds == 2.0


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (None, "a worker gave back no bytes but NoneType"),
        ({"value": {}}, "a worker gave back no bytes but dict"),
        (b"", "a worker gave back no reply"),
        (reply(whole(), length=1 << 62), "a worker gave back a reply that ends early"),
        (b"\x80\x04" + bytes(20), "a worker gave back a reply that ends early"),
        (reply(b"{"), "not JSON"),
        (reply(b"[" * 100_000), "not JSON"),
        (reply(b'{"value": {"a": NaN}}'), "not JSON"),
        (reply(b'{"value": {"a": 1e999}}'), "the value is not JSON: it holds inf"),
        (reply(b'{"value": {"a": "\\ud800"}}'), "the value is not JSON"),
        (reply([]), WITHOUT_FIELDS),
        (reply({"value": {}}), WITHOUT_FIELDS),
        (reply(whole(value=[])), WITHOUT_FIELDS),
        (reply(whole(seconds=-1)), WITHOUT_FIELDS),
        (reply(whole(seconds=True)), WITHOUT_FIELDS),
        (reply(whole(more=1)), WITHOUT_FIELDS),
        (reply(whole(files=[1])), NO_LIST),
        (reply(whole(files=[{"name": "t.safetensors", "bytes": -1}])), NO_LIST),
        (reply(whole(files=[{"name": "t.safetensors", "bytes": 9}])), "a worker gave back 0 bytes of files and said 9"),
        (reply(whole(), b"more"), "a worker gave back 4 bytes of files and said 0"),
        (reply(whole(value={"a": "x" * (1 << 20)})), "the value has 1,048,584 bytes of JSON"),
        (bytes(2_000_000), "a worker gave back 2,000,000 bytes; at most 10,000 are taken of one task"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_reply_that_is_none_is_refused(data, line):
    with pytest.raises(ReplyError) as told:
        unpack(data, 10_000)
    assert str(told.value).startswith(line)


@pytest.mark.parametrize(
    "name",
    ["../t.safetensors", "/etc/t.safetensors", "a/b.safetensors", "a\\b.safetensors", ".t.safetensors", "t.pkl",
     "result.json", "", "t.safetensors\n", "..safetensors", "ä.safetensors", "x" * 200 + ".safetensors"],
)  # fmt: skip
def test_a_file_name_that_is_not_plain_is_refused(name):
    data = reply(whole(files=[{"name": name, "bytes": len(TENSOR)}]), TENSOR)
    with pytest.raises(ReplyError, match="a file may not be called"):
        unpack(data, 10_000)


def test_names_that_a_mac_takes_for_one_are_refused():
    rows = [{"name": name, "bytes": len(TENSOR)} for name in ("t.safetensors", "T.safetensors")]
    with pytest.raises(ReplyError, match="two files have one name"):
        unpack(reply(whole(files=rows), TENSOR * 2), 10_000)


def test_an_error_line_cannot_steer_the_terminal():
    data = reply(whole(error="bad\x1b[2J\nnews" + "x" * 1000))
    assert unpack(data, 10_000).error.startswith("bad?[2J news")
    assert len(unpack(data, 10_000).error) == 500
