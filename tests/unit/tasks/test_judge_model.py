"""A judge model behind an address: a real HTTP server in a thread speaks the shape of OpenAI's chat completions."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from unmask.errors import UserError
from unmask.tasks import TASKS, grades

KEY = "key-of-the-test"


def completion(text):
    message = {"role": "assistant", "content": text}
    return 200, json.dumps({"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]})


def judging(request):
    """Judge as a model would: right if the answer holds the expected word."""
    text = request["messages"][-1]["content"]
    if text.startswith("Reply with"):
        return completion("ready")
    answer, expected = (text.split(f"{name}:\n")[1].split("\n")[0] for name in ("Answer to judge", "Expected answer"))
    return completion(f"<think>VERDICT: RIGHT?</think>Well.\nVERDICT: {'RIGHT' if expected in answer else 'WRONG'}")


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.requests.append((self.path, self.headers, body))
            if served.key and self.headers["Authorization"] != f"Bearer {served.key}":
                code, text = 401, json.dumps({"error": {"message": "Incorrect API key provided"}})
            else:
                reply = served.replies.pop(0) if served.replies else judging
                code, text = reply(body) if callable(reply) else reply
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.requests, served.replies, served.key = [], [], None
        served.url = f"http://127.0.0.1:{served.server_port}/v1"
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


@pytest.fixture
def task(server, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "Colour of snow?", "expected": "white"}))

    def make(**fields):
        given = {"name": "judge", "url": server.url, "model": "m", "pause": 0.01, "cache": str(tmp_path / "v.jsonl")}
        return TASKS["questions"](path=str(path), answer={**given, **fields})

    return make


def only(task):
    return task.problems("test", None, 0)[0]


def test_a_verdict_of_the_judge(server, task):
    judge = task()
    judge.connect()
    assert [judge.is_right(text, only(judge)) for text in ("It is white.", "black")] == [True, False]
    assert grades(judge, "black", only(judge)) == {"judged": 1.0}
    path, headers, body = server.requests[1]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", None)
    assert (body["model"], body["temperature"]) == ("m", 0)
    text = body["messages"][0]["content"]
    assert "Colour of snow?" in text
    assert text.endswith("End your reply with one line, either VERDICT: RIGHT or VERDICT: WRONG.")
    assert len(server.requests) == 3  # one to connect, one for each answer: verdict and grades share it


def test_verdicts_are_kept_and_not_paid_for_twice(server, task, tmp_path):
    first = task()
    assert first.is_right("white", only(first))
    again = task()
    assert again.is_right("white", only(again))
    assert len(server.requests) == 1
    (tmp_path / "v.jsonl").write_text((tmp_path / "v.jsonl").read_text() + '{"key": "cut o')
    cut = task()
    assert cut.is_right("white", only(cut))
    assert len(server.requests) == 1
    other = task(question="Is {answer} right?")
    server.replies += [completion("VERDICT: WRONG")]
    assert not other.is_right("white", only(other))  # another question is another verdict
    assert len(server.requests) == 2


def test_verdicts_are_in_the_users_cache_by_default(server, task, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    judge = task(cache=None)
    assert judge.is_right("white", only(judge))
    (file,) = (tmp_path / "cache/unmask/verdicts").iterdir()
    assert json.loads(file.read_text())["right"] is True


def test_an_empty_answer_is_wrong_without_asking(server, task):
    judge = task()
    assert not judge.is_right(" \n", only(judge))
    assert server.requests == []


def test_braces_in_an_answer_are_only_text(server, task):
    judge = task()
    assert judge.is_right("{expected} {question} white {0}", only(judge))


def test_the_key_is_read_from_the_environment_and_written_nowhere(server, task, monkeypatch, tmp_path):
    server.key = KEY
    judge = task(key_env="JUDGE_KEY")
    with pytest.raises(UserError, match="expected a key in the environment variable JUDGE_KEY, found none; set it"):
        judge.connect()
    monkeypatch.setenv("JUDGE_KEY", "wrong")
    with pytest.raises(
        UserError, match=r"found HTTP 401 \(Incorrect API key provided\); put a valid key into JUDGE_KEY"
    ):
        task(key_env="JUDGE_KEY").connect()
    assert len(server.requests) == 1  # a refused key is not tried again
    monkeypatch.setenv("JUDGE_KEY", KEY)
    judge = task(key_env="JUDGE_KEY")
    judge.connect()
    assert judge.is_right("white", only(judge))
    assert KEY not in repr(judge) + repr(judge.answer._model) + (tmp_path / "v.jsonl").read_text()


def test_passing_failures_are_tried_again(server, task):
    server.replies += [(429, "{}"), (500, "oops"), (200, '{"choices": [{"mess'), (200, "[]")]
    judge = task()
    assert judge.is_right("white", only(judge))
    assert len(server.requests) == 5


def test_malformed_answers_end_the_run_in_one_line(server, task):
    server.replies += [(200, "<html>\nproxy</html>")] * 3
    judge = task(tries=3)
    with pytest.raises(
        UserError, match=r"found no JSON of a chat completion \('<html> proxy</html>'\), 3 times"
    ) as error:
        judge.is_right("white", only(judge))
    assert "\n" not in str(error.value)


def test_a_refused_request_is_not_repeated(server, task):
    server.replies += [(404, json.dumps({"error": {"message": "The model m does not exist"}}))]
    judge = task()
    with pytest.raises(UserError, match=r"HTTP 404 \(The model m does not exist\); see the address, the name"):
        judge.connect()
    assert len(server.requests) == 1


@pytest.mark.parametrize("text", ["I cannot help with that.", "", None, "Perhaps."])
def test_a_judge_without_a_verdict_is_asked_once_more_and_counts_as_wrong(server, task, text, tmp_path):
    server.replies += [completion(text)] * 2
    judge = task()
    assert not judge.is_right("white", only(judge))
    assert grades(judge, "white", only(judge)) == {"judged": 0.0}
    assert len(server.requests) == 2
    assert not (tmp_path / "v.jsonl").exists()
    later = task()  # what was not judged is asked again in the next run
    assert later.is_right("white", only(later))


def test_a_judge_that_takes_too_long(server, task):
    server.replies += [lambda _: time.sleep(1) or completion("VERDICT: RIGHT")] * 2
    judge = task(seconds=0.1, tries=2)
    with pytest.raises(UserError, match=r"found none within 0.1 s, 2 times; see that the server runs"):
        judge.is_right("white", only(judge))


def test_a_judge_that_is_not_there_is_named_at_once(task):
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1: expected an answer of the judge m, found no server"):
        task(url="http://127.0.0.1:9/v1").connect()


def test_fields_of_the_request_are_added_and_taken_out(server, task):
    judge = task(body={"max_tokens": 64, "temperature": None})
    judge.is_right("white", only(judge))
    body = server.requests[0][2]
    assert body["max_tokens"] == 64
    assert "temperature" not in body
