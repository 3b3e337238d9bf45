#include "system_files.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace pocketgan {

std::string system_text(const std::filesystem::path& path) {
    std::string text;
    std::FILE* file = std::fopen(path.c_str(), "re");
    if (file == nullptr) return text;
    char part[4096];
    while (const std::size_t count = std::fread(part, 1, sizeof part, file)) text.append(part, count);
    std::fclose(file);
    return text;
}

std::string system_line(const std::filesystem::path& path) {
    std::string line = system_text(path);
    line = line.substr(0, line.find('\n'));
    return line.substr(0, line.find_last_not_of(" \t\r") + 1);
}

std::optional<double> system_number(const std::filesystem::path& path) {
    const std::string line = system_line(path);
    char* end = nullptr;
    const double number = std::strtod(line.c_str(), &end);
    if (line.empty() || end == line.c_str()) return {};
    return number;
}

std::vector<std::filesystem::path> system_entries(const std::filesystem::path& folder, const std::string& begin) {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        if (at->path().filename().string().rfind(begin, 0) == 0) found.push_back(at->path());
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::int64_t own_status_bytes(const std::string& key) {
    const std::string text = system_text("/proc/self/status");
    const auto found = text.find("\n" + key + ":");
    return found == std::string::npos ? 0 : std::strtoll(text.c_str() + found + key.size() + 2, nullptr, 10) * 1024;
}

}  // namespace pocketgan
