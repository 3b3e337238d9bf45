// Where ONNX Runtime put the nodes of a model, by its own profile.
#pragma once

#include <filesystem>
#include <string>

#include "loaded.h"

namespace pocketgan {

// Nodes of each provider as a JSON object, null where the profile does not tell. One more load and run of the model;
// the profile lies in `folder` meanwhile.
std::string planned_nodes(const Runtime& runtime, Plan& plan, LoadOptions options, const std::filesystem::path& folder);

}  // namespace pocketgan
