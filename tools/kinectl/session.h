// Session: what every verb needs: the client, the way to print, and the signals
// that cancel.
//
// One thread. Output: with --json one JSON document on standard output (one a
// line for events); else text for people. Errors always go to standard error,
// and with --json as {"error":{...}} to standard output too.
#pragma once

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ipc/client.h"
#include "tools/kinectl/args.h"

namespace kinectl {

enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kNotFound = 4,
  kRecordingFailed = 5,
  kCancelled = 130,
};

class Session {
 public:
  // Signals SIGINT and SIGTERM are blocked by main and arrive on `signals`.
  Session(kine::Client::Options options, int signals, const Args& args);

  kine::Client& client() { return client_; }
  bool json() const { return json_; }
  // Readable when a signal has come.
  int signals() const { return signals_; }

  // The reply of one call when its status is 2xx. Else nullopt: the error is
  // printed and exit_code() set.
  std::optional<kine::ClientReply> Call(const kine::ClientRequest& request);
  // The same for replies that were got otherwise.
  std::optional<kine::ClientReply> Check(
      absl::StatusOr<kine::ClientReply> reply);
  int exit_code() const { return exit_code_; }
  void set_exit_code(int code) { exit_code_ = code; }

  // Prints an error and returns `code`.
  int Fail(const absl::Status& error, int code);
  // The exit code for an error of the client itself.
  static int CodeOf(const absl::Status& transport_error);

  // `json` when --json was given, else `text`; a newline follows.
  void Print(const std::string& json, const std::string& text);
  // One line that overwrites itself on a terminal; nothing elsewhere.
  void Progress(const std::string& line);
  bool shows_progress() const { return shows_progress_; }

  // Takes the signals that have come, so that the client works again. The last
  // one's number, or 0.
  int TakeSignal();

 private:
  void EndProgress();

  kine::Client client_;
  const int signals_;
  const bool json_;
  const bool shows_progress_;
  bool progress_open_ = false;
  int exit_code_ = kDone;
};

// "/v1/recordings/ID" + tail. An id is checked before it becomes a path.
absl::StatusOr<std::string> RecordingPath(const std::string& id,
                                          const char* tail = "");

}  // namespace kinectl
