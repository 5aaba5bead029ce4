// A session bus, a portal on it, and a loop to run both and the code under
// test until something has happened.
#pragma once

#include <functional>
#include <memory>

#include "daemon/base/epoll_loop.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_portal.h"
#include "tests/fakes/impatient_loop.h"

namespace kine {

class PortalFixture : public testing::Test {
 protected:
  void SetUp() override {
    bus_ = PrivateBus::Start();
    if (bus_ == nullptr) GTEST_SKIP() << "no dbus-daemon (package dbus)";
  }

  void StartPortal() {
    portal_ = std::make_unique<FakePortal>(loop_);
    portal_->on_call = [this] { Check(); };
  }

  // Whatever may make `until` true calls this.
  void Check() {
    if (until_ && until_()) {
      until_ = nullptr;
      inner_->Quit();
    }
  }

  // False when it did not become true in 20 s.
  bool RunUntil(std::function<bool()> until) {
    if (until()) return true;
    until_ = std::move(until);
    const Loop::Id deadline =
        inner_->PostAfter(absl::Seconds(20), [this] { inner_->Quit(); });
    inner_->Run();
    inner_->Cancel(deadline);
    const bool came = until_ == nullptr;
    until_ = nullptr;
    return came;
  }

  // Lets everything that is under way at the portal come back: calls of one
  // connection are served in order, so a later one's answer comes last.
  void RunRoundTrip() {
    bool done = false;
    auto probe = SessionBus::Open(loop_, [](absl::Status) {});
    ASSERT_TRUE(probe.ok());
    sd_bus_message* ping = nullptr;
    ASSERT_GE(sd_bus_message_new_method_call(
                  (*probe)->get(), &ping, "org.freedesktop.DBus",
                  "/org/freedesktop/DBus", "org.freedesktop.DBus.Peer", "Ping"),
              0);
    const SdBusMessage owned(ping);
    std::function<void()> answered = [&] {
      done = true;
      Check();
    };
    const SdBusSlot call = (*probe)->Call(
        ping, absl::Seconds(10),
        [](sd_bus_message*, void* f, sd_bus_error*) {
          (*static_cast<std::function<void()>*>(f))();
          return 0;
        },
        &answered);
    ASSERT_TRUE(RunUntil([&] { return done; }));
  }

  std::unique_ptr<PrivateBus> bus_;
  std::unique_ptr<EpollLoop> inner_ = *EpollLoop::Create();
  ImpatientLoop loop_{*inner_};
  std::unique_ptr<FakePortal> portal_;

 private:
  std::function<bool()> until_;
};

}  // namespace kine
