.DEFAULT_GOAL := help
.PHONY: help run up intake invoke test scan vulnerabilities bench simulate replay mutations build deploy package verify delete fuzz clean tools

SAM := .tools/sam/bin/sam
PYTHON := .tools/sam/bin/python
# How the functions are built, here and nowhere else: static, for the runtime's C
# library may be older than ours, and the same bytes wherever they are built. What
# else compiles does it in the same way, so that nothing is compiled twice.
BUILD := CGO_ENABLED=0 GOFLAGS="$(GOFLAGS) -trimpath -buildvcs=false -ldflags=-s -tags=lambda.norpc"
# Not `go run`, which fails when a command that it runs ends well after a Ctrl-C.
RUN := echo "compiling dev/run (the first time takes a minute or two) …" && $(BUILD) go build -o .tools/bin/ ./dev/run && exec .tools/bin/run
# Go's race detector needs a C compiler, except on a Mac.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
# Only from make's command line: ENV may mean something else in somebody's environment.
given = $(if $(filter command,$(origin $(1))),$($(1)))
quote = '$(subst ','\'',$(1))'
option = $(if $(call given,$(2)),$(1) $(call quote,$(call given,$(2))))
ENVIRONMENT = $(or $(call given,ENV),default)
# The parameters of parameters/<environment>.yaml and of the command line, checked and in one
# file, for the build and for the deployment: `sam` replaces parameters, it does not merge them.
OVERRIDES = file://.aws-sam/parameters.yaml
SAM_OPTIONS = --config-env $(ENVIRONMENT) --parameter-overrides $(OVERRIDES)
BUILT = .aws-sam/build
# dev/deployed, which works on a stack on AWS: that of STACK, or of an environment of samconfig.toml.
of_environment = stack=$$($(PYTHON) dev/tools/parameters.py stack $(call quote,$(1))) && eval "set -- $$stack"
only_one = $(if $(call given,ENV),$(if $(call given,STACK),$(error STACK and ENV are both given: name the stack by one of them)))
OF_STACK = $(only_one)$(if $(call given,ENV),$(call of_environment,$(ENV)),set -- $(call quote,$(call given,STACK)))
DEPLOYED = $(BUILD) go build -o .tools/bin/ ./dev/deployed && exec .tools/bin/deployed
# An option that is asked for by NAME=1, and not by NAME=0 or NAME=no.
flag = $(if $(call given,$(2)),$(if $(filter 1,$(call given,$(2))),$(1),$(error $(2) is '$(call given,$(2))': it can only be 1)))
export SAM_CLI_TELEMETRY := 0
# The AWS CLI and dev/deployed prefer AWS_REGION; SAM does not know it.
ifneq ($(AWS_REGION),)
export AWS_DEFAULT_REGION := $(AWS_REGION)
endif

help: ## this list
	@awk -F ' *## ' '/^[a-z]+:.*## / { sub(/:.*/, "", $$1); printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: ## send one file through the real template, on a local AWS (FILE=path/to/your.pdf)
	@$(RUN)

up: ## the same, and keep running: upload what you like, until Ctrl-C (docs/development.md: with the real Extend)
	@$(RUN) --stay

intake: ## build bin/intake, the command for whoever operates a stack (docs/intake.md)
	@$(BUILD) go build -o bin/ ./cmd/intake && echo "bin/intake is built: bin/intake --help"

invoke: ## run the files of events/ through the real sam local, in containers (EVENT=submit-s3-put for one)
	@$(BUILD) dev/invoke/invoke.sh $(if $(filter command,$(origin EVENT)),$(EVENT))

test: tools ## all checks that CI runs
	@echo "gofmt" && files=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)) && test -z "$$files" || { echo "not formatted: $$files"; exit 1; }
	@echo "go vet" && $(BUILD) go vet ./...
	@echo "staticcheck" && $(BUILD) go tool staticcheck ./...
	@$(BUILD) dev/tools/scan.sh
	@echo "go test $(RACE)" && go test $(RACE) ./...
	@echo "sam validate --lint" && AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint >/dev/null
	@echo "sam local" && $(BUILD) dev/invoke/invoke.sh --if-possible

scan: ## only the scanners: cfn-lint, checkov, gosec, shellcheck
	@$(BUILD) dev/tools/scan.sh

vulnerabilities: ## look the modules and Go up in Go's vulnerability database, which is asked over the network
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

build: tools ## build the functions
	@$(if $(filter file,$(origin OVERRIDES)),$(PYTHON) dev/tools/parameters.py write $(call quote,$(ENVIRONMENT)) $(call quote,$(call given,PARAMETERS)))
	$(BUILD) $(SAM) build $(SAM_OPTIONS) --build-dir $(BUILT) $(SAM_BUILD)
	@$(if $(SAM_BUILD),,$(PYTHON) dev/tools/parameters.py narrow $(BUILT)/template.yaml)

deploy: build ## deploy to AWS (PARAMETERS="ProcessorId=dp_…"; ENV=staging for parameters/staging.yaml)
	@$(call of_environment,$(ENVIRONMENT)) && $(DEPLOYED) check "$$@"
	$(SAM) deploy $(SAM_OPTIONS) --tags "$$($(PYTHON) dev/tools/parameters.py tags $(call quote,$(ENVIRONMENT)))" $(SAM_DEPLOY)

DIST_DIR = $(or $(call given,DIST),dist)
# Those that intake is released for.
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

package: build ## make a package that can be deployed without Go: dist/extend-intake-<version>-<architecture>.zip, and intake
	@$(PYTHON) dev/tools/package.py $(BUILT) $(call quote,$(DIST_DIR))
	@for platform in $(PLATFORMS); do \
		GOOS=$${platform%%/*} GOARCH=$${platform##*/} $(BUILD) go build -o $(call quote,$(DIST_DIR))/intake-$${platform%%/*}-$${platform##*/}$$(test $${platform%%/*} = windows && echo .exe) ./cmd/intake || exit 1; \
	done

verify: $(if $(call given,ENV),tools) ## send one file through a stack on AWS, and remove what that made (STACK=…, or ENV=…; costs one run)
	@$(OF_STACK) && $(DEPLOYED) verify $(call option,--key,KEY) $(call option,--url,URL) $(call option,--settle,SETTLE) "$$@"

delete: $(if $(call given,ENV),tools) ## delete a stack, after checking that nothing is lost (STACK=… or ENV=…; DRY=1, YES=1, DISCARD=1)
	@$(OF_STACK) && $(DEPLOYED) delete $(call flag,--dry-run,DRY) $(call flag,--yes,YES) $(call flag,--discard,DISCARD) \
		$(call option,--interval,INTERVAL) $(call option,--patience,PATIENCE) "$$@"

bench: ## measure the functions, count the AWS calls, and write docs/benchmarks.md
	@echo "compiling dev/bench …" && $(BUILD) exec go run ./dev/bench --write

simulate: ## run the simulation at length (N=100000 schedules; SEED=123 for one, with its trace)
	go test ./simulation -v -timeout 0 $(if $(filter command,$(origin SEED)),-run TestReplaySeed -seed=$(SEED),-run 'TestSimulation|TestOnTheRealTable' -schedules=$(or $(N),100000) -table=300)

replay: ## simulate a bad day of 4,384 uploads, and a backlog of 10,000 files
	go test ./simulation -v -count=1 -timeout 0 -run 'TestReplayOfTheBadDay|TestDrain'

mutations: ## break one safeguard after the other, and check that the simulation notices
	go test ./simulation -v -count=1 -timeout 0 -run TestMutations -mutations

fuzz: ## fuzz the parsers (FUZZTIME=30s each)
	@for package in $$(go list ./...); do \
		for name in $$(go test -list '^Fuzz' $$package | grep ^Fuzz); do \
			echo "$$package $$name" && go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(or $(FUZZTIME),30s) $$package || exit 1; \
		done; \
	done

clean: ## remove what was built and downloaded
	rm -rf .aws-sam .local .tools dist

tools:
	@dev/tools/tools.sh
