"""A Label Studio project as a queue, over the server's REST API.

Source: https://api.labelstud.io; measured against Label Studio 1.23.2. Its SDK does not install beside numpy 2.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import httpx

from ratchet.errors import SourceError
from ratchet.labels.annotations import Answer, Item, utc_time
from ratchet.labels.queues import item_row

PAGE = 500
CHUNK = 100
"""Tasks in one request: small enough that a lost answer leaves little in doubt, and what is in doubt is asked first."""
TIMEOUT_S = 60.0


class LabelStudioQueue:
    """One project, found by its title and made when it is missing; a text is a task, with its id in the task's data."""

    def __init__(
        self,
        url: str,
        token: str,
        title: str,
        labels: Sequence[str],
        n_annotators: int,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Args:
        url: the server's.
        token: a user's access token, legacy or personal; goes into a header and nowhere else.
        title: the project's.
        labels: the classes that people choose from.
        n_annotators: people whom the server asks about each text.
        transport: for tests.
        """
        self._title, self._labels, self._n_annotators = title, list(labels), n_annotators
        self._url, self._token, self._transport, self._project = url, token, transport, 0

    @property
    def where(self) -> str:
        return f"Label Studio, project '{self._title}'"

    def items(self) -> dict[str, Item]:
        project, found, page, seen = self._project_id(), {}, 1, 0
        while True:
            query = {"project": project, "page": page, "page_size": PAGE, "fields": "task_only"}
            answer = self._ask("GET", "/api/tasks", params=query)
            for task in answer["tasks"]:
                item = _item(task["data"])
                found[item.id] = item
            seen, page = seen + len(answer["tasks"]), page + 1
            if seen >= answer["total"] or not answer["tasks"]:
                return found

    def send(self, items: Sequence[Item]) -> None:
        known = self.items()
        tasks = [_task(item) for item in {item.id: item for item in items}.values() if item.id not in known]
        for start in range(0, len(tasks), CHUNK):
            self._ask("POST", f"/api/projects/{self._project_id()}/import", json=tasks[start : start + CHUNK])

    def answers(self) -> list[Answer]:
        path = f"/api/projects/{self._project_id()}/export"
        tasks = self._ask("GET", path, params={"exportType": "JSON", "download_all_tasks": "false"})
        return [answer for task in tasks for given in task["annotations"] if (answer := self._answer(task, given))]

    def _answer(self, task: dict[str, Any], given: dict[str, Any]) -> Answer | None:
        """One annotation; None when the person skipped the text or chose nothing."""
        choices = [choice for part in given["result"] for choice in part.get("value", {}).get("choices", [])]
        if given["was_cancelled"] or not choices:
            return None
        lead_time_s = math.nan if given["lead_time"] is None else float(given["lead_time"])
        when = utc_time(given["updated_at"], f"annotation {given['id']}")
        return Answer(
            _item(task["data"]),
            str(choices[0]),
            f"label-studio-user-{given['completed_by']}",
            when,
            lead_time_s,
            f"label-studio:{self._title}",
        )

    def _project_id(self) -> int:
        if not self._project:
            found = self._ask("GET", "/api/projects", params={"title": self._title, "page_size": PAGE})["results"]
            same = [int(project["id"]) for project in found if project["title"] == self._title]
            self._project = min(same) if same else self._create()
        return self._project

    def _create(self) -> int:
        body = {
            "title": self._title,
            "label_config": label_config(self._labels),
            "show_collab_predictions": True,
            "maximum_annotations": self._n_annotators,
        }
        return int(self._ask("POST", "/api/projects", json=body)["id"])

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        """The server's answer as JSON.

        Raises:
            SourceError: it cannot be reached, or refuses; the message never holds the token.
        """
        try:
            with httpx.Client(base_url=self._url, timeout=TIMEOUT_S, transport=self._transport) as client:
                reply = client.request(method, path, headers=_authorization(client, self._token), **options)
        except httpx.HTTPError as error:
            raise SourceError(
                "The Label Studio server does not answer.",
                where=self._url,
                got=type(error).__name__,
                fix="start it (`make labels-server`), or correct LABEL_STUDIO_URL; then the same command again",
            ) from None
        if reply.status_code == 401:
            raise SourceError(
                "Label Studio refuses the token.",
                where=self._url,
                got="HTTP 401",
                fix="put a valid access token into LABEL_STUDIO_TOKEN",
            )
        if reply.is_error:
            raise SourceError(
                "Label Studio refuses the request.",
                where=f"{method} {path}",
                got=f"HTTP {reply.status_code}: {reply.text[:300]}",
            )
        return reply.json()


def _authorization(client: httpx.Client, token: str) -> dict[str, str]:
    """A personal access token is a refresh token: it is changed for one that lives some minutes."""
    if token.count(".") != 2:
        return {"Authorization": f"Token {token}"}
    reply = client.post("/api/token/refresh", json={"refresh": token})
    access = reply.json().get("access", "") if reply.is_success else ""
    return {"Authorization": f"Bearer {access}"}


def label_config(labels: Sequence[str]) -> str:
    """Label Studio's labelling interface: the reason, the text, and the classes to choose one from.

    >>> '<Choice value="a &amp; b"' in label_config(["a & b", "c"])
    True
    """
    choices = "".join(f"<Choice value={quoteattr(name)} />" for name in labels)
    return (
        '<View><Header value="$reason" size="5" /><Text name="text" value="$text" />'
        f'<Choices name="label" toName="text" choice="single" required="true" showInLine="true">{choices}</Choices>'
        "</View>"
    )


def _task(item: Item) -> dict[str, Any]:
    data = item_row(item)
    task: dict[str, Any] = {"data": data}
    if item.suggested:
        choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [item.suggested]}}
        task["predictions"] = [{"model_version": item.bundle, "score": data["confidence"], "result": [choice]}]
    return task


def _item(data: dict[str, Any]) -> Item:
    """The item of a task's data; a task that was made by hand has only its text, and gets the text's id."""
    from ratchet.data.cleaning import text_id

    text = str(data.get("text", ""))
    confidence = data.get("confidence")
    return Item(
        str(data.get("id") or text_id(text)),
        text,
        str(data.get("source") or "people"),
        str(data.get("reason", "")),
        str(data.get("suggested", "")),
        math.nan if confidence is None else float(confidence),
        str(data.get("bundle", "")),
        str(data.get("query_strategy", "")),
    )
