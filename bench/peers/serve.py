"""A plain server of rewards on FastAPI and transformers, in the form of OpenRLHF's serve_rm: POST /get_reward, one forward pass for each request, padded on the right.

    python bench/peers/serve.py MODEL [--port 0] [--threads 0]
    python bench/peers/serve.py MODEL --render ROWS --out TEXTS

MODEL is a sequence classifier with one label, as criticrm export --format sequence-classification writes it. The first form serves, one process, on this machine
alone, and says where on stderr; bench/load asks it. The second writes rows (prompt, response) as the model's chat template renders them, a JSON string a line.
"""
import argparse
import json


def render(model, rows, out):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    with open(rows, encoding="utf-8") as f, open(out, "w", encoding="utf-8") as to:
        for line in f:
            r = json.loads(line)
            conversation = [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["response"]}]
            to.write(json.dumps(tokenizer.apply_chat_template(conversation, tokenize=False)) + "\n")


def serve(model, port, threads):
    import torch
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    if threads:
        torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="right")
    classifier = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    app = FastAPI()

    @app.post("/get_reward")
    async def get_reward(request: Request):
        queries = (await request.json())["query"]
        batch = tokenizer(queries, add_special_tokens=False, padding=True, return_tensors="pt")
        with torch.no_grad():
            rewards = classifier(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].tolist()
        return JSONResponse({"rewards": rewards, "scores": rewards, "extra_logs": {}})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="info", access_log=False)


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("model")
    args.add_argument("--port", type=int, default=0)
    args.add_argument("--threads", type=int, default=0)
    args.add_argument("--render")
    args.add_argument("--out")
    a = args.parse_args()
    if a.render:
        render(a.model, a.render, a.out)
    else:
        serve(a.model, a.port, a.threads)
