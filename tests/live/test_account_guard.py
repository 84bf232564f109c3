"""A plan belongs to one account; with credentials of another it must not even look around."""


def test_wrong_account_ends_with_7_after_one_question(small_plan, emulator, zone, proxy, seat, open_cockpit):
    wrong = "999999999999"
    small_plan.write_text(small_plan.read_text().replace(f'account: "{emulator.account}"', f'account: "{wrong}"'))
    cockpit = open_cockpit("run", small_plan)
    assert cockpit.wait_exit(20) == 7, cockpit.screen()
    assert proxy.operations() == ["GetCallerIdentity"]
    said = bytes(cockpit.raw).decode(errors="replace")
    assert wrong in said.replace("-", "") and emulator.account in said.replace("-", ""), "it must name both accounts"
    assert emulator.weights(zone) == {"frankfurt": 0, "ireland": 100}
    cockpit.assert_terminal_given_back()


def test_no_credentials_end_with_7(small_plan, proxy, seat, open_cockpit):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        seat.env.pop(name)
    cockpit = open_cockpit("run", small_plan)
    assert cockpit.wait_exit(20) == 7, cockpit.screen()
    assert proxy.operations() == []
    cockpit.assert_terminal_given_back()
