#include "file_content.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "problem.h"
#include "sha256.h"

namespace pocketgan {
namespace {

struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

constexpr std::size_t part_bytes = 1u << 20;

[[noreturn]] void cannot_read(const std::filesystem::path& path) {
    throw Problem(path.string() + ": cannot be read: " + std::strerror(errno));
}

template <typename Take>
void read_parts(const std::filesystem::path& path, Take take) {
    const File file(std::fopen(path.c_str(), "rbe"));
    if (!file) cannot_read(path);
    std::vector<char> part(part_bytes);
    while (const std::size_t count = std::fread(part.data(), 1, part.size(), file.get())) take(part.data(), count);
    if (std::ferror(file.get())) cannot_read(path);
}

}  // namespace

std::string file_content(const std::filesystem::path& path, std::size_t most_bytes) {
    std::string content;
    read_parts(path, [&](const char* data, std::size_t count) {
        content.append(data, count);
        if (content.size() > most_bytes) throw Problem(path.string() + ": is larger than any such file");
    });
    return content;
}

std::string file_sha256(const std::filesystem::path& path) {
    Sha256 sha256;
    read_parts(path, [&](const char* data, std::size_t count) { sha256.add(data, count); });
    return sha256.digest();
}

}  // namespace pocketgan
