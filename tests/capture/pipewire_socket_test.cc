// SocketWatch and PipeWireSocketPath.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "capture/pipewire_handles.h"
#include "daemon/base/epoll_loop.h"

namespace kine {
namespace {

class PipeWireSocket : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "kine-sock.XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Touch(const std::string& path) { std::ofstream(path).put('x'); }
  // Runs what is ready, on the posts and watches of one loop's whole life.
  void Watch(const std::string& path) {
    auto watch = SocketWatch::Create(path, *loop_, [this] { ++appeared_; });
    ASSERT_TRUE(watch.ok()) << watch.status();
    watch_ = *std::move(watch);
  }
  void RunReady() {
    loop_->Quit();
    loop_->Run();
  }

  std::string directory_;
  std::unique_ptr<EpollLoop> loop_ = *EpollLoop::Create();
  int appeared_ = 0;
  std::unique_ptr<SocketWatch> watch_;
};

TEST_F(PipeWireSocket, ItsAppearanceIsToldAndOthersAreNot) {
  Watch(directory_ + "/pipewire-0");
  Touch(directory_ + "/pipewire-0.lock");
  RunReady();
  EXPECT_EQ(appeared_, 0);
  Touch(directory_ + "/pipewire-0");
  RunReady();
  EXPECT_EQ(appeared_, 1);
  std::filesystem::remove(directory_ + "/pipewire-0");
  std::filesystem::rename(directory_ + "/pipewire-0.lock",
                          directory_ + "/pipewire-0");
  RunReady();
  EXPECT_EQ(appeared_, 2);
}

TEST_F(PipeWireSocket, AMissingDirectoryIsAwaitedToo) {
  Watch(directory_ + "/a/b/pipewire-0");
  std::filesystem::create_directories(directory_ + "/a/b");
  RunReady();
  const int before = appeared_;
  Touch(directory_ + "/a/b/pipewire-0");
  RunReady();
  EXPECT_EQ(appeared_, before + 1);
}

TEST_F(PipeWireSocket, ADirectoryMadeAnewIsFollowed) {
  std::filesystem::create_directory(directory_ + "/run");
  Watch(directory_ + "/run/pipewire-0");
  std::filesystem::remove_all(directory_ + "/run");
  RunReady();
  std::filesystem::create_directory(directory_ + "/run");
  RunReady();
  const int before = appeared_;
  Touch(directory_ + "/run/pipewire-0");
  RunReady();
  EXPECT_EQ(appeared_, before + 1);
}

TEST_F(PipeWireSocket, ThePathFollowsTheLibrarysRules) {
  const char* names[] = {"PIPEWIRE_REMOTE", "PIPEWIRE_RUNTIME_DIR",
                         "XDG_RUNTIME_DIR"};
  std::vector<std::optional<std::string>> saved;
  for (const char* name : names) {
    const char* value = getenv(name);
    saved.push_back(value != nullptr ? std::optional<std::string>(value)
                                     : std::nullopt);
    unsetenv(name);
  }
  EXPECT_EQ(PipeWireSocketPath("/x/y"), "/x/y");
  EXPECT_EQ(PipeWireSocketPath(""), "/run/pipewire/pipewire-0");
  setenv("XDG_RUNTIME_DIR", "/xdg", 1);
  EXPECT_EQ(PipeWireSocketPath(""), "/xdg/pipewire-0");
  setenv("PIPEWIRE_RUNTIME_DIR", "/pw", 1);
  EXPECT_EQ(PipeWireSocketPath("other"), "/pw/other");
  setenv("PIPEWIRE_REMOTE", "mine", 1);
  EXPECT_EQ(PipeWireSocketPath(""), "/pw/mine");
  EXPECT_EQ(PipeWireSocketPath("other"), "/pw/other");
  for (size_t i = 0; i < saved.size(); ++i) {
    if (saved[i])
      setenv(names[i], saved[i]->c_str(), 1);
    else
      unsetenv(names[i]);
  }
}

}  // namespace
}  // namespace kine
