// A request's settings as what capture/ and encode/ understand: the one place
// where the link's values and theirs meet. Pure functions; any thread.
#pragma once

#include <string>

#include "capture/create_source.h"
#include "capture/frame_source.h"
#include "daemon/recorder/capture/capture_sink.h"
#include "encode/create_encoder.h"
#include "encode/encoder.h"
#include "encode/mp4/view.h"
#include "ipc/link_messages.h"
#include "ipc/recording_request.h"

namespace kine {

// `restore_token` is the portal's of its last start, for a request that names
// none.
SourceSpec ToSourceSpec(const CaptureKey& key,
                        const std::string& restore_token);
EncoderChoice ToEncoderChoice(RecordingSettings::Encoder encoder);
EncoderConfig ToEncoderConfig(const RecordingSettings& settings);
// All that decides what a sink shares with others.
CaptureRequest ToCaptureRequest(const RecordingSettings& settings,
                                const std::string& restore_token,
                                int queue_packets);
mp4::CompactRule ToCompactRule(int64_t after_ms, int speed);

// All but the id.
link::Format ToFormat(const VideoFormat& format,
                      const SourceDescription& description,
                      const EncoderDescription& encoder);

}  // namespace kine
