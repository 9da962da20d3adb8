"""Makes the golden files of this folder again: `make golden`, or

    pip install -r requirements.txt
    python make.py [--out FOLDER]

README.md says what each file is for. The libraries have to be those of requirements.txt: another release may give other
bits. --any-version tries anyway, to see whether a newer release still agrees.
"""
import argparse
import json
import os
from importlib.metadata import version
from pathlib import Path

# One thread and the plainest instructions, so that sums have one order on every x86-64 processor. This must come before
# torch is loaded.
os.environ.update(ATEN_CPU_CAPABILITY="default", MKL_CBWR="COMPATIBLE", ONEDNN_MAX_CPU_ISA="SSE41", OMP_NUM_THREADS="1",
                  MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

HERE = Path(__file__).resolve().parent


def check_versions(any_version):
    pins = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split())
    have = {name: version(name).partition("+")[0] for name in pins}     # 2.15.0+cpu is 2.15.0 for processors alone
    wrong = [f"{name} {have[name]}, want {pins[name]}" for name in pins if have[name] != pins[name]]
    if wrong and not any_version:
        raise SystemExit("make.py: " + "; ".join(wrong) + ". Run: pip install -r requirements.txt")
    return have


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=Path, default=HERE, help="where to write (default: beside this file)")
    args.add_argument("--any-version", action="store_true", help="do not insist on the versions of requirements.txt")
    args = args.parse_args()
    versions = check_versions(args.any_version)

    import kinds
    import lora
    import models
    import nf4
    import seeing
    import spm
    import texts
    import unicode

    args.out.mkdir(parents=True, exist_ok=True)
    models.make(args.out)
    lora.make(args.out)
    nf4.make(args.out)
    seeing.make(args.out)
    texts.make(args.out)
    kinds.make(args.out)
    spm.make(args.out)
    unicode.make((HERE.parents[1] / "tokenizer" if args.out == HERE else args.out) / "unicode.txt")
    (args.out / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
