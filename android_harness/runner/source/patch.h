// Patches: how a pack's concept changes the file of an entry (docs/bundle.md, "Patches").
#pragma once

#include <filesystem>

#include "manifest.h"

namespace pocketgan {

// The file that a patch makes of `target`: in `folder` under the SHA-256 of its content, whole or not at all; made where
// it is not there. Its parts are changed one after the other, so that it need not fit into memory.
// `patch` is a file beside those that it wants put in before it.
// Throws Problem, as the end of a sentence about the patch: it is none, does not fit, or gives another file than it says.
std::filesystem::path patched_file(const std::filesystem::path& target, const std::filesystem::path& patch,
                                   const std::filesystem::path& folder);

// The SHA-256 of the file that it belongs to, in hex digits. Throws as above.
std::string patch_target(const std::filesystem::path& patch);

}  // namespace pocketgan
