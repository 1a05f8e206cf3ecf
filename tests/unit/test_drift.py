"""What is written in two places must agree: README and settings, reference and schema, presets, pins."""

import ast
import re
import shlex
import subprocess
import sys
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from studio.cli import build_parser
from studio.preset.files import header, load
from studio.preset.reference import reference
from studio.preset.renew import renewed
from studio.settings import PROJECT_DIR

README = (PROJECT_DIR / "README.md").read_text()
PRESETS = sorted((PROJECT_DIR / "presets").glob("*.yaml"))
REQUIREMENT_FILES = ("requirements.txt", "requirements-unsloth.txt", "requirements-dev.txt")


def requirements(name: str) -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for line in (PROJECT_DIR / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line]


def pins(name: str) -> dict[str, str]:
    """{distribution: version} of a file in which every line must be an exact pin."""
    found = {}
    for requirement in requirements(name):
        assert re.fullmatch(r"==[0-9][0-9.]*", str(requirement.specifier)), f"{name}: {requirement} is not an exact pin"
        found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def variables(module: str, form: str = r"[A-Z][A-Z_]+") -> set[str]:
    """Every environment variable that a module reads, as strings in capitals of a `form`."""
    tree = ast.parse((PROJECT_DIR / "studio" / module).read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {word for word in words if re.fullmatch(form, word)}


def test_every_variable_of_the_settings_is_in_the_readme_and_the_other_way_round():
    documented = set()
    for row in re.findall(r"^\| (`[A-Z].*?`) \|", README, re.MULTILINE):
        documented |= set(re.findall(r"`([A-Z_]+)`", row))
    assert "STUDIO_DATA_DIR" in documented
    assert documented == variables("settings.py") | variables("evaluation/endpoint.py", r"[A-Z_]+_(API_KEY|BASE_URL)")


def test_the_reference_page_is_what_the_schema_says():
    page = (PROJECT_DIR / "docs" / "presets.md").read_text()
    assert page == reference(), "run: python -m studio.preset.reference > docs/presets.md"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_loads_and_its_header_says_what_it_is_for_what_it_needs_and_how_to_start_it(path: Path):
    load(path)
    title, *rest = header(path).splitlines()
    assert 10 < len(title) < 100, "the first line is the preset's title"
    assert any(line.startswith("Needs: ") for line in rest)
    assert any(line.startswith("Takes: ") for line in rest)
    assert f"Start: python -m studio run presets/{path.name} --follow" in rest
    assert f"| `{path.stem}` |" in README


def test_the_commands_that_readme_pages_and_presets_name_are_understood():
    pages = [PROJECT_DIR / "README.md", *(PROJECT_DIR / "docs").glob("*.md"), *PRESETS]
    commands = [command for page in pages
                for command in re.findall(r"python -m studio ([a-z][^\n`#]*)", page.read_text())]
    assert len(commands) > 30
    parser = build_parser()
    for command in commands:
        parser.parse_args(shlex.split(re.sub(r"[][]", "", command)))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_complete_and_has_the_comments_of_the_schema(path: Path):
    assert path.read_text() == renewed(path), "run: python -m studio.preset.renew"


def test_the_presets_that_the_readme_names_exist():
    named = set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE))
    assert {path.stem for path in PRESETS} == named


def test_every_package_is_pinned_exactly_and_this_environment_holds_those_versions():
    wrong = {
        name: f"{version(name)} instead of {pin}"
        for file in REQUIREMENT_FILES for name, pin in pins(file).items() if version(name).split("+")[0] != pin}
    assert not wrong, "install requirements.txt again"


def test_the_pins_hold_everything_the_named_packages_bring_in():
    """A package that floats could break an installation on any day; only torch's own CUDA packages may follow torch."""
    pinned = pins("requirements.txt")
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in requirements("requirements.in")]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert name in pinned, f"{name} is not in requirements.txt: run make lock"
        for needed in map(Requirement, requires(name) or []):
            environments = [{"extra": extra, "python_version": "3.11"} for extra in extras or {""}]
            if needed.marker is None or any(needed.marker.evaluate(environment) for environment in environments):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))


@pytest.mark.parametrize(("folder", "files"), [
    ("studio", ("requirements.in", "requirements-unsloth.txt")),
    ("benchmarks", ("requirements.in", "requirements-unsloth.txt")),
    ("tests", ("requirements.in", "requirements-unsloth.txt", "requirements-dev.in")),
])
def test_what_is_imported_is_named_in_the_requirements(folder, files):
    """Not only brought in by another package, which may drop it, or installed by hand on one machine."""
    named = {canonicalize_name(requirement.name) for file in files for requirement in requirements(file)}
    distributions = packages_distributions()
    sources = list((PROJECT_DIR / folder).rglob("*.py"))
    known = sys.stdlib_module_names | {"studio", "tests", "spaces_app"} | {source.stem for source in sources}
    unnamed = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else [])
            for module in {name.split(".")[0] for name in modules} - known:
                if not {canonicalize_name(owner) for owner in distributions.get(module, [])} & named:
                    unnamed.add(f"{module} in {source.relative_to(PROJECT_DIR)}")
    assert not unnamed


def test_no_pin_pulls_in_what_breaks_a_cpu_build_of_torch():
    assert not {"torchvision", "xformers", "triton", "torchao", "unsloth"} & set(pins("requirements.txt"))


def test_the_spaces_front_matter_fits_the_pins_and_the_files():
    front = yaml.safe_load(README.split("---\n")[1])
    assert front["sdk_version"] == pins("requirements.txt")["gradio"]
    assert (PROJECT_DIR / front["app_file"]).is_file()
    assert front["hf_oauth"] is True
    # the whole of the user's repositories is not for a studio to write to
    assert not {"write-repos", "manage-repos"} & set(front["hf_oauth_scopes"])


def test_the_space_installs_unsloth_from_its_pins_and_only_where_it_is_missing(monkeypatch):
    import spaces_app

    calls = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
    spaces_app.ensure_unsloth()
    assert calls == [], "unsloth is installed here"
    monkeypatch.setattr(spaces_app, "find_spec", lambda name: None)
    spaces_app.ensure_unsloth()
    assert calls[0][:4] == [sys.executable, "-m", "pip", "install"]
    assert "--no-deps" in calls[0]
    assert calls[0][-1] == str(PROJECT_DIR / "requirements-unsloth.txt")


@pytest.mark.parametrize("path", sorted((PROJECT_DIR / "studio" / "i18n").rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_key_stands_twice_in_a_table_of_texts(path: Path):
    """The later one would win in silence: cards of presets too big for the device once spoke of the size of a file."""
    nodes = [yaml.compose(path.read_text())]
    for node in nodes:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), keys
            nodes += [value for _, value in node.value]
