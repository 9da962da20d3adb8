# The two commands of a newcomer are `make demo` and `make test`; both do all their set-up themselves.
GO   ?= go
BIN  := bin/criticrm
ARGS ?=

.PHONY: demo test check-native build cuda sass setup base golden readme bench bench-compare lint clean

demo: build            ## the whole method on the embedded model, in about two minutes
	$(BIN) demo $(ARGS)

test: setup lint       ## everything that is tested, without a GPU: the CUDA kernels run on a GPU in software
	$(GO) test -timeout 60m ./...
	@GO="$(GO)" sh scripts/test-cuda.sh

check-native: setup    ## race detector, sanitizers and cgo's pointer rules over all of it (most of an hour; PART=race, address, undefined or pointers)
	@GO="$(GO)" sh scripts/check-native.sh $(PART)

build: setup           ## bin/criticrm
	@mkdir -p bin
	$(GO) build -trimpath -o $(BIN) ./cmd/criticrm

cuda: setup            ## bin/criticrm-cuda, for NVIDIA GPUs: fetches the CUDA compiler if there is none
	@sh scripts/cuda.sh kernels
	@mkdir -p bin
	. build/cuda/env && $(GO) build -trimpath -tags cuda -o bin/criticrm-cuda ./cmd/criticrm

sass:                  ## what the compiler made of the CUDA kernels, checked
	@ANY_DRIVER=1 sh scripts/cuda.sh kernels
	@. build/cuda/env && $(GO) run ./bench/sass -tools "$$(dirname "$$NVCC")" build/cuda/lib/libcriticrm_cuda.a

setup:
	@GO="$(GO)" sh scripts/setup.sh

base: build            ## make the demo's base model again, from nothing (about 15 minutes on 2 cores)
	$(BIN) base --output_dir demo/base $(ARGS)

golden:                ## make testdata/golden again; installs PyTorch and transformers into build/golden
	python3 -m venv build/golden && build/golden/bin/pip install -q -r testdata/golden/requirements.txt
	build/golden/bin/python -B testdata/golden/make.py

readme:                ## put the tables of `criticrm demo --full` into README.md: make readme RESULTS=runs/demo/results.json
	$(GO) run ./demo/readme "$(RESULTS)" README.md

.PHONY: report-check
report-check: setup    ## reports in a headless Chromium at 1200 and 400 pixels (installed if there is none); pictures in build/report
	@sh scripts/chromium.sh
	CRITICRM_SCREENSHOTS="$(CURDIR)/build/report" $(GO) test -count=1 -v -run 'Layout|TestRun$$' ./report ./demo

bench: setup           ## all benchmarks, in Go's benchmark format
	$(GO) test -run '^$$' -bench . -benchtime 1s ./bench

bench-compare: setup   ## make bench-compare REF=main
	sh scripts/bench-compare.sh "$(REF)"

lint:
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "not formatted, run gofmt -w on: $$bad" >&2; exit 1; }
	$(GO) vet ./...

clean:
	rm -rf bin build runs
