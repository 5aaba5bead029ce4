#include "tests/mp4/real_video.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/base/check.h"
#include "encode/mp4/box_writer.h"

namespace kine::mp4 {
namespace {

constexpr int kBits = 16;
// What the players scale every picture to.
constexpr int kShownWidth = 320;
constexpr int kShownHeight = 192;
constexpr int kGop = 15;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Two rows of bars over four fifths of the width, the second row inverted, on a
// page that changes a little.
std::string Picture(int width, int height, int number) {
  const auto w = static_cast<size_t>(width);
  const auto h = static_cast<size_t>(height);
  std::string yuv(w * h, static_cast<char>(200));
  for (size_t y = 0; y < h; ++y) {
    for (size_t x = 0; x < w; ++x) {
      const size_t bar = x * 20 / w;
      const size_t row = y * 6 / h;
      if (bar < kBits && row < 2) {
        const bool on = ((number >> bar & 1) != 0) == (row == 0);
        yuv[y * w + x] = static_cast<char>(on ? 235 : 16);
      } else if ((x / 7 + y / 5 + static_cast<size_t>(number)) % 9 == 0) {
        yuv[y * w + x] = static_cast<char>(60);
      }
    }
  }
  yuv.append(w * h / 2, static_cast<char>(128));
  return yuv;
}

int NumberIn(const unsigned char* gray) {
  int number = 0;
  for (int bar = 0; bar < kBits; ++bar) {
    const int x = kShownWidth * (2 * bar + 1) / 40;
    const bool a = gray[kShownHeight / 12 * kShownWidth + x] > 126;
    const bool b = gray[kShownHeight * 3 / 12 * kShownWidth + x] > 126;
    if (a == b) return -1;
    if (a) number |= 1 << bar;
  }
  return number;
}

std::vector<int> NumbersIn(const std::string& raw) {
  constexpr size_t kPicture = size_t{kShownWidth} * kShownHeight;
  std::vector<int> numbers;
  for (size_t at = 0; at + kPicture <= raw.size(); at += kPicture) {
    numbers.push_back(
        NumberIn(reinterpret_cast<const unsigned char*>(raw.data()) + at));
  }
  return numbers;
}

// Annex B with access unit delimiters to AVCC samples without them.
std::vector<Sample> SplitAccessUnits(const std::string& annex_b) {
  constexpr int kNalDelimiter = 9;
  constexpr int kNalIdr = 5;
  std::vector<size_t> starts;  // Behind each start code.
  for (size_t i = 0; i + 3 <= annex_b.size(); ++i) {
    if (annex_b.compare(i, 3, "\0\0\1", 3) == 0) starts.push_back(i + 3);
  }
  std::vector<Sample> samples;
  std::vector<std::byte> unit;  // Of the last of them, as far as it goes.
  for (size_t i = 0; i < starts.size(); ++i) {
    size_t end = i + 1 < starts.size() ? starts[i + 1] - 3 : annex_b.size();
    while (end > starts[i] && annex_b[end - 1] == 0) --end;
    const auto nal =
        std::as_bytes(std::span(annex_b).subspan(starts[i], end - starts[i]));
    const int type = static_cast<int>(nal[0]) & 0x1f;
    if (type == kNalDelimiter) {
      samples.emplace_back();
      unit.clear();
      continue;
    }
    if (samples.empty()) return {};
    BoxWriter w(unit);
    w.U32(static_cast<uint32_t>(nal.size()));
    w.Bytes(nal);
    samples.back().data = Share(unit);
    if (type == kNalIdr) samples.back().keyframe = true;
  }
  return samples;
}

// Seeks every video to every time asked for, and says what it shows there.
constexpr absl::string_view kPage = R"(<!doctype html><meta charset=utf-8>
<script>
const cv = document.createElement('canvas'); cv.width = 320; cv.height = 192;
const cx = cv.getContext('2d', {willReadFrequently: true});
function number(v) {
  cx.drawImage(v, 0, 0, 320, 192);
  const d = cx.getImageData(0, 0, 320, 192).data; let n = 0;
  for (let k = 0; k < 16; k++) {
    const x = 16 * k + 8, a = d[(16 * 320 + x) * 4] > 126,
          b = d[(48 * 320 + x) * 4] > 126;
    if (a == b) return -1;
    if (a) n |= 1 << k;
  }
  return n;
}
function wait(v, name) {
  return new Promise((good, bad) => {
    v.addEventListener(name, good, {once: true});
    v.addEventListener('error', () => bad(v.error.message), {once: true});
    setTimeout(() => bad('no ' + name), 8000);
  });
}
async function one(c) {
  const v = document.createElement('video'), numbers = [];
  let error = '-', duration = 0;
  try {
    v.muted = true; v.preload = 'auto';
    const loaded = wait(v, 'loadeddata');
    v.src = c.file; document.body.appendChild(v); await loaded;
    for (const t of c.seconds) {
      // `seeked` may come before the new picture is up.
      const shown = new Promise(good => {
        v.requestVideoFrameCallback(good); setTimeout(good, 2000);
      });
      const seeked = wait(v, 'seeked');
      v.currentTime = t; await seeked; await shown; numbers.push(number(v));
    }
    duration = v.duration;
  } catch (e) { error = String(e).replaceAll(' ', '_'); }
  v.remove();
  console.log('KINE ' + c.file + ' ' + error + ' ' + duration + ' ' +
              (numbers.join(',') || 'none') + ' .');
}
addEventListener('load', async () => {
  for (const c of cases) await one(c);
  console.log('KINE done .');
});
</script><script>const cases = )";

// `line` holds: KINE file error duration n,n,n .
std::optional<WebResult> ParseWebResult(absl::string_view line) {
  const size_t at = line.find("KINE ");
  if (at == absl::string_view::npos) return std::nullopt;
  const std::vector<std::string> words = absl::StrSplit(line.substr(at), ' ');
  if (words.size() < 6) return std::nullopt;
  WebResult result;
  result.file = words[1];
  if (words[2] != "-") result.error = words[2];
  if (!absl::SimpleAtod(words[3], &result.duration)) return std::nullopt;
  for (absl::string_view word : absl::StrSplit(words[4], ',')) {
    int number = 0;
    if (absl::SimpleAtoi(word, &number)) result.numbers.push_back(number);
  }
  return result;
}

}  // namespace

TempDir::TempDir() {
  std::string name =
      (std::filesystem::temp_directory_path() / "kine-mp4-XXXXXX").string();
  KINE_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;  // A browser may still be writing its profile.
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::Write(const std::string& name,
                           const ByteVector& bytes) const {
  const std::string path = File(name);
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  return path;
}

bool HaveCommand(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

Output RunCommand(const std::string& command, const TempDir& dir) {
  const std::string script = dir.File("command");
  std::ofstream(script) << command << "\n";
  const int status = std::system(
      absl::StrCat("timeout -k 5 ", kPlayerSeconds, " sh ", script, " >",
                   dir.File("out"), " 2>", dir.File("err"), " </dev/null")
          .c_str());
  Output output;
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  output.out = ReadFile(dir.File("out"));
  output.err = ReadFile(dir.File("err"));
  return output;
}

std::vector<Sample> EncodePictures(int width, int height, int first, int count,
                                   const TempDir& dir) {
  {
    std::ofstream raw(dir.File("raw"), std::ios::binary);
    for (int i = 0; i < count; ++i) raw << Picture(width, height, first + i);
  }
  const Output run = RunCommand(
      absl::StrCat("ffmpeg -v error -y -f rawvideo -pix_fmt yuv420p -s ", width,
                   "x", height, " -r 10 -i ", dir.File("raw"),
                   " -c:v libx264 -preset veryfast -tune zerolatency -threads 1"
                   " -profile:v high -bf 0 -g ",
                   kGop, " -crf 20 -x264-params aud=1:scenecut=0 -f h264 ",
                   dir.File("annexb")),
      dir);
  if (run.exit_code != 0) return {};
  std::vector<Sample> samples = SplitAccessUnits(ReadFile(dir.File("annexb")));
  if (samples.size() != static_cast<size_t>(count)) return {};
  return samples;
}

Numbers PlayFfmpeg(const std::string& file, bool strict, const TempDir& dir) {
  const Output run = RunCommand(
      absl::StrCat("ffmpeg -v error ",
                   strict ? "-xerror -err_detect explode -i " : "-i ", file,
                   " -map 0:v -fps_mode passthrough -vf scale=", kShownWidth,
                   ":", kShownHeight, " -pix_fmt gray -f rawvideo -"),
      dir);
  if (strict && (run.exit_code != 0 || !run.err.empty())) return std::nullopt;
  return NumbersIn(run.out);
}

Numbers PlayGstreamer(const std::string& file, const TempDir& dir) {
  const Output run = RunCommand(
      absl::StrCat(
          "gst-launch-1.0 -q filesrc location=", file,
          " ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! videoscale !"
          " videoconvert ! video/x-raw,format=GRAY8,width=",
          kShownWidth, ",height=", kShownHeight,
          " ! filesink location=", dir.File("gst")),
      dir);
  if (run.exit_code != 0 || run.err.find("ERROR") != std::string::npos)
    return std::nullopt;
  return NumbersIn(ReadFile(dir.File("gst")));
}

Probe ProbeFile(const std::string& file, const TempDir& dir) {
  const Output run = RunCommand(
      absl::StrCat("ffprobe -v warning -of csv=p=0 -show_entries packet=pts"
                   " -show_entries format=duration ",
                   file),
      dir);
  Probe probe;
  probe.complaints = run.err;
  for (absl::string_view line :
       absl::StrSplit(run.out, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ',');
    int64_t time = 0;
    if (absl::SimpleAtoi(fields[0], &time)) {
      probe.times.push_back(time);
    } else {
      (void)absl::SimpleAtod(fields[0], &probe.duration);
    }
  }
  return probe;
}

std::vector<WebResult> PlayChromium(const std::vector<WebCase>& cases,
                                    const TempDir& dir) {
  {
    std::ofstream page(dir.File("page.html"));
    page << kPage << "[";
    for (const WebCase& c : cases) {
      page << "{file: '" << c.file << "', seconds: ["
           << absl::StrJoin(c.seconds, ",") << "]},";
    }
    page << "];</script><body></body>\n";
  }
  // What the page logs comes out on standard error; `sed` ends with the last
  // line, and then the browser is told to, by its own process id.
  const Output run = RunCommand(
      absl::StrCat(
          "log=", dir.File("log"), "; mkfifo $log\n", "HOME=", dir.File("home"),
          " chromium --headless=new --no-sandbox",
          " --disable-gpu --mute-audio --disable-quic --no-first-run",
          " --disable-background-networking --disable-component-update",
          " --disable-sync --disable-dev-shm-usage",
          " --allow-file-access-from-files --enable-logging=stderr",
          " --user-data-dir=", dir.File("profile"), " file://",
          dir.File("page.html"), " >/dev/null 2>$log &\n",
          "sed -u -n -e '/KINE/p' -e '/KINE done/q' $log\n",
          "kill $!; wait $!; rm $log\n"),
      dir);
  std::vector<WebResult> results;
  for (absl::string_view line : absl::StrSplit(run.out, '\n')) {
    if (auto result = ParseWebResult(line)) results.push_back(*result);
  }
  return results;
}

}  // namespace kine::mp4
