"""Makes the Parquet files of this folder with pyarrow, and beside each what its rows are as JSON. Decimals are written as texts there.

    pip install pyarrow==26.0.1 && python make.py

Texts and numbers are made up. Types and encodings are those that pyarrow writes; pages are small, so that few rows need many.
"""
import datetime as dt
import decimal
import json
import math
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(7)
words = "the quick answer is not always best ünïcode 日本 \"quoted\" back\\slash tab\t new\nline".split(" ")


def text(most):
    return " ".join(rng.choice(words) for _ in range(rng.randrange(1, most)))


def maybe(x, share=0.2):
    return None if rng.random() < share else x


def stamp(t, utc):
    s = t.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return s + ("Z" if utc else "")


def write(name, table, rows, **options):
    pq.write_table(table, os.path.join(here, name + ".parquet"), **{"store_schema": False, "row_group_size": 20, "data_page_size": 200, "write_batch_size": 8, **options})
    with open(os.path.join(here, name + ".jsonl"), "w") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


# Conversations, as preference data sets have them.
message = pa.struct([("role", pa.string()), ("content", pa.string())])
schema = pa.schema([("id", pa.int64()), ("prompt", pa.list_(message)), ("chosen", pa.string()), ("rejected", pa.large_string()), ("margin", pa.float64()),
                    ("tags", pa.list_(pa.string())), ("deep", pa.list_(pa.list_(pa.int32()))), ("meta", pa.struct([("n", pa.int32()), ("of", pa.struct([("s", pa.string())]))])),
                    ("counts", pa.map_(pa.string(), pa.int64())), ("label", pa.bool_())])
rows = []
for i in range(50):
    rows.append({
        "id": 2**53 + i,
        "prompt": maybe([{"role": rng.choice(["user", "assistant"]), "content": maybe(text(9))} for _ in range(rng.randrange(0, 4))]),
        "chosen": text(12),
        "rejected": maybe(text(12)),
        "margin": maybe(rng.uniform(-5, 5)),
        "tags": maybe([maybe(text(3)) for _ in range(rng.randrange(0, 4))]),
        "deep": maybe([maybe([maybe(rng.randrange(-9, 9)) for _ in range(rng.randrange(0, 3))]) for _ in range(rng.randrange(0, 3))]),
        "meta": maybe({"n": maybe(i), "of": maybe({"s": maybe(text(2))})}),
        "counts": maybe({f"k{k}": maybe(k) for k in range(rng.randrange(0, 3))}),
        "label": maybe(i % 3 == 0),
    })
table = pa.Table.from_pylist([{**r, "counts": None if r["counts"] is None else list(r["counts"].items())} for r in rows], schema=schema)
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    for page in ["1.0", "2.0"]:
        write(f"{codec}-v{page[0]}", table, rows, compression=codec, data_page_version=page, use_dictionary=codec != "gzip")
        if (codec, page) != ("none", "1.0"):  # the rows are the same
            os.remove(os.path.join(here, f"{codec}-v{page[0]}.jsonl"))

# Encodings. Some readers have them for some types alone.
plain = pa.schema([("i", pa.int64()), ("j", pa.int32()), ("s", pa.string()), ("t", pa.string()), ("x", pa.float64()), ("y", pa.float32()), ("b", pa.bool_())])
rows = [{"i": rng.randrange(-2**62, 2**62), "j": maybe(rng.randrange(-2**31, 2**31)), "s": f"prefix-{i:05d}-{text(3)}", "t": maybe(text(5)), "x": rng.uniform(-1, 1) * 10.0**rng.randrange(-300, 300),
         "y": maybe(rng.randrange(-2**20, 2**20) / 64), "b": maybe(i % 5 < 2)} for i in range(50)]
write("encodings", pa.Table.from_pylist(rows, schema=plain), rows, use_dictionary=False, compression="zstd", data_page_version="2.0", write_page_checksum=True,
      column_encoding={"i": "DELTA_BINARY_PACKED", "j": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY", "t": "DELTA_LENGTH_BYTE_ARRAY", "x": "BYTE_STREAM_SPLIT", "y": "BYTE_STREAM_SPLIT", "b": "RLE"})

# Types that JSON does not have.
utc, naive = dt.timezone.utc, None
kinds = pa.schema([("ms", pa.timestamp("ms", "UTC")), ("us", pa.timestamp("us")), ("ns", pa.timestamp("ns", "Europe/Berlin")), ("day", pa.date32()), ("clock", pa.time64("us")), ("ms_clock", pa.time32("ms")),
                   ("price", pa.decimal128(9, 2)), ("large", pa.decimal128(38, 10)), ("u8", pa.uint8()), ("u64", pa.uint64()), ("i8", pa.int8()), ("half", pa.float16()), ("single", pa.float32()),
                   ("bytes", pa.binary()), ("fixed", pa.binary(4)), ("nothing", pa.null()), ("kind", pa.dictionary(pa.int8(), pa.string()))])
values, rows = [], []
for i in range(30):
    t = dt.datetime(1940 + 5 * i, 1 + i % 12, 1 + i % 28, i % 24, i, 59 - i, 1000 * (37 * i % 1000))
    price, large = decimal.Decimal(rng.randrange(-10**9 + 1, 10**9)).scaleb(-2), decimal.Decimal(rng.randrange(-10**20, 10**20)).scaleb(-10)
    half, single = float(rng.randrange(-2048, 2048)) / 2.0**rng.randrange(0, 20), 0.1 * i
    v = {"ms": t.replace(tzinfo=utc), "us": t, "ns": t.replace(tzinfo=utc), "day": t.date(), "clock": t.time(), "ms_clock": t.time(), "price": price, "large": large, "u8": 5 * i, "u64": 2**64 - 1 - i, "i8": i - 25,
         "half": half, "single": single, "bytes": text(3).encode(), "fixed": b"%04d" % i, "nothing": None, "kind": rng.choice(["a", "b", "c"])}
    values.append(v)
table = pa.Table.from_pylist(values, schema=kinds)


for v, got in zip(values, table.to_pylist()):
    clock = v["clock"].strftime("%H:%M:%S.%f").rstrip("0").rstrip(".")
    rows.append({**v, "ms": stamp(v["ms"], True), "us": stamp(v["us"], False), "ns": stamp(v["ns"], True), "day": v["day"].isoformat(), "clock": clock, "ms_clock": clock,
                 "price": f"{v['price']:.2f}", "large": f"{v['large']:.10f}", "half": float(got["half"]), "single": got["single"], "bytes": v["bytes"].decode(), "fixed": v["fixed"].decode()})
write("types", table, rows)
pq.write_table(pa.table({"ok": [1, 2, 3], "times": pa.array([dt.datetime(1999, 12, 31, 23, 59, 59, 123456)] * 3, pa.timestamp("ns"))}), os.path.join(here, "int96.parquet"),
               store_schema=False, use_deprecated_int96_timestamps=True)
with open(os.path.join(here, "int96.jsonl"), "w") as f:
    for i in range(3):
        f.write(json.dumps({"ok": i + 1, "times": "1999-12-31T23:59:59.123456"}) + "\n")

# Rows that no JSON can have, among others that can.
pq.write_table(pa.table({"prompt": pa.array([b"fine", b"\xff\xfe", b"fine too"], pa.binary()), "x": [1.5, 2.5, math.nan]}), os.path.join(here, "binary.parquet"), store_schema=False)

# Arrow writes a table without rows as a row group without rows, whose columns have no pages.
pq.write_table(pa.table({"prompt": pa.array([], pa.string()), "x": pa.array([], pa.list_(pa.int64()))}), os.path.join(here, "empty.parquet"), store_schema=False)
open(os.path.join(here, "empty.jsonl"), "w").close()
