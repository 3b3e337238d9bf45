// The process that measures: Jobs of one group, loaded, checked and timed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "session.h"

namespace pocketgan {

enum class Pass {
    fresh,   // one Job: memory, cold load, first inference, golden check, warm load, where its nodes ran
    frames,  // all Jobs: golden check, warm-up, and their frames, the models taking turns
};

// Tells by events what came of it; what goes wrong with a model is told of that model.
void measure(Pass pass, const Session& session, const std::vector<Job>& jobs, const std::filesystem::path& runtime);

}  // namespace pocketgan
