// Frames that overlap, as a camera app pipelines them.
#pragma once

#include <cstdint>
#include <vector>

#include "loaded.h"
#include "timing.h"

namespace pocketgan {

// While a frame is inferred, the next one's picture becomes a tensor and the last one's output a picture, each on a
// thread of its own.
std::vector<Frame> overlapping(Loaded& model, std::int64_t count, std::int64_t round, const Between& between);

}  // namespace pocketgan
