#include "safetensors.h"

#include <cstring>

#include "fields.h"
#include "file_content.h"
#include "half.h"
#include "problem.h"

namespace pocketgan {
namespace {

// Factors have a hundredth of their network's numbers; they lie in memory as a whole.
constexpr std::size_t most_factor_bytes = 32u << 20;
constexpr std::size_t header_length_bytes = 8;
constexpr const char* metadata_name = "__metadata__";

std::size_t bytes_of_shape(const std::vector<std::int64_t>& shape, std::size_t item) {
    std::size_t size = item;
    for (const std::int64_t side : shape) {
        size *= static_cast<std::size_t>(side);
        if (size > most_factor_bytes) throw Problem("describes a tensor that is larger than any patch");
    }
    return size;
}

}  // namespace

double FactorTensor::at(std::size_t index) const {
    if (type == "F16") {
        std::uint16_t half;
        std::memcpy(&half, data + index * sizeof half, sizeof half);
        return from_half(half);
    }
    float number;
    std::memcpy(&number, data + index * sizeof number, sizeof number);
    return static_cast<double>(number);
}

Safetensors::Safetensors(const std::filesystem::path& path) : content_(file_content(path, most_factor_bytes)) {
    if (content_.size() < header_length_bytes) throw Problem("is too short for a .safetensors");
    std::uint64_t length;
    std::memcpy(&length, content_.data(), sizeof length);
    if (length > content_.size() - header_length_bytes) throw Problem("says that its header is longer than the file");
    start_ = header_length_bytes + static_cast<std::size_t>(length);
    header_ = json::parse(std::string_view(content_).substr(header_length_bytes, length), "has a header that");
    if (header_.kind != json::Kind::object) throw Problem("has a header that is no JSON object");
}

std::string Safetensors::metadata(const std::string& key) const {
    const json::Value* all = header_.find(metadata_name);
    const json::Value* found = all == nullptr ? nullptr : all->find(key);
    return found == nullptr || found->kind != json::Kind::text ? "null" : found->text;
}

FactorTensor Safetensors::tensor(const std::string& name) const {
    const json::Value* stated = header_.find(name);
    if (stated == nullptr || name == metadata_name) throw Problem("lacks its tensor " + json::quote(name));
    const std::string where = "describes its tensor " + json::quote(name);
    Fields fields(*stated, where, false);
    FactorTensor tensor{fields.one_of("dtype", {"F32", "F16", "U8"}, ""), {}, nullptr, 0};
    tensor.shape = fields.whole_numbers("shape");
    const std::vector<std::int64_t> ends = fields.whole_numbers("data_offsets");
    fields.end();
    tensor.size = bytes_of_shape(tensor.shape, tensor.type == "U8" ? 1 : tensor.type == "F16" ? 2 : 4);
    if (ends.size() != 2 || ends[1] - ends[0] != static_cast<std::int64_t>(tensor.size)) {
        throw Problem(where + " by numbers that do not fit each other");
    }
    if (static_cast<std::uint64_t>(ends[1]) > content_.size() - start_) {
        throw Problem("ends before its tensor " + json::quote(name) + " does");
    }
    tensor.data = content_.data() + start_ + ends[0];
    return tensor;
}

}  // namespace pocketgan
