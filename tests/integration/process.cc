#include "tests/integration/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "daemon/base/check.h"

namespace kine {
namespace {

std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (const auto& [name, value] : more) all.push_back(name + "=" + value);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : more)
      replaced = replaced || text.rfind(name + "=", 0) == 0;
    if (!replaced) all.push_back(text);
  }
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

UniqueFd OpenLog(const std::string& path) {
  if (path.empty()) return UniqueFd();
  return UniqueFd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

}  // namespace

std::string BinaryPath(const std::string& name) {
  const char* directory = std::getenv("KINE_BIN_DIR");
  if (directory != nullptr) return std::string(directory) + "/" + name;
  return std::filesystem::read_symlink("/proc/self/exe")
             .parent_path()
             .parent_path() /
         "bin" / name;
}

std::string TestPath(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

std::string SourcePath(const std::string& name) {
  const char* directory = std::getenv("KINE_SOURCE_DIR");
  return std::string(directory == nullptr ? "." : directory) + "/" + name;
}

bool HaveProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    if (::access((rest.substr(0, colon) + "/" + name).c_str(), X_OK) == 0)
      return true;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return false;
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

RunDirectory::RunDirectory() {
  path_ = (std::filesystem::temp_directory_path() / "kine-int-XXXXXX").string();
  KINE_CHECK(::mkdtemp(path_.data()) != nullptr);
}

RunDirectory::~RunDirectory() {
  if (std::getenv("KINE_TEST_KEEP") != nullptr) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Process::Process(Options options) {
  std::vector<std::string> environment = Environment(options.env);
  const std::vector<char*> envp = Pointers(environment);
  const std::vector<char*> argv = Pointers(options.argv);
  const UniqueFd out = OpenLog(options.out);
  const UniqueFd err = OpenLog(options.err);
  const pid_t parent = ::getpid();
  // posix_spawn knows neither death signals nor filters.
  pid_ = ::fork();
  KINE_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    if (out.valid()) ::dup2(out.get(), STDOUT_FILENO);
    if (err.valid()) ::dup2(err.get(), STDERR_FILENO);
    if (options.before_exec && !options.before_exec()) ::_exit(126);
    ::execvpe(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  KINE_CHECK(pidfd_.valid());
}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    Kill();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

void Process::Signal(int signal) const {
  if (running()) KINE_CHECK(::kill(pid_, signal) == 0);
}

std::optional<int> Process::Wait(absl::Duration limit) {
  if (!running()) return std::nullopt;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) !=
      1)
    return std::nullopt;
  int status = 0;
  KINE_CHECK(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  pidfd_.Reset();
  return status;
}

void Process::Kill() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  pidfd_.Reset();
}

int ExitCodeOf(std::optional<int> wait_status) {
  if (!wait_status.has_value() || !WIFEXITED(*wait_status)) return -1;
  return WEXITSTATUS(*wait_status);
}

ProgramResult RunProgram(std::vector<std::string> argv,
                         std::vector<std::pair<std::string, std::string>> env,
                         absl::Duration limit) {
  const RunDirectory directory;
  Process::Options options;
  options.argv = std::move(argv);
  options.env = std::move(env);
  options.out = directory.File("out");
  options.err = directory.File("err");
  Process process(options);
  ProgramResult result;
  result.code = ExitCodeOf(process.Wait(limit));
  result.out = ReadWholeFile(options.out);
  result.err = ReadWholeFile(options.err);
  return result;
}

}  // namespace kine
