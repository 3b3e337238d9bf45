#include "named_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "problem.h"

namespace pocketgan {
namespace {

namespace fs = std::filesystem;

// Deeper graphs inside of graphs are nobody's; names of files are short.
constexpr int most_depth = 64;
constexpr std::size_t most_name_bytes = 4096;
enum Wire : std::uint64_t { varint = 0, fixed64 = 1, bytes = 2, group_begins = 3, fixed32 = 5 };

enum class Kind { model, training, function, graph, node, attribute, sparse, tensor, name_of_operator };

// The fields of onnx.proto that lead to tensors and nodes.
const std::map<Kind, std::map<std::uint64_t, Kind>> messages{
    {Kind::model, {{7, Kind::graph}, {20, Kind::training}, {25, Kind::function}}},
    {Kind::training, {{1, Kind::graph}, {2, Kind::graph}}},
    {Kind::function, {{7, Kind::node}, {11, Kind::attribute}}},
    {Kind::graph, {{1, Kind::node}, {5, Kind::tensor}, {15, Kind::sparse}}},
    {Kind::node, {{4, Kind::name_of_operator}, {5, Kind::attribute}}},
    {Kind::attribute,
     {{5, Kind::tensor},
      {6, Kind::graph},
      {10, Kind::tensor},
      {11, Kind::graph},
      {22, Kind::sparse},
      {23, Kind::sparse}}},
    {Kind::sparse, {{1, Kind::tensor}, {2, Kind::tensor}}},
};

// Bits of a number of each of TensorProto's data types that may lie outside.
std::uint64_t bits_of(std::uint64_t type) {
    static const std::map<std::uint64_t, std::uint64_t> bits{
        {1, 32},  {2, 8},   {3, 8},   {4, 16},  {5, 16},  {6, 32},   {7, 64},  {9, 8},
        {10, 16}, {11, 64}, {12, 32}, {13, 64}, {14, 64}, {15, 128}, {16, 16}, {17, 8},
        {18, 8},  {19, 8},  {20, 8},  {21, 4},  {22, 4},  {23, 4},   {24, 8}};
    const auto found = bits.find(type & 0xFFFFFFFF);
    return found == bits.end() ? 0 : found->second;
}

std::string quote(std::string_view text) {
    std::string out = "'";
    for (const char c : text.substr(0, 200)) {
        if (c == '\\') out += c;  // twice, as Python's repr
        out += c >= ' ' && c < 0x7F ? c : '?';
    }
    return out + "'";
}

struct NotOnnx : Problem {
    explicit NotOnnx(const std::string& why = "") : Problem("is no ONNX model" + why) {}
};

// A message, read from its front.
class Message {
 public:
    explicit Message(std::string_view rest) : rest_(rest) {}

    // Whether there is one more field; its value is read next.
    bool next(std::uint64_t& number, std::uint64_t& wire) {
        if (rest_.empty()) return false;
        const std::uint64_t key = number_here();
        number = key >> 3, wire = key & 7;
        if (number == 0) throw NotOnnx();
        return true;
    }

    bool empty() const { return rest_.empty(); }

    std::uint64_t number_here() {
        std::uint64_t value = 0;
        for (int shift = 0;; shift += 7) {
            if (rest_.empty() || shift > 63) throw NotOnnx(": it ends too early");
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80) return value;
        }
    }

    std::string_view value() {
        const std::uint64_t length = number_here();
        return part(length, ": a field reaches beyond its message");
    }

    std::string text() {
        const std::string_view content = value();
        if (content.size() > most_name_bytes)
            throw Problem("holds a name of " + std::to_string(content.size()) + " bytes");
        return std::string(content);
    }

    void skip(std::uint64_t wire) {
        switch (wire) {
            case varint: number_here(); return;
            case bytes: value(); return;
            case fixed64: part(8, ": it ends too early"); return;
            case fixed32: part(4, ": it ends too early"); return;
            case group_begins: throw Problem("holds a field of a kind that models do not have");
            default: throw NotOnnx();
        }
    }

 private:
    std::string_view part(std::uint64_t length, const char* why) {
        if (length > rest_.size()) throw NotOnnx(why);
        const std::string_view content = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return content;
    }

    std::string_view rest_;
};

// Whole multiples of what no file reaches stay where they are: a product must not begin anew at nought.
std::uint64_t capped_product(std::uint64_t one, std::uint64_t other) {
    constexpr std::uint64_t most = std::uint64_t{1} << 62;
    return one != 0 && other > most / one ? most : one * other;
}

class Walk {
 public:
    // `folder` is that of the model in the bundle, `sizes` of the component's files by their paths.
    Walk(std::string folder, std::map<std::string, std::uint64_t> sizes)
        : folder_(std::move(folder)), sizes_(std::move(sizes)) {}

    void walk(std::string_view content, Kind kind, int depth) const {
        if (depth > most_depth) throw Problem("is nested too deeply");
        if (kind == Kind::tensor) return tensor(content);
        Message message(content);
        std::uint64_t number = 0, wire = 0;
        const auto& leading = messages.at(kind);
        while (message.next(number, wire)) {
            const auto inner = leading.find(number);
            if (wire != bytes || inner == leading.end()) {
                message.skip(wire);
            } else if (inner->second == Kind::name_of_operator) {
                // Holds, or names the file of, what another runtime compiled for one device.
                if (message.text() == "EPContext") {
                    throw Problem("holds a node EPContext, which names files of its own; it cannot be checked");
                }
            } else {
                walk(message.value(), inner->second, depth + 1);
            }
        }
    }

 private:
    void tensor(std::string_view content) const {
        std::map<std::string, std::string> entries;
        std::uint64_t count = 1, bits = 0, number = 0, wire = 0;
        bool external = false;
        Message message(content);
        while (message.next(number, wire)) {
            if (number == 13 && wire == bytes) {
                const auto [key, value] = entry(message.value());
                if (!entries.emplace(key, value).second)
                    throw Problem("says twice what the " + quote(key) + " of a tensor is");
            } else if (number == 1 && wire == varint) {
                count = capped_product(count, message.number_here());
            } else if (number == 1 && wire == bytes) {
                const std::string_view packed = message.value();
                for (Message sizes(packed); !sizes.empty();) count = capped_product(count, sizes.number_here());
            } else if (number == 2 && wire == varint) {
                bits = bits_of(message.number_here());
            } else if (number == 14 && wire == varint) {
                external = (message.number_here() & 0xFFFFFFFF) == 1 || external;
            } else {
                message.skip(wire);
            }
        }
        if (!external && entries.empty()) return;
        if (entries["location"].empty()) throw Problem("has a tensor in another file and does not say in which");
        const std::uint64_t start = whole_number(entries, "offset");
        const std::uint64_t needed = (capped_product(count, bits) + 7) / 8;
        must_be_there(entries["location"], start, start + std::max(needed, whole_number(entries, "length")));
    }

    static std::pair<std::string, std::string> entry(std::string_view content) {
        Message message(content);
        std::pair<std::string, std::string> pair;
        std::uint64_t number = 0, wire = 0;
        while (message.next(number, wire)) {
            if (wire == bytes && (number == 1 || number == 2)) {
                (number == 1 ? pair.first : pair.second) = message.text();
            } else {
                message.skip(wire);
            }
        }
        return pair;
    }

    static std::uint64_t whole_number(const std::map<std::string, std::string>& entries, const char* name) {
        const auto found = entries.find(name);
        if (found == entries.end()) return 0;
        const std::string& text = found->second;
        if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) {
            throw Problem("has a tensor whose offset or length is " + quote(text));
        }
        return std::stoull(text);
    }

    void must_be_there(const std::string& location, std::uint64_t start, std::uint64_t end) const {
        // As a path is read on every system; a name that is an address in memory, as ONNX Runtime has them, is no file.
        if (location.find_first_of(std::string("\\:\0", 3)) != std::string::npos || location.front() == '/') {
            throw Problem("names " + quote(location) + ", which is no path in its folder");
        }
        const std::string path = (fs::path(folder_) / location).lexically_normal().string();
        if (path.rfind(folder_ + "/", 0) != 0) {
            throw Problem("names " + quote(location) + ", which lies outside of its folder");
        }
        const auto found = sizes_.find(path);
        if (found == sizes_.end()) throw Problem("names " + quote(location) + ", which is no file in its folder");
        if (end > found->second) {
            throw Problem("names bytes " + std::to_string(start) + " to " + std::to_string(end) + " of " +
                          quote(location) + ", which has " + std::to_string(found->second));
        }
    }

    std::string folder_;
    std::map<std::string, std::uint64_t> sizes_;
};

// A file in memory, of which only what is looked at is read.
class Mapped {
 public:
    explicit Mapped(const fs::path& path) {
        const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        size_ = static_cast<std::size_t>(fs::file_size(path));
        if (size_ > 0) data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (descriptor >= 0) close(descriptor);
        if (data_ == MAP_FAILED) throw Problem("cannot be read");
    }
    ~Mapped() {
        if (data_ != nullptr && data_ != MAP_FAILED) munmap(data_, size_);
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;

    std::string_view content() const { return {static_cast<const char*>(data_), size_}; }

 private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace

void must_name_own_files(const fs::path& path, const std::string& name, const std::vector<FileRecord>& files) {
    std::map<std::string, std::uint64_t> sizes;
    for (const FileRecord& file : files) sizes[file.path] = static_cast<std::uint64_t>(file.bytes);
    try {
        const Mapped model(path);
        if (model.content().substr(0, 8).find("ORTM", 4) == 4) return;  // ONNX Runtime's own format names no files
        Walk(name.substr(0, name.rfind('/')), std::move(sizes)).walk(model.content(), Kind::model, 0);
    } catch (const Problem& problem) {
        throw Problem(name + " " + problem.what());
    }
}

}  // namespace pocketgan
