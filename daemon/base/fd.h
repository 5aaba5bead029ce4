// UniqueFd: owns one file descriptor and closes it.
//
// Any thread. Every descriptor in this project is close-on-exec from birth; a
// UniqueFd does not set the flag, whoever opens the descriptor does.
#pragma once

#include <unistd.h>

#include <utility>

namespace kine {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { Reset(); }

  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  // The descriptor, or -1. Stays owned.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Gives the descriptor up; the caller closes it.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  // Closes now. The result of close() is not reported: whoever needs the data
  // durable has called fdatasync(), and after EINTR Linux has closed anyway.
  void Reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace kine
