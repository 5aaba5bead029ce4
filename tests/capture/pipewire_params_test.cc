#include "capture/pipewire_params.h"

#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spa/buffer/buffer.h>
#include <spa/buffer/meta.h>
#include <spa/param/buffers.h>
#include <spa/param/param.h>
#include <spa/param/video/format-utils.h>
#include <spa/pod/builder.h>
#include <spa/pod/filter.h>

#include <array>
#include <cstring>
#include <vector>

#include "daemon/base/limits.h"

namespace kine {
namespace {

// A Format, as a node that has settled sends it.
class FormatPod {
 public:
  explicit FormatPod(uint32_t spa_format = SPA_VIDEO_FORMAT_BGRx) {
    info.format = static_cast<spa_video_format>(spa_format);
    info.size = {640, 480};
    info.framerate = {25, 1};
  }
  const spa_pod* Build(uint32_t subtype = SPA_MEDIA_SUBTYPE_raw) {
    spa_pod_builder builder{};
    spa_pod_builder_init(&builder, memory_.data(),
                         static_cast<uint32_t>(memory_.size() * 8));
    spa_pod_frame frame;
    spa_pod_builder_push_object(&builder, &frame, SPA_TYPE_OBJECT_Format,
                                SPA_PARAM_Format);
    const auto id = [&](uint32_t key, uint32_t value) {
      spa_pod_builder_prop(&builder, key, 0);
      spa_pod_builder_id(&builder, value);
    };
    id(SPA_FORMAT_mediaType, SPA_MEDIA_TYPE_video);
    id(SPA_FORMAT_mediaSubtype, subtype);
    id(SPA_FORMAT_VIDEO_format, info.format);
    if (modifiers.size() == 1) {
      spa_pod_builder_prop(&builder, SPA_FORMAT_VIDEO_modifier,
                           SPA_POD_PROP_FLAG_MANDATORY);
      spa_pod_builder_long(&builder, modifiers[0]);
    } else if (!modifiers.empty()) {
      spa_pod_frame choice;
      spa_pod_builder_prop(
          &builder, SPA_FORMAT_VIDEO_modifier,
          SPA_POD_PROP_FLAG_MANDATORY | SPA_POD_PROP_FLAG_DONT_FIXATE);
      spa_pod_builder_push_choice(&builder, &choice, SPA_CHOICE_Enum, 0);
      spa_pod_builder_long(&builder, modifiers[0]);
      for (const int64_t modifier : modifiers)
        spa_pod_builder_long(&builder, modifier);
      spa_pod_builder_pop(&builder, &choice);
    }
    if (info.size.width > 0) {
      spa_pod_builder_prop(&builder, SPA_FORMAT_VIDEO_size, 0);
      spa_pod_builder_rectangle(&builder, info.size.width, info.size.height);
    }
    spa_pod_builder_prop(&builder, SPA_FORMAT_VIDEO_framerate, 0);
    spa_pod_builder_fraction(&builder, info.framerate.num,
                             info.framerate.denom);
    id(SPA_FORMAT_VIDEO_colorMatrix, info.color_matrix);
    id(SPA_FORMAT_VIDEO_colorRange, info.color_range);
    spa_pod_builder_pop(&builder, &frame);
    return reinterpret_cast<const spa_pod*>(memory_.data());
  }

  spa_video_info_raw info{};
  std::vector<int64_t> modifiers;  // DMA-BUFs, when there are any.

 private:
  std::array<uint64_t, 128> memory_{};
};

TEST(PipeWireParams, ASettledFormatIsRead) {
  FormatPod pod;
  const absl::StatusOr<StreamFormat> format = ParseStreamFormat(pod.Build());
  ASSERT_TRUE(format.ok()) << format.status();
  EXPECT_EQ(format->video.fourcc, uint32_t{DRM_FORMAT_XRGB8888});
  EXPECT_EQ(format->video.modifier, uint64_t{DRM_FORMAT_MOD_LINEAR});
  EXPECT_EQ(format->video.width, 640);
  EXPECT_EQ(format->video.height, 480);
  EXPECT_EQ(format->video.max_fps, 25);
}

TEST(PipeWireParams, BytesInMemoryOrderBecomeDrmNames) {
  // drm_fourcc.h: XRGB8888 is "[31:0] x:R:G:B little endian", B first.
  const struct {
    uint32_t spa;
    uint32_t drm;
  } kPairs[] = {{SPA_VIDEO_FORMAT_BGRA, DRM_FORMAT_ARGB8888},
                {SPA_VIDEO_FORMAT_RGBx, DRM_FORMAT_XBGR8888},
                {SPA_VIDEO_FORMAT_RGBA, DRM_FORMAT_ABGR8888},
                {SPA_VIDEO_FORMAT_xRGB, DRM_FORMAT_BGRX8888},
                {SPA_VIDEO_FORMAT_ARGB, DRM_FORMAT_BGRA8888},
                {SPA_VIDEO_FORMAT_xBGR, DRM_FORMAT_RGBX8888},
                {SPA_VIDEO_FORMAT_ABGR, DRM_FORMAT_RGBA8888},
                {SPA_VIDEO_FORMAT_RGB, DRM_FORMAT_BGR888},
                {SPA_VIDEO_FORMAT_BGR, DRM_FORMAT_RGB888},
                {SPA_VIDEO_FORMAT_NV12, DRM_FORMAT_NV12},
                {SPA_VIDEO_FORMAT_I420, DRM_FORMAT_YUV420},
                {SPA_VIDEO_FORMAT_YUY2, 0},
                {0, 0}};
  for (const auto& pair : kPairs)
    EXPECT_EQ(FourccOfSpaFormat(pair.spa), pair.drm) << pair.spa;
}

TEST(PipeWireParams, AVariableRatePromisesNothing) {
  FormatPod pod;
  pod.info.framerate = {0, 1};
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.max_fps, 0);
  pod.info.framerate = {30, 0};
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.max_fps, 0);
}

TEST(PipeWireParams, ColoursAreReadAndElseGuessedFromTheHeight) {
  FormatPod pod(SPA_VIDEO_FORMAT_I420);
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.matrix, ColorMatrix::kBt601);
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.range, ColorRange::kLimited);
  pod.info.size = {1280, 720};
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.matrix, ColorMatrix::kBt709);
  pod.info.color_matrix = SPA_VIDEO_COLOR_MATRIX_BT601;
  pod.info.color_range = SPA_VIDEO_COLOR_RANGE_0_255;
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.matrix, ColorMatrix::kBt601);
  EXPECT_EQ(ParseStreamFormat(pod.Build())->video.range, ColorRange::kFull);
}

TEST(PipeWireParams, WhatWasNotOfferedIsRefusedWithItsReason) {
  FormatPod plain;
  EXPECT_TRUE(absl::IsUnimplemented(
      ParseStreamFormat(plain.Build(SPA_MEDIA_SUBTYPE_mjpg)).status()));
  FormatPod yuy2(SPA_VIDEO_FORMAT_YUY2);
  EXPECT_TRUE(absl::IsUnimplemented(ParseStreamFormat(yuy2.Build()).status()));
  plain.info.size = {limits::kPictureSideMax + 1, 1};
  EXPECT_TRUE(absl::IsUnimplemented(ParseStreamFormat(plain.Build()).status()));
  plain.info.size = {0, 0};
  EXPECT_TRUE(
      absl::IsInvalidArgument(ParseStreamFormat(plain.Build()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseStreamFormat(nullptr).status()));
}

// What a link settles on when `source` meets our offer: PipeWire's own filter
// and fixate, source first, as the server calls them.
absl::StatusOr<StreamFormat> Negotiate(
    const spa_pod* source, double fps_max,
    const std::vector<DmabufFormat>& imports = {}) {
  std::array<uint64_t, 512> memory{};
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, memory.data(), sizeof memory);
  ParamList ours = ParamList::Formats(fps_max, imports);
  for (uint32_t i = 0; i < ours.size(); ++i) {
    spa_pod_builder_init(&builder, memory.data(), sizeof memory);
    spa_pod* settled = nullptr;
    if (spa_pod_filter(&builder, &settled, source, ours.data()[i]) < 0)
      continue;
    spa_pod_fixate(settled);
    return ParseStreamFormat(settled);
  }
  return absl::NotFoundError("no common format");
}

TEST(PipeWireParams, OurOfferMeetsAScreenAtItsVariableRate) {
  FormatPod screen;
  screen.info.framerate = {0, 1};
  screen.info.size = {1920, 1080};
  const absl::StatusOr<StreamFormat> format = Negotiate(screen.Build(), 30);
  ASSERT_TRUE(format.ok()) << format.status();
  EXPECT_EQ(format->video.width, 1920);
  EXPECT_EQ(format->video.max_fps, 0);
}

TEST(PipeWireParams, OurOfferAcceptsEveryFormatOfTheTable) {
  for (uint32_t spa_format :
       {SPA_VIDEO_FORMAT_BGRx, SPA_VIDEO_FORMAT_RGBA, SPA_VIDEO_FORMAT_xBGR,
        SPA_VIDEO_FORMAT_RGB, SPA_VIDEO_FORMAT_NV12, SPA_VIDEO_FORMAT_I420}) {
    FormatPod pod(spa_format);
    const absl::StatusOr<StreamFormat> format = Negotiate(pod.Build(), 0);
    ASSERT_TRUE(format.ok()) << spa_format;
    EXPECT_EQ(format->video.fourcc, FourccOfSpaFormat(spa_format));
  }
  FormatPod grey(SPA_VIDEO_FORMAT_GRAY8);
  EXPECT_FALSE(Negotiate(grey.Build(), 0).ok());
}

TEST(PipeWireParams, DmabufsComeFirstWithTheModifiersThatBothKnow) {
  constexpr uint64_t kHuge = 0x0300'0000'dead'beef;
  FormatPod screen;
  screen.modifiers = {0x22, static_cast<int64_t>(kHuge), 0};
  // One in common is settled at once.
  absl::StatusOr<StreamFormat> format =
      Negotiate(screen.Build(), 30, {{DRM_FORMAT_XRGB8888, {kHuge, 0x99}}});
  ASSERT_TRUE(format.ok()) << format.status();
  EXPECT_TRUE(format->dmabuf);
  EXPECT_EQ(format->video.modifier, kHuge);
  // Of several the node chooses: nothing is settled by the server's fixate.
  format = Negotiate(screen.Build(), 30, {{DRM_FORMAT_XRGB8888, {kHuge, 0}}});
  EXPECT_TRUE(absl::IsUnavailable(format.status())) << format.status();
  screen.modifiers = {0};
  format = Negotiate(screen.Build(), 30, {{DRM_FORMAT_XRGB8888, {kHuge, 0}}});
  ASSERT_TRUE(format.ok()) << format.status();
  EXPECT_TRUE(format->dmabuf);
  EXPECT_EQ(format->video.modifier, uint64_t{DRM_FORMAT_MOD_LINEAR});
}

TEST(PipeWireParams, MemoryAndDmabufsAreNeverTakenForEachOther) {
  // A node without modifiers, where we offer some.
  FormatPod memory;
  absl::StatusOr<StreamFormat> format =
      Negotiate(memory.Build(), 30, {{DRM_FORMAT_XRGB8888, {0x22, 0}}});
  ASSERT_TRUE(format.ok()) << format.status();
  EXPECT_FALSE(format->dmabuf);
  // A node that has only modifiers that we do not know.
  FormatPod tiled;
  tiled.modifiers = {0x23};
  EXPECT_FALSE(
      Negotiate(tiled.Build(), 30, {{DRM_FORMAT_XRGB8888, {0x22, 0}}}).ok());
  EXPECT_FALSE(Negotiate(tiled.Build(), 30, {{DRM_FORMAT_NV12, {0x23}}}).ok());
  EXPECT_FALSE(Negotiate(tiled.Build(), 30).ok());
}

TEST(PipeWireParams, OfTooManyModifiersTheLastStays) {
  DmabufFormat import{DRM_FORMAT_XRGB8888, {}};
  for (uint64_t i = 1; i <= 2 * limits::kModifiersMax; ++i)
    import.modifiers.push_back(i);
  import.modifiers.push_back(DRM_FORMAT_MOD_LINEAR);
  FormatPod node;
  node.modifiers = {0};
  EXPECT_TRUE(Negotiate(node.Build(), 30, {import})->dmabuf);
  node.modifiers = {1};
  EXPECT_TRUE(Negotiate(node.Build(), 30, {import})->dmabuf);
  node.modifiers = {2 * limits::kModifiersMax};
  EXPECT_FALSE(Negotiate(node.Build(), 30, {import}).ok());
}

TEST(PipeWireParams, DmabufsAreAskedForOnlyWhereTheyWereAgreedOn) {
  for (const bool dmabuf : {false, true}) {
    ParamList list = ParamList::BuffersAndMetas(dmabuf);
    for (uint32_t i = 0; i < 2; ++i) {
      const spa_pod_prop* types = spa_pod_find_prop(list.data()[i], nullptr,
                                                    SPA_PARAM_BUFFERS_dataType);
      ASSERT_NE(types, nullptr);
      uint32_t count = 0;
      uint32_t kind = 0;
      int32_t mask = 0;
      spa_pod_get_int(spa_pod_get_values(&types->value, &count, &kind), &mask);
      EXPECT_EQ(mask, dmabuf ? 1 << SPA_DATA_DmaBuf
                             : 1 << SPA_DATA_MemPtr | 1 << SPA_DATA_MemFd);
    }
  }
}

TEST(PipeWireParams, AWishForARateIsOfferedTwiceAsTheMost) {
  ParamList list = ParamList::Formats(60, {});
  ASSERT_EQ(list.size(), 1u);
  const spa_pod_prop* prop =
      spa_pod_find_prop(list.data()[0], nullptr, SPA_FORMAT_VIDEO_maxFramerate);
  ASSERT_NE(prop, nullptr);
  uint32_t count = 0;
  uint32_t choice = 0;
  const spa_pod* values = spa_pod_get_values(&prop->value, &count, &choice);
  spa_fraction preferred{};
  ASSERT_EQ(spa_pod_get_fraction(values, &preferred), 0);
  EXPECT_EQ(preferred.num, 120u);
  EXPECT_EQ(choice, uint32_t{SPA_CHOICE_Range});
  EXPECT_EQ(count, 3u);
}

TEST(PipeWireParams, TheAnswerAsksForBuffersAndMetasAndNoFormat) {
  ParamList list = ParamList::BuffersAndMetas(false);
  std::vector<uint32_t> metas;
  int buffers = 0;
  for (uint32_t i = 0; i < list.size(); ++i) {
    const spa_pod* pod = list.data()[i];
    ASSERT_FALSE(spa_pod_is_object_type(pod, SPA_TYPE_OBJECT_Format));
    if (spa_pod_is_object_type(pod, SPA_TYPE_OBJECT_ParamBuffers)) ++buffers;
    const spa_pod_prop* type =
        spa_pod_find_prop(pod, nullptr, SPA_PARAM_META_type);
    uint32_t id = 0;
    if (spa_pod_is_object_type(pod, SPA_TYPE_OBJECT_ParamMeta) &&
        spa_pod_get_id(&type->value, &id) == 0)
      metas.push_back(id);
  }
  EXPECT_EQ(buffers, 2);
  EXPECT_THAT(metas,
              testing::UnorderedElementsAre(
                  SPA_META_Header, SPA_META_VideoCrop, SPA_META_VideoDamage,
                  SPA_META_Cursor, SPA_META_VideoTransform));
}

// The number of buffers that a source which offers `range` and we settle on.
int32_t BuffersWith(int32_t preferred, int32_t min, int32_t max) {
  std::array<uint64_t, 64> theirs{};
  std::array<uint64_t, 64> result{};
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, theirs.data(), sizeof theirs);
  spa_pod_frame frame;
  spa_pod_frame choice;
  spa_pod_builder_push_object(&builder, &frame, SPA_TYPE_OBJECT_ParamBuffers,
                              SPA_PARAM_Buffers);
  spa_pod_builder_prop(&builder, SPA_PARAM_BUFFERS_buffers, 0);
  if (min == max) {
    spa_pod_builder_int(&builder, preferred);
  } else {
    spa_pod_builder_push_choice(&builder, &choice, SPA_CHOICE_Range, 0);
    for (int32_t value : {preferred, min, max})
      spa_pod_builder_int(&builder, value);
    spa_pod_builder_pop(&builder, &choice);
  }
  spa_pod_builder_pop(&builder, &frame);
  ParamList ours = ParamList::BuffersAndMetas(false);
  for (uint32_t i = 0; i < 2; ++i) {
    spa_pod_builder_init(&builder, result.data(), sizeof result);
    spa_pod* settled = nullptr;
    if (spa_pod_filter(&builder, &settled,
                       reinterpret_cast<const spa_pod*>(theirs.data()),
                       ours.data()[i]) < 0)
      continue;
    spa_pod_fixate(settled);
    int32_t count = 0;
    uint32_t values = 0;
    uint32_t kind = 0;
    spa_pod_get_int(
        spa_pod_get_values(
            &spa_pod_find_prop(settled, nullptr, SPA_PARAM_BUFFERS_buffers)
                 ->value,
            &values, &kind),
        &count);
    return count;
  }
  return 0;
}

TEST(PipeWireParams, NoMoreBuffersThanNeededUnlessTheSourceInsists) {
  EXPECT_EQ(BuffersWith(8, 2, 16), 4);
  EXPECT_EQ(BuffersWith(2, 2, 2), 2);
  EXPECT_EQ(BuffersWith(10, 10, 10), 10);
  EXPECT_EQ(BuffersWith(32, 32, 32), 0);
}

TEST(PipeWireParams, DamagedFormatsAreRefusedWhereverTheyAreCut) {
  FormatPod pod;
  pod.modifiers = {7, 7};
  const spa_pod* whole = pod.Build();
  const size_t size = whole->size;
  ASSERT_TRUE(ParseStreamFormat(whole).ok());
  for (size_t cut = 0; cut < size; ++cut) {
    // Memory of exactly that size, for a sanitizer.
    const size_t words = (sizeof(spa_pod) + cut + 7) / 8;
    std::vector<uint64_t> copy(words);
    std::memcpy(copy.data(), whole, sizeof(spa_pod) + cut);
    auto* head = reinterpret_cast<spa_pod*>(copy.data());
    head->size = static_cast<uint32_t>(cut);
    const absl::StatusOr<StreamFormat> format = ParseStreamFormat(head);
    if (format.ok()) {
      EXPECT_EQ(format->video.width, 640);
    }
  }
}

}  // namespace
}  // namespace kine
