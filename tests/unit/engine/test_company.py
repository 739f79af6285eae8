"""When small requests wait for others."""

import pytest

from engine.ingest import company as module
from engine.ingest.company import (
    GROUPS_PER_PROBE_MAX,
    GROUPS_PER_PROBE_MIN,
    GROUPS_WITHOUT_WAIT_MAX,
    Company,
)


@pytest.fixture(autouse=True)
def without_probes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "probe" not in request.node.name:
        monkeypatch.setattr(module, "GROUPS_PER_PROBE_MIN", 10**9)


def test_a_lone_writer_is_never_kept_waiting() -> None:
    company = Company()
    assert not company.is_worth_waiting(1)
    company.appended(1)
    company.commit_ended(waiting=0)
    assert not company.is_worth_waiting(1)


def test_those_who_were_answered_and_those_who_wait_are_expected() -> None:
    company = Company()
    company.appended(3)
    company.commit_ended(waiting=2)
    assert [company.is_worth_waiting(waiting) for waiting in (2, 4, 5)] == [True, True, False]


def test_waits_in_vain_become_rare_until_one_succeeds() -> None:
    company = Company()

    def groups_until_a_wait() -> int:
        for groups in range(1000):
            company.appended(2)
            company.commit_ended(waiting=0)
            if company.is_worth_waiting(1):
                company.waited_in_vain(1)
                return groups
        raise AssertionError("no wait any more")

    assert [groups_until_a_wait() for _ in range(9)] == [
        *(0, 0, 1, 3, 7, 15, 31),
        *(GROUPS_WITHOUT_WAIT_MAX - 1, GROUPS_WITHOUT_WAIT_MAX - 1),
    ]
    while not company.is_worth_waiting(1):
        company.appended(2)
        company.commit_ended(waiting=0)
    assert not company.is_worth_waiting(2)
    company.waited_in_vain(1)
    assert groups_until_a_wait() == 0


def test_a_commit_of_something_else_changes_nobodys_mind() -> None:
    company = Company()
    company.appended(3)
    company.commit_ended(waiting=0)
    for waiting in (0, 1, 2):
        company.commit_ended(waiting=waiting)
    assert [company.is_complete(waiting) for waiting in (1, 2, 3)] == [False, False, True]
    company.commit_ended(waiting=5)
    assert [company.is_complete(waiting) for waiting in (3, 5)] == [False, True]


def test_who_will_not_be_back_is_not_expected() -> None:
    company = Company()
    company.appended(3)
    company.commit_ended(waiting=0)
    assert company.expects_writers
    company.appended(0)
    company.commit_ended(waiting=0)
    assert not company.expects_writers
    assert not company.is_worth_waiting(0)


def test_a_wait_goes_on_while_the_rest_comes_soon() -> None:
    company = Company()
    company.appended(64)
    company.commit_ended(waiting=0)
    assert company.is_worth_waiting(1)
    assert company.keeps_coming(gained=20, waiting=21)
    assert company.keeps_coming(gained=20, waiting=41)
    assert not company.keeps_coming(gained=3, waiting=10)
    assert not company.keeps_coming(gained=0, waiting=41)


def test_a_group_is_complete_with_all_who_were_answered_and_no_others() -> None:
    company = Company()
    company.appended(3)
    company.commit_ended(waiting=1)
    assert [company.is_complete(waiting) for waiting in (3, 4, 5)] == [False, True, False]


def groups_until_a_probe(company: Company, writers: int, *, finds: int) -> int:
    """Commit groups of so many until one waits though it is complete; that one gets `finds`."""
    for groups in range(10 * GROUPS_PER_PROBE_MAX):
        company.appended(writers)
        company.commit_ended(waiting=0)
        if not company.is_complete(writers):
            assert company.is_worth_waiting(writers)
            company.appended(writers + finds)
            company.commit_ended(waiting=0)
            return groups
    raise AssertionError("no probe any more")


def test_probes_that_find_nobody_become_rare() -> None:
    company = Company()
    found = [groups_until_a_probe(company, 2, finds=0) for _ in range(8)]
    assert found[0] < GROUPS_PER_PROBE_MIN
    assert found[1:4] == sorted(found[1:4])
    assert found[-1] == found[-2] >= GROUPS_PER_PROBE_MAX - 2


def test_a_probe_that_finds_a_writer_expects_it_from_then_on_and_looks_again_soon() -> None:
    company = Company()
    for _ in range(8):
        groups_until_a_probe(company, 2, finds=0)
    groups_until_a_probe(company, 2, finds=1)
    assert not company.is_complete(2)
    assert company.is_complete(3)
    assert groups_until_a_probe(company, 3, finds=0) < GROUPS_PER_PROBE_MIN


def test_a_probe_in_vain_does_not_forbid_other_waits() -> None:
    company = Company()
    for _ in range(GROUPS_PER_PROBE_MIN):
        company.appended(2)
        company.commit_ended(waiting=0)
    assert company.is_worth_waiting(2)
    assert not company.keeps_coming(gained=0, waiting=2)
    company.waited_in_vain(2)
    company.appended(2)
    company.commit_ended(waiting=0)
    assert company.is_worth_waiting(1)
