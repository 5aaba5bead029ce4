# make            build everything into build/release/
# make demo       record a desktop for 5 s through the daemon   SOURCE=auto: the running one
# make test       install what is missing, build, run all tests T=Suite.* picks some, V=1 shows commands
# make check      layers, format, tidy with thread safety, the tests under asan and tsan, short fuzzing
# make bench      build and run the benchmarks
# make install    DESTDIR= PREFIX=
# BUILD=release|debug|asan|tsan   CXX=g++|clang++   X264=0 builds without x264   B=dir builds elsewhere
# The outer make installs what is missing (pkg-config may not be there yet), the
# inner one builds.
outer    := demo test check bench
ifeq ($(KINE_INNER)$(filter-out $(outer) deps clean,$(or $(MAKECMDGOALS),all)),)
.PHONY: $(outer) deps clean
$(outer): deps
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc)) KINE_INNER=1 $@
deps:
	@tools/install_packages
clean:
	rm -rf build
else

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL    := /bin/bash
BUILD    ?= release
ifneq ($(filter default undefined,$(origin CXX)),)
CXX      := g++
endif
ifneq ($(filter default undefined,$(origin CC)),)
CC       := gcc
endif
X264     ?= 1
PREFIX   ?= /usr/local
B        ?= build
WERROR   ?= -Werror
VERSION  := 0.1.0

ifeq ($(filter $(BUILD),release debug asan tsan fuzz),)
$(error BUILD=$(BUILD) is not one of release debug asan tsan)
endif
clang    := $(findstring clang,$(CXX))
out      := $(B)/$(BUILD)$(if $(clang),-clang)$(if $(filter 0,$(X264)),-nox264)

# -- flags ---------------------------------------------------------------------
absl     := absl_status absl_statusor absl_strings absl_str_format absl_time absl_flat_hash_map absl_cleanup absl_any_invocable
flagpkgs := absl_flags absl_flags_parse absl_flags_usage absl_failure_signal_handler absl_symbolize
allpkgs  := $(absl) $(flagpkgs) libpipewire-0.3 liburing libdrm jansson libsystemd
opt_release := -O2 -g1 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
opt_debug   := -O0 -g1
opt_asan    := -Og -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
opt_tsan    := -O1 -g1 -fsanitize=thread $(if $(clang),,-Wno-maybe-uninitialized) # GCC 12 errs under it.
opt_fuzz    := -O1 -g1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
warn     := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual \
            -Werror=return-type -Werror=switch \
            $(if $(clang),-Wthread-safety -Werror=thread-safety,-Wno-missing-field-initializers)
flags    := -std=c++20 -pthread -fno-exceptions -fno-omit-frame-pointer $(warn) $(WERROR) $(opt_$(BUILD)) -I. \
            -DKINESCOPE_VERSION='"$(VERSION)"' -DKINE_HAVE_X264=$(X264) \
            $(shell pkg-config --cflags $(allpkgs) | sed 's/-I/-isystem /g') $(CXXFLAGS)
ldflags  := -pthread $(opt_$(BUILD)) -Wl,--as-needed $(LDFLAGS)
pkg_libs  = $(shell pkg-config --libs $(1))

# -- libraries: one archive a folder, linked in this order -----------------------
dirs     := tools/kinectl daemon/control daemon/output daemon/process daemon/frames daemon/recorder daemon/selftest daemon/doctor daemon/digest daemon/timeline ipc encode encode/h264 encode/mp4 capture daemon/storage daemon/programs daemon/base
src_of    = $(filter-out %/main.cc $(if $(filter 0,$(X264)),encode/x264_%),$(wildcard $(1)/*.cc $(1)/capture/*.cc $(1)/portal/*.cc $(1)/dmabuf/*.cc $(1)/va/*.cc $(1)/picture/*.cc $(1)/commands/*.cc $(1)/artifact/*.cc $(1)/timeline/*.cc $(1)/live/*.cc $(1)/recorders/*.cc $(1)/replay/*.cc $(1)/recovery/*.cc $(1)/cursor/*.cc))
objs      = $(patsubst %.cc,$(out)/%.o,$(1))
archive   = $(out)/lib/$(subst /,_,$(1)).a
base     := $(call archive,daemon/base)
programs_ := $(call archive,daemon/programs) $(base)
storage  := $(call archive,daemon/storage) $(programs_)
mp4      := $(call archive,encode/mp4) $(base)
capture  := $(call archive,capture) $(base)
h264     := $(call archive,encode/h264) $(base)
encode   := $(call archive,encode) $(call archive,capture) $(h264)
ipc      := $(call archive,ipc) $(base)
doctor   := $(call archive,daemon/doctor) $(ipc) $(storage)
digest   := $(call archive,daemon/digest) $(base)
kinectl  := $(call archive,tools/kinectl) $(doctor) $(digest)
timeline := $(call archive,daemon/timeline) $(ipc) $(storage)
process  := $(call archive,daemon/process) $(call archive,ipc) $(storage)
output   := $(call archive,daemon/output) $(process)
control  := $(call archive,daemon/control) $(call archive,daemon/output) $(call archive,daemon/process) $(call archive,daemon/timeline) $(call archive,ipc) $(call archive,encode/mp4) $(storage)
selftest := $(call archive,daemon/selftest) $(doctor) $(encode) $(mp4)
recorder := $(call archive,daemon/recorder) $(digest) $(selftest) $(call archive,daemon/timeline) $(call archive,ipc) $(call archive,encode) $(call archive,encode/mp4) $(call archive,capture) $(call archive,encode/h264) $(storage)
frames   := $(call archive,daemon/frames) $(call archive,daemon/recorder) $(call archive,encode/mp4) $(storage)
libs_base    = $(call pkg_libs,$(absl) $(flagpkgs))
libs_ipc     = $(call pkg_libs,jansson libgcrypt) $(libs_base)
libs_storage = $(call pkg_libs,liburing) $(libs_base)
libs_encode  = $(if $(filter 0,$(X264)),,$(call pkg_libs,x264)) $(call pkg_libs,libva libva-drm libdrm) $(libs_base)
libs_capture = $(call pkg_libs,libpipewire-0.3 libsystemd) $(libs_base)
libs_timeline = $(call pkg_libs,jansson liburing) $(libs_base)
libs_process = $(call pkg_libs,jansson liburing) $(libs_base)
libs_output  = $(call pkg_libs,jansson liburing re2) $(libs_base)
libs_control = $(call pkg_libs,jansson libsystemd liburing re2) $(libs_base)
libs_frames  = $(call pkg_libs,libavcodec libavutil libjpeg libpng libseccomp) $(libs_base)
libs_recorder= $(call pkg_libs,jansson liburing libgcrypt libpipewire-0.3 libpng libsystemd) $(libs_encode)

# The decoder is optional: whoever lacks libavcodec records all the same.
FRAMES   ?= $(if $(shell pkg-config --exists libavcodec libavutil libjpeg libpng libseccomp && echo 1),1,0)
programs := kinescoped kinescope-recorder kinectl $(if $(filter 1,$(FRAMES)),kinescope-frames)
kinescope-frames_src   := daemon/frames/main.cc
kinescoped_src         := daemon/control/main.cc
kinescope-recorder_src := daemon/recorder/main.cc
kinectl_src            := tools/kinectl/main.cc
testtools := $(patsubst tools/demo/%.cc,%,$(wildcard tools/demo/*.cc))

# -- tests: one binary a folder ------------------------------------------------------
suites   := base storage h264 mp4 encode va capture ipc timeline process output control recorder doctor $(if $(filter 1,$(FRAMES)),frames) integration
suites   := $(foreach s,$(suites),$(if $(wildcard tests/$s/*_test.cc),$s))
fakes    := $(out)/lib/fakes.a
preloads := fake_drm fake_fences kill_at
lib_of_base := $(base)
lib_of_storage := $(storage)
lib_of_h264 := $(h264)
lib_of_mp4 := $(mp4)
lib_of_encode := $(encode)
lib_of_va := $(encode) $(call objs,tests/fakes/fake_drm.cc tests/integration/process.cc tests/softva/bits.cc tests/softva/headers.cc tests/softva/exact_coder.cc tests/encode/test_frames.cc tests/encode/decode.cc)
lib_of_capture := $(capture)
lib_of_ipc := $(kinectl)
lib_of_timeline := $(timeline)
lib_of_process := $(process)
lib_of_output := $(output)
lib_of_control := $(control)
lib_of_recorder := $(recorder)
lib_of_doctor := $(selftest) $(h264)
lib_of_frames := $(frames)
lib_of_integration := $(ipc) $(encode) $(call objs,tests/encode/decode.cc)
libs_h264 = $(libs_base)
libs_mp4 = $(libs_base)
libs_doctor = $(libs_recorder)
libs_va = $(libs_encode) $(call pkg_libs,libva libva-drm libdrm)
libs_integration = $(libs_ipc) $(libs_capture) $(libs_encode)
fuzzers  := $(patsubst tests/fuzz/%.cc,%,$(wildcard tests/fuzz/*_fuzz.cc))
benches  := $(patsubst tests/bench/%.cc,%,$(wildcard tests/bench/*_bench.cc))

ifndef V
quiet = @printf '  %-5s %s\n' $(1) $(patsubst $(out)/%,%,$@);
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all demo test tests check layers format format-check tidy fuzz bench install FORCE
all: $(addprefix $(out)/bin/,$(programs) kinescope-exec $(testtools))

define archive_rule
$$(call archive,$(1)): $$(call objs,$$(call src_of,$(1)))
	@mkdir -p $$(@D)
	$$(call quiet,AR)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach d,$(dirs),$(eval $(call archive_rule,$d)))
$(fakes): $(call objs,$(filter-out $(preloads:%=tests/fakes/%.cc),$(wildcard tests/fakes/*.cc)))
	@mkdir -p $(@D)
	$(call quiet,AR)rm -f $@ && ar rcs $@ $^

link = @mkdir -p $(@D); printf '  %-5s %s\n' LINK $(patsubst $(out)/%,%,$@); $(CXX) $(ldflags) -o $@ -Wl,--start-group $(filter %.o %.a,$^) -Wl,--end-group
$(out)/bin/kinescoped: $(call objs,$(kinescoped_src)) $(control)
	$(link) $(libs_control)
$(out)/bin/kinescope-recorder: $(call objs,$(kinescope-recorder_src)) $(recorder)
	$(link) $(libs_recorder)
$(out)/bin/kinescope-frames: $(call objs,$(kinescope-frames_src)) $(frames)
	$(link) $(libs_frames)
$(out)/bin/kinectl: $(call objs,$(kinectl_src)) $(kinectl)
	$(link) $(libs_ipc)
# Static, with musl: at the start of a static program glibc asks the processor
# about its caches, which a virtual machine answers in 0.4 ms.
$(out)/bin/kinescope-exec: daemon/exec/kinescope_exec.c daemon/exec/exec_plan.h
	@mkdir -p $(@D)
	$(call quiet,CC)musl-gcc -std=gnu11 -O2 -g1 -static -fno-pie -no-pie -Wall -Wextra -Wshadow -Wconversion $(WERROR) -I. -o $@ $<
$(addprefix $(out)/bin/,$(testtools)): $(out)/bin/%: $(out)/tools/demo/%.o $(capture)
	$(link) $(libs_capture) -lm

define suite_rule
$(out)/tests/$(1)_test: $$(call objs,$$(wildcard tests/$(1)/*.cc)) $$(lib_of_$(1)) $$(fakes)
	$$(link) $$(libs_$(1)) $$(call pkg_libs,gtest gmock) -ldl
endef
$(foreach s,$(suites),$(eval $(call suite_rule,$s)))
$(out)/tests/process_test: | $(out)/bin/kinescope-exec

# A VA driver without hardware, which libva loads, and libraries that make any
# descriptor pass for a render node, or a DMA-BUF's picture for one that is never
# finished. Optimised in every build: they stand for the GPU.
softva_objs := $(call objs,$(wildcard tests/softva/*.cc))
softva      := $(out)/tests/softva/softva_drv_video.so $(preloads:%=$(out)/tests/softva/%.so)
$(softva_objs) $(preloads:%=$(out)/tests/fakes/%.o): precompiled :=
$(softva_objs) $(preloads:%=$(out)/tests/fakes/%.o): flags := $(flags) -fPIC -fvisibility=hidden -O2
$(out)/tests/softva/softva_drv_video.so: $(softva_objs)
	$(link) -shared
$(preloads:%=$(out)/tests/softva/%.so): $(out)/tests/softva/%.so: $(out)/tests/fakes/%.o
	$(link) -shared -ldl
$(out)/tests/va_test $(out)/tests/integration_test: | $(softva)

# Programs that tests start; found beside the test binary.
testprograms := $(patsubst tests/programs/%.cc,$(out)/tests/programs/%,$(wildcard tests/programs/*.cc))
$(addprefix $(out)/tests/,control_test capture_test integration_test): | $(testprograms)
$(testprograms): $(out)/tests/programs/%: $(out)/tests/programs/%.o $(ipc) $(capture)
	$(link) $(libs_ipc) $(libs_capture)

# Boost.Beast throws: the one file that may.
$(out)/ipc/http_parser.o: precompiled :=
$(out)/ipc/http_parser.o: flags := $(filter-out -fno-exceptions,$(flags))

# Its text is in the assembler's hands, not the preprocessor's.
$(out)/tools/kinectl/live_page.o: tools/live_viewer.html

# What most sources include of others, parsed once a build. GCC takes it only for
# the flags that it was made with; ccache, which knows each source's text, is
# better off without. What GCC 12 says of std::string's own copies (bug 105651) it
# says of a system header, and no longer knows it for one in here.
PCH      ?= $(if $(or $(clang),$(findstring ccache,$(CXX))),0,1)
ifeq ($(PCH),1)
precompiled = -include $(out)/tools/precompiled/$(if $(filter tests/%,$<),tests,sources).h -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread $(if $(filter tsan,$(BUILD)),-Wno-tsan)
pch_made := $(patsubst %,$(out)/tools/precompiled/%.h.gch,sources tests)
$(pch_made): $(out)/%.h.gch: %.h $(out)/flags
	@mkdir -p $(@D); cp $< $(@:.gch=)
	$(call quiet,PCH)$(CXX) $(flags) -Wno-error -w -x c++-header -MMD -MP -MF $(@:.gch=.d) -MT $@ -o $@ $<
endif

$(out)/%.o: %.cc $(out)/flags | $(pch_made)
	@mkdir -p $(@D)
	$(call quiet,CXX)$(CXX) $(flags) $(precompiled) -MMD -MP -c -o $@ $<

# Only the folders that read what strangers wrote.
$(addprefix $(out)/fuzz/,$(fuzzers)): $(out)/fuzz/%: $(out)/tests/fuzz/%.o $(ipc) $(mp4) $(h264) $(capture)
	$(link) $(libs_ipc) $(libs_capture) -fsanitize=fuzzer
$(addprefix $(out)/bench/,$(benches)): $(out)/bench/%: $(out)/tests/bench/%.o $(recorder) $(control) $(fakes)
	$(link) $(libs_recorder) $(libs_control) $(call pkg_libs,benchmark gtest gmock) -ldl
$(out)/bench/hardware_bench: $(call objs,tests/fakes/fake_drm.cc tests/va/va_rig.cc tests/va/softva_env.cc tests/integration/process.cc tests/encode/test_frames.cc tests/encode/decode.cc) | $(softva)

# -- what people call -----------------------------------------------------------------
tests: all $(testprograms) $(patsubst %,$(out)/tests/%_test,$(suites))
test: tests
	@tools/run_tests $(out) $(if $(KINE_TEST_TOTALS),--totals=$(KINE_TEST_TOTALS)) $(if $(T),--filter='$(T)') $(if $(S),--suites='$(S)')
demo: all
	@tools/record_demo $(out)/bin $(SOURCE)
bench: $(addprefix $(out)/bench/,$(benches))
	@set -e; for b in $^; do echo "== $$(basename $$b)"; $$b $(BENCHFLAGS); done
fuzz: $(addprefix $(out)/fuzz/,$(fuzzers))
	@tools/run_fuzzers $(or $(SECONDS_EACH),10) $^

sources  := $(shell git ls-files '*.cc' '*.h' 2>/dev/null)
layers:
	@tools/check_layers
format:
	clang-format-14 -i $(sources)
format-check:
	@clang-format-14 --dry-run -Werror $(sources)
tidy:
	@tools/run_tidy $(filter %.cc,$(filter-out tests/%,$(sources))) -- $(filter-out -Werror% -fno-exceptions,$(flags)) -Wthread-safety
check: layers format-check
	@tools/run_checks

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/kinescope
	install -m 0755 $(out)/bin/kinescoped $(out)/bin/kinectl $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(addprefix $(out)/bin/,kinescope-exec $(filter kinescope-%,$(programs))) $(DESTDIR)$(PREFIX)/libexec/kinescope

# Changes only when the command line does, so that a new flag rebuilds.
$(out)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CXX) $(flags))' | cmp -s - $@ || echo '$(subst ','\'',$(CXX) $(flags))' > $@
FORCE:

-include $(shell find $(out) -name '*.d' 2>/dev/null)
endif
