// The files that an ONNX model names, whose names a stranger may choose (core/bundle/onnx_data.py).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "manifest.h"

namespace pocketgan {

// Looks at a model before the runtime does, which opens what the model names: `model` in the bundle, which lies at `path`.
// Throws Problem where it names something else than one of `files` of the bundle, beside it or below, and bytes that they
// have; or where it is no model.
void must_name_own_files(const std::filesystem::path& path, const std::string& model,
                         const std::vector<FileRecord>& files);

}  // namespace pocketgan
