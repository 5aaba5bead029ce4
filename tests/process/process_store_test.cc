// The state files of commands: appended to, cut short, in the midst of becoming
// receipts.
#include "daemon/process/process_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/process/process_rig.h"

namespace kine {
namespace {

class ProcessStoreTest : public testing::Test {
 protected:
  ProcessStoreTest() {
    stored_.record.id = "x";
    stored_.record.request = *ParseProcessRequest(R"({"command":"true"})");
    EXPECT_TRUE(SaveProcess(directory(), stored_).ok());
  }
  int directory() { return rig_.context().state_fd; }
  std::vector<StoredProcess> Load() {
    std::vector<std::string> damaged;
    std::vector<StoredProcess> out = LoadProcesses(directory(), damaged);
    EXPECT_TRUE(damaged.empty());
    return out;
  }
  ProcessRig rig_;
  StoredProcess stored_;
};

TEST_F(ProcessStoreTest, WhatIsAppendedCountsUnlessItWasCutShort) {
  stored_.record.pid = 77;
  stored_.start_ticks = 5;
  ASSERT_TRUE(UpdateProcess(directory(), stored_).ok());
  std::ofstream(rig_.File("state/x.json"), std::ios::app)
      << R"({"pid":78,"start_ti)";
  std::vector<StoredProcess> all = Load();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].record.pid, 77);
  EXPECT_EQ(all[0].start_ticks, 5u);
  EXPECT_EQ(all[0].record.request.argv, stored_.record.request.argv);
  EXPECT_FALSE(all[0].record.exit.has_value());
}

TEST_F(ProcessStoreTest, AReceiptTakesTheRecordsPlaceAlsoHalfway) {
  const std::string record = rig_.Read(rig_.File("state/x.json"));
  stored_.receipt = true;
  stored_.record.exit = ProcessExit{};
  stored_.record.exit->code = 9;
  ASSERT_TRUE(SaveProcess(directory(), stored_).ok());
  for (const bool halfway : {false, true}) {
    EXPECT_EQ(std::filesystem::exists(rig_.File("state/x.json")), halfway);
    const std::vector<StoredProcess> all = Load();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_TRUE(all[0].receipt);
    EXPECT_EQ(all[0].record.exit->code, 9);
    // A daemon that died before it had removed it.
    std::ofstream(rig_.File("state/x.json")) << record;
  }
  RemoveProcess(directory(), "x");
  EXPECT_TRUE(Load().empty());
}

}  // namespace
}  // namespace kine
