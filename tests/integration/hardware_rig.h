// kinescoped with a GPU that is not there: the driver of tests/softva, which
// loses nothing, and recordings of the test pattern, of which every picture is
// known. So what a recording shows can be compared with what was drawn.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/integration/daemon_rig.h"

namespace kine {

// Pairs as in tests/softva/README.md, without the SOFTVA_ in front.
using SoftVaSettings = std::vector<std::pair<std::string, std::string>>;

// For a daemon whose recorders find that driver. `preload`: more libraries of
// its directory.
DaemonRig::Options WithSoftVa(const SoftVaSettings& settings,
                              const std::vector<std::string>& preload = {});

// What the driver found wrong with its clients so far, a line each.
std::string Complaints(const DaemonRig& rig);

// Compares a recorded pattern of that size, picture by picture, with the one
// that its number and its time stand for. Adds a failure unless no sample is
// further away than `tolerance` and no picture says less than the one before.
// Returns how many pictures there are.
size_t ExpectPattern(const std::string& path, const std::string& pattern,
                     int width, int height, int tolerance = 0);

// How many of its pictures, from the first on, are what was drawn to the last
// sample.
size_t ExactPictures(const std::string& path, const std::string& pattern,
                     int width, int height);

}  // namespace kine
