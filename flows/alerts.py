"""Sets up alert notifications on the Prefect server: recipients and channels.

Addresses are kept on the server as secrets, and stand in no file. Run again, it replaces what it had set up. For each
address: an automation on the monitor's alerts, and one that fires when the monitor has been silent.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect.blocks.abstract import NotificationBlock  # noqa: E402
from prefect.blocks.notifications import (  # noqa: E402
    CustomWebhookNotificationBlock,
    SlackWebhook,
)
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.events.actions import SendNotification  # noqa: E402
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture  # noqa: E402
from prefect.events.schemas.events import ResourceSpecification  # noqa: E402
from prefect.exceptions import ObjectNotFound  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from flows.monitoring.flow import ALERT, RAN, RESOURCE  # noqa: E402

NAMES = {"webhook": "ratchet-webhook", "slack": "ratchet-slack", "apprise": "ratchet-apprise"}
SUBJECT = "Ratchet: {{ event.payload.key }}"
BODY = (
    "{{ event.payload.message }}\n\nWhat to do: {{ event.payload.next_step }}\n"
    "Runbook: {{ event.payload.runbook }}\n"
    "Model: {{ event.payload.model_version }}\nPage: {{ event.payload.page }}\n"
    "Evidence: {{ event.payload.evidence | tojson }}"
)


def block_of(kind: str, url: str) -> NotificationBlock:
    """The notification block for an address.

    Slack is sent to as a webhook: Prefect's own Slack block reports success at a wrong address, a webhook raises.
    That block takes any of Apprise's addresses, and is what e-mail goes through.
    """
    text = "{{subject}}\n{{body}}"
    if kind == "apprise":
        return SlackWebhook(url=SecretStr(url))
    data: dict[str, Any] = {"text": text} if kind == "slack" else {"subject": "{{subject}}", "body": "{{body}}"}
    return CustomWebhookNotificationBlock(name=NAMES[kind], url=url, json_data=data)


def automations_of(kind: str, block_id: Any, silent_minutes: int) -> list[AutomationCore]:
    """The automations of one address: one sends every alert, one reports that the monitor is silent.

    An alert that lasts is an event once a day, see `flows.monitoring.outbox`; silence speaks once for each time it
    lasts.
    """
    alert = SendNotification(block_document_id=block_id, subject=SUBJECT, body=BODY)
    silence = SendNotification(
        block_document_id=block_id,
        subject="Ratchet: the monitor is silent",
        body=f"No report for {silent_minutes} minutes. What to do: look at the worker and the deployment "
        "monitor/production; until it reports, nobody watches production.",
    )
    within = timedelta(minutes=silent_minutes)
    return [
        AutomationCore(
            name=f"{NAMES[kind]}: alerts",
            trigger=EventTrigger(
                expect={ALERT},
                match=ResourceSpecification({"prefect.resource.id": f"{RESOURCE}.*"}),
                for_each={"prefect.resource.id"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[alert],
        ),
        AutomationCore(
            name=f"{NAMES[kind]}: silence",
            # for each resource: a fresh wait begins with every report
            trigger=EventTrigger(
                after={RAN},
                expect={RAN},
                for_each={"prefect.resource.id"},
                threshold=1,
                match=ResourceSpecification({"prefect.resource.id": RESOURCE}),
                posture=Posture.Proactive,
                within=within,
            ),
            actions=[silence],
        ),
    ]


async def set_up(addresses: dict[str, str], silent_minutes: int) -> list[str]:
    """Save the blocks and replace the automations; returns the names of the automations."""
    made = []
    async with get_client() as client:
        for kind, url in addresses.items():
            block_id = await block_of(kind, url).save(NAMES[kind], overwrite=True)
            for automation in automations_of(kind, block_id, silent_minutes):
                for old in await client.read_automations_by_name(automation.name):
                    await client.delete_automation(old.id)
                await client.create_automation(automation)
                made.append(automation.name)
    return made


async def test_blocks() -> dict[str, str]:
    """Send a test notification to each configured address: kind → 'taken', or the kind of error."""
    found = {}
    for kind, name in NAMES.items():
        block_class: Any = SlackWebhook if kind == "apprise" else CustomWebhookNotificationBlock
        try:
            block = await block_class.load(name)
        except (ValueError, ObjectNotFound):
            continue
        try:
            with block.raise_on_failure():
                await block.notify(subject="Ratchet: a test", body="If you read this, alerts reach you.")
            found[kind] = "taken"
        except Exception as error:  # whatever the transport raises is the result
            found[kind] = f"failed: {type(error).__name__}"
    return found
