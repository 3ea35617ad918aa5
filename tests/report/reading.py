"""Pages as a strict reader takes them."""

import json
from pathlib import Path
from urllib.parse import unquote

import html5lib


def parsed(html: str):
    """The tree of a page."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(tree, anchor: str):
    (found,) = [one for one in tree.iter("section") if one.get("id") == anchor]
    return found


def rows_of(table) -> list[list[str]]:
    """The texts of a table's cells, its head first."""
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


def data_in(tree, anchor: str) -> list[dict]:
    """The rows that the chart of a section is drawn from."""
    (found,) = [one for one in tree.iter("script") if one.get("id") == f"{anchor}-chart-1-spec"]
    return json.loads(found.text)["datasets"]["rows"]


def check_page(path: Path) -> None:
    """Whole, with names for all that is seen, and nothing fetched but files beside it."""
    tree = parsed(path.read_text())
    elements = list(tree.iter())
    ids = [one.get("id") for one in elements if one.get("id")]
    assert len(ids) == len(set(ids))
    for one in elements:
        for attribute in ("href", "src", "srcset"):
            if (address := one.get(attribute)) is None:
                continue
            assert "//" not in address
            if address.startswith("#"):
                assert address[1:] in ids
            else:
                assert (path.parent / unquote(address)).is_file(), address
        assert not one.get("style")
        assert not any(str(name).startswith("on") for name in one.attrib)
    assert all(image.get("alt") for image in tree.iter("img"))
    assert len(list(tree.iter("table"))) == len(list(tree.iter("caption")))
    assert len(list(tree.iter("h1"))) == len(list(tree.iter("main"))) == 1
    assert all(one.get("src") or one.get("type") == "application/json" for one in tree.iter("script"))
    labelled = {label.get("for") for label in tree.iter("label")}
    assert {one.get("id") for one in elements if one.tag in ("select", "input")} <= labelled
    assert tree.getroot().get("lang") == "en" if hasattr(tree, "getroot") else tree.get("lang") == "en"
