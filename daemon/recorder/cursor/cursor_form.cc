#include "daemon/recorder/cursor/cursor_form.h"

#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/status.h"
#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/blocking_io.h"

namespace kine {
namespace {

using ViewTime = absl::FunctionRef<int64_t(int64_t media_us)>;

// Appends to a file in large pieces. The first error stays.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}

  void Add(absl::string_view text) {
    absl::StrAppend(&buffer_, text);
    if (buffer_.size() >= kPieceBytes) Flush();
  }
  absl::StatusOr<uint64_t> Finish() {
    Flush();
    KINE_RETURN_IF_ERROR(status_);
    return written_;
  }

 private:
  static constexpr size_t kPieceBytes = 256u << 10;

  void Flush() {
    if (status_.ok())
      status_ = WriteFully(fd_, written_, std::as_bytes(std::span(buffer_)));
    written_ += buffer_.size();
    buffer_.clear();
  }

  const int fd_;
  std::string buffer_;
  uint64_t written_ = 0;
  absl::Status status_;
};

absl::Status AddLines(int file_fd, ViewTime view_us, Output& out) {
  const auto line = [&](absl::string_view object) {
    const auto parsed = ParseCursorLine(object);
    // A line begins with its time.
    const size_t rest = object.find(',');
    if (!parsed || rest == absl::string_view::npos) return;
    out.Add(SealLine(
        absl::StrCat("{\"t\":", view_us(parsed->t_us), object.substr(rest))));
  };
  return ReadAppendLog(file_fd, line).status();
}

// The members of one of Cap's two lists: another pass for each, since they are
// one behind the other and the lines are in between.
absl::Status AddList(int file_fd, CursorLine::Kind kind, ViewTime view_us,
                     Output& out) {
  uint32_t shape = 0;
  const char* comma = "";
  const auto line = [&](absl::string_view object) {
    const auto parsed = ParseCursorLine(object);
    if (!parsed) return;
    if (parsed->kind == CursorLine::Kind::kShape) shape = parsed->shape;
    if (parsed->kind != kind) return;
    const double ms = static_cast<double>(view_us(parsed->t_us)) / 1000;
    const std::string time = absl::StrFormat("\"time_ms\":%.3f", ms);
    const bool click = kind == CursorLine::Kind::kButton;
    out.Add(absl::StrCat(comma, "{\"active_modifiers\":[],"));
    if (click) out.Add(absl::StrCat("\"cursor_num\":", parsed->button, ","));
    out.Add(absl::StrCat("\"cursor_id\":\"", shape, "\",", time));
    out.Add(
        click
            ? absl::StrCat(",\"down\":", parsed->down ? "true" : "false", "}")
            : absl::StrFormat(",\"x\":%.6f,\"y\":%.6f}", parsed->x, parsed->y));
    comma = ",\n";
  };
  return ReadAppendLog(file_fd, line).status();
}

}  // namespace

std::optional<CursorForm> CursorFormFromName(absl::string_view name) {
  if (name == "ndjson") return CursorForm::kLines;
  if (name == "cap") return CursorForm::kCap;
  return std::nullopt;
}

absl::StatusOr<uint64_t> WriteCursorForm(int file_fd, int out_fd,
                                         CursorForm form, ViewTime view_us) {
  Output out(out_fd);
  if (form == CursorForm::kLines) {
    KINE_RETURN_IF_ERROR(AddLines(file_fd, view_us, out));
    return out.Finish();
  }
  out.Add("{\"clicks\":[");
  KINE_RETURN_IF_ERROR(
      AddList(file_fd, CursorLine::Kind::kButton, view_us, out));
  out.Add("],\n\"moves\":[");
  KINE_RETURN_IF_ERROR(AddList(file_fd, CursorLine::Kind::kMove, view_us, out));
  out.Add("]}\n");
  return out.Finish();
}

}  // namespace kine
