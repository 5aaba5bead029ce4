// kinescoped beside a PipeWire of its own with sources to record.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/private_pipewire.h"
#include "tests/integration/daemon_rig.h"

namespace kine {

class PipeWireTest : public testing::Test {
 protected:
  virtual DaemonRig::Options RigOptions() { return {}; }

  void SetUp() override {
    auto server = PrivatePipeWire::Start(/*with_session_manager=*/false);
    if (absl::IsNotFound(server.status()))
      GTEST_SKIP() << server.status().message();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    DaemonRig::Options options = RigOptions();
    options.inherit_runtime_dir = true;
    rig_ = std::make_unique<DaemonRig>(std::move(options));
  }
  void TearDown() override {
    rig_.reset();
    sources_.clear();
    server_.reset();
  }

  // Skips where the program is not installed.
  void RunSource(std::vector<std::string> argv) {
    auto child = server_->Run(std::move(argv));
    if (absl::IsNotFound(child.status()))
      GTEST_SKIP() << child.status().message();
    ASSERT_TRUE(child.ok()) << child.status();
    sources_.push_back(*std::move(child));
  }
  // Our own, as the node "page".
  void RunPage(std::vector<std::string> flags) {
    flags.insert(flags.begin(),
                 {BinaryPath("kinescope-demo-source"), "--node=page"});
    RunSource(std::move(flags));
  }
  void EndSources() { sources_.clear(); }

  static std::string Node(const std::string& name) {
    return "{\"pipewire\":{\"name\":\"" + name + "\"}}";
  }

  std::unique_ptr<PrivatePipeWire> server_;
  std::vector<LoggedProcess> sources_;
  std::unique_ptr<DaemonRig> rig_;
};

}  // namespace kine
