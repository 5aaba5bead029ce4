// The ScreenCast portal of a real desktop: headless sway,
// xdg-desktop-portal-wlr, a terminal.
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/create_source.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/capture/source_collector.h"

namespace kine {
namespace {

constexpr char kInside[] = "KINE_INSIDE_SWAY_DESKTOP";

// Each test runs itself again inside of a desktop: the portal looks its callers
// up in /proc, so they must live in the desktop's namespace.
class PortalDesktopTest : public testing::Test {
 protected:
  // True in the test that runs inside.
  bool Inside() {
    if (std::getenv(kInside) != nullptr) return true;
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const std::string command = absl::StrCat(
        "env -u KINE_TEST_COUNTS ", kInside,
        "=1 tests/desktop/sway_desktop --size=800x600 -- '",
        std::filesystem::read_symlink("/proc/self/exe").string(),
        "' --gtest_filter=", info->test_suite_name(), ".", info->name());
    const int status = std::system(command.c_str());
    [&] {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        GTEST_SKIP() << "the desktop is not installed; see above";
      EXPECT_EQ(status, 0) << command;
    }();
    return false;
  }

  std::unique_ptr<SourceCollector> Collect(SourceSpec spec) {
    return std::make_unique<SourceCollector>([this, &spec](Loop& loop) {
      SourceOptions options;
      options.spec = std::move(spec);
      options.on_restore_token = [this](std::string token) {
        const std::lock_guard<std::mutex> lock(mutex_);
        token_ = std::move(token);
      };
      options.on_needs_consent = [] { ADD_FAILURE() << "a prompt"; };
      auto source = CreateSource(std::move(options), loop);
      EXPECT_TRUE(source.ok()) << source.status();
      return *std::move(source);
    });
  }

  std::string token() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return token_;
  }

 private:
  std::mutex mutex_;
  std::string token_;
};

// Text on a background: few colours, but not one.
int BrightPixels(const Frame& frame) {
  int bright = 0;
  for (int y = 0; y < frame.crop.height; ++y) {
    const std::byte* row =
        frame.planes[0].data + static_cast<size_t>(y) * frame.planes[0].stride;
    for (int x = 0; x < frame.crop.width; ++x) {
      if (static_cast<int>(row[x * 4 + 1]) > 150) ++bright;
    }
  }
  return bright;
}

TEST_F(PortalDesktopTest, CastsATerminalWithoutAPrompt) {
  if (!Inside()) return;
  auto collector = Collect(PortalSpec());
  ASSERT_TRUE(collector->WaitFor([](const SourceCollector::State& s) {
    return s.frames >= 10 || !s.failed.empty();
  }));
  collector->With([](SourceCollector::State& state) {
    ASSERT_TRUE(state.failed.empty()) << state.failed[0];
    ASSERT_FALSE(state.formats.empty());
    const auto& [format, description] = state.formats.back();
    EXPECT_EQ(format.width, 800);
    EXPECT_EQ(format.height, 600);
    EXPECT_EQ(description.kind, "portal");
    EXPECT_TRUE(description.cursor_embedded) << "sway's has no metadata";
    EXPECT_GT(BrightPixels(state.last), 500);
    EXPECT_LT(BrightPixels(state.last), 800 * 600 / 2);
    EXPECT_TRUE(state.lost.empty());
  });
  collector->Stop();
}

TEST_F(PortalDesktopTest, EachSessionLeavesATokenForTheNext) {
  if (!Inside()) return;
  const auto format_came = [](const SourceCollector::State& s) {
    return !s.formats.empty() || !s.failed.empty();
  };
  auto first = Collect(PortalSpec());
  ASSERT_TRUE(first->WaitFor(format_came));
  first.reset();
  // This back end keeps none; then there is nothing to hand over.
  PortalSpec again;
  again.restore_token = token();
  auto second = Collect(again);
  ASSERT_TRUE(second->WaitFor(format_came));
  second->With([](SourceCollector::State& state) {
    EXPECT_TRUE(state.failed.empty()) << state.failed[0];
  });
}

TEST_F(PortalDesktopTest, AutoPrefersThePortalThatAnswersByItself) {
  if (!Inside()) return;
  auto collector = Collect(AutoSpec());
  ASSERT_TRUE(collector->WaitFor([](const SourceCollector::State& s) {
    return s.frames >= 1 || !s.failed.empty();
  }));
  collector->With([](SourceCollector::State& state) {
    ASSERT_TRUE(state.failed.empty()) << state.failed[0];
    EXPECT_EQ(state.formats.back().description.kind, "portal");
    EXPECT_EQ(state.formats.back().description.refused, "");
  });
}

TEST_F(PortalDesktopTest, IsListedAsAvailable) {
  if (!Inside()) return;
  bool listed = false;
  for (const SourceListing& listing : ListSources(absl::Seconds(10))) {
    if (listing.kind != "portal") continue;
    listed = true;
    EXPECT_TRUE(listing.available) << listing.reason;
  }
  EXPECT_TRUE(listed);
}

}  // namespace
}  // namespace kine
