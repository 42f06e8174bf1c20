"""The Label Studio client against an in-memory server that answers as 1.23.2 does; the flow's tests use a real one."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from ratchet.errors import SourceError, TableError
from ratchet.labels.annotations import Item
from ratchet.labels.guidelines import Guidelines
from ratchet.labels.label_studio import CHUNK, LabelStudioQueue
from ratchet.labels.label_studio_interface import label_config

TOKEN = "secret-token"
ITEMS = [Item(f"{i:016x}", f"text {i}", "made", "margin 0.03", "positive", 0.51, "m@1", "margin") for i in range(250)]


class Server:
    """Projects, tasks and annotations; `fails_after` imports it breaks the connection, having stored the tasks."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.users: dict[int, str] = {}
        self.n_imports, self.fails_after, self.n_changes = 0, 10**9, 0
        self.seen: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.headers.get("Authorization", ""))
        path, query = request.url.path, dict(request.url.params)
        if path == "/api/token/refresh":
            return httpx.Response(200, json={"access": "short-lived"})
        if request.headers["Authorization"] not in (f"Token {TOKEN}", "Bearer short-lived"):
            return httpx.Response(401, json={"detail": "Invalid token."})
        if path == "/api/projects" and request.method == "POST":
            self.projects.append({"id": len(self.projects) + 1, **json.loads(request.content)})
            return httpx.Response(201, json=self.projects[-1])
        if path == "/api/projects":  # the server's filter finds titles that contain the words
            return httpx.Response(200, json={"results": [p for p in self.projects if query["title"] in p["title"]]})
        if path == "/api/tasks":
            size, page = int(query["page_size"]), int(query["page"])
            rows = [task for task in self.tasks if task["project"] == int(query["project"])]
            return httpx.Response(200, json={"total": len(rows), "tasks": rows[(page - 1) * size : page * size]})
        if path == "/api/users":
            return httpx.Response(200, json=[{"id": number, "email": mail} for number, mail in self.users.items()])
        project = int(path.split("/")[3])
        if request.method == "DELETE":
            self.tasks = [task for task in self.tasks if task["id"] != project]
            return httpx.Response(204)
        if request.method == "PATCH":
            self.n_changes += 1
            self.projects[project - 1] |= json.loads(request.content)
            return httpx.Response(200, json=self.projects[project - 1])
        if path.endswith("/import"):
            self.n_imports += 1
            made = enumerate(json.loads(request.content), start=len(self.tasks) + 1)
            self.tasks += [{"id": at, "project": project, "annotations": [], **task} for at, task in made]
            if self.n_imports > self.fails_after:
                raise httpx.ReadTimeout("no answer", request=request)
            return httpx.Response(201, json={})
        return httpx.Response(200, json=[t for t in self.tasks if t["project"] == project and t["annotations"]])


def queue(server: Server, token: str = TOKEN, title: str = "Ratchet") -> LabelStudioQueue:
    return LabelStudioQueue("http://server", token, title, ["negative", "positive"], 3, httpx.MockTransport(server))


def test_the_project_is_made_once_and_asks_about_the_classes() -> None:
    server = Server()
    queue(server, title="Ratchet: conflicts").send(ITEMS[:1])
    queue(server).send(ITEMS[:2])
    queue(server).send(ITEMS[:2])
    assert [project["title"] for project in server.projects] == ["Ratchet: conflicts", "Ratchet"]
    assert server.projects[1]["maximum_annotations"] == 3
    assert len(server.tasks) == 3


def test_a_task_holds_the_item_the_suggestion_and_the_reason() -> None:
    server = Server()
    queue(server).send([ITEMS[0], Item("c" * 16, "no model", "made")])
    first, second = server.tasks
    assert first["data"]["reason"] == "margin 0.03"
    (prediction,) = first["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("m@1", 0.51)
    assert prediction["result"][0]["value"] == {"choices": ["positive"]}
    assert "predictions" not in second
    assert queue(server).items()[ITEMS[0].id] == ITEMS[0]


def test_sent_twice_is_once_over_several_pages_and_requests() -> None:
    server = Server()
    queue(server).send(ITEMS)
    assert server.n_imports == -(-len(ITEMS) // CHUNK)
    queue(server).send(ITEMS[::-1])
    assert [task["data"]["id"] for task in server.tasks] == [item.id for item in ITEMS]


def test_more_tasks_than_a_page_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratchet.labels.label_studio.PAGE", 7)
    server = Server()
    queue(server).send(ITEMS[:50])
    assert len(queue(server).items()) == 50


def test_a_server_that_gives_the_same_page_for_ever_is_refused() -> None:
    server = Server()
    queue(server).send(ITEMS[:2])

    def proxied(request: httpx.Request) -> httpx.Response:  # a cache before the server that does not tell pages apart
        tasks = {"total": 10**9, "tasks": server.tasks}
        return httpx.Response(200, json=tasks) if request.url.path == "/api/tasks" else server(request)

    waiting = LabelStudioQueue("http://server", TOKEN, "Ratchet", [], 3, httpx.MockTransport(proxied))
    with pytest.raises(SourceError, match="something else") as refused:
        waiting.items()
    assert "page 2 as page 1" in str(refused.value)


def test_a_lost_answer_neither_loses_nor_doubles_a_text() -> None:
    server = Server()
    server.fails_after = 1
    with pytest.raises(SourceError, match="does not answer"):
        queue(server).send(ITEMS)
    server.fails_after = 10**9
    queue(server).send(ITEMS)
    assert sorted(task["data"]["id"] for task in server.tasks) == [item.id for item in ITEMS]


def given(label: str | None, **changes: Any) -> dict[str, Any]:
    result = [] if label is None else [{"value": {"choices": [label]}, "type": "choices"}]
    return {
        "id": 1,
        "completed_by": 7,
        "result": result,
        "was_cancelled": False,
        "lead_time": 4.5,
        "updated_at": "2026-01-01T12:00:00.5Z",
        **changes,
    }


def test_answers_come_back_with_person_time_and_seconds_and_skips_without_a_class() -> None:
    server = Server()
    queue(server).send(ITEMS[:4])
    server.tasks[0]["annotations"] = [given("positive"), given("negative", completed_by=8, lead_time=None)]
    server.tasks[1]["annotations"] = [given("positive", was_cancelled=True)]
    server.tasks[2]["annotations"] = [given(None)]
    found = queue(server).answers()
    assert [(answer.item.id, answer.label) for answer in found[2:]] == [(ITEMS[1].id, ""), (ITEMS[2].id, "")]
    first, second = found[:2]
    assert (first.item, first.label, first.annotator, first.lead_time_s) == (
        ITEMS[0],
        "positive",
        "label-studio-user-7",
        4.5,
    )
    assert (first.annotated_at, first.origin) == ("2026-01-01T12:00:00.500000Z", "label-studio:Ratchet")
    assert second.annotator == "label-studio-user-8"
    assert second.lead_time_s != second.lead_time_s


def test_a_task_that_somebody_made_by_hand_gets_the_id_of_its_text() -> None:
    server = Server()
    queue(server).send(ITEMS[:1])
    server.tasks.append({"project": 1, "data": {"text": "Own  Text"}, "annotations": [given("positive")]})
    (answer,) = queue(server).answers()
    assert (len(answer.item.id), answer.item.text, answer.item.source) == (16, "Own  Text", "people")


def test_a_personal_access_token_is_changed_for_a_short_lived_one() -> None:
    server = Server()
    queue(server, token="a.b.c").send(ITEMS[:1])
    assert set(server.seen) == {"", "Bearer short-lived"}


def test_a_refused_token_is_said_without_saying_it() -> None:
    with pytest.raises(SourceError, match="LABEL_STUDIO_TOKEN") as caught:
        queue(Server(), token="another-secret").items()
    assert "another-secret" not in str(caught.value)
    assert "another-secret" not in repr(vars(caught.value))


def test_classes_with_signs_that_xml_minds_are_escaped() -> None:
    tree = ElementTree.fromstring(label_config(['<b> & "c"', "d"], {"d": "a <d> & no more"}))
    assert [choice.get("value") for choice in tree.iter("Choice")] == ['<b> & "c"', "d"]
    assert [choice.get("hint") for choice in tree.iter("Choice")] == [None, "a <d> & no more"]


def test_guidelines_are_the_projects_instruction_and_stand_beside_each_class() -> None:
    server, text = Server(), "Read the *whole* text.\n\n# negative\n\nThe film is not liked."

    def asked_by(text: str) -> LabelStudioQueue:
        transport = httpx.MockTransport(server)
        guidelines = Guidelines(text, {"negative": "The film is not liked."} if text else {})
        labels = ["negative", "positive"]
        return LabelStudioQueue("http://server", TOKEN, "Ratchet", labels, 3, transport, guidelines)

    asked_by("").send(ITEMS[:1])
    assert server.projects[0]["show_instruction"] is False
    asked_by(text).send(ITEMS[:2])
    (project,) = server.projects
    assert "<em>whole</em>" in project["expert_instruction"]
    assert project["show_instruction"] is True
    choices = ElementTree.fromstring(project["label_config"]).iter("Choice")
    assert {choice.get("value"): choice.get("hint") for choice in choices} == {
        "negative": "The film is not liked.",
        "positive": None,
    }
    versions = [task["data"].get("guidelines") or "" for task in server.tasks]
    assert versions == ["", Guidelines(text).version]
    changes = server.n_changes
    asked_by(text).items()
    assert server.n_changes == changes, "what is up to date is not written again"


def test_a_comment_and_why_an_answer_was_changed_come_back_with_it() -> None:
    server = Server()
    queue(server).send(ITEMS[:2])
    said = given("positive")
    for name, words in {"comment": ["two", "lines"], "change_reason": ["misread"]}.items():
        said["result"] += [{"from_name": name, "to_name": "text", "type": "textarea", "value": {"text": words}}]
    skipped = given(None, was_cancelled=True)
    skipped["result"] = [{"from_name": "comment", "to_name": "text", "type": "textarea", "value": {"text": ["empty"]}}]
    server.tasks[0]["annotations"], server.tasks[1]["annotations"] = [said], [skipped]
    found = [(answer.label, answer.comment, answer.change_reason) for answer in queue(server).answers()]
    assert found == [("positive", "two lines", "misread"), ("", "empty", "")]


def test_a_person_is_their_e_mail_address_whatever_number_the_account_gets() -> None:
    server = Server()
    server.users = {7: "anna@example.org"}
    queue(server).send(ITEMS[:2])
    server.tasks[0]["annotations"] = [given("positive")]
    server.tasks[1]["annotations"] = [given("negative", completed_by={"id": 9, "email": "ben@example.org"})]
    assert [answer.annotator for answer in queue(server).answers()] == ["anna@example.org", "ben@example.org"]


def test_imported_annotations_may_lack_every_key_and_the_latest_answer_comes_last() -> None:
    server = Server()
    queue(server).send(ITEMS[:2])
    old, new = given("positive", updated_at="2026-01-02T00:00:00Z"), {"result": [{"value": {"choices": ["negative"]}}]}
    server.tasks[0]["annotations"] = [old, new, {}]
    labels = [(answer.label, answer.annotator) for answer in queue(server).answers()]
    nobody = "label-studio-user-None"
    assert labels == [("negative", nobody), ("", nobody), ("positive", "label-studio-user-7")]


def test_choices_of_another_question_are_no_class() -> None:
    server = Server()
    queue(server).send(ITEMS[:1])
    other = {"from_name": "quality", "type": "choices", "value": {"choices": ["good"]}}
    mine = {"from_name": "label", "type": "choices", "value": {"choices": ["positive"]}}
    server.tasks[0]["annotations"] = [given(None, result=[other, mine])]
    assert [answer.label for answer in queue(server).answers()] == ["positive"]


@pytest.mark.parametrize("text", [None, "", 3])
def test_a_task_without_a_text_is_refused_by_its_number(text: object) -> None:
    server = Server()
    queue(server).send(ITEMS[:1])
    server.tasks.append({"id": 12, "project": 1, "data": {"text": text}, "annotations": []})
    with pytest.raises(TableError, match="task 12"):
        queue(server).items()


PAGE = "<!doctype html><html><form>Log in</form></html>"
ODD = {
    "a redirect": (httpx.Response(301, headers={"Location": "https://elsewhere.example/?next=1"}), "elsewhere.example"),
    "a login page": (httpx.Response(200, text=PAGE), "a web page, such as a login"),
    "no JSON": (httpx.Response(200, text="ok"), "no JSON: ok"),
    "another object": (httpx.Response(200, json={"detail": "hello"}), "an object with `results`"),
    "a list": (httpx.Response(200, json=[1]), "an object with `results`"),
    "a broken server": (httpx.Response(502, text="Bad Gateway"), "server fails"),
    "a forbidden project": (httpx.Response(403, json={}), "LABEL_STUDIO_TOKEN"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("token", [TOKEN, "a.b.c"])
def test_a_server_that_answers_something_else_is_named(name: str, token: str) -> None:
    reply, message = ODD[name]
    odd = LabelStudioQueue("http://server", token, "Ratchet", ["a"], 1, httpx.MockTransport(lambda request: reply))
    with pytest.raises(SourceError, match=message):
        odd.items()


def test_a_slow_export_is_said_to_be_slow_and_not_away() -> None:
    server = Server()

    def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/export"):
            raise httpx.ReadTimeout("no answer", request=request)
        return server(request)

    queue(server).send(ITEMS[:1])
    transport = httpx.MockTransport(slow)
    with pytest.raises(SourceError, match="in time") as caught:
        LabelStudioQueue("http://server", TOKEN, "Ratchet", ["a"], 1, transport).answers()
    assert "600 s" in str(caught.value)
    assert "make labels-server" not in str(caught.value)


def test_an_export_that_is_no_list_is_refused() -> None:
    server = Server()
    queue(server).send(ITEMS[:1])

    def odd(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"tasks": 1}) if request.url.path.endswith("/export") else server(request)

    with pytest.raises(SourceError, match="a list of tasks"):
        LabelStudioQueue("http://server", TOKEN, "Ratchet", ["a"], 1, httpx.MockTransport(odd)).answers()


def test_a_project_offers_a_class_that_came_later_and_keeps_what_people_changed_there() -> None:
    server = Server()
    queue(server).send(ITEMS[:1])
    choices = '<Choices name="label" toName="text"><Choice value="negative"/></Choices>'
    mine = f'<View><Text name="text" value="$text"/>{choices}</View>'
    server.projects[0]["label_config"] = mine
    queue(server).items()
    assert server.projects[0]["label_config"].count("<Choice ") == 2
    before = server.projects[0]["label_config"]
    queue(server).items()
    assert server.projects[0]["label_config"] == before
    for other in ("", "<View", "<View><Text name='text' value='$text'/></View>"):
        server.projects[0]["label_config"] = other
        queue(server).items()
        assert server.projects[0]["label_config"] == other


def test_tasks_about_a_forgotten_text_are_deleted_and_a_missing_project_is_not_made() -> None:
    server = Server()
    assert queue(server).delete_tasks(queue(server).tasks_about(lambda value: True)) == 0
    assert server.projects == []
    queue(server).send([Item("a", "text of a", "s"), Item("b", "text of b", "s")])
    found = queue(server).tasks_about(lambda value: value == "text of a")
    assert queue(server).delete_tasks(found) == 1
    assert [task["data"]["id"] for task in server.tasks] == ["b"]


@pytest.mark.parametrize("answer", [[1], [{"annotations": 3}], [{"annotations": [4], "data": {"text": "t"}}], [[]]])
def test_an_export_of_another_shape_is_refused_by_name(answer: object) -> None:
    """Found by fuzzing: each ended in an AttributeError or a TypeError."""
    projects = {"results": [{"id": 1, "title": "Ratchet", "label_config": ""}]}
    body = {"/api/projects": projects, "/api/projects/1/export": answer, "/api/users": []}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body[request.url.path]))
    with pytest.raises(SourceError, match="something else than expected"):
        LabelStudioQueue("http://a", TOKEN, "Ratchet", ["a"], 1, transport).answers()
