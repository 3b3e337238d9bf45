// The small files in which Linux tells its state; what cannot be read tells nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pocketgan {

std::string system_text(const std::filesystem::path& path);
std::string system_line(const std::filesystem::path& path);
std::optional<double> system_number(const std::filesystem::path& path);
// What lies in a folder under names that begin so, in order.
std::vector<std::filesystem::path> system_entries(const std::filesystem::path& folder, const std::string& begin);
// A line of /proc/self/status in bytes; 0 where it is not told.
std::int64_t own_status_bytes(const std::string& key);

}  // namespace pocketgan
