"""A Label Studio project as a queue, over the server's REST API (see `label_studio_client`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx

from ratchet.errors import SourceError, TableError
from ratchet.labels.annotations import SERVER, Answer, Item, utc_time
from ratchet.labels.guidelines import NONE, Guidelines
from ratchet.labels.label_studio_client import EXPORT_TIMEOUT_S, Client, expected, reading, unexpected
from ratchet.labels.label_studio_interface import REMARKS, label_config, updated_config
from ratchet.labels.queues import by_id, is_sent, item_row

PAGE = 500
CHUNK = 100
"""Tasks in one request: small enough that a lost answer leaves little in doubt, and what is in doubt is asked first."""


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
        guidelines: Guidelines = NONE,
    ) -> None:
        """Args:
        url: the server's.
        token: a user's access token, legacy or personal; goes into a header and nowhere else.
        title: the project's.
        labels: the classes that people choose from.
        n_annotators: people whom the server asks about each text.
        transport: for tests.
        guidelines: what people are shown as the project's instruction, and beside each class.
        """
        self._title, self._labels, self._n_annotators = title, list(labels), n_annotators
        self._client, self._guidelines, self._project = Client(url, token, transport), guidelines, 0

    @property
    def where(self) -> str:
        return f"Label Studio, project '{self._title}'"

    def items(self) -> dict[str, Item]:
        found = list[Item]()
        for tasks in self._pages(self._project_id()):
            with reading("/api/tasks", tasks):
                found += map(self._item, tasks)
        return by_id(found)

    def send(self, items: Sequence[Item]) -> None:
        known = self.items()
        new = [item for item in {item.id: item for item in items}.values() if not is_sent(item, known)]
        tasks = [_task(replace(item, guidelines=self._guidelines.version)) for item in new]
        for start in range(0, len(tasks), CHUNK):
            self._client.ask("POST", f"/api/projects/{self._project_id()}/import", json=tasks[start : start + CHUNK])

    def answers(self) -> list[Answer]:
        path = f"/api/projects/{self._project_id()}/export"
        query = {"exportType": "JSON", "download_all_tasks": "false"}
        tasks = self._client.ask("GET", path, params=query, timeout=EXPORT_TIMEOUT_S)
        if not isinstance(tasks, list):
            raise unexpected(path, tasks, "a list of tasks")
        with reading(path, tasks):
            annotated = [task for task in tasks if task.get("annotations")]
            people = self._people() if annotated else {}
            found = [self._answer(task, given, people) for task in annotated for given in task["annotations"]]
            return sorted(found, key=lambda answer: answer.annotated_at)

    def origins(self) -> set[str]:
        return {f"{SERVER}{self._title}"}

    def tasks_about(self, is_about: Callable[[str], bool]) -> list[int]:
        """Numbers of the tasks whose text or id `is_about` names; none where there is no such project."""
        found = list[int]()
        for tasks in self._pages(self._find_project().get("id", 0)):
            with reading("/api/tasks", tasks):
                for task in tasks:
                    values = [str((task.get("data") or {}).get(name) or "") for name in ("id", "text")]
                    found += [int(task["id"])] if any(map(is_about, values)) else []
        return found

    def delete_tasks(self, numbers: Sequence[int]) -> int:
        """Delete tasks with their answers; returns how many."""
        for number in numbers:
            self._client.ask("DELETE", f"/api/tasks/{number}")
        return len(numbers)

    def _pages(self, project: int) -> Iterator[list[dict[str, Any]]]:
        """The project's tasks, a page at a time; none of project 0.

        Raises:
            SourceError: an answer of another shape, or a page that comes twice, which would never end.
        """
        page, seen, before, path = 1, 0, list[dict[str, Any]](), "/api/tasks"
        while project:
            query = {"project": project, "page": page, "page_size": PAGE, "fields": "task_only"}
            answer = self._client.ask("GET", path, params=query)
            tasks = expected(answer, "tasks", list, path)
            if tasks and tasks == before:
                raise unexpected(path, f"page {page} as page {page - 1}", "the next tasks")
            yield tasks
            seen, page, before = seen + len(tasks), page + 1, tasks
            if seen >= expected(answer, "total", int, path) or not tasks:
                return

    def _find_project(self) -> dict[str, Any]:
        """The oldest project of the title, its number as an int; empty: there is none."""
        query = {"title": self._title, "page_size": PAGE}
        found = expected(self._client.ask("GET", "/api/projects", params=query), "results", list, "/api/projects")
        with reading("/api/projects", found):
            same = [{**project, "id": int(project["id"])} for project in found if project["title"] == self._title]
            return min(same, key=lambda project: int(project["id"]), default={})

    def _answer(self, task: dict[str, Any], given: dict[str, Any], people: dict[str, str]) -> Answer:
        """One annotation; a skip where the person cancelled the task or chose nothing. Imported ones lack keys."""
        choices = [
            choice
            for part in given.get("result") or []
            for choice in (part.get("value") or {}).get("choices") or []
            if part.get("from_name", "label") == "label"
        ]
        label = "" if given.get("was_cancelled") or not choices else str(choices[0])
        seconds, who = given.get("lead_time"), given.get("completed_by")
        named = who.get("email") or who.get("id") if isinstance(who, dict) else who
        return Answer(
            self._item(task),
            label,
            people.get(str(named)) or (str(named) if "@" in str(named) else f"label-studio-user-{named}"),
            utc_time(given.get("updated_at") or given.get("created_at"), f"annotation {given.get('id')}"),
            math.nan if seconds is None else float(seconds),
            f"{SERVER}{self._title}",
            **{name: _said(given, name) for name in REMARKS},
        )

    def _people(self) -> dict[str, str]:
        """The e-mail address of each account by its number, where the token may see them."""
        try:
            users = self._client.ask("GET", "/api/users")
        except SourceError:
            return {}
        found = users if isinstance(users, list) else []
        with reading("/api/users", users):
            return {str(user["id"]): str(user["email"]) for user in found if user.get("id") and user.get("email")}

    def _item(self, task: dict[str, Any]) -> Item:
        """The item of a task; one that was made by hand has only its text, and gets the text's id.

        Raises:
            TableError: the task has no text.
        """
        data = task.get("data") or {}
        if not isinstance(data.get("text"), str) or not data["text"].strip():
            raise TableError(
                "A task of Label Studio has no text.",
                where=f"project '{self._title}', task {task.get('id')}",
                got=repr(data.get("text")),
                fix="give its data a `text`, or delete the task in Label Studio",
            )
        return _item(data)

    def _project_id(self) -> int:
        if not self._project:
            found = self._find_project()
            self._project = int(found["id"]) if found else self._create()
            self._update(found)
        return self._project

    def _update(self, project: dict[str, Any]) -> None:
        """Bring classes and guidelines of a project that was made before up to date."""
        config, changes = str(project.get("label_config") or ""), dict[str, Any]()
        if project and (longer := updated_config(config, self._labels, self._guidelines.classes)):
            changes["label_config"] = longer
        if project and self._guidelines.text and project.get("expert_instruction") != self._guidelines.html:
            changes |= self._instruction()
        if changes:
            self._client.ask("PATCH", f"/api/projects/{self._project}", json=changes)

    def _instruction(self) -> dict[str, Any]:
        return {"expert_instruction": self._guidelines.html, "show_instruction": bool(self._guidelines.text)}

    def _create(self) -> int:
        body = {
            "title": self._title,
            "label_config": label_config(self._labels, self._guidelines.classes),
            "show_collab_predictions": True,
            "maximum_annotations": self._n_annotators,
            **self._instruction(),
        }
        return int(expected(self._client.ask("POST", "/api/projects", json=body), "id", int, "/api/projects"))


def _task(item: Item) -> dict[str, Any]:
    data = item_row(item)
    task: dict[str, Any] = {"data": data}
    if item.suggested:
        choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [item.suggested]}}
        task["predictions"] = [{"model_version": item.bundle, "score": data["confidence"], "result": [choice]}]
    return task


def _item(data: dict[str, Any]) -> Item:
    from ratchet.data.cleaning import text_id

    text = str(data.get("text", ""))
    confidence, score = data.get("confidence"), data.get("query_score")
    return Item(
        str(data.get("id") or text_id(text)),
        text,
        str(data.get("source") or "people"),
        str(data.get("reason", "")),
        str(data.get("suggested", "")),
        math.nan if confidence is None else float(confidence),
        str(data.get("bundle", "")),
        str(data.get("query_strategy", "")),
        math.nan if score is None else float(score),
        str(data.get("guidelines") or ""),
    )


def _said(given: dict[str, Any], name: str) -> str:
    """What a person wrote into a field for remarks, on one line."""
    values = [part.get("value") or {} for part in given.get("result") or [] if part.get("from_name") == name]
    texts = [value.get("text") or [] for value in values]
    return " ".join(" ".join(text if isinstance(text, str) else " ".join(map(str, text)) for text in texts).split())
