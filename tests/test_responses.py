"""/v1/responses as OpenAI's own client asks and reads it."""

import pytest

from toy_service import QUESTION, post

TEXT = QUESTION[0]["content"]


def test_it_says_what_chat_says(client):
    asked = {"extra_body": {"seed": 1, "beta": 0.3}, "model": ""}
    chat = client.chat.completions.create(messages=QUESTION, **asked)
    reply = client.responses.create(input=TEXT, **asked)
    assert reply.output_text == chat.choices[0].message.content != ""
    assert reply.status == "completed"
    assert reply.usage.input_tokens == chat.usage.prompt_tokens
    assert reply.usage.output_tokens == chat.usage.completion_tokens
    assert reply.usage.autotts["branches"] == chat.usage.autotts["branches"] > 1
    turns = [{"role": "user", "content": [{"type": "input_text", "text": TEXT}]}]
    assert client.responses.create(input=turns, **asked).output_text == reply.output_text


def test_a_stream_comes_to_the_same(client):
    asked = {"extra_body": {"seed": 1, "beta": 0.3}, "model": "", "input": TEXT}
    whole = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text
    last = events[-1].response
    assert last.output_text == whole.output_text
    assert last.usage.autotts["branches"] == whole.usage.autotts["branches"]
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output_text == whole.output_text


def test_earlier_turns_and_instructions_are_rendered(server, client, monkeypatch):
    rendered = []
    render = server.render

    async def seen(messages, *args):
        rendered.append(list(messages))
        return await render(messages, *args)

    monkeypatch.setattr(server, "render", seen)
    earlier = client.responses.create(model="", input=TEXT, extra_body={"beta": 0})
    turns = [
        {"role": "user", "content": TEXT},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        *[item.model_dump() for item in earlier.output],
        {"role": "user", "content": "Sure?"},
    ]
    client.responses.create(model="", instructions="Be brief.", input=turns, extra_body={"beta": 0})
    said = earlier.output_text
    assert rendered[-1] == [
        ("system", "Be brief."), ("user", TEXT), ("assistant", said), ("user", "Sure?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"input": []}, "input"),
        ({"input": TEXT, "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": TEXT, "background": True}, "background"),
        ({"input": TEXT, "reasoning": {"effort": "high"}}, "reasoning"),
        ({"input": TEXT, "text": {"format": {"type": "json_object"}}}, "text"),
        ({"input": TEXT, "tools": [{"type": "web_search"}]}, "tools"),
        ({"input": [{"type": "function_call_output", "output": "3"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
        ({"input": [{"role": "king", "content": "3"}]}, "input"),
        ({"input": TEXT, "max_output_tokens": 10**9}, "max_tokens"),
    ],
)
def test_what_is_not_served_is_refused_by_name(address, said, where):
    reply = post(address, "/v1/responses", messages=None, prompt=None, **said)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith(where)


def test_a_failure_in_a_stream_is_an_event(server, client, monkeypatch):
    from autotts.errors import ServerError

    async def fails(*_, **__):
        raise ServerError("the upstream is gone")

    monkeypatch.setattr(server, "render", fails)
    events = list(client.responses.create(model="", input=TEXT, stream=True))
    assert events[-1].type == "response.failed"
    assert "the upstream is gone" in events[-1].response.error.message
