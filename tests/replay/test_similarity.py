"""PSNR and SSIM against values that are known, and against ffmpeg's own program."""

from __future__ import annotations

import math
import re
import subprocess

import numpy as np
import pytest

from byoc_nb.frames.colors import BT601, Color
from byoc_nb.replay.outcomes import Picture
from byoc_nb.replay.similarity import Meter, psnr

COLOR = Color(BT601, False)


def plain(level: int, size: tuple[int, int] = (64, 48)) -> Picture:
    return Picture.from_samples(np.full((size[1] * 3 // 2, size[0]), level, np.uint8), COLOR)


def test_equal_pictures() -> None:
    found = Meter((64, 48)).measure(plain(90), plain(90))
    assert (found.psnr, found.ssim, found.difference) == (math.inf, 1.0, 0)


def test_plain_pictures_have_the_values_of_the_formulas() -> None:
    found = Meter((64, 48)).measure(plain(100), plain(110))
    assert found.mse == 100 and found.difference == 10
    assert found.psnr == pytest.approx(20 * math.log10(255 / 10))
    luminance = (2 * 100 * 110 + (0.01 * 255) ** 2) / (100**2 + 110**2 + (0.01 * 255) ** 2)
    assert found.ssim == pytest.approx(luminance, abs=1e-3)  # without structure, that is all there is


def test_one_step_in_one_sample_of_a_large_picture_is_not_equal() -> None:
    samples = np.full((3240, 3840), 90, np.uint8)
    other = samples.copy()
    other[7, 7] = 91
    found = Meter((3840, 2160)).measure(Picture.from_samples(samples, COLOR), Picture.from_samples(other, COLOR))
    assert math.isfinite(found.psnr) and found.difference == 1


def test_ffmpeg_says_the_same(tmp_path) -> None:
    random = np.random.default_rng(3)
    a = random.integers(0, 256, (96, 96), np.uint8)
    b = np.clip(a + random.integers(-20, 21, a.shape), 0, 255).astype(np.uint8)
    for name, samples in (("a", a), ("b", b)):
        (tmp_path / name).write_bytes(samples.tobytes())
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "96x64"]
    command = ["ffmpeg", "-hide_banner", *raw, "-i", tmp_path / "a", *raw, "-i", tmp_path / "b"]
    graph = "[0][1]psnr;[0][1]ssim"
    done = subprocess.run([*command, "-lavfi", graph, "-f", "null", "-"], capture_output=True, text=True, check=True)
    found = Meter((96, 64)).measure(Picture.from_samples(a, COLOR), Picture.from_samples(b, COLOR))
    average = re.search(r"average:([\d.]+)", done.stderr)
    over_all = re.search(r"All:([\d.]+)", done.stderr)
    assert average and over_all
    assert found.psnr == pytest.approx(float(average[1]), abs=1e-4)
    assert found.ssim == pytest.approx(float(over_all[1]), abs=1e-5)


def test_a_picture_too_small_for_ssim() -> None:
    found = Meter((2, 2)).measure(plain(1, (2, 2)), plain(3, (2, 2)))
    assert found.mse == 4 and math.isnan(found.ssim)


def test_psnr_of_no_error_is_infinite() -> None:
    assert psnr(0.0) == math.inf
    assert psnr(255.0**2) == 0.0
