"""MedZen's steps that do not call AWS: scripts of other programs, edits of the working tree, the table of parts."""

import json
import re
import shutil

import pytest
import yaml

from cloud import FRANKFURT, IRELAND
from steps import MEDZEN, SECRETS, Plan

def test_a_script_sees_nothing_of_the_engine_but_the_allow_list(runner):
    runner.fake("artillery")
    config = runner.tree / "aws-deployment" / "load-test-config.yml"
    config.parent.mkdir()
    shutil.copy(MEDZEN / "assets" / "aws-deployment" / "load-test-config.yml", config)
    runner.step("load").ok()
    assert "must not arrive" not in runner.env_of("artillery")


# --- other programs ---------------------------------------------------------------------------------------------------

# Keeps what it was given, and lists names and digests as the real one does.
SUPABASE = r"""
store="${0%/*}/supabase.store"
case "$1 $2" in
  "secrets set")
    while [ "$1" != --env-file ]; do shift; done
    stat -c %a "$2" >"$store.mode"
    cat "$2" >>"$store"
    ;;
  "secrets list")
    while IFS='=' read -r name value; do
      printf ' %s | %s\n' "$name" "$(printf '%s' "${value//\"/}" | sha256sum | cut -d' ' -f1)"
    done <"$store"
    ;;
  "functions list") printf ' %s | ACTIVE\n' $(sed -n 's/^functions deploy \([a-z-]*\) .*/\1/p' "$log.argv") ;;
esac
"""


@pytest.fixture
def supabase(runner):
    runner.fake("supabase", SUPABASE)
    return runner


@pytest.mark.parametrize("step, names", [
    ("secrets-to-domain", {"CHIME_API_ENDPOINT": "https://api.medzenhealth.app", "BEDROCK_API_ENDPOINT": "https://api.medzenhealth.app"}),
    ("secret-africa", {"CHIME_API_ENDPOINT_AF": "https://af.api.medzenhealth.app"}),
    ("supabase-secrets", {"AWS_REGION": FRANKFURT, "AWS_CHIME_REGION": FRANKFURT}),
    ("supabase-secrets undo", {"AWS_REGION": IRELAND, "AWS_CHIME_REGION": IRELAND}),
    ("full-secrets", {"AWS_REGION": IRELAND, "CHIME_API_ENDPOINT": "https://g840y1ewxb.execute-api.eu-west-1.amazonaws.com",
                      "BEDROCK_API_ENDPOINT": "https://bedrock0000.execute-api.eu-west-1.amazonaws.com"}),
])
def test_supabase_gets_its_secrets_and_nobody_sees_the_token(supabase, step, names):
    done = supabase.step(step).ok()
    kept = dict(line.split("=", 1) for line in (supabase.fakes / "supabase.store").read_text().splitlines())
    for name, value in names.items():
        assert kept[name] == f'"{value}"'
    assert (supabase.fakes / "supabase.store.mode").read_text().strip() == "600"
    argv = "\n".join(supabase.argv("supabase"))
    assert "--project-ref noaeltglphdlkbflipit" in argv
    for value in (*names.values(), *SECRETS.values()):
        assert value not in argv, "on a command line every process can read it"
    assert SECRETS["SUPABASE_ACCESS_TOKEN"] not in done.text
    assert SECRETS["SUPABASE_ACCESS_TOKEN"] in supabase.env_of("supabase")
    assert SECRETS["SUPABASE_SERVICE_KEY"] not in supabase.env_of("supabase"), "it was not asked for"
    assert not list(supabase.temporary.glob("tmp.*")), "the file with the values was left"


@pytest.mark.parametrize("value", ["", "a\nSUPABASE_URL=https://elsewhere", "$(touch here)", 'x" y', "\x1b[2J"])
def test_supabase_is_given_nothing_that_is_no_address(supabase, value):
    supabase.step("secret-africa", SET_CHIME_API_ENDPOINT_AF=value).failed("is empty or has characters")
    assert not supabase.argv("supabase") and not (supabase.tree / "here").exists()


def test_a_secret_that_is_not_what_was_set_is_noticed(supabase):
    supabase.fake("supabase", SUPABASE.replace('cat "$2" >>"$store"', 'sed "s/https/http/" "$2" >>"$store"'))
    supabase.step("secret-africa").failed("CHIME_API_ENDPOINT_AF is not what was set")


def test_six_functions_are_deployed_and_active(supabase):
    supabase.step("edge-functions").ok()
    deployed = [line.split()[2] for line in supabase.argv("supabase") if line.startswith("functions deploy")]
    assert deployed == [
        "chime-meeting-token", "chime-messaging", "bedrock-ai-chat", "chime-recording-callback",
        "chime-transcription-callback", "chime-entity-extraction",
    ]
    supabase.fake("supabase", SUPABASE.replace("| ACTIVE", "| THROTTLED"))
    supabase.step("edge-functions").failed("is not active")


def test_firebase_parameters_are_set_beside_others(runner):
    runner.fake("firebase", '[ "$1" != functions:list ] || printf "onUserCreated v2\\nhandleAiChatMessage v2\\n"')
    folder = runner.tree / "firebase" / "functions"
    folder.mkdir(parents=True)
    file = folder / ".env.medzen"
    file.write_text("REGION_AWS=eu-west-1\nOTHER=stays\nREGION_AWS_TOO=stays\n")
    runner.step("firebase").ok()
    kept = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert kept == {
        "OTHER": "stays", "REGION_AWS_TOO": "stays", "REGION_AWS": FRANKFURT,
        "CHIME_ENDPOINT": "https://api.medzenhealth.app", "BEDROCK_ENDPOINT": "https://api.medzenhealth.app",
    }
    assert any("--only functions:onUserCreated,functions:handleAiChatMessage" in line.replace("\\", "") for line in runner.argv("firebase"))
    runner.step("full-firebase").ok()
    assert "REGION_AWS=eu-west-1\n" in file.read_text()
    runner.fake("firebase", '[ "$1" != functions:list ] || echo onUserCreated v2')
    runner.step("firebase").failed("handleAiChatMessage is not there")


def test_the_app_is_built_only_with_the_public_name(runner):
    runner.fake("flutter")
    file = runner.tree / "assets" / "environment_values" / "environment.json"
    file.parent.mkdir(parents=True)
    shutil.copy(MEDZEN / "assets" / "assets" / "environment_values" / "environment.json", file)
    runner.step("flutter-build").failed("does not name https://api.medzenhealth.app only")
    assert not runner.argv("flutter")
    edit = runner.plan.steps["edit-environment"]["edit"]
    text = file.read_text()
    for change in edit["changes"]:
        old = runner.plan.expand(change["replace"], {})
        assert text.count(old) == 1
        text = text.replace(old, runner.plan.expand(change["with"], {"stack-sms.ApiEndpoint": "https://new.execute-api.eu-central-1.amazonaws.com"}))
    file.write_text(text)
    assert json.loads(text)["AwsSmsApiUrl"] == "https://new.execute-api.eu-central-1.amazonaws.com/Dev/MedZen_Send_SMS"
    runner.step("flutter-build").ok()
    assert runner.argv("flutter") == ["clean", "pub get", "analyze", "test", "build apk --release", "build ios --release", "build web --release"]
    runner.fake("flutter", '[ "$1" != test ]')
    runner.step("flutter-build").failed()
    assert runner.argv("flutter")[-1] == "test", "nothing is built after a test that failed"


def test_the_projects_own_tests_run_in_order_and_all_must_be_there(runner):
    names = runner.plan.steps["named-tests"]["shell"]["env"]["SCRIPTS"].split()
    assert len(names) == 4
    (runner.tree / "aws-deployment" / "scripts").mkdir(parents=True)
    for name in names[:3]:
        (runner.tree / name).write_text(f"echo ran {name}\n")
    runner.step("named-tests").failed("is not there")
    (runner.tree / names[3]).write_text("false\n")
    done = runner.step("named-tests").failed()
    assert [line for line in done.text.splitlines() if line.startswith("ran")] == [f"ran {name}" for name in names[:3]]


def test_a_load_test_that_ensures_nothing_is_refused(runner):
    runner.fake("artillery", 'exit "${FAILS:-0}"')
    config = runner.tree / "aws-deployment" / "load-test-config.yml"
    config.parent.mkdir()
    config.write_text("config: {phases: []}\n")
    runner.step("load").failed("ensures nothing")
    shutil.copy(MEDZEN / "assets" / "aws-deployment" / "load-test-config.yml", config)
    runner.step("load").ok()
    assert runner.argv("artillery") == [
        "run --target https://api.medzenhealth.app --output migration-backups/load-report.json aws-deployment/load-test-config.yml"
    ]
    runner.fake("artillery", "exit 1")
    runner.step("load").failed()


# --- edits ------------------------------------------------------------------------------------------------------------


def test_every_edit_finds_its_text_once_in_the_working_tree():
    plan = Plan()
    edits = [step["edit"] for step in plan.steps.values() if "edit" in step]
    assert len({edit["file"] for edit in edits}) == len(edits) == 9
    outputs = {"stack-sms.ApiEndpoint": "https://new.execute-api.eu-central-1.amazonaws.com"}
    for edit in edits:
        before = (MEDZEN / "assets" / edit["file"]).read_text()
        text = before
        for change in edit["changes"]:
            old = plan.expand(change["replace"], {})
            assert before.count(old) == text.count(old) == 1, f"{edit['file']}: {old!r}"
            text = text.replace(old, plan.expand(change["with"], outputs))
        assert "us-east-1" not in text and "eu-west-2" not in text and "nodejs18" not in text, edit["file"]
        assert text != before


def test_the_table_of_parts_says_what_the_plan_says():
    plan = Plan()
    parts = list(yaml.safe_load((MEDZEN / "parts.yaml").read_text())["parts"])
    assert len(parts) == 28
    table = {}
    for number, part, steps in re.findall(r"^\| (\d+) \| `([a-z-]+)` \| (.*) \|$", (MEDZEN.parent / "README.md").read_text(), re.MULTILINE):
        assert parts[int(number) - 1] == part
        table[part] = re.findall(r"`([a-z0-9-]+)`", steps)
    said = {part: [name for name, step in plan.steps.items() if part in step.get("parts", [])] for part in parts}
    assert table == said and all(said.values())
