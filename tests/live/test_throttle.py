"""A service that throttles is asked less often, the screen says so, and a rollback goes through all the same."""

import time

from cloud import FRANKFURT


def test_throttled_polls_back_off_and_a_rollback_does_not(small_plan, emulator, zone, proxy, open_cockpit):
    cockpit = open_cockpit("run", small_plan)
    cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    cockpit.start("Send half")
    cockpit.wait_weights(emulator, zone, {"frankfurt": 50, "ireland": 50})
    cockpit.advance(until="end", timeout_s=60)

    # Nothing depends on the stacks any more, but while a rollback is looked at everything is read every five seconds.
    rule = proxy.add_rule("DescribeStacks", instead="throttle")
    cockpit.roll_back("back")
    assert rule.reached.wait(10), "nothing was polled"
    throttled = len(proxy.of("DescribeStacks"))
    records = len(proxy.of("ListResourceRecordSets"))
    time.sleep(11)
    assert len(proxy.of("DescribeStacks")) >= throttled + 4, "two regions, every five seconds, throttled or not"
    assert len(proxy.of("ListResourceRecordSets")) >= records + 2
    cockpit.confirm_rollback()
    pressed = time.monotonic()
    cockpit.wait_weights(emulator, zone, {"frankfurt": 0, "ireland": 100}, 10)
    print(f"rolled back {time.monotonic() - pressed:.2f} s after the key")
    cockpit.wait_for("throttled by CloudFormation in eu-", 10)


def test_pauses_double(small_plan, emulator, proxy, open_cockpit):
    cockpit = open_cockpit("run", small_plan)
    cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("n  Send half"), 30, "an open gate")
    proxy.add_rule("DescribeStacks", instead="throttle")
    time.sleep(34)
    at = [call.at for call in proxy.of("DescribeStacks") if call.region == FRANKFURT and call.upstream is None]
    pauses = [after - before for before, after in zip(at, at[1:])]
    print("pauses", [f"{pause:.1f}" for pause in pauses])
    # From an interval of a second: two, four, eight, sixteen, each up to a quarter shorter.
    assert len(pauses) == 4, pauses
    for pause, most in zip(pauses, (2, 4, 8, 16)):
        assert most * 0.74 <= pause <= most + 0.5, pauses
    cockpit.wait_for("throttled by CloudFormation in eu-central-1", 5)
    assert "blocked" in cockpit.prompt(), "what is not known opens no gate"
    proxy.clear_rules()
    cockpit.wait_for(lambda text: "throttled by" not in text, 40, "the alert to end")
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("n  Send half") and "blocked" not in cockpit.prompt(), 10)
