// A session carried out: group after group, and a Result of every Job.
#pragma once

#include <filesystem>
#include <string>

#include "results.h"
#include "session.h"

namespace pocketgan {

struct Surroundings {
    std::filesystem::path runtime;  // ONNX Runtime's library
    std::string device;             // result.DeviceInfo as JSON
};

// Carries out what `results` does not answer yet. What goes wrong with a model is in the errors of its Result.
// Throws Problem where results cannot be written, Cancelled where a signal came.
void carry_out(const Session& session, const Surroundings& surroundings, Results& results);

}  // namespace pocketgan
