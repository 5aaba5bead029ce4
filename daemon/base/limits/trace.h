// The limits of what a recording's trace keeps and of what is made of it.
//
// Documented for operators in README.md, "Trace".
#pragma once

#include <cstddef>
#include <cstdint>

namespace kine::limits {

// What a recording's ring holds: a packet is one record, a fragment four. At 30
// pictures and two fragments a second that is 53 s, at 120 pictures 16 s; of 96
// bytes each, so 192 KiB a recording, of which only what was used is memory.
inline constexpr size_t kTraceRecords = 2'048;
// JSON of one record at the most: a picture with everything that can be said
// of it. So a trace has 5 MiB at the most.
inline constexpr size_t kTraceRecordJsonBytes = 2'688;
// Traces that are made at once; each takes the file worker some 10 ms, which a
// manifest may have to wait for.
inline constexpr size_t kTracesAtOnce = 2;

}  // namespace kine::limits
