// How much of a file the system holds in memory already: what a cold load did not have to read.
#pragma once

#include <filesystem>
#include <optional>

namespace pocketgan {

// Share (0 to 1) of its pages, by mincore(2); none where the system does not tell.
std::optional<double> cached_share(const std::filesystem::path& path);

}  // namespace pocketgan
