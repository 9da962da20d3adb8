"""Rewards of a criticrm server for trainers in Python: one file, the standard library alone.

TRL:       GRPOTrainer(..., reward_funcs=reward_func)          with `from reward_func import reward_func`
OpenRLHF:  --remote_rm_url /path/to/reward_func.py

Start the server with `criticrm serve --model run/model`, and name it where it is not on this machine:

    CRITICRM_URL          http://127.0.0.1:5000, or several by comma; a conversation goes to the same one each time
    CRITICRM_API_KEY      the server's key, if it wants one
    CRITICRM_SAMPLES      critiques of a response, whose rewards are averaged (the server's, else)
    CRITICRM_MAX_TOKENS   of a critique (the server's, else)
    CRITICRM_TIMEOUT      seconds of one try (120)
    CRITICRM_RETRIES      further tries of a request that fails for a reason that may pass (8)
    CRITICRM_CONCURRENCY  requests under way at once (16)

OpenRLHF's prompts are rendered by the policy's template: those of ChatML, Llama 3 and Gemma are taken apart here, those of the reward model's own
template by the server, and of any other the call fails. All responses to one prompt travel in one request, so that the server reads the prompt
once. An empty response has a reward like any other. One without a reward is None for TRL, which leaves it out; OpenRLHF gets an error, which it logs.
"""

import http.client
import json
import os
import random
import re
import time
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime


def setting(name, default, kind=str):
    value = os.environ.get("CRITICRM_" + name, "")
    return kind(value) if value else default


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None  # a key goes where it was sent


_opener = urllib.request.build_opener(_NoRedirect)


class RewardError(RuntimeError):
    """A request that the server does not serve, or that failed too often."""


def _retry_after(value):
    """Seconds that a Retry-After asks for, at most 300."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else 0.0


def post(body, key=b""):
    """The server's answer to a body of POST /v1/reward."""
    urls = [u.strip().rstrip("/") for u in setting("URL", "http://127.0.0.1:5000").split(",") if u.strip()]
    home = zlib.crc32(key) % len(urls)
    headers = {"Content-Type": "application/json"}
    secret = setting("API_KEY", "")
    if secret:
        headers["Authorization"] = "Bearer " + secret
    data = json.dumps(body).encode()
    tries = 1 + setting("RETRIES", 8, int)
    for attempt in range(tries):
        wait = min(30.0, 0.5 * 2**attempt) * (0.5 + 0.5 * random.random())
        url = urls[(home + attempt) % len(urls)] + "/v1/reward"
        try:
            request = urllib.request.Request(url, data, headers)
            with _opener.open(request, timeout=setting("TIMEOUT", 120.0, float)) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as e:
            text = e.read(2000).decode("utf-8", "replace").replace(secret or "\0", "[key]")
            failure = f"{url}: {e.code} {e.reason}: {text[:300]}"
            if e.code not in (408, 425, 429) and (e.code < 500 or e.code == 501):
                raise RewardError(failure) from None
            wait = max(wait, _retry_after(e.headers.get("Retry-After")))
        except (OSError, ValueError, http.client.HTTPException) as e:  # no connection, a cut one, no answer in time, no JSON
            failure = f"{url}: {type(e).__name__}: {e}"
        if attempt + 1 < tries:
            time.sleep(wait)
    raise RewardError(f"{tries} tries failed, the last: {failure}")


class Whole(str):
    """A prompt as a template of the policy has rendered it that is not known here: the server takes the texts apart, if it is its model's."""


def rewards(prompt, responses):
    """(rewards, lengths of critiques in tokens) of responses to a prompt: a text, a list of messages, or a Whole."""
    body = {"responses": responses}
    if isinstance(prompt, Whole):
        body = {"input": [prompt + r for r in responses]}
    elif isinstance(prompt, str):
        body["prompt"] = prompt
    else:
        body["messages"] = [{"role": m["role"], "content": m["content"]} for m in prompt]
    for name, field in (("SAMPLES", "samples"), ("MAX_TOKENS", "max_tokens")):
        value = setting(name, None, int)
        if value is not None:
            body[field] = value
    answer = post(body, json.dumps(prompt).encode())
    if isinstance(prompt, Whole) and answer.get("notes") and any(d.get("plain") for d in answer["data"]):
        raise RewardError(f"the prompt {prompt[:60]!r} is written in a chat template that neither this file nor the model knows: {answer['notes'][0]}; add its turns to _TURNS")
    try:
        data = answer["data"]
        if [d["index"] for d in data] != list(range(len(responses))):
            raise RewardError(f"the answer has {len(data)} rewards, want {len(responses)}")
        tokens = [sum(c["tokens"] for c in d["critiques"]) for d in data]
        return [d["score"] for d in data], tokens
    except (KeyError, TypeError) as e:
        raise RewardError(f"the answer is not a server's: {e}") from None


def grouped(prompts, responses):
    """Rewards and lengths for parallel lists: one request for each run of equal prompts."""
    groups = []  # (prompt, places)
    for i, prompt in enumerate(prompts):
        if groups and groups[-1][0] == prompt:
            groups[-1][1].append(i)
        else:
            groups.append((prompt, [i]))
    scores, lengths = [None] * len(prompts), [0] * len(prompts)

    def one(group):
        prompt, places = group
        got, tokens = rewards(prompt, [responses[i] for i in places])
        for i, score, n in zip(places, got, tokens):
            scores[i], lengths[i] = score, n

    with ThreadPoolExecutor(max(1, min(setting("CONCURRENCY", 16, int), len(groups)))) as pool:
        list(pool.map(one, groups))  # raises what a request raised
    return scores, lengths


def text_of(completion):
    """The words of a completion: a text, or a list of messages of which the last is the answer."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


# How chat templates write turns; prompts of OpenRLHF are rendered by the policy's.
_TURNS = (
    re.compile(r"<\|im_start\|>(?P<role>\w+)\n(?P<content>.*?)<\|im_end\|>", re.S),  # ChatML: Qwen, SmolLM
    re.compile(r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n\n(?P<content>.*?)<\|eot_id\|>", re.S),  # Llama 3
    re.compile(r"<start_of_turn>(?P<role>\w+)\n(?P<content>.*?)<end_of_turn>", re.S),  # Gemma
)
# What stands in a rendered prompt and in no plain one, whatever the template.
_MARK = re.compile(r"<\|[^|<>\n]{1,40}\|>|\[/?INST\]|</?s>|<bos>|<start_of_turn>")
_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


def unrendered(prompt):
    """The conversation that a rendered prompt spells, or the prompt itself if it is plain text."""
    for turn in _TURNS:
        messages = [{"role": m["role"].replace("model", "assistant"), "content": m["content"]} for m in turn.finditer(prompt)]
        if messages:
            return messages
    return Whole(prompt) if _MARK.search(prompt) else prompt


def answer_in(query, prompt):
    """The response behind a prompt in OpenRLHF's query, without the tokens that end it."""
    if query.startswith(prompt):
        response = query[len(prompt) :]
    else:  # decoding has changed a space or cut the prompt: look for its end
        tail = prompt[-64:]
        at = query.rfind(tail)
        if at < 0:
            raise RewardError("a query does not hold its prompt")
        response = query[at + len(tail) :]
    while True:
        bare = response.rstrip("\n")  # some templates write a line break behind a turn
        end = next((e for e in _ENDS if bare.endswith(e)), None)
        if end is None:
            return response
        response = bare[: -len(end)]


def reward_func(queries=None, prompts=None, labels=None, completions=None, log_metric=None, **columns):
    """The reward function of both trainers.

    TRL calls it with prompts and completions (and more, by name) and takes a list of floats or None.
    OpenRLHF calls it with queries, prompts and labels and takes a dict of lists.
    """
    if completions is not None:
        scores, lengths = grouped(prompts, [text_of(c) for c in completions])
        if log_metric is not None and lengths:
            log_metric("critique_tokens", sum(lengths) / len(lengths))
        return scores
    talks = [unrendered(p) for p in prompts]
    # Of a Whole the end of the turn stays, for the server looks for it.
    responses = [q[len(p) :] if isinstance(t, Whole) and q.startswith(p) else answer_in(q, p) for q, p, t in zip(queries, prompts, talks)]
    scores, lengths = grouped(talks, responses)
    if None in scores:
        raise RewardError("the server gives no reward for a response")
    return {"rewards": scores, "scores": scores, "extra_logs": {"critique_len": lengths}}
