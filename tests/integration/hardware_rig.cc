#include "tests/integration/hardware_rig.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "capture/pattern.h"
#include "encode/picture/picture.h"
#include "tests/encode/decode.h"
#include "tests/fakes/frame_numbers.h"
#include "tools/demo/demo_formats.h"

namespace kine {
namespace {

// Frame `number` as the encoder is to see it.
DecodedPicture Drawn(const PatternPicture& page, uint32_t number,
                     MonoTime time) {
  const auto width = static_cast<size_t>(page.width());
  std::vector<uint32_t> pixels(width * static_cast<size_t>(page.height()));
  PatternTarget target;
  target.fourcc = DRM_FORMAT_XRGB8888;
  target.planes[0] = {reinterpret_cast<std::byte*>(pixels.data()), width * 4};
  page.Draw(number, time, Damage::Full(), target);
  Frame frame([] {});
  frame.format = {DRM_FORMAT_XRGB8888, DRM_FORMAT_MOD_LINEAR, page.width(),
                  page.height()};
  frame.crop = {0, 0, page.width(), page.height()};
  frame.plane_count = 1;
  frame.planes[0].data = target.planes[0].data;
  frame.planes[0].size = pixels.size() * 4;
  frame.planes[0].stride = static_cast<uint32_t>(width * 4);
  Picture picture;
  EXPECT_TRUE(picture.Take(frame).ok());
  return Visible(picture);
}

// A decoded recording of a pattern.
class PatternFile {
 public:
  PatternFile(const std::string& path, const std::string& pattern, int width,
              int height)
      : page_(*ParsePattern(pattern), width, height),
        pictures_(DecodeFile(path, (width + 1) & ~1, (height + 1) & ~1)) {}

  size_t count() const { return pictures_.size(); }
  // Between picture `i` and the one that its number and its time stand for; ""
  // when there is none. The number must not be below `last`, and becomes it.
  std::string Difference(size_t i, int tolerance, uint32_t& last) const {
    const DecodedPicture& got = pictures_[i];
    const GrayPicture look{reinterpret_cast<const std::byte*>(got.luma.data()),
                           static_cast<size_t>(got.width), page_.width(),
                           page_.height()};
    const std::optional<uint32_t> number = ReadFrameNumber(look);
    const std::optional<MonoTime> time = ReadFrameTime(look);
    if (!number.has_value() || !time.has_value()) return "cannot be read";
    if (*number < last)
      return absl::StrCat("number ", *number, " behind ", last);
    last = *number;
    return kine::Difference(got, Drawn(page_, *number, *time), tolerance);
  }

 private:
  const PatternPicture page_;
  const std::vector<DecodedPicture> pictures_;
};

}  // namespace

DaemonRig::Options WithSoftVa(const SoftVaSettings& settings,
                              const std::vector<std::string>& preload) {
  std::string libraries = TestPath("softva/fake_drm.so");
  for (const std::string& name : preload)
    absl::StrAppend(&libraries, ":", TestPath("softva/" + name));
  DaemonRig::Options options;
  options.env = {{"LIBVA_DRIVER_NAME", "softva"},
                 {"LIBVA_DRIVERS_PATH", TestPath("softva")},
                 {"LIBVA_MESSAGING_LEVEL", "0"},
                 {"KINESCOPE_RENDER_NODE", "/dev/null"},
                 {"LD_PRELOAD", libraries}};
  // What is preloaded comes before the sanitizer's own library.
  const char* const asan = std::getenv("ASAN_OPTIONS");
  options.env.emplace_back(
      "ASAN_OPTIONS",
      absl::StrCat("verify_asan_link_order=0:", asan != nullptr ? asan : ""));
  for (const auto& [name, value] : settings)
    options.env.emplace_back("SOFTVA_" + name, value);
  return options;
}

std::string Complaints(const DaemonRig& rig) {
  std::string complaints;
  for (const absl::string_view line : absl::StrSplit(rig.Log(), '\n')) {
    if (absl::StartsWith(line, "softva"))
      absl::StrAppend(&complaints, line, "\n");
  }
  return complaints;
}

size_t ExpectPattern(const std::string& path, const std::string& pattern,
                     int width, int height, int tolerance) {
  const PatternFile file(path, pattern, width, height);
  EXPECT_GT(file.count(), 0u) << path;
  uint32_t last = 0;
  for (size_t i = 0; i < file.count(); ++i) {
    const std::string difference = file.Difference(i, tolerance, last);
    EXPECT_EQ(difference, "") << "picture " << i << " of " << path;
    if (!difference.empty()) break;
  }
  return file.count();
}

size_t ExactPictures(const std::string& path, const std::string& pattern,
                     int width, int height) {
  const PatternFile file(path, pattern, width, height);
  size_t exact = 0;
  uint32_t last = 0;
  while (exact < file.count() && file.Difference(exact, 0, last).empty())
    ++exact;
  return exact;
}

}  // namespace kine
