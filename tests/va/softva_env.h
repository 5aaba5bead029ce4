// The environment in which libva loads the test driver (tests/softva), for this
// process and the programs it starts.
//
// Thread: one at a time, and no display open while it is made, changed or goes:
// it changes the process's environment.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/integration/process.h"

namespace kine {

// What vaGetDisplayDRM gets for a render node: fake_drm.cc makes it pass.
inline constexpr char kFakeRenderNode[] = "/dev/null";

class SoftVaEnv {
 public:
  // Pairs as in tests/softva/README.md, without the SOFTVA_ in front.
  using Settings = std::vector<std::pair<std::string, std::string>>;

  explicit SoftVaEnv(const Settings& settings = {});
  ~SoftVaEnv();
  SoftVaEnv(const SoftVaEnv&) = delete;
  SoftVaEnv& operator=(const SoftVaEnv&) = delete;

  void Set(const std::string& name, const std::string& value);

  // What the driver found wrong with its clients, a line each; "" is perfect.
  std::string Complaints() const {
    return ReadWholeFile(directory_.File("complaints"));
  }
  std::string Trace() const { return ReadWholeFile(directory_.File("trace")); }
  // A file in a directory that goes with this.
  std::string File(const std::string& name) const {
    return directory_.File(name);
  }
  // For LD_PRELOAD of programs that are not ours or not linked with fake_drm.
  static std::string FakeDrmLibrary();

 private:
  void SetVariable(const std::string& name, const std::string& value);

  RunDirectory directory_;
  std::vector<std::string> variables_;
};

}  // namespace kine
