// What the encode pump counts.
#pragma once

#include "daemon/base/metrics.h"

namespace kine {

// Read from any thread. Owned by the pump's owner, who may keep it longer.
struct EncodePumpMetrics {
  Counter frames_offered;
  Counter frames_lost;        // Replaced in the mailbox, or left at the stop.
  Counter frames_encoded;     // Gave a picture of their own.
  Counter skipped_undamaged;  // Looked the same as the frame before.
  Counter imports_refused;    // Frames in memory that the encoder cannot read.
  Counter skipped_paused;     // As frames_lost, but while paused: on purpose.
  Counter pointer_pictures;   // Of the pointer over the kept picture.
  Counter repeated;           // Of a still picture, for those who watch.
  Counter keyframes;
  Counter refinements;
  Counter packets;
  Counter packet_bytes;
  Counter credit_stalls;  // Times that a waiting frame found no credit.
  Counter encoder_errors;
  Counter encoder_rebuilds;
  // Histograms over frames: arrival -> encode_start -> encode_end.
  Histogram wait;
  Histogram encode;
};

}  // namespace kine
