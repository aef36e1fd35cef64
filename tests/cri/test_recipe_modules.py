"""`modules` of a recipe: what the running Python imports becomes files of the image."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sampan.cri import installed_modules
from sampan.cri.recipe import RecipeError, parse

PACKAGES = "/usr/lib/python3/dist-packages"


def test_a_package_comes_with_all_its_files_and_without_its_caches() -> None:
    files = parse({"name": "a:1", "packages": ["python3"], "modules": ["sampan", "orjson"]}, Path()).files
    assert f"{PACKAGES}/sampan/reconcile/controller.py" in files
    assert f"{PACKAGES}/orjson/__init__.py" in files
    assert not [path for path in files if "__pycache__" in path]


def test_a_module_of_one_file_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greetings.py").write_text("WORD = 'hello'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_modules.files_of(["greetings"])[f"{PACKAGES}/greetings.py"].data == b"WORD = 'hello'\n"


@pytest.mark.parametrize(("recipe", "message"), [
    ({"packages": ["python3"], "modules": ["no_such_module"]}, "modules: there is no module 'no_such_module'"),
    ({"packages": ["python3"], "modules": ["../etc"]}, "modules: there is no module '../etc'"),
    ({"modules": ["orjson"]}, "modules: they need a python3 among the packages"),
])
def test_a_wrong_recipe_says_what_is_wrong(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse({"name": "a:1", **recipe}, Path())
    assert str(error.value).startswith(message)


def test_another_version_of_python_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "usr" / "bin" / "python3"
    program.parent.mkdir(parents=True)
    with pytest.raises(installed_modules.ModuleMissing, match="python3 is none"):
        installed_modules.check_version(tmp_path)
    program.symlink_to("python3.2")
    with pytest.raises(installed_modules.ModuleMissing, match=r"python3 is python3\.2"):
        installed_modules.check_version(tmp_path)
    program.unlink()
    program.symlink_to(f"python3.{sys.version_info.minor}")
    installed_modules.check_version(tmp_path)


def test_a_distribution_comes_with_all_that_it_requires_and_with_its_libraries() -> None:
    recipe = {"name": "a:1", "packages": ["python3"], "distributions": ["sampan"]}
    files = parse(recipe, Path()).files
    assert f"{PACKAGES}/sampan/reconcile/controller.py" in files, "a working copy's modules"
    assert f"{PACKAGES}/multidict/__init__.py" in files, "aiohttp requires it"
    assert [path for path in files if path.startswith(f"{PACKAGES}/numpy.libs/")], "shared objects beside the module"
    assert [path for path in files if path.startswith(f"{PACKAGES}/orjson-") and path.endswith("/METADATA")]
    assert not [path for path in files if "__pycache__" in path or ".." in path or "direct_url" in path]
    assert f"{PACKAGES}/pytest/__init__.py" not in files, "an extra is not required"


def test_a_distribution_that_is_not_here_is_named() -> None:
    with pytest.raises(RecipeError, match="distributions: there is no distribution 'no-such-thing'"):
        parse({"name": "a:1", "packages": ["python3"], "distributions": ["no-such-thing"]}, Path())
