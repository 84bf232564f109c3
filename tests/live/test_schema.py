"""The JSON Schemas, by a validator that nobody here wrote: they are draft 07, and they refuse no plan that the loader takes."""

import copy
import json
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

from cockpit import ROOT, binary

# Values of every type; what a key takes is among them or it is not.
OTHERS = [5, 0.5, True, "x", "5m", "99%", "${zone}", [], {}, ["x"], {"x": "y"}]


class Yaml12(yaml.SafeLoader):
    """The core schema of YAML 1.2, which editors and the loader have: `on` and `22:00` are text."""


Yaml12.yaml_implicit_resolvers = {}
for kind, pattern, first in (
    ("bool", r"^(true|false)$", "tf"),
    ("null", r"^(null|~|)$", ["n", "~", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?[0-9]+\.[0-9]+$", "-+0123456789"),
):
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern), list(first))


def printed_schema(of):
    printed = subprocess.run([binary(), "schema", of], capture_output=True, text=True, check=True, timeout=30).stdout
    jsonschema.Draft7Validator.check_schema(json.loads(printed))
    return jsonschema.Draft7Validator(json.loads(printed))


@pytest.fixture(scope="module")
def schemas():
    return {of: printed_schema(of) for of in ("plan", "scenario")}


def plan_files():
    """Every file of every plan here that is meant to be right, and which schema it belongs to."""
    for path in sorted([*(ROOT / "plans").rglob("*.yaml"), *(ROOT / "tests/plans").rglob("*.yaml")]):
        parts = path.relative_to(ROOT).parts
        is_another = "assets" in parts or "tree" in parts or "Resources:" in path.read_text()
        if is_another or "invalid" in parts:
            continue
        scenario = any(part.endswith("scenarios") for part in parts)
        yield pytest.param(path, "scenario" if scenario else "plan", id="/".join(parts))


@pytest.mark.parametrize("path, of", list(plan_files()))
def test_every_plan_is_valid(schemas, path, of):
    document = yaml.load(path.read_text(), Yaml12)
    assert [f"{list(error.absolute_path)}: {error.message}" for error in schemas[of].iter_errors(document)] == []


def leaves(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield (*path, key)
        yield from leaves(one, (*path, key))


@pytest.mark.parametrize("plan", ["actions/plan.yaml", "signals.yaml", "drill.yaml"])
def test_what_the_loader_takes_is_never_refused(schemas, tmp_path, plan):
    source = ROOT / "tests/plans/valid" / plan
    target = tmp_path / "plan"
    shutil.copytree(source.parent, target)
    document = yaml.load(source.read_text(), Yaml12)
    taken, refused = [], 0
    # Each place gets two of the values, another two than the place before it: enough, and done within seconds.
    for count, path in enumerate(leaves(document)):
        for other in (OTHERS[count % len(OTHERS)], OTHERS[(count + 4) % len(OTHERS)]):
            changed = copy.deepcopy(document)
            place = changed
            for key in path[:-1]:
                place = place[key]
            if type(place[path[-1]]) is type(other):
                continue
            place[path[-1]] = other
            wrong = list(schemas["plan"].iter_errors(changed))
            if not wrong:
                continue
            # The schema refuses it: then the loader has to, too.
            refused += 1
            (target / source.name).write_text(json.dumps(changed))
            done = subprocess.run([binary(), "check", target / source.name], capture_output=True, text=True, timeout=30)
            if done.returncode != 3:
                taken.append(f"{path} = {other!r} is taken, and the schema says {wrong[0].message}")
    assert refused > 50 and taken == []


@pytest.mark.parametrize("name", ["unknown-key", "null-action", "version-2", "several-mistakes", "duplicate-action"])
def test_what_is_plainly_wrong_is_refused(schemas, name):
    path = ROOT / "tests/plans/invalid" / f"{name}.yaml"
    if name == "duplicate-action":
        document = yaml.load((ROOT / "tests/plans/valid/drill.yaml").read_text(), Yaml12)
        document["phases"][0]["steps"][0]["approve"] = {"what": "a second action"}
    else:
        document = yaml.load(path.read_text(), Yaml12)
    assert not schemas["plan"].is_valid(document)
