"""The list of breakages is true: each can be done, and its tests are there."""

from pathlib import Path

import pytest

from .catalogue import MUTANTS, REPOSITORY, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_breakage_can_be_done_and_its_tests_are_there(mutant: Mutant, tmp_path: Path) -> None:
    source = (REPOSITORY / mutant.file).read_text()
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    copy.write_text(source)
    mutant.apply(tmp_path)
    assert copy.read_text() != source
    compile(copy.read_text(), mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (REPOSITORY / file).read_text()


def test_no_two_breakages_have_one_name() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


def test_a_breakage_whose_text_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("")
    with pytest.raises(ValueError, match="0 times in"):
        Mutant("stale", "code.py", "old", "new", ()).apply(tmp_path)
