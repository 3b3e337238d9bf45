// The files that an ONNX model names, whose names a stranger may choose (core/bundle/onnx_data.py).
#pragma once

#include <filesystem>

#include "manifest.h"

namespace pocketgan {

// Looks at a component's model before the runtime does, which opens what the model names.
// Throws Problem where it names something else than files of the component, beside it or below, and bytes that they
// have; or where it is no model.
void must_name_own_files(const std::filesystem::path& bundle_folder, const Component& component);

}  // namespace pocketgan
