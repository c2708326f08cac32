"""The package as a whole: imports with the minimal install, no stubs, nothing that only a docstring promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "lugha").rglob("*.py"))
EXTRAS = [
    "gguf",
    "xllamacpp",
    "boto3",
    "ctranslate2",
    "onnx",
    "onnxruntime",
    "fastapi",
    "uvicorn",
    "ray",
    "hypothesis",
    "pytest",
]


def test_every_module_imports_without_the_extras() -> None:
    code = (
        "import sys, pkgutil, importlib\n"
        f"for name in {EXTRAS}: sys.modules[name] = None\n"
        "import lugha\n"
        "names = [m.name for m in pkgutil.walk_packages(lugha.__path__, 'lugha.') if not m.name.endswith('__main__')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 80


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {d.split(">")[0].split("[")[0].strip().replace("-", "_").lower() for d in declared} | {"lugha", "yaml"}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            for module in modules:
                top = module.split(".")[0]
                assert top in names or top in sys.stdlib_module_names, f"{file}: {top}"


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT / "src" / "lugha")))
def test_every_module_tells_its_story_and_every_public_name_is_explained(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree) or file.name == "__main__.py", "no module docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(getattr(d, "id", "") == "overload" for d in node.decorator_list):
            continue  # the types of one call of a function that is explained below
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_no_stubs() -> None:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name | ast.Call):
                raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                assert getattr(raised, "id", "") != "NotImplementedError", f"{file}, line {node.lineno}"
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", file.read_text(encoding="utf-8")), file


def test_presets_are_in_the_package() -> None:
    """What a wheel would hold, not only a checkout."""
    import lugha

    assert (Path(lugha.__file__).parent / "recipe" / "presets" / "demo.yaml").is_file()
    assert (Path(lugha.__file__).parent / "tokens" / "templates" / "instruction.yaml").is_file()
    assert (Path(lugha.__file__).parent / "monitor" / "report.html").is_file()
