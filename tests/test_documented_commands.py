"""Every command in the documents is one that the command line understands."""

import re
from pathlib import Path

import pytest

from tests.commands import command_names, commands_in, options, parsed, parsed_by_prefect

HERE = Path(__file__).resolve().parents[1]
DOCUMENTS = [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(?:sh|bash|console)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:agg2exp|prefect) [a-z][^`]*)`")


def commands(document: Path) -> list[list[str]]:
    shell = [found[2] for found in BLOCK.finditer(document.read_text())]
    simple = [within(words) for block in shell for words in commands_in(block)]
    return [words for words in simple if words[0] in {"agg2exp", "prefect"}]


def within(words: list[str]) -> list[str]:
    """Return what `docker compose exec SERVICE` runs, and other commands as they are."""
    if words[:2] == ["docker", "compose"] and "exec" in words:
        after = [word for word in words[words.index("exec") + 1 :] if word != "-T"]
        return after[1:]
    return words


ALL = [(document.name, words) for document in DOCUMENTS for words in commands(document)]


def test_the_documents_hold_commands():
    assert {"README.md", "operations.md"} <= {name for name, _ in ALL}
    assert len(ALL) > 10


@pytest.mark.parametrize(("document", "words"), ALL, ids=[" ".join([name, *words]) for name, words in ALL])
def test_a_command_of_a_code_block_is_understood(document, words):
    program, *rest = words
    if "…" in rest:  # some of its words are left out
        assert {word for word in rest if word.startswith("--")} <= options(rest[0])
        return
    assert (parsed if program == "agg2exp" else parsed_by_prefect)(rest)


def test_commands_named_in_the_text_exist():
    named = {
        text.split()[1]
        for document in DOCUMENTS
        for text in INLINE.findall(document.read_text())
        if text.startswith("agg2exp ")
    }
    assert "explain" in named
    assert named <= command_names()
