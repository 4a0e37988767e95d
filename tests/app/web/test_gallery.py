"""The gallery: pictures are the stored pixels, and only those."""

import io
import re

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app.web import images


def test_the_gallery_shows_every_poison_with_base_and_difference(full: TestClient) -> None:
    text = full.get("/experiments/2/trials/0").text
    pictures = re.findall(r'<img class="pixels"[^>]*src="([^"]+)"', text)
    kinds = [address.split("/")[3] for address in pictures]
    # the last three are those of one poison, large
    assert kinds == ["target"] + ["base", "poison", "difference"] * (5 + 1)
    assert "amplified 3 times" in text
    for address in pictures[:4]:
        answer = full.get(address)
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]


def test_pictures_are_the_stored_pixels(full: TestClient) -> None:
    text = full.get("/experiments/2/trials/0").text
    target, base, poison, difference = (
        np.asarray(Image.open(io.BytesIO(full.get(address).content))).astype(int)
        for address in re.findall(r'<img class="pixels"[^>]*src="([^"]+)"', text)[:4]
    )
    assert base.shape == (32, 32, 3) and target.shape == (32, 32, 3)
    assert np.abs(poison - base).max() == 32
    assert (difference == 128 + 3 * (poison - base)).all()


@pytest.mark.parametrize(
    "path", ["base/5.png", "poison/-1.png", "target/1.png", "trigger/0.png", "base/x.png"]
)
def test_a_picture_that_is_not_there_is_refused(full: TestClient, path: str) -> None:
    text = full.get("/experiments/2/trials/0").text
    found = re.search(r"/poison-sets/([0-9a-f]{64})/", text)
    assert found
    assert full.get(f"/poison-sets/{found[1]}/{path}").status_code in (404, 422)
    assert full.get(f"/poison-sets/{'0' * 64}/base/0.png").status_code == 404
    assert full.get("/poison-sets/..%2f..%2fetc/base/0.png").status_code in (404, 422)


def test_a_poison_set_can_be_downloaded(full: TestClient) -> None:
    text = full.get("/experiments/2/trials/0").text
    found = re.search(r'href="(/poison-sets/[0-9a-f]{64}\.safetensors)"', text)
    assert found
    answer = full.get(found[1])
    assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"]


def test_a_broken_poison_set_does_not_break_the_page(app: FastAPI, full: TestClient) -> None:
    text = full.get("/experiments/2/trials/3").text
    found = re.search(r"/poison-sets/([0-9a-f]{64})/", text)
    assert found
    app.state.store.path("poison_sets", found[1]).write_bytes(b"not a poison set")
    images._load.cache_clear()
    answer = full.get("/experiments/2/trials/3")
    assert answer.status_code == 200 and "not on this server" in answer.text


@pytest.mark.parametrize("zoom", [1, 3])
def test_the_whole_gallery_is_one_picture_of_the_stored_pixels(full: TestClient, zoom: int) -> None:
    text = full.get("/experiments/2/trials/0").text
    found = re.search(r'href="(/poison-sets/[0-9a-f]{64}/gallery\.png)"', text)
    assert found
    answer = full.get(found[1], params={"zoom": zoom})
    assert "attachment" in answer.headers["content-disposition"]
    sheet = np.asarray(Image.open(io.BytesIO(answer.content)))
    side, gap = 32 * zoom, 2 * zoom
    assert sheet.shape[1] == 5 * (side + gap) + gap  # as many across as there are poisons

    def tile(row: int, column: int) -> np.ndarray:
        top = gap + row * (side + gap) + (2 * gap if row else 0)
        left = gap + column * (side + gap)
        return sheet[top : top + side : zoom, left : left + side : zoom]

    def stored(picture: str) -> np.ndarray:
        address = found[1].replace("gallery.png", picture)
        return np.asarray(Image.open(io.BytesIO(full.get(address).content)))

    assert (tile(0, 0) == stored("target/0.png")).all()
    for row, kind in enumerate(("base", "poison", "difference"), start=1):
        for column in range(5):
            assert (tile(row, column) == stored(f"{kind}/{column}.png")).all()
    assert full.get(found[1], params={"zoom": 9}).status_code == 422
    assert full.get(f"/poison-sets/{'0' * 64}/gallery.png").status_code == 404
