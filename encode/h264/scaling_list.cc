#include "encode/h264/scaling_list.h"

namespace kine::h264 {
namespace {

void SkipList(BitReader& reader, int size) {
  int last = 8;
  for (int i = 0; i < size && reader.ok(); ++i) {
    const int next = (last + reader.SeWithin(-128, 127) + 256) % 256;
    if (next == 0) return;  // The rest repeats the last.
    last = next;
  }
}

}  // namespace

void SkipScalingMatrix(BitReader& reader, int lists) {
  constexpr int kSmallLists = 6;
  for (int i = 0; i < lists && reader.ok(); ++i) {
    if (reader.Flag()) SkipList(reader, i < kSmallLists ? 16 : 64);
  }
}

}  // namespace kine::h264
