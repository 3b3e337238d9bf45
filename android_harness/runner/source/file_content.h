// Files read whole, and their hashes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace pocketgan {

// Throws Problem where the file cannot be read or is larger.
std::string file_content(const std::filesystem::path& path, std::size_t most_bytes);

// SHA-256 of a file in hex digits. Throws Problem where it cannot be read.
std::string file_sha256(const std::filesystem::path& path);

}  // namespace pocketgan
