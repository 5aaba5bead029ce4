// Raw NV12 video for encoders that are not ours, and what a decoder makes of
// their streams.
#pragma once

#include <string>

namespace kine {

// Frames of noise-like texture in which a block moves, as NV12 without padding.
// Odd heights and widths are no NV12.
std::string MovingBlockVideo(int width, int height, int frames);

void WriteWholeFile(const std::string& path, const std::string& bytes);

// The NV12 frames of an Annex B file; "" when the decoder has a word to say.
std::string DecodeAnnexB(const std::string& path);

// Where two videos differ first: "" when nowhere.
std::string FirstDifference(const std::string& got, const std::string& want,
                            int width, int height);

}  // namespace kine
