#include "file_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace pocketgan {

std::optional<double> cached_share(const std::filesystem::path& path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return {};
    struct stat status{};
    std::optional<double> share;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        const auto size = static_cast<std::size_t>(status.st_size);
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (mapped != MAP_FAILED) {
            std::vector<unsigned char> pages((size + page - 1) / page);
            if (mincore(mapped, size, pages.data()) == 0) {
                const auto held = std::count_if(pages.begin(), pages.end(), [](unsigned char one) { return one & 1; });
                share = static_cast<double>(held) / static_cast<double>(pages.size());
            }
            munmap(mapped, size);
        }
    }
    close(descriptor);
    return share;
}

}  // namespace pocketgan
