# The two commands of a newcomer are `make demo` and `make test`; both do all their set-up themselves.
GO     ?= go
PREFIX ?= /usr/local
BIN    := bin/criticrm
ARGS   ?=

# scripts/setup.sh puts links there, to a Go and a g++, where the machine's own will not do.
export PATH := $(CURDIR)/build/bin:$(PATH)
# Go's caches are in build/ where the home folder cannot be written.
ifneq ($(shell [ -w "$$HOME" ] && echo yes),yes)
export GOPATH  ?= $(CURDIR)/build/gopath
export GOCACHE ?= $(CURDIR)/build/gocache
endif
# The program's version is git's, where git gives one: it does not in folders of another user.
BUILD := $(GO) build -trimpath -buildvcs=$(shell git rev-parse -q HEAD >/dev/null 2>&1 && echo true || echo false)

.PHONY: help demo real text test check check-native build cuda sass setup base golden tokenizers readme report-check bench bench-compare lint hooks install uninstall dist clean

help:                  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name what; do printf '%-15s%s\n' "$$name" "$$what"; done

demo: build            ## the whole method on the embedded models, in five or six minutes
	$(BIN) demo $(ARGS)

real: build            ## the whole method on a real instruct model (fetches SmolLM2-135M, 93 MB), in about ten minutes: make real ARGS=--full
	@sh scripts/smollm2.sh
	$(BIN) demo real --model build/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf $(ARGS)

text: build            ## the experiment on real text (fetches SmolLM2-135M, GSM8K and HH, 101 MB), an evening on two cores: make text ARGS="--size night --output_dir runs/night"
	@sh examples/real/run.sh $(ARGS)

# Without debug information, which is a fifth of the time that C++ takes to compile.
test: export CGO_CXXFLAGS ?= -O2
test: setup lint       ## everything that is tested, without a GPU: the CUDA kernels run on a GPU in software
	@sh scripts/chromium.sh --try
	@sh scripts/openmpi.sh
	$(GO) test -timeout 60m ./...
	@GO="$(GO)" sh scripts/test-cuda.sh

check: lint            ## what the hook of `make hooks` runs before a push: lint, and the tests of a minute
	$(GO) test -short $$($(GO) list ./... | grep -vE '/(kernels|demo|checkpoint|trainer)$$')

check-native: setup    ## race detector, sanitizers and cgo's pointer rules over all of it (most of an hour; PART=race, address, undefined or pointers)
	@GO="$(GO)" sh scripts/check-native.sh $(PART)

build: setup           ## bin/criticrm
	@mkdir -p bin
	$(BUILD) -o $(BIN) ./cmd/criticrm

install:               ## the program, its manual and shell completions into PREFIX (/usr/local); DESTDIR is honoured
	@if [ "$$SUDO_USER" ] && [ -x $(BIN) ]; then echo "install: $(BIN) as it is (sudo builds nothing)"; else $(MAKE) build; fi
	@sh scripts/install.sh $(BIN) "$(DESTDIR)$(PREFIX)"

uninstall:             ## takes away what `make install` put into PREFIX
	@sh scripts/install.sh --remove "$(DESTDIR)$(PREFIX)"

dist: setup            ## release archives of the commit in build/dist, for amd64 and arm64 (ARCH=amd64: for one), with checksums and an SBOM
	@GO="$(GO)" sh scripts/dist.sh $(ARCH)

cuda: setup            ## bin/criticrm-cuda, for NVIDIA GPUs: fetches the CUDA compiler if there is none
	@sh scripts/cuda.sh kernels
	@mkdir -p bin
	. build/cuda/env && $(BUILD) -tags cuda -o bin/criticrm-cuda ./cmd/criticrm

sass: setup            ## what the compiler made of the CUDA kernels, checked
	@ANY_DRIVER=1 sh scripts/cuda.sh kernels
	@. build/cuda/env && $(GO) run ./bench/sass -tools "$$(dirname "$$NVCC")" build/cuda/lib/libcriticrm_cuda.a

setup:                 ## what the build needs: g++, Go and its modules, installed or fetched into build/ if they are missing
	@GO="$(GO)" sh scripts/setup.sh

base: build            ## make the demo's base models again, the first from nothing (about 20 minutes on 2 cores)
	$(BIN) base --output_dir demo/base $(ARGS)
	@$(MAKE) --no-print-directory build
	$(BIN) base --task mistaken --output_dir build/mistaken $(ARGS)
	cp build/mistaken/model.safetensors demo/mistaken/

golden:                ## make testdata/golden again; installs PyTorch and transformers into build/golden
	python3 -m venv build/golden && build/golden/bin/pip install -q -r testdata/golden/requirements.txt
	build/golden/bin/python -B testdata/golden/make.py

tokenizers: setup      ## ids of a million generated strings of each tokenizer, and of what text there is, against the Hugging Face library's (hours; COUNT=20000: minutes)
	python3 -m venv build/tokenizers && build/tokenizers/bin/pip install -q $$(grep -E '^(tokenizers|transformers|sentencepiece|protobuf|numpy)=' testdata/golden/requirements.txt)
	CRITICRM_PYTHON="$(CURDIR)/build/tokenizers/bin/python" CRITICRM_WIDE="$(or $(COUNT),1000000)" nice $(GO) test -count=1 -timeout 0 -v -run 'KindsWide|KindsData' ./tokenizer

readme: setup          ## put the tables of `criticrm demo --full` into README.md and docs, and its plots: make readme RESULTS=runs/demo/results.json (PAGES=docs/ablations.md: into this page alone)
	@mkdir -p build
	$(GO) run ./demo/readme "$(RESULTS)" build/report.html $(or $(PAGES),README.md docs/results.md docs/ablations.md docs/critiques.md)
	@[ "$(PAGES)" ] || sed 's#</head>#<style>h1,p,h2,h2+h3,h2+h3+div{display:none}</style></head>#' build/report.html >build/plots.html
	@[ "$(PAGES)" ] || sh scripts/chromium.sh build/plots.html docs/report.png 1200 880

report-check: setup    ## reports and the server's page in a headless Chromium at 1200 and 400 pixels (installed if there is none); pictures in build/report
	@sh scripts/chromium.sh
	CRITICRM_SCREENSHOTS="$(CURDIR)/build/report" $(GO) test -count=1 -v -run 'Layout|TestRun$$|TestPage$$' ./report ./demo ./serve

bench: setup           ## all benchmarks, in Go's benchmark format
	$(GO) test -run '^$$' -bench . -benchtime 1s ./bench

bench-compare: setup   ## make bench-compare REF=main
	@GO="$(GO)" sh scripts/bench-compare.sh "$(REF)"

lint: setup            ## formatting, vet, spelling, links between the documents, and the scripts if there is shellcheck
	@GO="$(GO)" sh scripts/lint.sh

hooks:                 ## git runs `make check` before each push, from now on
	git config core.hooksPath scripts/hooks

clean:                 ## removes bin, build and runs
	@[ ! -d build ] || chmod -R u+w build
	rm -rf bin build runs
