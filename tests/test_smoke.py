from tests.conftest import Checkout


def test_setup_runs_and_again_changes_nothing(checkout: Checkout) -> None:
    first = checkout.run("setup")
    assert "120 messages written" in first.stderr
    before = checkout.run("ddb.scan", "--json").stdout
    second = checkout.run("setup")
    assert "done" in second.stderr
    assert checkout.run("ddb.scan", "--json").stdout == before
