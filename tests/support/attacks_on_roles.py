"""Attacks on approvals, and on who gives a role."""

from __future__ import annotations

from ratchet.registry.names import Version
from tests.support.registry import (
    V1,
    V2,
    commit,
    push,
    statement,
)
from tests.support.registry_site import (
    Site,
    approve,
    attack,
    policy_approval,
    promote_to_champion,
    release,
)

# approvals


@attack("proposed", "0 of 2 approvals")
def _no_approval(site: Site) -> list[str]:
    return promote_to_champion(site)


@attack("proposed", "1 of 2 approvals")
def _too_few_approvals(site: Site) -> list[str]:
    return [approve(site, "bob"), *promote_to_champion(site)]


@attack("proposed", "ann made it and does not count")
def _self_approval(site: Site) -> list[str]:
    return [approve(site, "ann"), approve(site, "bob"), *promote_to_champion(site)]


@attack("proposed", "bob made it and does not count")
def _approval_by_the_one_who_promotes(site: Site) -> list[str]:
    return [approve(site, "bob"), approve(site, "cay"), *promote_to_champion(site, person="bob")]


@attack("proposed", "not by the one whose name it bears")
def _self_approval_in_the_name_of_another(site: Site) -> list[str]:
    return [approve(site, "bob"), approve(site, "cay", signer="ann"), *promote_to_champion(site)]


@attack("proposed", "The signer may not approve or reject this")
def _approval_by_who_may_not(site: Site) -> list[str]:
    return [approve(site, "bob"), approve(site, "dan"), *promote_to_champion(site)]


@attack("approved", "rejected by cay")
def _a_rejection_ignored(site: Site) -> list[str]:
    return [approve(site, "cay", kind="rejection"), *promote_to_champion(site)]


@attack("promoted", "0 of 2 approvals")
def _approvals_of_another_version(site: Site) -> list[str]:
    return [*release(site, V2), *promote_to_champion(site, V2)]


@attack("promoted", "The review is about something else than its name says")
def _an_approval_replayed_for_another_version(site: Site) -> list[str]:
    """The statement is still about version 1.0.0."""
    refs = release(site, V2)
    oid = site.oid(f"refs/tags/{V1.tag}")
    return [
        *refs,
        approve(site, "bob", V2, 3, subject_oid=oid),
        approve(site, "cay", V2, 3),
        *promote_to_champion(site, V2),
    ]


@attack("promoted", "made under another name")
def _an_approval_copied_to_another_promotion(site: Site) -> list[str]:
    old = "refs/tags/approval/sentiment-v1.0.0-champion-2/bob"
    return [*release(site, V2), f"{old}:refs/tags/approval/sentiment-v1.1.0-champion-3/bob"]


@attack("promoted", "The role was given already")
def _an_approval_after_the_fact(site: Site) -> list[str]:
    return [approve(site, "ann", number=2)]


@attack("proposed", "The review is not on the version that it is about")
def _an_approval_on_another_commit_than_the_version(site: Site) -> list[str]:
    name = approve(site, "bob")
    site.tag(name, site.oid("main~1"), "bob", statement(site.root, name))
    return [name]


@attack("proposed", "The review is not on the version that it is about")
def _an_approval_of_a_role_that_needs_none(site: Site) -> list[str]:
    name = "approval/sentiment-v1.0.0-challenger-2/bob"
    content = statement(site.root, approve(site, "bob")) | {"tag": name, "subject": "sentiment#challenger#2"}
    site.tag(name, site.oid(f"{V1.tag}^{{commit}}"), "bob", content)
    return [name]


@attack("measured", "The review is about another commit")
def _an_approval_of_another_policy_than_its_name_says(site: Site) -> list[str]:
    return [policy_approval(site, "bob", site.oid("main"), f"approval/policy-{'a' * 40}/bob")]


@attack("measured", "The review is about another commit")
def _an_approval_of_a_policy_on_another_commit(site: Site) -> list[str]:
    name = policy_approval(site, "bob", site.oid("main"))
    site.tag(name, commit(site.root, "Go on"), "bob", statement(site.root, name))
    return [name]


@attack("proposed", "The review is not by the one whose name it bears")
def _a_rejection_under_the_name_of_an_approval(site: Site) -> list[str]:
    name = approve(site, "bob")
    content = statement(site.root, name) | {"kind": "rejection"}
    site.tag(name, site.oid(f"{V1.tag}^{{commit}}"), "bob", content)
    return [name]


@attack("proposed", "The review is about something else than its name says")
def _an_approval_of_no_role(site: Site) -> list[str]:
    return [approve(site, "bob", subject="everything")]


@attack("proposed", "The review is about something else than its name says")
def _an_approval_of_no_version(site: Site) -> list[str]:
    return [approve(site, "bob", subject_oid="a" * 40)]


# roles


@attack("approved", "The pointer to the champion is not on the champion")
def _a_champion_without_its_pointer(site: Site) -> list[str]:
    return promote_to_champion(site, pointer=False)


@attack("proposed", "The pointer to the champion is not on the champion")
def _a_pointer_without_its_champion(site: Site) -> list[str]:
    return promote_to_champion(site)[:1]


@attack("approved", "The signer may not promote")
def _a_promotion_by_who_may_not(site: Site) -> list[str]:
    return promote_to_champion(site, person="dan")


@attack("approved", "out of turn")
def _a_role_change_out_of_turn(site: Site) -> list[str]:
    return [approve(site, "bob", number=5), approve(site, "cay", number=5), *promote_to_champion(site, number=5)]


@attack("approved", "out of turn")
def _two_role_changes_of_one_number(site: Site) -> list[str]:
    site.tag(
        "sentiment#challenger#2",
        site.oid(f"{V1.tag}^{{commit}}"),
        "ann",
        statement(site.root, "sentiment#challenger#1") | {"tag": "sentiment#challenger#2"},
    )
    return ["sentiment#challenger#2", *promote_to_champion(site, number=2)]


@attack("approved", "The tag's role is not that of its statement")
def _a_champion_whose_statement_says_challenger(site: Site) -> list[str]:
    return promote_to_champion(site, role="challenger", action="challenge")


@attack("approved", "The tag is about another version")
def _a_role_for_another_object_than_the_version(site: Site) -> list[str]:
    return promote_to_champion(site, version_oid="a" * 40)


@attack("approved", "There is no such tag")
def _a_champion_that_is_no_version(site: Site) -> list[str]:
    refs = promote_to_champion(site)
    content = statement(site.root, refs[1]) | {"version": "sentiment@v9.0.0"}
    site.tag(refs[1], site.oid(f"{V1.tag}^{{commit}}"), "ann", content)
    return refs


@attack("approved", "A role must be on the commit of its version")
def _a_role_on_another_commit_than_the_version(site: Site) -> list[str]:
    refs = promote_to_champion(site)
    site.tag(refs[1], site.oid("main"), "ann", statement(site.root, refs[1]))
    return refs


@attack("promoted", "The version was not compared with the present champion")
def _a_version_measured_before_the_champion_changed(site: Site) -> list[str]:
    """Two versions of one measurement: when the first is champion, the second was compared with the one before."""
    later = Version("sentiment", 1, 2, 0)
    for version in (V2, later):
        assert push(site.root, *release(site, version)) == ""
    assert push(site.root, approve(site, "bob", V2, 3), approve(site, "cay", V2, 3)) == ""
    assert push(site.root, *promote_to_champion(site, V2)) == ""
    return [approve(site, "bob", later, 4), approve(site, "cay", later, 4), *promote_to_champion(site, later)]


@attack("promoted", "The audit log was cut since the last promotion")
def _a_promotion_that_forgets_the_audit_log(site: Site) -> list[str]:
    refs = release(site, V2)
    return [*refs, approve(site, "bob", V2, 3), approve(site, "cay", V2, 3), *promote_to_champion(site, V2, audit_n=3)]


@attack("promoted", "Only a former champion can be rolled back to")
def _a_rollback_to_what_was_never_champion(site: Site) -> list[str]:
    return [*release(site, V2), *promote_to_champion(site, V2, person="bob", action="roll_back")]


@attack("promoted", "The version is the champion already")
def _a_rollback_to_the_champion_itself(site: Site) -> list[str]:
    return promote_to_champion(site, V1, person="bob", action="roll_back")


@attack("promoted", "The signer may not roll back")
def _a_rollback_by_who_may_not(site: Site) -> list[str]:
    return promote_to_champion(site, V1, person="ann", action="roll_back")


@attack("promoted", "The champion cannot be archived")
def _the_champion_archived(site: Site) -> list[str]:
    name = "sentiment#archived#3"
    content = statement(site.root, "sentiment#champion#2") | {"tag": name, "role": "archived", "action": "archive"}
    site.tag(name, site.oid(f"{V1.tag}^{{commit}}"), "ann", content)
    return [name]
