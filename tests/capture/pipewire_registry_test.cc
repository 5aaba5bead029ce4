#include "capture/pipewire_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using Props = std::vector<std::pair<std::string, std::string>>;

void Add(NodeTable& table, uint32_t id, const char* type, const Props& props) {
  std::vector<spa_dict_item> items;
  for (const auto& [key, value] : props)
    items.push_back({key.c_str(), value.c_str()});
  const spa_dict dict = {0, static_cast<uint32_t>(items.size()), items.data()};
  table.Add(id, type, &dict);
}

void AddNode(NodeTable& table, uint32_t id, const std::string& name,
             const std::string& media_class = "Video/Source") {
  Add(table, id, PW_TYPE_INTERFACE_Node,
      {{"object.serial", absl::StrCat(id + 1000)},
       {"node.name", name},
       {"media.class", media_class}});
}

PipeWireSpec Named(const std::string& name) {
  PipeWireSpec spec;
  spec.node_name = name;
  return spec;
}

TEST(PipeWireNodes, AreFoundByNameIdAndSerial) {
  NodeTable table;
  AddNode(table, 7, "screen", "Stream/Output/Video");
  AddNode(table, 8, "camera");
  EXPECT_EQ(table.Find(Named("screen"))->id, 7u);
  PipeWireSpec spec;
  spec.node_id = 8;
  EXPECT_EQ(table.Find(spec)->name, "camera");
  spec = {};
  spec.serial = 1007;
  EXPECT_EQ(table.Find(spec)->name, "screen");
}

TEST(PipeWireNodes, TheOnlyOneNeedsNoName) {
  NodeTable table;
  EXPECT_TRUE(absl::IsNotFound(table.Find({}).status()));
  AddNode(table, 3, "speaker", "Audio/Sink");
  EXPECT_TRUE(absl::IsNotFound(table.Find({}).status()));
  AddNode(table, 7, "screen");
  EXPECT_EQ(table.Find({})->id, 7u);
  AddNode(table, 8, "camera");
  const absl::Status several = table.Find({}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(several));
  EXPECT_THAT(std::string(several.message()),
              testing::AllOf(HasSubstr("\"screen\" (id 7)"),
                             HasSubstr("\"camera\" (id 8)")));
  table.Remove(7);
  EXPECT_EQ(table.Find({})->id, 8u);
}

TEST(PipeWireNodes, AMissingOneIsAnsweredWithWhatThereIs) {
  NodeTable table;
  EXPECT_THAT(std::string(table.Find(Named("x")).status().message()),
              HasSubstr("no video sources"));
  AddNode(table, 7, "screen");
  const absl::Status status = table.Find(Named("scren")).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("\"scren\""), HasSubstr("\"screen\"")));
}

TEST(PipeWireNodes, OneThatIsNoVideoSourceIsRefusedForGood) {
  NodeTable table;
  AddNode(table, 3, "speaker", "Audio/Sink");
  AddNode(table, 4, "viewer", "Stream/Input/Video");
  EXPECT_TRUE(
      absl::IsFailedPrecondition(table.Find(Named("speaker")).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(table.Find(Named("viewer")).status()));
}

TEST(PipeWireNodes, OfTwoWithOneNameTheNewestIsMeant) {
  NodeTable table;
  AddNode(table, 9, "screen");
  AddNode(table, 4, "screen");
  AddNode(table, 5, "screen", "Audio/Source");
  EXPECT_EQ(table.Find(Named("screen"))->id, 9u);
  table.Remove(9);
  EXPECT_EQ(table.Find(Named("screen"))->id, 4u);
}

TEST(PipeWireNodes, AnEmptyNameIsNoName) {
  NodeTable table;
  Add(table, 3, PW_TYPE_INTERFACE_Node, {{"media.class", "Video/Source"}});
  PipeWireSpec spec;
  spec.serial = 77;
  EXPECT_TRUE(absl::IsNotFound(table.Find(spec).status()));
  table.Add(4, PW_TYPE_INTERFACE_Node, nullptr);
  EXPECT_EQ(table.videos().size(), 1u);
}

TEST(PipeWireNodes, PortsAreFoundByNodeAndDirectionAndMonitorsAreNot) {
  NodeTable table;
  const auto port = [&](uint32_t id, const char* node, const char* direction,
                        const char* monitor) {
    Add(table, id, PW_TYPE_INTERFACE_Port,
        {{"node.id", node},
         {"port.direction", direction},
         {"port.monitor", monitor}});
  };
  port(20, "7", "out", "true");
  port(21, "7", "out", "false");
  port(22, "8", "in", "");
  port(23, "nonsense", "in", "");
  EXPECT_EQ(table.PortOf(7, "out"), 21u);
  EXPECT_EQ(table.PortOf(8, "in"), 22u);
  EXPECT_FALSE(table.PortOf(8, "out").has_value());
  table.Remove(21);
  EXPECT_FALSE(table.PortOf(7, "out").has_value());
}

TEST(PipeWireNodes, AClientCannotFillOurMemory) {
  NodeTable table;
  for (uint32_t i = 0; i < limits::kPipeWireNodesMax + 10; ++i)
    AddNode(table, i, std::string(10'000, 'x'));
  EXPECT_EQ(table.videos().size(), size_t{limits::kPipeWireNodesMax});
  EXPECT_LE(table.videos()[0].name.size(), 256u);
  const absl::Status status = table.Find({}).status();
  EXPECT_LT(status.message().size(), 8'192u);
}

}  // namespace
}  // namespace kine
