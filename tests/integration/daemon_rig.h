// A real kinescoped with its real recorders, in a run-time and a state
// directory of its own, talked to over its socket.
//
// Thread: one at a time. Everything that was started is ended, by pid, when the
// object goes; a daemon that still runs then is asked to (SIGTERM) and must end
// with status 0.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "ipc/client.h"
#include "tests/integration/api_document.h"
#include "tests/integration/json_value.h"
#include "tests/integration/process.h"

namespace kine {

class DaemonRig {
 public:
  struct Options {
    std::vector<std::string> flags;  // Beside --socket and --state_dir.
    // True: the environment's, where a PipeWire is. False: one of its own,
    // where nothing is.
    bool inherit_runtime_dir = false;
    std::vector<std::pair<std::string, std::string>> env;  // Of it alone.
    std::function<bool()> before_exec;
  };
  struct Answer {
    int status = 0;
    HttpResponseHead head;
    Json body;
  };

  // Starts it.
  DaemonRig() : DaemonRig(Options()) {}
  explicit DaemonRig(Options options);
  ~DaemonRig();
  DaemonRig(const DaemonRig&) = delete;
  DaemonRig& operator=(const DaemonRig&) = delete;

  // Returns when it serves (READY=1 of sd_notify). False: it ended before,
  // which is a failure of the test.
  bool Start();
  // SIGTERM; its exit code.
  int Stop();
  Process& daemon() { return daemon_; }

  std::string directory() const { return directory_.path(); }
  std::string socket() const { return directory_.File("s"); }
  std::string state_dir() const { return directory_.File("state"); }
  std::string VideoPath(const std::string& id) const;
  // What the daemon logged.
  std::string Log() const { return ReadWholeFile(directory_.File("log")); }
  // The environment for its clients and for further daemons.
  std::vector<std::pair<std::string, std::string>> Environment() const;

  // What went well is judged by the daemon's document.
  Answer Call(const std::string& method, const std::string& target,
              const std::string& body = "", const std::string& owner = "");
  Json State(const std::string& id);
  // A recording of `source` (JSON), with more members for the request
  // (", \"max_bytes\": 1"). A failure unless it is 201.
  Json StartRecording(const std::string& id, const std::string& source,
                      const std::string& more = "");
  // first_frame or ready.
  Json WaitFor(const std::string& id, const std::string& what);
  Json StopRecording(const std::string& id);
  // The artifact, fetched over the socket: its path.
  std::string Fetch(const std::string& id);

  // Lets a recording go on for so long. A failure when the daemon ends.
  void Elapse(absl::Duration duration);
  // Until the state of `id` is as wanted. Asks at every write to the file.
  // Returns the last state.
  Json WaitUntil(const std::string& id,
                 absl::FunctionRef<bool(const Json&)> wanted);
  // Until so much of it is on the disk.
  Json WaitDurable(const std::string& id, absl::Duration media);

  // The process that records `id`, or -1.
  pid_t RecorderOf(const std::string& id) const;

 private:
  void Judge(const std::string& method, const std::string& target,
             const Answer& answer);

  Options options_;
  std::optional<ApiDocument> document_;
  RunDirectory directory_;
  UniqueFd notify_;
  Process daemon_;
};

// kinectl with --socket of the rig, to its end.
ProgramResult Kinectl(DaemonRig& rig, std::vector<std::string> arguments);

// "test" of the size and pattern, as JSON for StartRecording().
std::string TestSource(int width, int height, double fps = 30,
                       const std::string& pattern = "scroll");

}  // namespace kine
