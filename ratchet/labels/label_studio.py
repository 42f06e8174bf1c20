"""A Label Studio project as a queue, over the server's REST API.

Source: https://api.labelstud.io; measured against Label Studio 1.23.2. Its SDK does not install beside numpy 2.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import httpx

from ratchet.errors import SourceError, TableError
from ratchet.labels.annotations import SERVER, Answer, Item, utc_time
from ratchet.labels.queues import by_id, is_sent, item_row

PAGE = 500
CHUNK = 100
"""Tasks in one request: small enough that a lost answer leaves little in doubt, and what is in doubt is asked first."""
TIMEOUT_S = 60.0
EXPORT_TIMEOUT_S = 600.0
"""The server writes an export whole before it sends its first byte."""


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
        project, found, page, seen = self._project_id(), list[Item](), 1, 0
        while True:
            query = {"project": project, "page": page, "page_size": PAGE, "fields": "task_only"}
            answer = self._ask("GET", "/api/tasks", params=query)
            tasks = _expected(answer, "tasks", list, "/api/tasks")
            with _reading("/api/tasks", answer):
                found += map(self._item, tasks)
            seen, page = seen + len(tasks), page + 1
            if seen >= _expected(answer, "total", int, "/api/tasks") or not tasks:
                return by_id(found)

    def send(self, items: Sequence[Item]) -> None:
        known = self.items()
        tasks = [_task(item) for item in {item.id: item for item in items}.values() if not is_sent(item, known)]
        for start in range(0, len(tasks), CHUNK):
            self._ask("POST", f"/api/projects/{self._project_id()}/import", json=tasks[start : start + CHUNK])

    def answers(self) -> list[Answer]:
        path = f"/api/projects/{self._project_id()}/export"
        query = {"exportType": "JSON", "download_all_tasks": "false"}
        tasks = self._ask("GET", path, params=query, timeout=EXPORT_TIMEOUT_S)
        if not isinstance(tasks, list):
            raise _unexpected(path, tasks, "a list of tasks")
        with _reading(path, tasks):
            annotated = [task for task in tasks if task.get("annotations")]
            people = self._people() if annotated else {}
            found = [self._answer(task, given, people) for task in annotated for given in task["annotations"]]
            return sorted(found, key=lambda answer: answer.annotated_at)

    def origins(self) -> set[str]:
        return {f"{SERVER}{self._title}"}

    def tasks_about(self, is_about: Callable[[str], bool]) -> list[int]:
        """Numbers of the tasks whose text or id `is_about` names; none where there is no such project."""
        project = self._find_project()
        found, page, seen = list[int](), 1, 0
        while project:
            query = {"project": project, "page": page, "page_size": PAGE, "fields": "task_only"}
            answer = self._ask("GET", "/api/tasks", params=query)
            tasks = _expected(answer, "tasks", list, "/api/tasks")
            with _reading("/api/tasks", answer):
                for task in tasks:
                    values = [str((task.get("data") or {}).get(name) or "") for name in ("id", "text")]
                    found += [int(task["id"])] if any(map(is_about, values)) else []
            seen, page = seen + len(tasks), page + 1
            if seen >= _expected(answer, "total", int, "/api/tasks") or not tasks:
                break
        return found

    def delete_tasks(self, numbers: Sequence[int]) -> int:
        """Delete tasks with their answers; returns how many."""
        for number in numbers:
            self._ask("DELETE", f"/api/tasks/{number}")
        return len(numbers)

    def _find_project(self) -> int:
        """Number of the oldest project of the title; 0: there is none."""
        query = {"title": self._title, "page_size": PAGE}
        found = _expected(self._ask("GET", "/api/projects", params=query), "results", list, "/api/projects")
        with _reading("/api/projects", found):
            return min((int(project["id"]) for project in found if project["title"] == self._title), default=0)

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
        )

    def _people(self) -> dict[str, str]:
        """The e-mail address of each account by its number, where the token may see them."""
        try:
            users = self._ask("GET", "/api/users")
        except SourceError:
            return {}
        found = users if isinstance(users, list) else []
        with _reading("/api/users", users):
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
            query = {"title": self._title, "page_size": PAGE}
            found = _expected(self._ask("GET", "/api/projects", params=query), "results", list, "/api/projects")
            with _reading("/api/projects", found):
                same = [project for project in found if project["title"] == self._title]
                oldest = min(same, key=lambda project: int(project["id"]), default=None)
                self._project = int(oldest["id"]) if oldest else 0
            if oldest:
                self._offer_all_classes(str(oldest.get("label_config") or ""))
            else:
                self._project = self._create()
        return self._project

    def _offer_all_classes(self, config: str) -> None:
        """Add the classes that the project does not offer yet; what else people changed there stays."""
        if longer := with_classes(config, self._labels):
            self._ask("PATCH", f"/api/projects/{self._project}", json={"label_config": longer})

    def _create(self) -> int:
        body = {
            "title": self._title,
            "label_config": label_config(self._labels),
            "show_collab_predictions": True,
            "maximum_annotations": self._n_annotators,
        }
        return int(_expected(self._ask("POST", "/api/projects", json=body), "id", int, "/api/projects"))

    def _ask(self, method: str, path: str, timeout: float = TIMEOUT_S, **options: Any) -> Any:
        """The server's answer as JSON.

        Raises:
            SourceError: it cannot be reached, refuses, or answers something else; the message never holds the token.
        """
        try:
            with httpx.Client(base_url=self._url, timeout=timeout, transport=self._transport) as client:
                reply = client.request(method, path, headers=_authorization(client, self._token), **options)
        except httpx.ReadTimeout:
            raise SourceError(
                "The Label Studio server does not answer in time.",
                where=f"{self._url}, {method} {path}",
                got=f"nothing in {timeout:.0f} s",
                fix="the same command again: what has arrived is not sent twice",
            ) from None
        except httpx.HTTPError as error:
            raise SourceError(
                "The Label Studio server does not answer.",
                where=self._url,
                got=type(error).__name__,
                fix="start it (`make labels-server`), or correct LABEL_STUDIO_URL; then the same command again",
            ) from None
        if problem := _problem(reply):
            message, got, fix = problem
            raise SourceError(message, where=f"{self._url}, {method} {path}", got=got, fix=fix)
        return None if reply.status_code == httpx.codes.NO_CONTENT else reply.json()


def _problem(reply: httpx.Response) -> tuple[str, str, str] | None:
    """What is wrong with a reply: message, what came, what to do; None when it is JSON and no error."""
    status, start = f"HTTP {reply.status_code}", " ".join(reply.text[:300].split())
    if reply.status_code in (401, 403):
        return "Label Studio refuses the token.", status, "put a valid access token into LABEL_STUDIO_TOKEN"
    if reply.is_redirect:
        to = reply.headers.get("Location", "").split("?")[0]
        got = f"{status} to {to}"
        return "Label Studio sends the request elsewhere.", got, "name the address it sends to in LABEL_STUDIO_URL"
    if reply.is_server_error:
        return "The Label Studio server fails.", f"{status}: {start}", "see its log; then the same command again"
    if reply.is_error:
        return "Label Studio refuses the request.", f"{status}: {start}", ""
    if reply.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        reply.json()
    except ValueError:
        page = "a web page, such as a login" if "<html" in reply.text[:2000].lower() else f"no JSON: {start}"
        fix = "name the server itself in LABEL_STUDIO_URL, without a proxy that asks for a login"
        return "This is not Label Studio's interface.", f"{status}, {page}", fix
    return None


def _expected(answer: Any, name: str, kind: type, path: str) -> Any:
    """The value of a key that the answer must have."""
    if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
        raise _unexpected(path, answer, f"an object with `{name}`")
    return answer[name]


@contextmanager
def _reading(path: str, answer: Any) -> Iterator[None]:
    """Reading of an answer whose parts may be of any type.

    Raises:
        SourceError: one is of another type than it must be.
    """
    try:
        yield
    except (TypeError, AttributeError, KeyError, IndexError, ValueError, OverflowError) as error:
        expected = f"what Label Studio documents ({type(error).__name__}: {error})"
        raise _unexpected(path, answer, expected) from None


def _unexpected(path: str, answer: Any, expected: str) -> SourceError:
    return SourceError(
        "Label Studio answers something else than expected.",
        where=path,
        got=str(answer)[:300],
        expected=expected,
        fix="see that LABEL_STUDIO_URL names a Label Studio server of version 1",
    )


def _authorization(client: httpx.Client, token: str) -> dict[str, str]:
    """A personal access token is a refresh token: it is changed for one that lives some minutes."""
    if token.count(".") != 2:
        return {"Authorization": f"Token {token}"}
    reply = client.post("/api/token/refresh", json={"refresh": token})
    try:
        access = reply.json().get("access", "") if reply.is_success else ""
    except (ValueError, AttributeError):  # a login page, or another server: the request itself will tell
        access = ""
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


def with_classes(config: str, labels: Sequence[str]) -> str:
    """The labelling interface with the classes that it lacks; empty where it lacks none, or asks something else.

    No class is taken away: the server refuses that while an answer names it.

    >>> with_classes('<View><Choices name="label"><Choice value="a"/></Choices></View>', ["a", "b"])
    '<View><Choices name="label"><Choice value="a" /><Choice value="b" /></Choices></View>'
    """
    try:
        tree = ElementTree.fromstring(config)
    except ElementTree.ParseError:
        return ""
    choices = tree.find(".//Choices[@name='label']")
    if choices is None:
        return ""
    offered = {choice.get("alias") or choice.get("value") for choice in choices.iter("Choice")}
    missing = [name for name in labels if name not in offered]
    for name in missing:
        ElementTree.SubElement(choices, "Choice", value=name)
    return ElementTree.tostring(tree, encoding="unicode") if missing else ""


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
    )
