// A cursor file that is read back, in other forms, after a crash, and of
// recordings that share a capture.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/recorder/cursor/cursor_form.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/blocking_io.h"
#include "tests/recorder/shared_sim.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> LinesOf(int fd) {
  std::vector<std::string> lines;
  const auto read = ReadAppendLog(
      fd, [&](absl::string_view line) { lines.emplace_back(line); });
  EXPECT_TRUE(read.ok() && !read->damaged);
  return lines;
}

constexpr char kHead[] =
    R"({"t":0,"k":"head","version":1,"cursor":"metadata","asked":"embedded",)"
    R"("width":100,"height":50})";

UniqueFd FileOf(const std::vector<std::string>& objects) {
  UniqueFd fd(::memfd_create("cursor", MFD_CLOEXEC));
  std::string text;
  for (const std::string& object : objects) text += SealLine(object);
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
  return fd;
}

const std::vector<std::string>& Lines() {
  static const std::vector<std::string> kLines = {
      kHead,
      R"({"t":0,"k":"move","x":0.500000,"y":0.250000,"s":0})",
      R"({"t":10,"k":"shape","id":3,"hash":"x","width":1,"height":1,)"
      R"("hotspot_x":0,"hotspot_y":0})",
      R"({"t":1500,"k":"button","button":1,"down":true})",
      R"({"t":2500,"k":"of a later version"})",
      R"({"t":12345,"k":"move","x":-0.100000,"y":1.000000,"s":3})"};
  return kLines;
}

std::string Form(CursorForm form) {
  const UniqueFd in = FileOf(Lines());
  const UniqueFd out(::memfd_create("out", MFD_CLOEXEC));
  const auto bytes = WriteCursorForm(in.get(), out.get(), form,
                                     [](int64_t us) { return us * 2; });
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  std::string text(bytes.value_or(0), '\0');
  EXPECT_EQ(::pread(out.get(), text.data(), text.size(), 0),
            static_cast<ssize_t>(text.size()));
  return text;
}

TEST(CursorForm, CapsHasItsMembersAndTypes) {
  EXPECT_EQ(Form(CursorForm::kCap),
            R"({"clicks":[{"active_modifiers":[],"cursor_num":1,)"
            R"("cursor_id":"3","time_ms":3.000,"down":true}],
"moves":[{"active_modifiers":[],"cursor_id":"0","time_ms":0.000,)"
            R"("x":0.500000,"y":0.250000},
{"active_modifiers":[],"cursor_id":"3","time_ms":24.690,)"
            R"("x":-0.100000,"y":1.000000}]}
)");
}

TEST(CursorForm, LinesAtOtherTimesAreWholeLines) {
  const std::string text = Form(CursorForm::kLines);
  const UniqueFd fd(::memfd_create("again", MFD_CLOEXEC));
  ASSERT_EQ(::write(fd.get(), text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
  const auto lines = LinesOf(fd.get());
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[4],
            R"({"t":24690,"k":"move","x":-0.100000,"y":1.000000,"s":3})");
}

TEST(CursorFiles, WhatACrashLeftIsCutBehindItsLastWholeLineAndCounted) {
  char path[] = "/tmp/kine-cursor-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  const UniqueFd dir(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(RecoverCursorFile(dir.get())->counts.mode,
            link::CursorFile::Mode::kNone)
      << "no file";
  auto file = CreateCursorFile(dir.get());
  ASSERT_TRUE(file.ok());
  std::string text;
  for (const std::string& object : Lines()) text += SealLine(object);
  const std::string torn = text + SealLine(Lines()[1]).substr(0, 40);
  ASSERT_TRUE(WriteFully(file->get(), 0, std::as_bytes(std::span(torn))).ok());

  const auto found = RecoverCursorFile(dir.get());

  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->damaged);
  EXPECT_EQ(found->counts.mode, link::CursorFile::Mode::kMetadata);
  EXPECT_EQ(found->counts.events, 4u);
  EXPECT_EQ(found->counts.shapes, 1u);
  EXPECT_EQ(found->counts.bytes, text.size());
  EXPECT_EQ(RecoverCursorFile(dir.get())->damaged, false);
  std::filesystem::remove_all(path);
}

// -- In a recorder -----------------------------------------------------------

// The moves of a file: time, and pixel of a picture of 64.
std::vector<std::pair<int64_t, int>> Moves(
    const std::vector<std::string>& lines) {
  std::vector<std::pair<int64_t, int>> moves;
  for (const std::string& line : lines)
    if (const auto parsed = ParseCursorLine(line);
        parsed && parsed->kind == CursorLine::Kind::kMove)
      moves.emplace_back(parsed->t_us,
                         static_cast<int>(std::lround(parsed->x * 64)));
  return moves;
}

TEST(CursorInARecorder, EachRecordingOfACaptureHasAllOfItsOwnTime) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    SharedSim sim(seed);
    sim.source().tells_pointer = true;
    for (int i = 0; i < 60; ++i) {
      sim.source().script.push_back(
          {absl::Milliseconds(20), FakeSourceEvent::kPointer});
      sim.AddFrames(1, absl::Milliseconds(20));
    }
    const size_t early = sim.Start();
    sim.world().Advance(absl::Seconds(1));
    const size_t late = sim.Start();
    sim.world().Advance(absl::Milliseconds(730));
    // What came in the last 50 ms is on its way.
    sim.StopAll();
    ASSERT_TRUE(sim.RunToTheEnd());
    EXPECT_EQ(sim.timers(), 0u);

    const auto all = Moves(sim.CursorLines(early));
    ASSERT_EQ(all.size(), 43u);
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i].second, static_cast<int>(i) + 1);
      // The first picture was shown 1 ms before it came, 19 ms after the first
      // of these.
      const int64_t due =
          std::max<int64_t>(0, static_cast<int64_t>(i) * 40'000 - 19'000);
      EXPECT_NEAR(static_cast<double>(all[i].first), static_cast<double>(due),
                  12)
          << i;
    }
    const auto some = Moves(sim.CursorLines(late));
    ASSERT_GE(some.size(), 15u);
    EXPECT_EQ(some[0].first, 0) << "where it was when that one joined";
    EXPECT_NEAR(some[0].second, 25, 2);
    for (size_t i = 1; i < some.size(); ++i)
      EXPECT_EQ(some[i].second, some[i - 1].second + 1);
    EXPECT_EQ(some.back().second, 43);
    const auto finished = sim.Find<link::Finished>(late);
    ASSERT_TRUE(finished.has_value());
    EXPECT_EQ(finished->cursor.events, some.size() + 1) << "and `show`";
    EXPECT_EQ(finished->cursor.mode, link::CursorFile::Mode::kMetadata);
  }
}

TEST(CursorInARecorder, WhereTheSourcePaintsItThereIsTheFirstLine) {
  SharedSim sim;
  sim.AddFrames(10);
  sim.source().script.push_back(
      {absl::ZeroDuration(), FakeSourceEvent::kPointer});
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(1));
  sim.StopAll();
  ASSERT_TRUE(sim.RunToTheEnd());
  EXPECT_THAT(sim.CursorLines(a),
              ElementsAre(HasSubstr(R"("cursor":"embedded")")));
}

}  // namespace
}  // namespace kine
