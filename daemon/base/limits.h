// Every limit and every time-out, with its arithmetic. Inner deadlines are
// shorter than outer ones: the static_asserts below say which is which.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

namespace kine::limits {

// -- Units: every *Ms is milliseconds, every *Us microseconds, every *Bytes
// bytes. Plain integers, because constexpr absl::Duration cannot be compared in
// a static_assert with this Abseil.

// -- Media
// ---------------------------------------------------------------------
inline constexpr int64_t kMediaTimeScale = 90'000;  // Ticks a second.
inline constexpr int64_t kFragmentMs = 500;
inline constexpr int64_t kKeyframeMs = 5'000;
inline constexpr int64_t kRefineAfterMs = 300;  // Stillness before refinement.
inline constexpr double kFpsDefault = 30;
inline constexpr double kFpsMin = 1;
inline constexpr double kFpsMax = 120;
inline constexpr int kPictureSideMin = 16;
inline constexpr int kPictureSideMax = 8'192;
// One picture in the GPU takes 10 ms, on one that is busy 100; beyond this it
// hangs. Inside of the heartbeats, so that software can take over.
inline constexpr int64_t kVaSyncMs = 2'000;
// Buffers of one source imported at once: twice what a pool can have.
inline constexpr size_t kVaImportsMax = 32;
// Lent out at once, as kPipeWireBuffers; made when first used.
inline constexpr int kTestPatternBuffers = 4;

// -- Between the encoder and the disk
// --------------------------------------------
inline constexpr int kQueuePacketsDefault = 96;
inline constexpr int kQueuePacketsMax = 4'096;
inline constexpr uint64_t kQueueBytesMax = 64ull << 20;
inline constexpr int64_t kQueueFullMs = 5'000;  // Full for so long: disk_slow.
// One keyframe of noise at 1080p is 1.6 MB; 8k is 16 times that.
inline constexpr uint64_t kPacketBytesMax = 32ull << 20;
// Near max_bytes a picture is made to fit an eighth of what is left, but never
// less than this: a page of text as a keyframe.
inline constexpr uint64_t kPacketSqueezeMinBytes = 64ull << 10;
static_assert(kPacketBytesMax <= kQueueBytesMax);

// -- The encoder
// ------------------------------------------------------------------
// A minute: more keyframes after failures, and more encoders opened anew, than
// a device that works ever needs (encode/encoder_ladder.h).
inline constexpr int kEncoderRetriesMax = 10;
inline constexpr int kEncoderRebuildsMax = 3;
// An encode thread that is silent for so long hangs in a driver. A keyframe of
// 8k noise takes 2 s of one slow core.
inline constexpr int64_t kEncodeSilentMs = 10'000;
// So many recorders in a row that died of their hardware encoder: software for
// a while.
inline constexpr int kHardwareDeathsMax = 2;
inline constexpr int64_t kHardwareRetryMs = 10 * 60'000;

// -- One recording
// -----------------------------------------------------------------
inline constexpr uint64_t kMaxBytesDefault = 100ull << 20;
inline constexpr uint64_t kMaxBytesMin = 4ull << 20;
inline constexpr uint64_t kMaxBytesMax = 1ull << 40;
inline constexpr int64_t kMaxDurationDefaultMs = 4ll * 3'600'000;
inline constexpr int64_t kMaxDurationMaxMs = 7ll * 24 * 3'600'000;
inline constexpr int64_t kSourceGraceMs = 10'000;
inline constexpr int64_t kAliveMs = 500;
inline constexpr int kRecordingsMax = 16;
inline constexpr int kRecordingsPerOwnerMax = 5;
// Finished ones stay in the catalogue (and on the disk) until deleted.
inline constexpr int kRecordingsKnownMax = 4'096;
inline constexpr size_t kRecordingIdMax = 64;
// Kept in the state reply; more are only events.
inline constexpr size_t kFallbacksMax = 32;
// GET /v1/recordings answers at most so many at once.
inline constexpr int kListItemsMax = 100;
inline constexpr size_t kLabelsMax = 16;
inline constexpr size_t kLabelKeyMax = 64;
inline constexpr size_t kLabelValueMax = 256;
inline constexpr size_t kSourceNameMax = 256;
inline constexpr size_t kRestoreTokenMax = 1'024;
inline constexpr int64_t kMaxDurationMinMs = 100;
inline constexpr int64_t kSourceGraceMaxMs = 600'000;
inline constexpr uint64_t kBitrateMin = 50'000;
inline constexpr uint64_t kBitrateMax = 200'000'000;

// The index in the finished moov: of one sample stts 8 + stsz 4 + stdp 2; of
// one fragment stsc 12 + stco 4; of one keyframe stss 4.
inline constexpr uint64_t kIndexBytesPerSample = 14;
inline constexpr uint64_t kIndexBytesPerFragment = 16;
inline constexpr uint64_t kIndexBytesPerKeyframe = 4;
inline constexpr uint64_t kReserveMinBytes = 64ull << 10;
// The recorder keeps its index in memory: 8 MiB hold a million samples of 8 B
// (nine hours at 30 fps); above that it reads the file back.
inline constexpr uint64_t kIndexMemoryBytesMax = 8ull << 20;
// Reading a recording back holds 6 B a sample: 7 days of 120 fps are 436 MB.
inline constexpr uint64_t kFinaliseIndexBytesMax = 512ull << 20;
inline constexpr uint64_t kPreallocateBytes = 8ull << 20;
// Below this much free space a recording ends `disk_full`; the ballast is given
// back to finalise.
inline constexpr uint64_t kFreeSpaceFloorBytes = 64ull << 20;

// -- Files
// -------------------------------------------------------------------------
// Operations waiting in one FileIo: 16 recordings with a write, a sync, a
// reservation and five side files each are 128; eight times that.
inline constexpr size_t kFileIoOperationsMax = 1'024;
// A fragment's packets may fill the queue above, and the next fragment copies.
inline constexpr uint64_t kFileIoBytesMax = 2 * kQueueBytesMax;
inline constexpr unsigned kUringEntries = 64;
inline constexpr int64_t kUringProbeMs = 2'000;  // Spawn until exit.
inline constexpr int64_t kLogFlushMs = 250;
// A cursor at 1,000 reports a second writes 25 KB in 250 ms; 40 times that.
inline constexpr size_t kLogBufferBytesMax = 1u << 20;
inline constexpr size_t kLogLineBytesMax = 64u << 10;
static_assert(kLogLineBytesMax < kLogBufferBytesMax);
static_assert(2 * kLogBufferBytesMax < kFileIoBytesMax);
inline constexpr size_t kManifestBytesMax = 1u << 20;
// Given back to finalise on a full disk: one index that did not fit its
// reserve, and as much again for the side files.
inline constexpr uint64_t kBallastBytes = 2 * kIndexMemoryBytesMax;
static_assert(kBallastBytes < kFreeSpaceFloorBytes);
// One recording's directory: some ten files, cursor shapes, depth 2.
inline constexpr size_t kDirectoryEntriesMax = 65'536;
inline constexpr int kDirectoryDepthMax = 4;

// -- Recorder and daemon
// -------------------------------------------------------------
inline constexpr size_t kLinkMessageBytesMax = 64u << 10;
inline constexpr int kLinkFdsMax = 4;
// What waits when the peer is busy: 64 messages are 32 s of heartbeats.
inline constexpr size_t kLinkQueueMessagesMax = 64;
inline constexpr size_t kLinkQueueBytesMax = 1u << 20;
// Foreign text in a message. A format with 4 refusals has 10 + 2 * 4 texts;
// escaped, a byte takes at most 6: 18 * 512 * 6 = 55 KB.
inline constexpr size_t kLinkTextBytesMax = 512;
inline constexpr size_t kLinkRefusalsMax = 4;
static_assert((10 + 2 * kLinkRefusalsMax) * kLinkTextBytesMax * 6 <
              kLinkMessageBytesMax);
inline constexpr int64_t kHeartbeatMs = 500;
inline constexpr int kHeartbeatsMissedMax = 10;
inline constexpr int64_t kRecorderStartMs =
    15'000;                                       // Start until acknowledged.
inline constexpr int64_t kConsentMs = 60'000;     // A person at the portal.
inline constexpr int64_t kPortalQuietMs = 3'000;  // auto: without a prompt.
// One call to the portal; the first may have to start it.
inline constexpr int64_t kPortalCallMs = 5'000;
// Between two attempts to get a lost portal session back, doubling. As many as
// fill the default grace time twice.
inline constexpr int64_t kPortalRetryMs = 250;
inline constexpr int64_t kPortalRetryMaxMs = 4'000;
inline constexpr int kPortalRetriesMax = 10;
inline constexpr int64_t kRecorderStopMs = 10'000;  // Stop until finalised.
inline constexpr int64_t kRecorderExitMs = 1'000;   // Link closed until exit.
inline constexpr int64_t kFinaliseMs = 30'000;      // One-shot recovery.
// A recovery reads the disk; more at once would only seek.
inline constexpr int kRecoveriesAtOnce = 2;
inline constexpr int64_t kListSourcesMs = 5'000;  // One-shot listing.
// A finalise report is 2 KiB, a listing of 100 nodes 40 KiB.
inline constexpr size_t kOneShotBytesMax = 256u << 10;
inline constexpr int64_t kLockWaitMs =
    2'000;  // For a dying writer's file lock.
inline constexpr int64_t kShutdownMs = 15'000;
static_assert(kPortalCallMs + kPortalQuietMs < kRecorderStartMs);
static_assert(kPortalRetryMaxMs * kPortalRetriesMax > 2 * kSourceGraceMs);
static_assert(kRecorderExitMs < kLockWaitMs);
static_assert(kRecorderStopMs < kShutdownMs);
static_assert(kHeartbeatMs * kHeartbeatsMissedMax < kRecorderStopMs);
static_assert(kVaSyncMs * 2 < kHeartbeatMs * kHeartbeatsMissedMax);

// -- kinescope-frames
// -------------------------------------------------------------------------
// From the keyframe before on: at most 5 s, 150 pictures of 1080p, 0.6 s.
inline constexpr int64_t kFramesMs = 2'000;
// An index of kFinaliseIndexBytesMax, and a decoder's 16 pictures of 8k.
inline constexpr uint64_t kFramesMemoryBytes = 4ull << 30;
inline constexpr uint64_t kFramesOutputBytes = 4ull << 30;

// -- PipeWire
// -----------------------------------------------------------------------------
// Lent out at once: one in the mailbox, one being encoded, one arriving; the
// fourth is the one that the source draws into. A smaller pool would stop the
// desktop's own drawing, so there the pictures are copied.
inline constexpr int kPipeWireBuffers = 4;  // 4 x 8.3 MB at 1080p.
inline constexpr int kPipeWireBuffersMax = 16;
inline constexpr int kPipeWireLendBuffersMin = 4;
inline constexpr int kPipeWireCopiesMax = 4;
inline constexpr int kCursorSideMax = 384;       // mutter's only size.
inline constexpr int kPipeWireNodesMax = 4'096;  // Video nodes, and ports.
// Found until a format is agreed on; a session manager takes 0.1 s.
inline constexpr int64_t kPipeWireStartMs = 5'000;
inline constexpr int64_t kPipeWireSettleMs = 200;  // A node that just came.
// Between two attempts to connect, doubling.
inline constexpr int64_t kPipeWireRetryMs = 10;
inline constexpr int64_t kPipeWireRetryMaxMs = 5'000;
// Of one pixel format; radeonsi has some 50.
inline constexpr size_t kModifiersMax = 64;
// A GPU that draws one picture for so long is being reset by its driver.
inline constexpr int64_t kFenceMs = 1'000;
inline constexpr int64_t kSourceTimeSkewMs = 1'000;  // Stamps in the future.
static_assert(kPipeWireLendBuffersMin <= kPipeWireBuffers);
static_assert(kPipeWireStartMs < kRecorderStartMs);
static_assert(kPipeWireRetryMaxMs < kSourceGraceMs);

// -- HTTP
// -------------------------------------------------------------------------------
inline constexpr int kConnectionsMax = 1'200;
inline constexpr int kConnectionsPerUidMax = 1'100;
inline constexpr int kConnectionsReserved = 100;  // Health, stop and cancel.
inline constexpr int kStreamsMax = 256;  // Live, follow and event readers.
inline constexpr size_t kHeadBytesMax = 16u << 10;
inline constexpr int kHeadFieldsMax = 64;
inline constexpr size_t kTargetBytesMax = 2u << 10;
inline constexpr size_t kBodyBytesMax = 64u << 10;
inline constexpr size_t kJsonKeyShownMax = 64;  // Of an unknown member.
inline constexpr int64_t kHeadMs = 5'000;
inline constexpr int64_t kBodyMs = 10'000;
inline constexpr int64_t kIdleMs = 60'000;
inline constexpr int64_t kWriteStallMs = 30'000;
inline constexpr int64_t kWaitMaxMs = 300'000;
inline constexpr size_t kSendfileChunkBytes = 1u << 20;
inline constexpr size_t kStreamChunkBytes = 32u << 10;  // One HTTP chunk.
// After a refusal the rest of what the client sends is read and thrown away
// for so long, so that it sees the answer and not a broken pipe.
inline constexpr int64_t kLingerMs = 1'000;
inline constexpr size_t kLingerBytesMax = 4u << 20;
// No descriptor and no spare one: until accepting is tried again.
inline constexpr int64_t kAcceptPauseMs = 100;
static_assert(kLingerMs < kHeadMs && kHeadMs < kIdleMs);
static_assert(kConnectionsPerUidMax + kConnectionsReserved <= kConnectionsMax);
static_assert(kStreamsMax < kConnectionsPerUidMax);

// -- Events
// -------------------------------------------------------------------------------
inline constexpr size_t kEventRing = 4'096;
// The ring holds at most 4,096 * 4 KiB = 16 MiB.
inline constexpr size_t kEventBytesMax = 4u << 10;
inline constexpr int64_t kEventHeartbeatMs = 15'000;
static_assert(kEventHeartbeatMs < kWriteStallMs);

// -- Client
// ---------------------------------------------------------------------------------
inline constexpr int64_t kConnectMs = 2'000;
inline constexpr int64_t kClientSilenceMs = 30'000;
static_assert(kEventHeartbeatMs * 2 <= kClientSilenceMs);
// A long wait is asked for in slices, so that a silent daemon is noticed.
inline constexpr int64_t kClientWaitMs = 20'000;
static_assert(kClientWaitMs < kClientSilenceMs && kClientWaitMs <= kWaitMaxMs);
// A list of 4,096 recordings of 2 KiB each.
inline constexpr size_t kClientBodyBytesMax = 8u << 20;
inline constexpr size_t kClientLineBytesMax = 64u << 10;  // One event.

}  // namespace kine::limits
