"""Asks a server as its clients do: what they send, how long they wait, what they try again, and where they look for the reward.

    clients.py NAME URL MODEL PROMPT RESPONSE RENDERED     prints what the client has found, as JSON

The drivers are written from the clients' documented behaviour; "openai" is the real package.
"""

import json
import sys
import time
import urllib.error
import urllib.request


def post(url, body, timeout):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)


def openrlhf(url, model, prompt, response, rendered):
    """One query a call, 180 s, five tries a second apart whatever fails; scores fall back to rewards."""
    for attempt in range(5):
        try:
            answer = post(url + "/get_reward", {"query": [rendered], "prompts": [prompt], "labels": ["4"]}, 180)
            rewards = answer.get("rewards")
            scores = answer.get("scores", rewards)
            logs = {key: float(value[0]) for key, value in answer.get("extra_logs", {}).items()}
            return {"reward": float(rewards[0]), "score": float(scores[0]), "tries": attempt + 1, "logs": logs}
        except Exception as e:
            failure = e
            time.sleep(1)
    raise failure


def verl(url, model, prompt, response, rendered):
    """One text a call, up to 16 tries, 1, 2, 4 … 30 s apart; a 4xx is final; the last entry's last number counts."""
    found = {}
    for route, body, read in (
        ("/classify", {"model": model, "input": rendered, "activation": False}, lambda d: d["data"][-1]["probs"][-1]),
        ("/v1/embeddings", {"model": model, "input": rendered}, lambda d: d["data"][-1]["embedding"][-1]),
    ):
        for attempt in range(16):
            try:
                found[route] = read(post(url + route, body, None))
                break
            except urllib.error.HTTPError as e:
                if e.code < 500:
                    raise
                failure = e
            except OSError as e:
                failure = e
            time.sleep(min(30, 2**attempt) / 10)  # a tenth: a test has less time
        else:
            raise failure
    return found


def slime(url, model, prompt, response, rendered):
    """The sample as it is; any JSON comes back."""
    return {"reward": float(post(url + "/slime", {"prompt": prompt, "response": response, "label": "4"}, 120))}


def trl(url, model, prompt, response, rendered):
    """TRL calls a function with lists, conversations or texts, and everything else by name."""
    import os

    os.environ["CRITICRM_URL"] = url
    from reward_func import reward_func

    talk = [{"role": "user", "content": prompt}]
    said = [{"role": "assistant", "content": response}]
    metrics = {}
    texts = reward_func(prompts=[prompt, prompt], completions=[response, "no"], completion_ids=[[1], [2]], trainer_state=None,
                        log_extra=lambda *a: None, log_metric=lambda k, v: metrics.update({k: v}), subset=["a", "a"])
    talks = reward_func(prompts=[talk], completions=[said], completion_ids=[[1]], trainer_state=None)
    turn = "<|im_start|>user\n" + prompt + "<|im_end|>\n<|im_start|>assistant\n"  # the policy's template, not the reward model's
    rlhf = reward_func([turn + response + "<|im_end|>\n"], [turn], ["4"])
    return {"texts": texts[0], "other": texts[1], "talks": talks[0], "openrlhf": rlhf["rewards"][0], "metrics": metrics}


def openai(url, model, prompt, response, rendered):
    """The package from PyPI: chat, completions, streams, errors, models and embeddings."""
    import openai as package

    client = package.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    talk = [{"role": "user", "content": prompt}]
    whole = client.chat.completions.create(model=model, messages=talk, n=2, seed=3, temperature=0.5, top_p=0.9, max_completion_tokens=60, stop=["Score"])
    parts, usage = ["", ""], None
    stream = client.chat.completions.create(model=model, messages=talk, n=2, seed=3, temperature=0.5, top_p=0.9, max_completion_tokens=60, stop=["Score"],
                                            stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            parts[choice.index] += choice.delta.content or ""
    done = client.completions.create(model=model, prompt=rendered, max_tokens=8, seed=1)
    text = "".join(c.choices[0].text for c in client.completions.create(model=model, prompt=rendered, max_tokens=8, seed=1, stream=True))
    errors = {}
    for name, call in {
        "model": lambda: client.chat.completions.create(model="other", messages=talk),
        "value": lambda: client.chat.completions.create(model=model, messages=talk, n=1000),
        "tools": lambda: client.chat.completions.create(model=model, messages=talk, tools=[{"type": "function", "function": {"name": "f"}}]),
    }.items():
        try:
            call()
        except package.APIStatusError as e:
            errors[name] = [type(e).__name__, e.status_code, e.code, e.param]
    return {
        "chat": [c.message.content for c in whole.choices],
        "finish": [c.finish_reason for c in whole.choices],
        "stream": parts,
        "usage": [whole.usage.prompt_tokens, whole.usage.completion_tokens],
        "stream_usage": [usage.prompt_tokens, usage.completion_tokens],
        "completion": done.choices[0].text,
        "completion_stream": text,
        "models": [m.id for m in client.models.list()],
        "embedding": client.embeddings.create(model=model, input=rendered).data[0].embedding[0],
        "errors": errors,
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
