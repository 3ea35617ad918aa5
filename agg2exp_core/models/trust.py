"""What a bundle's configuration may run without its user's word: computing, and MONAI's own parts.

A configuration of MONAI can name any callable and hold any Python expression. Without trust, parts are
taken from MONAI's networks, transforms and inferers and from ``torch.nn``, and expressions compute with
numbers, text and references alone.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.bundle.config_item import ComponentLocator
from monai.utils.module import optional_import

from agg2exp_core.errors import ModelError

TRUST = "AGG2EXP_TRUST_BUNDLES"
"""The environment variable that, set to 1, lets bundles run their code."""

_PARTS = ("monai.networks.", "monai.transforms.", "monai.inferers.", "torch.nn.")
_READERS_AND_WRITERS = "monai.transforms.io."
_MODULES = {"torch", "monai", "numpy", "math", "os", "glob", "json", "pathlib", "sys"}
"""What may be imported, under its own name: using it is another matter."""
_BUILTINS = {
    *("len", "int", "float", "str", "bool", "min", "max", "sum", "abs", "round", "range"),
    *("list", "tuple", "dict", "set", "sorted", "zip", "enumerate", "any", "all"),
}
_ROOTS = {"torch", "np", "numpy", "math", "monai", "os", "glob", "json", "pathlib", "sys"}
_OF_MODULES = re.compile(
    r"torch\.(device|cuda\.is_available|(float|int|uint|bfloat)\d+|long|half|bool)"
    r"|(np|numpy)\.((float|int|uint)\d+|inf|pi|nan)|math\.(inf|pi|nan|sqrt|ceil|floor|prod)"
)
_CALLED = re.compile(r"torch\.(device|cuda\.is_available)|math\.(sqrt|ceil|floor|prod)")
_METHODS = {"to", "eval", "max", "min", "mean", "sum", "std", "any", "all", "get", "keys", "values", "items"}
_PROPERTIES = {"shape", "ndim", "dtype", "device"}
_HARMLESS = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Store, ast.Attribute, ast.Subscript, ast.Slice),
    *(ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop),
    *(ast.IfExp, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Lambda, ast.arguments, ast.arg),
    *(ast.Call, ast.keyword, ast.ListComp, ast.GeneratorExp, ast.comprehension),
)
_REFERENCE = re.compile(r"@(\w+)(?:(?:::|#)\w+)*")


def check_trust(folder: Path, config: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Refuse a bundle whose parts run code of their own, unless the user's environment trusts bundles.

    Parameters
    ----------
    folder : Path
        The bundle.
    config : mapping
        Its configuration, with macros resolved.
    keys : tuple of str
        Parts that will be made; what they refer to is checked with them.

    Raises
    ------
    ModelError
        Which names the part or expression.
    """
    if os.environ.get(TRUST) == "1":
        return
    imports = [text for text in _texts(config) if text.startswith("$") and "import" in text]
    for text in (*filter(_imports, imports), *_reachable(config, keys)):
        if not _is_harmless(text):
            raise ModelError(
                folder,
                got=f"{text[:120]!r}, which runs code of the bundle's choice",
                allowed="MONAI's networks, transforms and inferers, torch.nn, and expressions that compute",
                remedy=f"if you trust the bundle's makers, set {TRUST}=1",
            )


def _reachable(config: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    """Yield the expressions, and the parts as ``_target_ NAME``, that making `keys` may evaluate."""
    waiting, seen = [key for key in keys if key in config], set()
    while waiting:
        key = waiting.pop()
        if key in seen or key not in config:
            continue
        seen.add(key)
        for text in _texts(config[key]):
            waiting += _REFERENCE.findall(text)
            if text.startswith(("$", "@", "_target_ ")):
                yield text


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from [f"_target_ {value}"] if key == "_target_" else _texts(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _texts(value)


def _statement(text: str) -> ast.stmt | None:
    """Return the one statement of an expression, with a name for each reference; None if it is none."""
    code = _REFERENCE.sub("reference", text.removeprefix("$"))
    try:
        statements = ast.parse(code.strip()).body
    except SyntaxError:
        return None
    return statements[0] if len(statements) == 1 and "@" not in code else None


def _imports(text: str) -> bool:
    """Say whether MONAI runs a text as an import wherever it stands, which it tells by its beginning."""
    return text.removeprefix("$").lstrip().startswith(("import", "from"))


def _is_harmless(text: str) -> bool:
    if text.startswith("_target_ "):
        return _is_part(text.removeprefix("_target_ "))
    statement = _statement(text)
    if isinstance(statement, ast.Import):
        names = [(alias.name.partition(".")[0], alias.asname) for alias in statement.names]
        return all(root in _MODULES and asname in (None, root) for root, asname in names) or names == [
            ("numpy", "np")
        ]
    if isinstance(statement, ast.ImportFrom):
        root = (statement.module or "").partition(".")[0]
        names = [(alias.name, alias.asname) for alias in statement.names]
        return root in {"torch", "monai", "numpy", "math"} and all(
            asname is None and name not in _BUILTINS | _ROOTS for name, asname in names
        )
    return isinstance(statement, ast.Expr) and _computes(statement.value)


def _computes(expression: ast.expr) -> bool:
    """Say whether an expression is made of numbers, text, references, and what is listed above."""
    nodes = list(ast.walk(expression))
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if bound & (_BUILTINS | _ROOTS | {"reference"}):
        return False
    known = bound | _BUILTINS | _ROOTS | {"reference"}
    inside = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return all(_is_listed(node, known, is_inside=id(node) in inside) for node in nodes)


def _is_listed(node: ast.AST, known: set[str], *, is_inside: bool) -> bool:
    if isinstance(node, ast.Name):
        return node.id in known and (is_inside or node.id not in _ROOTS)
    if isinstance(node, ast.Attribute):
        name = ast.unparse(node)
        if name.partition(".")[0] in _ROOTS:
            return is_inside or bool(_OF_MODULES.fullmatch(name))
        return node.attr in _METHODS | _PROPERTIES
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS
        of_module = name.partition(".")[0] in _ROOTS
        return name in _BUILTINS or bool(_CALLED.fullmatch(name)) or (is_method and not of_module)
    return isinstance(node, _HARMLESS)


def _is_part(name: str) -> bool:
    """Say whether a ``_target_`` is a class of MONAI's or PyTorch's, wherever its name leads to it."""
    if "." in name:
        homes = [name.rpartition(".")[0]]
    else:
        found = ComponentLocator().get_component_module_name(name)
        homes = [found] if isinstance(found, str) else list(found or ())
    return bool(homes) and all(_is_class_of(home, name.rpartition(".")[2]) for home in homes)


def _is_class_of(home: str, name: str) -> bool:
    if not f"{home}.".startswith(_PARTS):
        return False
    part, is_there = optional_import(home, name=name)
    where = f"{getattr(part, '__module__', '')}."
    is_part = where.startswith(_PARTS) and not where.startswith(_READERS_AND_WRITERS)
    return bool(is_there) and isinstance(part, type) and is_part
