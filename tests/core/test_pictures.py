"""Picture files become pixels by one rule, and are found and named by one rule."""

import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketgan.errors import DataError
from pocketgan.picture_files import by_name, find_pictures, left_out, list_images
from pocketgan.pictures import (
    PictureError,
    count_pixels,
    formats,
    open_image,
    read_image,
    read_indices,
    resize,
    write_image,
)

UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
ACROSS = UPRIGHT.T
# EXIF 2.32, tag 0x0112: which side of the picture the file's first row and first column are.
STORED = {
    1: UPRIGHT,  # top, left
    2: UPRIGHT[:, ::-1],  # top, right
    3: UPRIGHT[::-1, ::-1],  # bottom, right
    4: UPRIGHT[::-1],  # bottom, left
    5: ACROSS,  # left, top
    6: ACROSS[::-1],  # right, top
    7: ACROSS[::-1, ::-1],  # right, bottom
    8: ACROSS[:, ::-1],  # left, bottom
}


def tagged(path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_as_its_tag_says(tmp_path, orientation, suffix):
    if suffix == ".webp":
        colours = np.kron(STORED[orientation], np.ones((16, 16), np.uint8))[..., None].repeat(3, 2)
        path = tmp_path / "x.webp"
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(colours).save(path, exif=exif, lossless=True)
        assert np.array_equal(read_image(path)[8::16, 8::16, 0], UPRIGHT)
        return
    path = tagged(tmp_path / f"x{suffix}", STORED[orientation], orientation)
    assert np.array_equal(read_image(path)[..., 0], UPRIGHT)
    assert open_image(path).size == (3, 2)
    assert np.array_equal(read_indices(path), UPRIGHT)


@pytest.mark.parametrize("orientation", [0, 9])
def test_a_tag_that_means_nothing_turns_nothing(tmp_path, orientation):
    path = tagged(tmp_path / "x.png", UPRIGHT, orientation)
    assert np.array_equal(read_image(path)[..., 0], UPRIGHT)
    Image.fromarray(UPRIGHT).save(path, exif=b"Exif\0\0broken")
    assert np.array_equal(read_image(path)[..., 0], UPRIGHT)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bits_are_scaled_to_8(tmp_path, suffix):
    levels = np.array([[0, 128, 257, 257 * 100], [257 * 100 + 120, 257 * 100 + 140, 65534, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / f"x{suffix}")
    assert read_image(tmp_path / f"x{suffix}")[..., 1].tolist() == [[0, 0, 1, 100], [100, 101, 255, 255]]


def test_16_bit_colours_keep_their_brightness(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "x.png"), np.full((2, 2, 3), 200 * 257, np.uint16))
    assert (read_image(tmp_path / "x.png") == 200).all()


def test_floats_go_from_black_0_to_white_1(tmp_path):
    Image.fromarray(np.array([[0, 0.2, 1]], np.float32)).save(tmp_path / "x.tif")
    assert read_image(tmp_path / "x.tif")[..., 2].tolist() == [[0, 51, 255]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[0, 1023]], np.uint16), "16-bit values of 1023 at most, nearly black"),
        (np.array([[0, 200.5]], np.float32), "floats from 0 to 200.5; save it from 0"),
        (np.array([[0, np.nan]], np.float32), "floats from nan to nan"),
        (np.array([[-4, 9]], np.int32), "whole numbers from -4 to 9"),
        (np.array([[0, 70000]], np.int32), "whole numbers from 0 to 70000"),
    ],
)
def test_values_without_a_known_black_and_white_are_refused_by_name(tmp_path, values, said):
    Image.fromarray(values).save(tmp_path / "dim.tif")
    with pytest.raises(PictureError, match=rf"dim\.tif holds {said}") as caught:
        read_image(tmp_path / "dim.tif")
    assert "\n" not in str(caught.value)


def test_black_is_black_in_16_bits_too(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 0).all()


def transparent_pictures():
    """Left transparent, right a colour at full opacity, in every way that PNG and GIF know."""
    colours = Image.new("RGBA", (2, 1))
    colours.putpixel((0, 0), (10, 20, 30, 0))
    colours.putpixel((1, 0), (200, 200, 200, 255))
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 200, 200])
    palette.putdata([0, 1])
    grey = Image.new("L", (2, 1))
    grey.putdata([10, 200])
    deep = Image.fromarray(np.array([[10, 200 * 257]], np.uint16))
    yield "rgba.png", colours, {}
    yield "la.png", colours.convert("LA"), {}
    yield "palette.png", palette, {"transparency": 0}
    yield "palette-alpha.png", palette, {"transparency": bytes([0, 255])}
    yield "gif.gif", palette, {"transparency": 0}
    yield "grey.png", grey, {"transparency": 10}
    yield "rgb.png", colours.convert("RGB"), {"transparency": (10, 20, 30)}
    yield "deep.png", deep, {"transparency": 10}


@pytest.mark.parametrize(("name", "image", "options"), transparent_pictures(), ids=lambda value: str(value)[:20])
def test_what_is_transparent_is_laid_on_white(tmp_path, name, image, options):
    image.save(tmp_path / name, **options)
    assert read_image(tmp_path / name).tolist() == [[[255, 255, 255], [200, 200, 200]]]


def test_half_transparent_red_on_white_is_light_red(tmp_path):
    Image.new("RGBA", (1, 1), (255, 0, 0, 51)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").tolist() == [[[255, 204, 204]]]
    assert read_image(tmp_path / "x.png", "RGBA").tolist() == [[[255, 0, 0, 51]]]


def test_cmyk_without_ink_is_white_and_with_black_ink_black(tmp_path):
    image = Image.new("CMYK", (2, 1))
    image.putdata([(0, 0, 0, 0), (0, 0, 0, 255)])
    image.save(tmp_path / "x.tif")
    assert read_image(tmp_path / "x.tif").tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_a_picture_above_the_limit_is_one_line_with_the_limit(tmp_path, monkeypatch):
    Image.new("RGB", (21, 10)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for ask in (read_image, count_pixels):
        with pytest.raises(PictureError, match=r"large\.png is larger than the limit of 200 pixels") as caught:
            ask(tmp_path / "large.png")
        assert "\n" not in str(caught.value)


def test_a_large_picture_below_the_limit_is_read_in_silence(tmp_path, monkeypatch, recwarn):
    Image.new("RGB", (15, 10)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    formats.cache_clear()
    assert read_image(tmp_path / "large.png").shape == (10, 15, 3)
    assert not recwarn


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_picture_is_one_line(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureError, match=r"x\.png is not a readable image") as caught:
        read_image(tmp_path / "x.png")
    assert "\n" not in str(caught.value)


def test_a_picture_can_be_read_with_fewer_pixels(tmp_path):
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[:, 320:] = 255
    for name in ("x.jpg", "x.png"):
        Image.fromarray(photo).save(tmp_path / name)
        small = read_image(tmp_path / name, most_pixels=10_000)
        assert 2_000 < small.shape[0] * small.shape[1] <= 10_000
        assert small.shape[1] / small.shape[0] == pytest.approx(4 / 3, rel=0.05)
        assert small[:, 3].max() < 20
        assert small[:, -3].min() > 235
    assert count_pixels(tmp_path / "x.jpg") == 640 * 480


def test_a_map_keeps_its_numbers_and_colours_are_refused(tmp_path):
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0] * 256)
    palette.putdata([0, 7, 200])
    palette.save(tmp_path / "palette.png")
    assert read_indices(tmp_path / "palette.png").tolist() == [[0, 7, 200]]
    Image.fromarray(np.array([[0, 26001]], np.uint16)).save(tmp_path / "deep.png")
    assert read_indices(tmp_path / "deep.png").tolist() == [[0, 26001]]
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "mask.png")
    assert read_indices(tmp_path / "mask.png").tolist() == [[0, 1]]
    Image.new("RGB", (2, 1)).save(tmp_path / "colours.png")
    with pytest.raises(PictureError, match=r"colours\.png has colours \(RGB\)"):
        read_indices(tmp_path / "colours.png")


def test_grey_pixels_are_written_and_resized_as_colours_are(tmp_path):
    grey = np.array([[[0], [255]]], np.uint8)
    write_image(tmp_path / "grey.png", grey)
    with Image.open(tmp_path / "grey.png") as image:
        assert (image.mode, image.size) == ("L", (2, 1))
    assert resize(grey, 4, 8).shape == (4, 8, 1)
    assert resize(grey[..., 0], 4, 8).shape == (4, 8)


def test_pictures_are_found_by_every_suffix_that_is_read_and_hidden_files_never(tmp_path, capsys):
    for name in ("a.JPG", "b.jfif", "c.gif", "d.Tif", "._a.jpg", ".hidden.png"):
        Image.new("L", (2, 2)).save(tmp_path / name, format="PNG")
    for name in ("notes.txt", "movie.mpg", "page.eps", ".DS_Store"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.jfif", "c.gif", "d.Tif"]
    assert find_pictures(tmp_path) == list_images(tmp_path)
    assert capsys.readouterr().err == ("3 files are no pictures and were left out: movie.mpg, notes.txt, page.eps\n")
    assert left_out([tmp_path], tmp_path.iterdir()) == ""


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="the plugin is installed")
def test_heic_pictures_say_what_they_need(tmp_path):
    (tmp_path / "IMG_0001.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(DataError, match=r"holds no pictures; 1 is HEIC, .*pip install pillow-heif"):
        find_pictures(tmp_path)
    with pytest.raises(DataError, match=r"IMG_0001\.HEIC is a HEIC picture, .*pip install pillow-heif"):
        read_image(tmp_path / "IMG_0001.HEIC")


def test_names_are_one_however_they_are_spelt(tmp_path):
    spelt = {form: tmp_path / f"{unicodedata.normalize(form, 'café')}.png" for form in ("NFC", "NFD")}
    assert spelt["NFC"] != spelt["NFD"]
    assert list(by_name([spelt["NFC"]], tmp_path)) == list(by_name([spelt["NFD"]], tmp_path))
    with pytest.raises(DataError, match="two images of one name"):
        by_name(spelt.values(), tmp_path)
    with pytest.raises(DataError, match=r"a\.jpg and a\.png, two images of one name"):
        by_name([tmp_path / "a.jpg", tmp_path / "a.png"], tmp_path)


def test_nothing_else_opens_picture_files():
    root = Path(__file__).parents[2]
    sources = [path for part in ("core", "training", "export", "bench") for path in (root / part).rglob("*.py")]
    assert [path.name for path in sources if "Image.open(" in path.read_text()] == ["pictures.py"]
