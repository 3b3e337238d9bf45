// A bundle in the session's folder: what was asked for of it, and proof that its bytes are those of its digest.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "job.h"
#include "manifest.h"

namespace pocketgan {

struct Bundle {
    std::filesystem::path folder;
    Manifest manifest;
};

// The bundle of that digest under `session_folder`, whose manifest's SHA-256 is the digest.
// Throws Problem where it is not there or is another one.
Bundle open_bundle(const std::filesystem::path& session_folder, const std::string& digest);

// A file of the bundle on disk: its path, size and SHA-256 as recorded. Throws Problem otherwise.
void verify_file(const Bundle& bundle, const FileRecord& file);

// Verifies what a Job uses: the component's files that its concept needs, and the golden tensors of the concept.
// `between` is called before each file.
void verify_used(const Bundle& bundle, const Job& job, const std::function<void()>& between);

}  // namespace pocketgan
