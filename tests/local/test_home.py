"""What a home remembers."""

import pytest

from deploy.local.home import CannotStart, local_model


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("LOCAL_MODEL", raising=False)


def test_a_new_home_has_the_multilingual_model(tmp_path):
    assert local_model(tmp_path) == "e5"
    (tmp_path / "postgres").mkdir()  # what the same start makes next
    assert local_model(tmp_path) == "e5"


def test_a_home_of_version_0_2_keeps_its_model_until_another_is_chosen(tmp_path, monkeypatch):
    (tmp_path / "postgres").mkdir()
    monkeypatch.setenv("LOCAL_MODEL", "e5")
    assert local_model(tmp_path) == "minilm"  # this start migrates
    monkeypatch.delenv("LOCAL_MODEL")
    assert local_model(tmp_path) == "minilm"
    monkeypatch.setenv("LOCAL_MODEL", "e5")
    assert local_model(tmp_path) == "e5"


def test_a_chosen_model_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_MODEL", "minilm")
    assert local_model(tmp_path) == "minilm"
    monkeypatch.delenv("LOCAL_MODEL")
    assert local_model(tmp_path) == "minilm"
    monkeypatch.setenv("LOCAL_MODEL", "e5")
    assert local_model(tmp_path) == "e5"


def test_an_unknown_model_is_refused_with_a_sentence_and_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_MODEL", "bert")
    with pytest.raises(CannotStart, match="LOCAL_MODEL must be e5 or minilm, not 'bert'"):
        local_model(tmp_path)
    monkeypatch.delenv("LOCAL_MODEL")
    assert local_model(tmp_path) == "e5"
