"""Text out of pixels with noise, and how sure the reader is of it."""

import string

import numpy as np
import pytest

from pixmodels.renderers import PixelReader
from pixmodels.renderers._read_beam import BeamReader
from pixmodels.renderers._read_beam import Noisy
from pixmodels.renderers._read_exact import ExactReader
from pixmodels.renderers._read_lattice import Lattice
from pixmodels.renderers._read_noise import first_guess
from pixmodels.renderers._read_noise import second_guess
from pixmodels.renderers._read_prior import Prior
from pixmodels.renderers._read_tokens import Tokens

ASCII = string.printable[:95]
TEXTS = [
    "Reading is seeing, after a fashion.",
    "Twenty-seven wolves affably filled AVATAR Wood (at 7:35).",
    "It’s “quoted”: TV, To. Wave.",
    "jfj ffi rn m II ll 11",
]


@pytest.fixture(scope="module")
def reader(renderer):
    return PixelReader(renderer, ASCII + "’“”")


def noisy(pixels, sigma, seed=0):
    key = np.random.Philox(key=[seed, 0])
    noise = np.random.Generator(key).standard_normal(pixels.shape)
    return np.clip(pixels / 255 + sigma * noise, 0, 1).astype("float32")


def errors(texts, read):
    return sum(
        a != b
        for text, found in zip(texts, read)
        for a, b in zip(
            text.ljust(len(found.text)), found.text.ljust(len(text))
        )
    )


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.15])
def test_noise_up_to_15_percent_is_read(renderer, reader, sigma):
    batch = renderer(TEXTS)
    read = reader.read(noisy(batch.pixels, sigma), batch.num_patches)
    assert [r.text for r in read] == TEXTS
    for found in read:
        assert not found.is_exact
        # Clipped noise of paper has half its energy.
        assert 0.3 * sigma**2 < found.error < sigma**2


def test_much_noise_and_confidence(renderer, reader):
    batch = renderer(TEXTS)
    read = reader.read(noisy(batch.pixels, 0.3), batch.num_patches)
    assert errors(TEXTS, read) < 0.1 * sum(map(len, TEXTS))
    lost = reader.read(noisy(batch.pixels, 0.9), batch.num_patches)
    mean = [
        np.mean([c.confidence for r in some for c in r.characters])
        for some in (read, lost)
    ]
    assert mean[1] < 0.8 < 0.95 < mean[0] <= 1


def test_words_in_noise(layouts):
    words = layouts["words"]
    reader = PixelReader(words, string.ascii_letters + " ,.")
    texts = ["Some extraordinarily long words, too", "one", "two words"]
    batch = words(texts)
    read = reader.read(noisy(batch.pixels, 0.1), batch.num_patches)
    assert [r.text for r in read] == texts


def test_faded_and_shifted_pixels(renderer, reader):
    batch = renderer(TEXTS)
    pixels = 0.55 + 0.3 * batch.pixels / 255
    pixels[batch.pixels == 255] = 0.85
    read = reader.read(noisy(255 * pixels, 0.02), batch.num_patches)
    assert [r.text for r in read] == TEXTS


def test_noise_of_single_patches(renderer, reader):
    batch = renderer(TEXTS[:1])
    pixels = noisy(batch.pixels, 0.0)
    hidden = slice(3 * 16, 5 * 16)
    pixels[:, :, hidden] = noisy(batch.pixels, 0.25)[:, :, hidden]
    (read,) = reader.read(pixels, batch.num_patches)
    assert read.text == TEXTS[0]
    sure = [c.confidence for c in read.characters if c.end < 48]
    assert min(sure) > 0.999


def test_running_text_helps(renderer):
    text = "the theory that the other three thought there"
    batch = renderer([text] * 5)
    pixels = noisy(batch.pixels, 0.4)
    characters = string.ascii_letters + " ’.,"
    without = PixelReader(renderer, characters)
    knowing = PixelReader(
        renderer,
        characters,
        texts=["then they thought that other theories"] * 9,
    )
    found = [
        errors([text] * 5, reader.read(pixels, batch.num_patches))
        for reader in (without, knowing)
    ]
    assert found[1] < found[0]


def test_right_to_left_in_noise(renderer):
    reader = PixelReader(renderer, scripts=["Hebr"])
    text = "הספרייה הזאת קוראת תמונות."
    batch = renderer(text)
    (read,) = reader.read(noisy(batch.pixels, 0.08), batch.num_patches)
    assert read.text == text


def test_pure_noise_is_no_error(reader):
    key = np.random.Philox(key=[5, 0])
    pixels = np.random.Generator(key).random((2, 16, 16 * 7), "float32")
    for read in reader.read(pixels):
        assert isinstance(read.text, str)
        assert all(0 <= c.confidence <= 1 for c in read.characters)
    (read,) = reader.read(np.full((16, 64), 0.5, "float32"))
    assert isinstance(read.text, str)


@pytest.fixture(scope="module")
def tokens(latin):
    characters = tuple(string.ascii_letters + " .,'")
    return Tokens(
        latin._shaper, latin.font_stack, latin._baseline, 16, characters
    )


def ink_of(renderer, text):
    pixels = renderer(text).pixels[0]
    end = int(renderer(text).num_patches[0]) * 16
    return np.ascontiguousarray(255 - pixels[:, :end].T)


def test_weight_is_the_squared_error(latin, tokens):
    """That of the whole line, but for what is equal in all readings."""
    prior = Prior(tokens)
    reader = BeamReader(tokens, prior, 12)
    text = "fjord Wave To. offer"
    ink = ink_of(latin, text) / 255
    weights = np.full(len(ink), 9.0, np.float32)
    (lattice,) = reader.read([Noisy(ink.astype("f4"), weights, [2])])
    steps, score = lattice.decode(tokens.texts)
    path = [step.token for step in steps]
    assert "".join(tokens.texts[t] for t in path) == text
    picture = np.zeros(ink.shape)
    for step in steps:
        first = step.pen + tokens.lefts[step.token]
        for column, levels in enumerate(tokens.inks[step.token]):
            picture[first + column] += levels / 255
    error = 9.0 * (np.square(ink) - np.square(ink - picture)).sum()
    expected = error + prior.own(np.array(path)).sum()
    assert abs(score - expected) < 1e-3
    again = reader.weigh(lattice, Noisy(ink.astype("f4"), weights, [2]))
    assert abs(again.decode(tokens.texts)[1] - expected) < 1e-3


def test_exact_and_noisy_search_agree(latin, tokens):
    prior = Prior(tokens)
    for text in ("a fjord, Tay", "offers J", "W"):
        ink = ink_of(latin, text)
        exact = ExactReader(tokens).read(ink, 2)
        steps, _ = exact.decode(tokens.texts)
        weights = np.full(len(ink), 9.0, np.float32)
        line = Noisy((ink / 255).astype("f4"), weights, [2])
        (lattice,) = BeamReader(tokens, prior, 12).read([line])
        found, _ = lattice.decode(tokens.texts)
        assert [s[:2] for s in found] == [s[:2] for s in steps]


def test_shares_are_those_of_all_paths():
    """A lattice small enough to write all of its paths down."""
    source = np.random.Generator(np.random.Philox(key=[3, 0]))
    pens = [2, 2, 5, 5, 7]
    tokens = [0, 1, 2, 0, 1]
    own = source.normal(size=5)
    edges = [(0, 2), (1, 2), (1, 3), (2, 4), (3, 4), (0, 3)]
    weights = source.normal(size=6)
    rows = [(a, b, w, 0) for (a, b), w in zip(edges, weights)]
    first = [0.3, -0.2, -np.inf, -np.inf, -np.inf]
    last = [-np.inf] * 4 + [0.1]
    lattice = Lattice(pens, tokens, own, first, last, rows)
    steps, score = lattice.decode(["a", "b", "c"])
    known = dict(zip(edges, weights))
    paths = {}
    for one in (0, 1):
        for two in (2, 3):
            if (one, two) in known:
                paths[one, two, 4] = (
                    first[one]
                    + own[[one, two, 4]].sum()
                    + known[one, two]
                    + known[two, 4]
                    + 0.1
                )
    best = max(paths, key=paths.get)
    assert [s.token for s in steps] == [tokens[n] for n in best]
    assert abs(score - paths[best]) < 1e-9
    whole = np.logaddexp.reduce(list(paths.values()))
    for place, step in enumerate(steps):
        share = sum(
            np.exp(value - whole)
            for path, value in paths.items()
            if path[place] == best[place]
        )
        assert abs(step.share - share) < 1e-9
    pruned, value = lattice.prune().decode(["a", "b", "c"])
    assert [s.token for s in pruned] == [s.token for s in steps]
    assert abs(value - score) < 1e-9


def test_guesses_of_noise(latin):
    ink = ink_of(latin, "A line with some words in it, for the guess") / 255
    key = np.random.Philox(key=[7, 0])
    noise = np.random.Generator(key).standard_normal(ink.shape)
    given = np.clip(ink + 0.2 * noise, 0, 1)
    first = first_guess(given, 16)
    assert abs(first.sigma[0] - 0.2) < 0.08
    second = second_guess(given, ink, 16)
    # Clipping made paper 0.08 darker and ink as much lighter.
    assert abs(second.ink[ink == 0].mean()) < 0.01
    assert abs(second.ink[ink == 1].mean() - 1) < 0.03
    assert given[ink == 0].mean() > 0.06
    spread = np.sqrt(np.square(second.ink - ink).mean())
    assert abs(second.sigma.mean() - spread) < 0.03


def test_the_same_pixels_give_the_same_reading(renderer, reader):
    batch = renderer(TEXTS)
    pixels = noisy(batch.pixels, 0.2)
    one = reader.read(pixels, batch.num_patches)
    assert one == reader.read(pixels, batch.num_patches)
    alone = reader.read(pixels[1:2], batch.num_patches[1:2])
    assert alone[0].text == one[1].text
