#include "tensor.h"

#include <cstring>

#include "file_content.h"
#include "half.h"
#include "problem.h"

namespace pocketgan {
namespace {

constexpr std::size_t most_tensor_bytes = std::size_t{1} << 30;

template <typename Number>
void put(unsigned char* to, double value) {
    const auto number = static_cast<Number>(value);
    std::memcpy(to, &number, sizeof number);
}

template <typename Number>
double get(const unsigned char* from) {
    Number number;
    std::memcpy(&number, from, sizeof number);
    return static_cast<double>(number);
}

std::size_t product(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) {
        count *= static_cast<std::size_t>(size);
        if (count > most_tensor_bytes)
            throw Problem("a tensor of shape " + shape_text(shape) + " is larger than any that is run");
    }
    return count;
}

}  // namespace

DType dtype_of(const std::string& name) {
    if (name == "float32") return DType::float32;
    if (name == "float16") return DType::float16;
    if (name == "uint8") return DType::uint8;
    if (name == "int32") return DType::int32;
    if (name == "int64") return DType::int64;
    throw Problem("tensors of type " + name + " are not known to this runner");
}

std::size_t item_bytes(DType dtype) {
    switch (dtype) {
        case DType::uint8: return 1;
        case DType::float16: return 2;
        case DType::float32:
        case DType::int32: return 4;
        case DType::int64: break;
    }
    return 8;
}

Tensor::Tensor(DType type, std::vector<std::int64_t> sizes)
    : dtype(type), shape(std::move(sizes)), bytes(product(shape) * item_bytes(type)) {}

std::size_t Tensor::count() const { return bytes.size() / item_bytes(dtype); }

double Tensor::at(std::size_t index) const {
    const unsigned char* from = bytes.data() + index * item_bytes(dtype);
    switch (dtype) {
        case DType::float32: return get<float>(from);
        case DType::float16: break;
        case DType::uint8: return *from;
        case DType::int32: return get<std::int32_t>(from);
        case DType::int64: return get<std::int64_t>(from);
    }
    std::uint16_t half;
    std::memcpy(&half, from, sizeof half);
    return from_half(half);
}

Tensor Tensor::to(DType other) const {
    if (other == dtype) return *this;
    Tensor converted(other, shape);
    for (std::size_t i = 0; i < count(); ++i) {
        unsigned char* place = converted.bytes.data() + i * item_bytes(other);
        const double value = at(i);
        switch (other) {
            case DType::float32: put<float>(place, value); break;
            case DType::float16: {
                const std::uint16_t half = to_half(value);
                std::memcpy(place, &half, sizeof half);
                break;
            }
            case DType::uint8: *place = static_cast<unsigned char>(static_cast<std::int64_t>(value)); break;
            case DType::int32: put<std::int32_t>(place, value); break;
            case DType::int64: put<std::int64_t>(place, value); break;
        }
    }
    return converted;
}

Tensor read_tensor(const std::filesystem::path& path, DType dtype, std::vector<std::int64_t> shape) {
    Tensor tensor(dtype, std::move(shape));
    const std::string content = file_content(path, most_tensor_bytes);
    if (content.size() != tensor.bytes.size()) throw Problem(path.string() + ": does not have the size of its shape");
    std::memcpy(tensor.bytes.data(), content.data(), content.size());
    return tensor;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string text;
    for (const std::int64_t size : shape) text += (text.empty() ? "" : "x") + std::to_string(size);
    return text;
}

}  // namespace pocketgan
